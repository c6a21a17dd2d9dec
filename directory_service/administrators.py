"""The use cases on administrators' accounts: make, list, disable and enable them, choose a password."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from rollcall.directory.v1 import administrator_service_pb2 as pb

from chassis.database import Database, Transaction
from directory_service.errors import AdministratorNotFound, EmailTaken, InvalidValue, LastAdministrator
from directory_service.passwords import Passwords, check_password
from directory_service.repository import administrators as repository
from directory_service.repository.administrators import Account
from directory_service.repository.times import now_ms

MAX_NAME = 200
MAX_EMAIL = 254
"""The longest address that mail can be sent to (RFC 5321 §4.5.3.1.3)."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """What every use case on accounts works with."""

    db: Database
    passwords: Passwords
    now: Callable[[], int] = now_ms
    """Milliseconds since 1970-01-01T00:00:00Z."""


async def create_administrator(accounts: Accounts, email: str, name: str, password: str) -> pb.Administrator:
    """Create an account; without a password it signs in by a link or an OpenID provider.

    Raises InvalidValue, EmailTaken.
    """
    check_email(email)
    check_name(name)
    password_hash = await hashed(accounts, password) if password else None
    return await accounts.db.write(lambda tx: insert(tx, email, name, password_hash, accounts.now()))


async def get_administrator(accounts: Accounts, administrator: str) -> pb.Administrator:
    """Read an account by its id or e-mail address. Raises AdministratorNotFound."""
    _check_text(administrator, "administrator")
    account = await accounts.db.read(lambda tx: repository.find_account(tx, administrator))
    return found(account, administrator).administrator


async def list_administrators(accounts: Accounts, *, after: str, limit: int) -> list[pb.Administrator]:
    """List accounts by e-mail address, after one in lower case."""
    return await accounts.db.read(lambda tx: repository.list_administrators(tx, after=after, limit=limit))


async def disable_administrator(accounts: Accounts, administrator_id: str) -> pb.Administrator:
    """Disable an account and end its sessions; again is no error. Raises AdministratorNotFound, LastAdministrator."""
    _check_text(administrator_id, "administrator_id")

    def unit(tx: Transaction) -> pb.Administrator:
        # All of them, so that of two that are disabled at once the second is seen to be the last.
        enabled = repository.lock_enabled(tx)
        account = found(repository.lock_account(tx, administrator_id), administrator_id)
        if not account.is_enabled:
            return account.administrator
        if enabled == {administrator_id}:
            raise LastAdministrator
        repository.set_enabled(tx, administrator_id, enabled=False)
        repository.delete_sessions(tx, administrator_id)
        repository.delete_links(tx, administrator_id)
        return found(repository.find_account(tx, administrator_id), administrator_id).administrator

    return await accounts.db.write(unit)


async def enable_administrator(accounts: Accounts, administrator_id: str) -> pb.Administrator:
    """Enable an account; again is no error. Raises AdministratorNotFound."""
    _check_text(administrator_id, "administrator_id")

    def unit(tx: Transaction) -> pb.Administrator:
        account = found(repository.lock_account(tx, administrator_id), administrator_id)
        if not account.is_enabled:
            repository.set_enabled(tx, administrator_id, enabled=True)
        return found(repository.find_account(tx, administrator_id), administrator_id).administrator

    return await accounts.db.write(unit)


def insert(tx: Transaction, email: str, name: str, password_hash: str | None, now: int) -> pb.Administrator:
    """Insert an account. Raises EmailTaken."""
    administrator_id = str(uuid.uuid4())
    inserted = repository.insert_administrator(
        tx, administrator_id, email=email, name=name, password_hash=password_hash, now_ms=now
    )
    if not inserted:
        raise EmailTaken
    return found(repository.find_account(tx, administrator_id), administrator_id).administrator


async def hashed(accounts: Accounts, password: str, field: str = "password") -> str:
    """Return the hash of a password that may be chosen. Raises InvalidValue, TooManyAttempts."""
    check_password(password, field)
    return await accounts.passwords.hash(password)


def found(account: Account | None, administrator: str) -> Account:
    """Return an account that there is. Raises AdministratorNotFound."""
    if account is None:
        raise AdministratorNotFound(administrator)
    return account


def check_email(email: str, field: str = "email") -> None:
    """Raise InvalidValue unless a text can be an e-mail address: printable ASCII with one @ inside."""
    local, _, domain = email.rpartition("@")
    if not email:
        raise InvalidValue(field, "is required")
    if not local or not domain or "@" in local or len(email) > MAX_EMAIL or not _is_plain(email):
        raise InvalidValue(field, f"must be an e-mail address of at most {MAX_EMAIL} ASCII characters")


def check_name(name: str, field: str = "name") -> None:
    """Raise InvalidValue unless a name, if there is one, is at most 200 printable characters."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise InvalidValue(field, f"must be at most {MAX_NAME} printable characters")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _check_text(text: str, field: str) -> None:
    # What no database takes.
    if "\0" in text:
        raise InvalidValue(field, "must not hold NUL")
