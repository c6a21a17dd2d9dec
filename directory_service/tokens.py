"""The use cases on bearer tokens (SECURITY): issue, list, revoke."""

import logging

from rollcall.directory.v1 import connection_service_pb2 as pb

from chassis import scim_token
from chassis.database import Transaction
from directory_service.directory import Access, Directory
from directory_service.errors import ConnectionNotFound, InvalidValue, TokenNotFound, TooManyTokens
from directory_service.repository import connections as repository
from directory_service.repository.events import Journal
from directory_service.repository.times import now_ms

MAX_LIVE = 2
"""Live tokens of a connection: the old and the new one while an identity provider is switched over."""
DEFAULT_SECONDS = 365 * 86_400
MAX_SECONDS = 3650 * 86_400

_log = logging.getLogger(__name__)


async def issue_token(
    directory: Directory, connection_id: str, scope: pb.TokenScope, seconds: float | None
) -> tuple[str, pb.Token]:
    """Issue a token that lives for `seconds` (None: a year); return its text, shown this once, and the token.

    Raises ConnectionNotFound, ConnectionDeleting, TooManyTokens, InvalidValue.
    """
    if scope not in pb.TokenScope.values():
        raise InvalidValue("scope", "must be one of READ, WRITE")
    if seconds is not None and not 0 < seconds <= MAX_SECONDS:
        raise InvalidValue("expires_in", "must be more than 0 and at most 3650 days")
    token_id = scim_token.new_token_id()
    text, sha256 = scim_token.issue(token_id)
    name = "READ" if scope == pb.TOKEN_SCOPE_READ else "WRITE"

    def unit(tx: Transaction, journal: Journal) -> pb.Token:
        return insert_token(tx, connection_id, token_id, sha256, name, seconds)

    token = await directory.write(Access(connection_id, by_token=False), unit)
    _log.info("issued token %s", token_id, extra={"connection_id": connection_id})
    return text, token


def insert_token(
    tx: Transaction, connection_id: str, token_id: str, sha256: bytes, scope: str, seconds: float | None
) -> pb.Token:
    """Insert a token of a locked connection. Raises TooManyTokens."""
    now = now_ms()
    if repository.count_live_tokens(tx, connection_id, now) >= MAX_LIVE:
        raise TooManyTokens(MAX_LIVE)
    expires_ms = now + int((DEFAULT_SECONDS if seconds is None else seconds) * 1000)
    repository.insert_token(
        tx, connection_id, token_id=token_id, sha256=sha256, scope=scope, now_ms=now, expires_ms=expires_ms
    )
    return _found(repository.get_token(tx, connection_id, token_id), token_id)


async def list_tokens(directory: Directory, connection_id: str) -> list[pb.Token]:
    """List a connection's tokens, newest first. Raises ConnectionNotFound."""

    def unit(tx: Transaction) -> list[pb.Token]:
        if repository.get_connection(tx, connection_id) is None:
            raise ConnectionNotFound(connection_id)
        return repository.list_tokens(tx, connection_id)

    return await directory.db.read(unit)


async def revoke_token(directory: Directory, connection_id: str, token_id: str) -> pb.Token:
    """Revoke a token; again is no error. Raises ConnectionNotFound, ConnectionDeleting, TokenNotFound."""

    def unit(tx: Transaction, journal: Journal) -> pb.Token:
        _found(repository.get_token(tx, connection_id, token_id), token_id)
        repository.revoke_token(tx, connection_id, token_id, now_ms())
        return _found(repository.get_token(tx, connection_id, token_id), token_id)

    token = await directory.write(Access(connection_id, by_token=False), unit)
    _log.info("revoked token %s", token_id, extra={"connection_id": connection_id})
    return token


def _found(token: pb.Token | None, token_id: str) -> pb.Token:
    if token is None:
        raise TokenNotFound(token_id)
    return token
