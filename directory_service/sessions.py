"""The use cases on signing in: by password, by a one-time link, on an OpenID provider's word; and on sessions.

Tokens of sessions and links are 256 random bits, kept as their SHA-256: a copy of the database signs nobody in.
"""

import hashlib
import ipaddress
import secrets
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.directory.v1 import administrator_service_pb2 as pb

from chassis import audit
from chassis.database import Transaction
from directory_service.administrators import Accounts, check_email, check_name, found, hashed, insert
from directory_service.directory import in_steps
from directory_service.errors import (
    AdministratorDisabled,
    InvalidSession,
    InvalidSignIn,
    InvalidValue,
    LinkNotFound,
    TooManyAttempts,
)
from directory_service.passwords import needs_rehash
from directory_service.repository import administrators as repository
from directory_service.repository.administrators import NO_ATTEMPTS, Account, Attempts
from directory_service.repository.times import timestamp

HOUR_MS = 3_600_000
IDLE_MS = HOUR_MS
"""A session that nobody used for so long has ended."""
SESSION_MS = 12 * HOUR_MS
"""A session has ended after so long, however much it was used."""
USE_WRITTEN_MS = 60_000
"""How often the use of a session is written at most."""
LINK_MS = 24 * HOUR_MS
"""How long a one-time link can be used."""
FORGOTTEN_MS = HOUR_MS
"""Attempts are forgotten when none was made for so long."""
PRUNED_AT_ONCE = 500
"""Rows of each kind that one transaction deletes: a SCIM request may wait behind it."""

SESSION_PREFIX = "rollcall_session_"
LINK_PREFIX = "rollcall_link_"
_LONGEST_TOKEN = 200


@dataclass(frozen=True, slots=True)
class Throttle:
    """How many attempts in a row are free, and how long the pause after those may become.

    The first pause is one second, and each further attempt that fails doubles it.
    """

    free: int
    longest_seconds: int

    def wait_ms(self, attempts: Attempts, now: int) -> int:
        """Return for how long no further attempt is taken, in milliseconds; 0 or less: one is."""
        if attempts.failures < self.free or now - attempts.last_ms >= FORGOTTEN_MS:
            return 0
        # Capped before it is a power: nobody can be kept waiting by a number of thousands of bits.
        doublings = min(attempts.failures - self.free, 20)
        pause_ms = min(1 << doublings, self.longest_seconds) * 1000
        return attempts.last_ms + pause_ms - now


ACCOUNT = Throttle(free=5, longest_seconds=60)
"""Short, for anybody can fail in another's name and so keep the person out."""
ADDRESS = Throttle(free=20, longest_seconds=900)
"""More at the start, for a whole office may come from one address."""


async def sign_in(
    accounts: Accounts, email: str, password: str, client_address: str
) -> tuple[pb.Administrator, pb.Session]:
    """Open a session for an e-mail address and its password.

    An attempt counts before the password is compared, so that many at once are no way around the limit. Raises
    InvalidSignIn, the same after the same time whatever is wrong, and TooManyAttempts.
    """
    throttles = {_attempts_key("account", email.lower()): ACCOUNT}
    if client_address:
        throttles[_attempts_key("address", _network(client_address))] = ADDRESS
    await _attempt(accounts, throttles)
    account = await accounts.db.read(lambda tx: repository.find_account(tx, email) if _is_email(email) else None)
    usable = account if account is not None and account.is_enabled else None
    if not await accounts.passwords.verify(None if usable is None else usable.password_hash, password):
        raise InvalidSignIn
    assert usable is not None  # without a hash nothing verifies
    assert usable.password_hash is not None
    proved = usable.password_hash
    renewed = await accounts.passwords.hash(password) if needs_rehash(proved) else None

    def unit(tx: Transaction) -> tuple[pb.Administrator, pb.Session]:
        current = repository.lock_account(tx, usable.administrator.administrator_id)
        # Disabled, or given another password, while this one was being compared.
        if current is None or not current.is_enabled or current.password_hash != proved:
            raise InvalidSignIn
        if renewed is not None:
            repository.set_password_hash(tx, current.administrator.administrator_id, renewed)
        for key, throttle in throttles.items():
            if throttle is ACCOUNT:
                repository.delete_attempts(tx, key)
            else:
                # Whoever has one account must not get further guesses at others by signing in to it.
                repository.take_attempt_back(tx, key)
        return _open(tx, current, accounts.now())

    return await accounts.db.write(unit)


