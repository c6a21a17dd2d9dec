"""Who may work on which connection: SCIM tokens, checked in the call that uses them (SECURITY)."""

import asyncio
import logging
import time
from collections.abc import Callable

from chassis import scim_token, tenancy
from chassis.auth import GATEWAY
from chassis.database import Database
from chassis.request_context import request_context
from directory_service.directory import Access
from directory_service.errors import InvalidToken, InvalidValue, ScopeTooNarrow
from directory_service.profiles import ClientProfiles
from directory_service.repository.connections import TokenRecord, find_token, record_use
from directory_service.repository.times import now_ms

CACHED_SECONDS = 0.8
"""For how long a token that was looked up is believed; a revocation works everywhere within one second."""
CACHED_TOKENS = 10_000
"""Looked-up tokens that are remembered, unknown ones included."""
USE_WRITTEN_MS = 60_000
"""How often the last use of a token or connection is written at most."""
DAY_MS = 86_400_000
WARNED_DAYS = 30
"""How many days before its end a token that is still used is warned of, once a day."""

_log = logging.getLogger(__name__)


class TokenCache:
    """Tokens as they were a moment ago, so that a burst of requests costs one look-up; bounded in time and size."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._clock = clock
        self._entries: dict[str, tuple[float, TokenRecord | None]] = {}
        self._lookups: dict[str, asyncio.Future[TokenRecord | None]] = {}
        self._cleared = 0

    async def get(self, token_id: str) -> TokenRecord | None:
        """Return a token that is at most `CACHED_SECONDS` old, None when there is none."""
        entry = self._entries.get(token_id)
        now = self._clock()
        if entry is not None and entry[0] > now:
            return entry[1]
        lookup = self._lookups.get(token_id)
        if lookup is None:
            lookup = asyncio.ensure_future(self._look_up(token_id, now))
            self._lookups[token_id] = lookup
            lookup.add_done_callback(lambda done: self._end(token_id, done))
        # Shielded, for others wait for the same look-up.
        return await asyncio.shield(lookup)

    async def _look_up(self, token_id: str, began: float) -> TokenRecord | None:
        cleared = self._cleared
        # In a task of its own: only what the token says can tell whom the call is for.
        tenancy.bind(tenancy.EVERY)
        record = await self._db.read(lambda tx: find_token(tx, token_id))
        if cleared != self._cleared:
            return record  # read, it may be, before the change that cleared the cache
        self._entries.pop(token_id, None)
        if len(self._entries) >= CACHED_TOKENS:
            for oldest in list(self._entries)[: CACHED_TOKENS // 10]:
                del self._entries[oldest]
        # Counted from before the look-up: what it saw is not younger than that.
        self._entries[token_id] = (began + CACHED_SECONDS, record)
        return record

    def _end(self, token_id: str, lookup: asyncio.Future[TokenRecord | None]) -> None:
        if self._lookups.get(token_id) is lookup:
            del self._lookups[token_id]
        if not lookup.cancelled():
            lookup.exception()

    def clear(self) -> None:
        """Forget everything, so that a change made by this process works at once."""
        self._cleared += 1
        self._entries.clear()
        self._lookups.clear()


class UsageRecorder:
    """Notes when tokens and connections are used, and writes it now and then, off the path of requests."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._used: dict[str, tuple[TokenRecord, int]] = {}
        self._written: dict[str, int] = {}
        self._warned: dict[str, int] = {}

    def used(self, token: TokenRecord, now: int) -> None:
        """Note a request that a token opened."""
        self._used[token.token_id] = (token, now)

    async def flush(self) -> None:
        """Write the uses that were not written within the last minute."""
        used, self._used = self._used, {}
        tokens: dict[str, int] = {}
        connections: dict[str, int] = {}
        for token_id, (token, ms) in used.items():
            if ms - self._written.get(token_id, 0) < USE_WRITTEN_MS:
                # Kept for a later flush, unless a later use takes its place.
                self._used.setdefault(token_id, (token, ms))
                continue
            self._written[token_id] = tokens[token_id] = ms
            connections[token.connection_id] = max(ms, connections.get(token.connection_id, 0))
            self._warn(token, ms)
        if tokens:
            await self._db.write(lambda tx: record_use(tx, tokens, connections))

    def _warn(self, token: TokenRecord, now: int) -> None:
        days = (token.expires_ms - now) // DAY_MS
        if days < WARNED_DAYS and now - self._warned.get(token.token_id, 0) >= DAY_MS:
            self._warned[token.token_id] = now
            extra = {"connection_id": token.connection_id}
            _log.warning("token %s expires in %d days: issue a new one", token.token_id, days, extra=extra)

    async def flush_all(self) -> None:
        """Write every use that is not written yet: at the end of the process."""
        self._written.clear()
        await self.flush()


class Authenticator:
    """Says which connection a call may work on.

    The gateway forwards a SCIM token, and the connection is the token's own. Internal callers, whom the method policy
    has let through, name the connection.
    """

    def __init__(self, tokens: TokenCache, usage: UsageRecorder, profiles: ClientProfiles) -> None:
        self._tokens = tokens
        self._usage = usage
        self._profiles = profiles

    async def access(self, connection_id: str, *, writes: bool = False) -> Access:
        """Return what the current call may work on.

        Raises InvalidToken, the same for every fault of a token or of its connection; ScopeTooNarrow when the token may
        only read and the call writes; InvalidValue when an internal caller names no connection.
        """
        context = request_context.get()
        identity = context.identity
        if identity is None or identity.name == GATEWAY:
            token = await self._token(context.scim_token, connection_id)
            if context.client_dialect:
                self._profiles.seen(token.connection_id, context.client_dialect, now_ms())
            if writes and not token.may_write:
                raise ScopeTooNarrow
            tenancy.bind(token.connection_id)
            return Access(token.connection_id, by_token=True)
        if not connection_id:
            raise InvalidValue("connection_id", "is required")
        tenancy.bind(connection_id)
        return Access(connection_id, by_token=False)

    async def _token(self, text: str, connection_id: str) -> TokenRecord:
        parsed = scim_token.parse(text)
        if parsed is None:
            raise InvalidToken
        token_id, sha256 = parsed
        token = await self._tokens.get(token_id)
        # Compared also when there is nothing to compare with, so that an unknown token takes as long as a known one.
        matches = scim_token.matches(None if token is None else token.sha256, sha256)
        now = now_ms()
        if (
            token is None
            or not matches
            or token.revoked
            or token.expires_ms <= now
            or not token.enabled
            or connection_id not in ("", token.connection_id)
        ):
            raise InvalidToken
        self._usage.used(token, now)
        return token
