"""Passwords of administrators: hashed and compared apart from everything else, for that is slow on purpose."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from directory_service.errors import InvalidValue, TooManyAttempts

T = TypeVar("T")

SHORTEST = 12
LONGEST = 1000
"""Characters; a text of any length could be hashed, but somebody would have to send it."""
AT_ONCE = 2
"""How many passwords are worked on at the same time; more would take the processor from SCIM."""
WAITING = 32
"""How many more may wait for their turn."""

# Argon2id (RFC 9106) with more than twice the work that OWASP asks for, on one thread, in 46 MiB.
_HASHER = PasswordHasher(time_cost=2, memory_cost=47_104, parallelism=1)


class Passwords:
    """Hashes and compares passwords in threads of its own; `close` ends them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._under_way = 0

    def close(self) -> None:
        """End the threads; what is under way ends first."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return what may be stored of a password. Raises TooManyAttempts when too many wait."""
        return await self._apart(lambda: _HASHER.hash(_normal(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether a password is the one; without a stored hash that takes as long, and it is not.

        Raises TooManyAttempts when too many wait.
        """
        return await self._apart(lambda: _verify(stored, password))

    async def _apart(self, work: Callable[[], T]) -> T:
        if self._under_way >= AT_ONCE + WAITING:
            raise TooManyAttempts(1.0)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._under_way -= 1


def check_password(password: str, field: str = "password") -> None:
    """Raise InvalidValue unless a password may be chosen: 12 to 1,000 characters (NIST SP 800-63B §5.1.1)."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidValue(field, f"must have {SHORTEST} to {LONGEST:,} characters")


def needs_rehash(stored: str) -> bool:
    """Tell whether a hash was made with less work than is asked for now."""
    return _HASHER.check_needs_rehash(stored)


def _verify(stored: str | None, password: str) -> bool:
    if stored is None or len(password) > LONGEST:
        _HASHER.hash(_normal(password[:LONGEST]))
        return False
    try:
        return _HASHER.verify(stored, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def _normal(password: str) -> bytes:
    # The same keys give other characters on another system (NIST SP 800-63B §5.1.1.2).
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