async def sign_in_with_openid(
    accounts: Accounts, issuer: str, subject: str, email: str
) -> tuple[pb.Administrator, pb.Session]:
    """Open a session for whom a provider has signed in; the first time binds the account to the provider's subject.

    Raises InvalidSignIn: no enabled account has the e-mail address, or it is another person's at the provider.
    """
    if not issuer or not subject or not _is_email(email) or "\0" in issuer + subject:
        raise InvalidSignIn

    def unit(tx: Transaction) -> tuple[pb.Administrator, pb.Session]:
        known = repository.find_account(tx, email)
        # Its e-mail address, for an id must not be taken for one.
        if known is None or known.administrator.email.lower() != email.lower():
            raise InvalidSignIn
        account = repository.lock_account(tx, known.administrator.administrator_id)
        if account is None or not account.is_enabled:
            raise InvalidSignIn
        if account.openid_subject is None:
            if repository.subject_is_bound(tx, issuer, subject):
                raise InvalidSignIn
            repository.bind_subject(tx, account.administrator.administrator_id, issuer, subject)
        elif (account.openid_issuer, account.openid_subject) != (issuer, subject):
            raise InvalidSignIn
        return _open(tx, account, accounts.now())

    return await accounts.db.write(unit)


async def get_session(accounts: Accounts, token: str) -> tuple[pb.Administrator, Timestamp]:
    """Return whose a session is and when it ends at the latest. Raises InvalidSession."""
    sha256, now = _sha256(token), accounts.now()
    session = await accounts.db.read(lambda tx: repository.find_session(tx, sha256))
    if (
        session is None
        or session.expires_ms <= now
        or session.used_ms + IDLE_MS <= now
        or not session.account.is_enabled
    ):
        raise InvalidSession
    if now - session.used_ms >= USE_WRITTEN_MS:
        await accounts.db.write(lambda tx: repository.use_session(tx, sha256, now))
    return session.account.administrator, timestamp(session.expires_ms)


async def sign_out(accounts: Accounts, token: str) -> None:
    """End a session; one that has ended is no error."""
    await accounts.db.write(lambda tx: repository.delete_session(tx, _sha256(token)))


async def set_password(
    accounts: Accounts, administrator_id: str, password: str, *, current: str | None, session_token: str
) -> pb.Administrator:
    """Set a password and end the account's sessions but for the one named; `current` must be right unless it is None.

    Raises AdministratorNotFound, InvalidValue, TooManyAttempts.
    """
    if "\0" in administrator_id:
        raise InvalidValue("administrator_id", "must not hold NUL")
    account = found(await accounts.db.read(lambda tx: repository.find_account(tx, administrator_id)), administrator_id)
    if current is not None:
        key = _attempts_key("account", account.administrator.email.lower())
        await _attempt(accounts, {key: ACCOUNT})
        if not await accounts.passwords.verify(account.password_hash, current):
            raise InvalidValue("current_password", "is not the password of this account")
        await accounts.db.write(lambda tx: repository.delete_attempts(tx, key))
    password_hash = await hashed(accounts, password)

    def unit(tx: Transaction) -> pb.Administrator:
        changed = found(repository.lock_account(tx, account.administrator.administrator_id), administrator_id)
        if current is not None and changed.password_hash != account.password_hash:
            raise InvalidValue("current_password", "is not the password of this account")
        changed_id = changed.administrator.administrator_id
        repository.set_password_hash(tx, changed_id, password_hash)
        repository.delete_sessions(tx, changed_id, but=_sha256(session_token) if session_token else b"")
        repository.delete_links(tx, changed_id)
        return found(repository.find_account(tx, changed_id), administrator_id).administrator

    return await accounts.db.write(unit)


async def create_link(accounts: Accounts, administrator_id: str) -> tuple[str, Timestamp]:
    """Make a one-time link; return its token, shown this once, and its end. An empty id: it makes a new account.

    Raises AdministratorNotFound, AdministratorDisabled.
    """
    if "\0" in administrator_id:
        raise InvalidValue("administrator_id", "must not hold NUL")
    token, now = LINK_PREFIX + secrets.token_urlsafe(32), accounts.now()

    def unit(tx: Transaction) -> None:
        if administrator_id:
            account = found(repository.lock_account(tx, administrator_id), administrator_id)
            if not account.is_enabled:
                raise AdministratorDisabled
        repository.insert_link(tx, _sha256(token), administrator_id or None, now_ms=now, expires_ms=now + LINK_MS)

    await accounts.db.write(unit)
    return token, timestamp(now + LINK_MS)


