"""Accounts of administrators, their sessions, one-time links, and attempts to sign in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rollcall.directory.v1 import administrator_service_pb2 as pb
from sqlalchemy import Row, Table, delete, insert, or_, select, update

from chassis.database import Transaction
from directory_service.repository.inserts import insert_ignoring
from directory_service.repository.times import timestamp
from directory_service.tables import ADMINISTRATOR_SESSIONS, ADMINISTRATORS, SIGN_IN_ATTEMPTS, SIGN_IN_LINKS


@dataclass(frozen=True, slots=True)
class Account:
    """An account with what nobody is told of it."""

    administrator: pb.Administrator
    password_hash: str | None
    openid_issuer: str | None
    openid_subject: str | None

    @property
    def is_enabled(self) -> bool:
        """Whether it may sign in."""
        return self.administrator.state == pb.ADMINISTRATOR_STATE_ENABLED


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session, whose it is, and its times in milliseconds."""

    account: Account
    used_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """A one-time link; `administrator_id` is None for one that makes an account."""

    administrator_id: str | None
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts to sign in that failed one after the other, and when the last one was made."""

    failures: int
    last_ms: int


NO_ATTEMPTS = Attempts(0, 0)

# Accounts


def insert_administrator(
    tx: Transaction, administrator_id: str, *, email: str, name: str, password_hash: str | None, now_ms: int
) -> bool:
    """Insert an account; return whether its e-mail address was free."""
    row = {
        "id": administrator_id,
        "email": email,
        "email_key": email.lower(),
        "name": name,
        "password_hash": password_hash,
        "enabled": True,
        "created_ms": now_ms,
    }
    return tx.execute(_INSERT_ADMINISTRATOR[tx.dialect], row).first() is not None


_INSERT_ADMINISTRATOR = insert_ignoring(ADMINISTRATORS, ("email_key",), returning=ADMINISTRATORS.c.id)


def find_account(tx: Transaction, administrator: str) -> Account | None:
    """Return an account by its id or its e-mail address."""
    columns = ADMINISTRATORS.c
    statement = select(ADMINISTRATORS).where(
        or_(columns.id == administrator, columns.email_key == administrator.lower())
    )
    return _account(tx.execute(statement).first())


def lock_account(tx: Transaction, administrator_id: str) -> Account | None:
    """Return an account by its id and hold its row until the transaction ends."""
    statement = select(ADMINISTRATORS).where(ADMINISTRATORS.c.id == administrator_id).with_for_update()
    return _account(tx.execute(statement).first())


def lock_enabled(tx: Transaction) -> set[str]:
    """Return the ids of all enabled accounts and hold their rows until the transaction ends."""
    columns = ADMINISTRATORS.c
    statement = select(columns.id).where(columns.enabled).order_by(columns.id).with_for_update()
    return set(tx.execute(statement).scalars())


def list_administrators(tx: Transaction, *, after: str, limit: int) -> list[pb.Administrator]:
    """Return accounts by e-mail address in lower case, after one."""
    columns = ADMINISTRATORS.c
    statement = select(ADMINISTRATORS).where(columns.email_key > after).order_by(columns.email_key).limit(limit)
    return [_administrator(row) for row in tx.execute(statement)]


def set_enabled(tx: Transaction, administrator_id: str, *, enabled: bool) -> None:
    """Enable or disable an account."""
    _change(tx, administrator_id, enabled=enabled)


def set_password_hash(tx: Transaction, administrator_id: str, password_hash: str) -> None:
    """Store the hash of a new password."""
    _change(tx, administrator_id, password_hash=password_hash)


def bind_subject(tx: Transaction, administrator_id: str, issuer: str, subject: str) -> None:
    """Bind an account to a person at an OpenID provider."""
    _change(tx, administrator_id, openid_issuer=issuer, openid_subject=subject)


def subject_is_bound(tx: Transaction, issuer: str, subject: str) -> bool:
    """Tell whether an account is bound to a person at an OpenID provider."""
    columns = ADMINISTRATORS.c
    statement = select(columns.id).where(columns.openid_issuer == issuer, columns.openid_subject == subject)
    return tx.execute(statement).first() is not None


def _change(tx: Transaction, administrator_id: str, **values: object) -> None:
    tx.execute(update(ADMINISTRATORS).where(ADMINISTRATORS.c.id == administrator_id).values(**values))


def _account(row: Row[Any] | None) -> Account | None:
    if row is None:
        return None
    return Account(_administrator(row), row.password_hash, row.openid_issuer, row.openid_subject)


def _administrator(row: Row[Any]) -> pb.Administrator:
    message = pb.Administrator(
        administrator_id=row.id,
        email=row.email,
        name=row.name,
        state=pb.ADMINISTRATOR_STATE_ENABLED if row.enabled else pb.ADMINISTRATOR_STATE_DISABLED,
        has_password=row.password_hash is not None,
        openid_issuer=row.openid_issuer or "",
        created_time=timestamp(row.created_ms),
    )
    if row.signed_in_ms is not None:
        message.last_sign_in_time.CopyFrom(timestamp(row.signed_in_ms))
    return message


# Sessions


def insert_session(tx: Transaction, sha256: bytes, administrator_id: str, *, now_ms: int, expires_ms: int) -> None:
    """Insert a session, and note on its account that it signed in."""
    row = {
        "sha256": sha256,
        "administrator_id": administrator_id,
        "created_ms": now_ms,
        "used_ms": now_ms,
        "expires_ms": expires_ms,
    }
    tx.execute(insert(ADMINISTRATOR_SESSIONS), row)
    _change(tx, administrator_id, signed_in_ms=now_ms)


def find_session(tx: Transaction, sha256: bytes) -> SessionRecord | None:
    """Return a session, ended or not."""
    sessions = ADMINISTRATOR_SESSIONS.c
    statement = (
        select(ADMINISTRATORS, sessions.used_ms, sessions.expires_ms)
        .join_from(ADMINISTRATOR_SESSIONS, ADMINISTRATORS, ADMINISTRATORS.c.id == sessions.administrator_id)
        .where(sessions.sha256 == sha256)
    )
    row = tx.execute(statement).first()
    account = _account(row)
    return None if row is None or account is None else SessionRecord(account, row.used_ms, row.expires_ms)


def use_session(tx: Transaction, sha256: bytes, now_ms: int) -> None:
    """Note that a session is used."""
    sessions = ADMINISTRATOR_SESSIONS
    tx.execute(update(sessions).where(sessions.c.sha256 == sha256).values(used_ms=now_ms))


def delete_session(tx: Transaction, sha256: bytes) -> None:
    """Delete a session."""
    tx.execute(delete(ADMINISTRATOR_SESSIONS).where(ADMINISTRATOR_SESSIONS.c.sha256 == sha256))


def delete_sessions(tx: Transaction, administrator_id: str, *, but: bytes = b"") -> None:
    """Delete the sessions of an account, but for one."""
    columns = ADMINISTRATOR_SESSIONS.c
    tx.execute(
        delete(ADMINISTRATOR_SESSIONS).where(columns.administrator_id == administrator_id, columns.sha256 != but)
    )


# One-time links


def insert_link(tx: Transaction, sha256: bytes, administrator_id: str | None, *, now_ms: int, expires_ms: int) -> None:
    """Insert a link."""
    row = {"sha256": sha256, "administrator_id": administrator_id, "created_ms": now_ms, "expires_ms": expires_ms}
    tx.execute(insert(SIGN_IN_LINKS), row)


def find_link(tx: Transaction, sha256: bytes, now_ms: int) -> LinkRecord | None:
    """Return a link that can be used."""
    columns = SIGN_IN_LINKS.c
    row = tx.execute(select(SIGN_IN_LINKS).where(columns.sha256 == sha256, columns.expires_ms > now_ms)).first()
    return None if row is None else LinkRecord(row.administrator_id, row.expires_ms)


def take_link(tx: Transaction, sha256: bytes, now_ms: int) -> LinkRecord | None:
    """Delete a link that can be used and return it; of several that try, one gets it."""
    link = find_link(tx, sha256, now_ms)
    taken = tx.execute(delete(SIGN_IN_LINKS).where(SIGN_IN_LINKS.c.sha256 == sha256)).rowcount
    return link if taken else None


def delete_links(tx: Transaction, administrator_id: str) -> None:
    """Delete the links of an account."""
    tx.execute(delete(SIGN_IN_LINKS).where(SIGN_IN_LINKS.c.administrator_id == administrator_id))


# Attempts

_INSERT_ATTEMPTS = insert_ignoring(SIGN_IN_ATTEMPTS, ("key",))


def lock_attempts(tx: Transaction, keys: Sequence[bytes]) -> dict[bytes, Attempts]:
    """Return the attempts under each key and hold their rows, made if need be, until the transaction ends."""
    columns = SIGN_IN_ATTEMPTS.c
    ordered = sorted(keys)
    for key in ordered:
        tx.execute(_INSERT_ATTEMPTS[tx.dialect], {"key": key, "failures": 0, "last_ms": 0})
    statement = select(SIGN_IN_ATTEMPTS).where(columns.key.in_(ordered)).order_by(columns.key).with_for_update()
    return {bytes(row.key): Attempts(row.failures, row.last_ms) for row in tx.execute(statement)}


def set_attempts(tx: Transaction, key: bytes, attempts: Attempts) -> None:
    """Note the attempts under a key."""
    tx.execute(
        update(SIGN_IN_ATTEMPTS)
        .where(SIGN_IN_ATTEMPTS.c.key == key)
        .values(failures=attempts.failures, last_ms=attempts.last_ms)
    )


def take_attempt_back(tx: Transaction, key: bytes) -> None:
    """Count one attempt less under a key."""
    columns = SIGN_IN_ATTEMPTS.c
    tx.execute(
        update(SIGN_IN_ATTEMPTS).where(columns.key == key, columns.failures > 0).values(failures=columns.failures - 1)
    )


def delete_attempts(tx: Transaction, key: bytes) -> None:
    """Forget the attempts under a key."""
    tx.execute(delete(SIGN_IN_ATTEMPTS).where(SIGN_IN_ATTEMPTS.c.key == key))


# What is over


def delete_ended(tx: Transaction, *, now_ms: int, used_before_ms: int, tried_before_ms: int, chunk: int) -> int:
    """Delete at most `chunk` sessions, links and attempts each that are over; return how many of them all."""
    sessions, links, attempts = ADMINISTRATOR_SESSIONS.c, SIGN_IN_LINKS.c, SIGN_IN_ATTEMPTS.c
    ended: tuple[tuple[Table, Any, Any], ...] = (
        (
            ADMINISTRATOR_SESSIONS,
            sessions.sha256,
            or_(sessions.expires_ms <= now_ms, sessions.used_ms <= used_before_ms),
        ),
        (SIGN_IN_LINKS, links.sha256, links.expires_ms <= now_ms),
        (SIGN_IN_ATTEMPTS, attempts.key, attempts.last_ms <= tried_before_ms),
    )
    deleted = 0
    for table, key, condition in ended:
        found = select(key).where(condition).limit(chunk)
        deleted += tx.execute(delete(table).where(key.in_(found))).rowcount
    return deleted
