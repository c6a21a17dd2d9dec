"""What a request may cost: bytes, depth, rate. Each limit is a setting (SECURITY, "SCIM edge")."""

import asyncio
import hashlib
import json
import math
import mmap
import re
import struct
from collections import OrderedDict
from typing import Any

import orjson

from gateway.errors import TooLarge, TooManyRequests, TooSlow, UnsupportedMediaType
from gateway.exchange import Request
from scim.errors import InvalidSyntax, InvalidValue

_MEDIA_TYPES = frozenset({"application/scim+json", "application/json"})
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


def check_content_type(value: str | None) -> None:
    """Accept JSON in UTF-8, and a missing header; some clients send none. Raises UnsupportedMediaType."""
    if not value:
        return
    media_type, *parameters = (part.strip().lower() for part in value.split(";"))
    if media_type not in _MEDIA_TYPES:
        raise UnsupportedMediaType
    for parameter in parameters:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip(" \"'") not in ("utf-8", "utf8"):
            raise UnsupportedMediaType


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body of at most `limit` bytes, whatever its headers say, within the request's deadline.

    Raises TooLarge, TooSlow, InvalidSyntax when there is none.
    """
    length = request.content_length
    if length is not None and length > limit:
        raise TooLarge(limit)
    try:
        async with asyncio.timeout_at(request.exchange.deadline):
            body: bytes = await request.stream.read(limit + 1)
    except TimeoutError:
        raise TooSlow from None
    if len(body) > limit:
        raise TooLarge(limit)
    if not body:
        raise InvalidSyntax("the request has no body")
    return body


def parse_json(body: bytes, max_depth: int) -> Any:
    """Parse a body; of a name that is given twice the last counts.

    Raises InvalidSyntax, also beyond `max_depth`, and InvalidValue for an integer that signed 64 bits do not hold: it
    could only be kept as another one (RFC 8259 §6 lets an implementation limit the range).
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidSyntax(f"the body is not JSON: {error}") from None
    # Text may hold brackets too, so their number is a bound only; the values themselves are then looked at.
    if body.count(b"{") + body.count(b"[") > max_depth:
        _check_depth(value, max_depth)
    if _LONG_NUMBER.search(body):
        json.loads(body, parse_int=_check_integer)
    return value


def _check_integer(digits: str) -> None:
    # Far too long a number is not even read: that costs the square of its length.
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise InvalidValue(f"the integer {digits[:40]} does not fit into 64 bits")


def _check_depth(value: object, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth):
        below: list[Any] = []
        for item in level:
            for member in item.values() if type(item) is dict else item if type(item) is list else ():
                kind = type(member)
                if kind is dict or kind is list:
                    below.append(member)
        if not below:
            return
        level = below
    raise InvalidSyntax(f"the body nests deeper than {max_depth} levels")


class Buckets:
    """Token buckets in memory that the workers of one gateway share, so that a limit is the gateway's, not a worker's.

    Made before the workers are forked. Workers do not lock it: two that meet in one bucket at the same moment may let
    one request too many through, which a limit on rates can bear. Of more keys than slots, the longest idle give way.
    """

    _SLOT = struct.Struct("=Qdd")  # key, tokens left, when that was true (CLOCK_MONOTONIC, the same in every process)
    _PROBES = 8

    def __init__(self, slots: int = 4096) -> None:
        self._slots = slots
        self._memory = mmap.mmap(-1, slots * self._SLOT.size)

    def take(self, key: bytes, rate: float, burst: float, now: float) -> float:
        """Take one token; return 0 when there was one, else the seconds until there is. `rate` is per second."""
        offset, number, tokens = self._find(key, rate, burst, now)
        if tokens < 1:
            return (1 - tokens) / rate
        self._SLOT.pack_into(self._memory, offset, number, tokens - 1, now)
        return 0.0

    def wait(self, key: bytes, rate: float, burst: float, now: float) -> float:
        """Return what `take` would return, and take nothing."""
        _, _, tokens = self._find(key, rate, burst, now)
        return 0.0 if tokens >= 1 else (1 - tokens) / rate

    def _find(self, key: bytes, rate: float, burst: float, now: float) -> tuple[int, int, float]:
        number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") or 1
        victim, oldest = 0, math.inf
        for probe in range(self._PROBES):
            offset = (number + probe) % self._slots * self._SLOT.size
            owner, tokens, since = self._SLOT.unpack_from(self._memory, offset)
            if owner == number:
                return offset, number, min(burst, tokens + max(0.0, now - since) * rate)
            if owner == 0:
                return offset, number, burst
            if since < oldest:
                victim, oldest = offset, since
        return victim, number, burst


BUCKETS = Buckets()
"""Those of this process and, once it forks workers, of all of them."""


class RateLimit:
    """At most `rate` requests a second with bursts of `burst`, for each token; 0 is no limit."""

    def __init__(self, rate: float, burst: int, buckets: Buckets = BUCKETS) -> None:
        self._rate = rate
        self._burst = max(float(burst), 1.0)
        self._buckets = buckets

    def check(self, token_hash: bytes, now: float) -> None:
        """Count a request. Raises TooManyRequests. A forged token has a bucket of its own and empties no other."""
        if self._rate > 0:
            seconds = self._buckets.take(b"request:" + token_hash, self._rate, self._burst, now)
            if seconds > 0:
                raise TooManyRequests(f"more than {self._rate:g} requests a second with this token", seconds)


class FailedAuthentications:
    """At most `per_minute` failed authentications from one address; 0 is no limit.

    Identity providers call for many customers from few addresses. So that one customer's wrong token does not lock out
    the others, a token that has worked keeps working from an address that is over the limit.
    """

    _REMEMBERED = 4096

    def __init__(self, per_minute: int, buckets: Buckets = BUCKETS) -> None:
        self._rate = per_minute / 60
        self._burst = float(per_minute)
        self._buckets = buckets
        self._proven: OrderedDict[bytes, None] = OrderedDict()

    def check(self, address: str, token_hash: bytes | None, now: float) -> None:
        """Raises TooManyRequests when the address is over the limit, save with a token that has worked."""
        if self._rate > 0 and (token_hash is None or token_hash not in self._proven):
            seconds = self._buckets.wait(self._key(address), self._rate, self._burst, now)
            if seconds > 0:
                raise TooManyRequests("too many failed authentications from this address", seconds)

    def failed(self, address: str, token_hash: bytes | None, now: float) -> None:
        """Count a failed authentication."""
        if self._rate > 0:
            self._buckets.take(self._key(address), self._rate, self._burst, now)
            if token_hash is not None:
                self._proven.pop(token_hash, None)

    def succeeded(self, token_hash: bytes) -> None:
        """Remember a token that works."""
        if self._rate > 0:
            self._proven[token_hash] = None
            self._proven.move_to_end(token_hash)
            if len(self._proven) > self._REMEMBERED:
                self._proven.popitem(last=False)

    @staticmethod
    def _key(address: str) -> bytes:
        return b"failure:" + address.encode()
