"""Secrets that the processes of the directory share."""

import secrets

from sqlalchemy import select

from chassis.database import Transaction
from directory_service.repository.inserts import insert_ignoring
from directory_service.tables import SECRETS

SECRET_BYTES = 32

_INSERT = insert_ignoring(SECRETS, ("name",))


def find_secret(tx: Transaction, name: str) -> bytes | None:
    """Return a secret, None when none was made yet."""
    value = tx.execute(select(SECRETS.c.value).where(SECRETS.c.name == name)).scalar()
    return None if value is None else bytes(value)


def make_secret(tx: Transaction, name: str) -> None:
    """Make a secret of random bytes, unless another process has made it."""
    tx.execute(_INSERT[tx.dialect], {"name": name, "value": secrets.token_bytes(SECRET_BYTES)})