async def get_link(accounts: Accounts, token: str) -> tuple[pb.Administrator | None, Timestamp]:
    """Return the account that a link is for, None for a new one, and when it can no longer be used.

    Raises LinkNotFound.
    """
    sha256, now = _sha256(token), accounts.now()

    def unit(tx: Transaction) -> tuple[pb.Administrator | None, Timestamp]:
        link = repository.find_link(tx, sha256, now)
        if link is None:
            raise LinkNotFound
        account = None if link.administrator_id is None else repository.find_account(tx, link.administrator_id)
        return None if account is None else account.administrator, timestamp(link.expires_ms)

    return await accounts.db.read(unit)


async def redeem_link(
    accounts: Accounts, token: str, email: str, name: str, password: str
) -> tuple[pb.Administrator, pb.Session]:
    """Use a link: make the account or set its password, and open a session.

    A refusal leaves the link as it was. Raises LinkNotFound, InvalidValue, EmailTaken, TooManyAttempts.
    """
    owner, _ = await get_link(accounts, token)  # first, for what follows is work
    if owner is None:
        check_email(email)
        check_name(name)
    elif email or name:
        raise InvalidValue("email" if email else "name", "must be empty: the link is for an account that exists")
    password_hash, sha256 = await hashed(accounts, password), _sha256(token)

    def unit(tx: Transaction) -> tuple[pb.Administrator, pb.Session]:
        now = accounts.now()
        link = repository.take_link(tx, sha256, now)
        if link is None:
            raise LinkNotFound
        if link.administrator_id is None:
            administrator_id = insert(tx, email, name, password_hash, now).administrator_id
        else:
            administrator_id = link.administrator_id
            repository.lock_account(tx, administrator_id)
            repository.set_password_hash(tx, administrator_id, password_hash)
            repository.delete_sessions(tx, administrator_id)
            repository.delete_links(tx, administrator_id)
        account = found(repository.find_account(tx, administrator_id), administrator_id)
        if not account.is_enabled:
            raise LinkNotFound
        return _open(tx, account, now)

    return await accounts.db.write(unit)


async def prune(accounts: Accounts) -> int:
    """Delete sessions, links and attempts that are over, in transactions of bounded size; return how many."""
    removed, now = 0, accounts.now()

    def unit(tx: Transaction) -> int:
        return repository.delete_ended(
            tx,
            now_ms=now,
            used_before_ms=now - IDLE_MS,
            tried_before_ms=now - FORGOTTEN_MS,
            chunk=PRUNED_AT_ONCE,
        )

    async def step() -> bool:
        nonlocal removed
        count = await accounts.db.write(unit)
        removed += count
        return count >= PRUNED_AT_ONCE

    await in_steps(step)
    return removed


async def _attempt(accounts: Accounts, throttles: dict[bytes, Throttle]) -> None:
    """Count an attempt as one that fails, unless it comes too early. Raises TooManyAttempts."""

    def unit(tx: Transaction) -> None:
        now = accounts.now()
        made = repository.lock_attempts(tx, list(throttles))
        wait = max(throttle.wait_ms(made.get(key, NO_ATTEMPTS), now) for key, throttle in throttles.items())
        if wait > 0:
            raise TooManyAttempts(wait / 1000)
        for key, attempts in made.items():
            before = 0 if now - attempts.last_ms >= FORGOTTEN_MS else attempts.failures
            repository.set_attempts(tx, key, Attempts(before + 1, now))

    try:
        await accounts.db.write(unit)
    except TooManyAttempts:
        # Whoever may not even try must not be able to fill the audit.
        audit.leave_out()
        raise


def _open(tx: Transaction, account: Account, now: int) -> tuple[pb.Administrator, pb.Session]:
    token = SESSION_PREFIX + secrets.token_urlsafe(32)
    expires = now + SESSION_MS
    administrator_id = account.administrator.administrator_id
    repository.insert_session(tx, _sha256(token), administrator_id, now_ms=now, expires_ms=expires)
    current = found(repository.find_account(tx, administrator_id), administrator_id).administrator
    return current, pb.Session(session_token=token, expire_time=timestamp(expires))


def _sha256(token: str) -> bytes:
    return hashlib.sha256(token[:_LONGEST_TOKEN].encode("utf-8", "surrogatepass")).digest()


def _is_email(email: str) -> bool:
    try:
        check_email(email)
    except InvalidValue:
        return False
    return True


def _attempts_key(kind: str, value: str) -> bytes:
    # Hashed, so that what strangers type is not kept.
    return hashlib.sha256(f"{kind}\0{value}".encode("utf-8", "surrogatepass")).digest()


def _network(address: str) -> str:
    """Return what attempts are counted by: an IPv4 address, or the 64 bits of IPv6 that one site has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
