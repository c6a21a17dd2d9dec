"""The page tokens of users and groups, which SCIM clients see as cursors (RFC 9865)."""

from collections.abc import Sequence

from chassis.database import Database
from chassis.paging import Key, SignedPageTokens
from directory_service.errors import DOMAIN
from directory_service.repository.secrets import find_secret, make_secret

SECRET = "page-tokens"


class PageTokens:
    """Signed page tokens, by a key that is kept in the database, so that any process continues any other's list."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._signed: SignedPageTokens | None = None

    async def load(self) -> None:
        """Read the key, and make it first where the database is new. Raises DatabaseUnavailable."""
        key = await self._db.read(lambda tx: find_secret(tx, SECRET))
        if key is None:
            await self._db.write(lambda tx: make_secret(tx, SECRET))
            key = await self._db.read(lambda tx: find_secret(tx, SECRET))
        assert key is not None
        self._signed = SignedPageTokens(key, domain=DOMAIN)

    @property
    def signed(self) -> SignedPageTokens:
        """What makes and reads tokens; only after `load`."""
        assert self._signed is not None, "load() comes first"
        return self._signed

    def encode(self, key: Key, query: str) -> str:
        """Make the token of the page after the row with sort key `key`, of the query that the text stands for."""
        return self.signed.encode(key, query)

    def decode(self, token: str, query: str, *, types: Sequence[type[str] | type[int]]) -> list[str | int]:
        """Read a token back to its sort key. Raises InvalidPageToken, ExpiredPageToken."""
        return self.signed.decode(token, query, types=types)
