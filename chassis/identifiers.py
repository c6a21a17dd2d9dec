"""Identifiers that sort by the time of their making."""

from __future__ import annotations

import os
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def time_ordered_id() -> str:
    """Make a UUID version 7 (RFC 9562 §5.7) as text; within a process each is greater than the one before.

    The 48 bits of milliseconds and the 12 bits of `rand_a` hold one rising counter of 1/4096 ms (method 3 of RFC 9562
    §6.2), so that ids of one millisecond keep their order too.
    """
    digits = time_ordered_hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def time_ordered_hex() -> str:
    """Make the same without hyphens: 32 hexadecimal digits."""
    return f"{_next():032x}"


def first_id(milliseconds: int) -> str:
    """Give the least id that `time_ordered_id` can have made at a time in milliseconds since 1970."""
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62))


def _next() -> int:
    global _last
    now = (time.time_ns() << 12) // 1_000_000
    with _lock:
        if now <= _last:
            now = _last + 1
        _last = now
    value = (now >> 12 & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (now & 0xFFF) << 64 | 0b10 << 62
    return value | int.from_bytes(os.urandom(8), "big") >> 2
