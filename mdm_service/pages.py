"""Pages of a list: where one begins, how long it is, and the token of the next (AIP-158)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chassis import paging
from mdm_service.errors import DOMAIN, InvalidValue

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was asked for."""

    query: str
    """What the token belongs to: the list and what narrows it."""
    size: int
    """How many items at most, 1 to 200."""
    after: list[str | int] | None
    """The sort key of the item before the page; None: the page is the first."""

    @property
    def text(self) -> str | None:
        """The sort key of the item before the page, where it is one text."""
        return None if self.after is None else str(self.after[0])

    def cut(self, found: Sequence[T], key: Callable[[T], paging.Key]) -> tuple[list[T], str]:
        """Cut what was found, one more than the page holds, to the page; answers it and the token of the next."""
        kept = list(found[: self.size])
        token = paging.encode_page_token(key(kept[-1]), self.query) if len(found) > self.size else ""
        return kept, token


def page(page_size: int, page_token: str, *query: str, types: Sequence[type[str] | type[int]] = (str,)) -> Page:
    """Read a request for a page: 0 means 100 items, more than 200 means 200.

    Raises InvalidValue for a negative size, InvalidPageToken for a token that this query did not give.
    """
    if page_size < 0:
        raise InvalidValue("page_size", "must not be negative")
    text = "\n".join(query)
    after = paging.decode_page_token(page_token, text, types=types, domain=DOMAIN) if page_token else None
    # Nobody was given such a key, and PostgreSQL would fail on it.
    if any("\0" in item if isinstance(item, str) else not 0 <= item < 2**63 for item in after or ()):
        raise paging.InvalidPageToken(DOMAIN)
    return Page(text, paging.page_limit(page_size), after)
