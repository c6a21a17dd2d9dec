"""How many requests a worker works on at once, and whose turn it is: what keeps an overload from everybody else.

A request that finds no room waits in the line of its token; lines take turns, so that one connection's flood is that
connection's own wait. A line has an end, and so has patience: beyond either a request is refused with 429 and
Retry-After, and what was accepted is answered soon. Who finds a line full is told so a moment later, for a client that
is refused at once asks again at once, and reading and refusing would be all that is done.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from gateway.errors import TooManyRequests, Unavailable

STRANGERS = b""
"""The line of all tokens that have not worked yet: whoever forges many has one line for all of them."""

RETRY_SECONDS = 1.0
"""What a request that is refused is asked to wait."""

_REMEMBERED = 4096
# Sockets are few as well: beyond so many held ones a refusal is told at once.
_HELD_BACK = 400


class Place:
    """The room that one request takes. Each request has its own, which its end gives back."""

    __slots__ = ("line",)

    def __init__(self) -> None:
        self.line: bytes | None = None


class Admission:
    """Lets `rooms` requests in at once, of one token at most three quarters of them.

    `waiting` is how many requests of one token may wait, and `patience` for how many seconds. While `interrupted` says
    that nothing can be answered for a moment, as in a restart of the directory, they wait for `interruption` seconds.
    A request that finds its line full is held for `refusal_seconds` before it is told.
    """

    def __init__(
        self,
        rooms: int,
        waiting: int,
        patience: float,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        interruption: float = 5.0,
        refusal_seconds: float = 1.0,
    ) -> None:
        self._rooms = rooms
        self._most = max(1, rooms - rooms // 4)
        self._waiting = waiting
        self._patience = patience
        self._interrupted = interrupted
        self._interruption = max(interruption, patience)
        self._refusal_seconds = refusal_seconds
        self._held_back = 0
        self._taken = 0
        self._held: dict[bytes, int] = {}
        self._lines: OrderedDict[bytes, deque[asyncio.Future[None]]] = OrderedDict()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    async def enter(self, place: Place, token_hash: bytes) -> None:
        """Wait for room and take it. Raises TooManyRequests, Unavailable after an interruption."""
        line = token_hash if token_hash in self._known else STRANGERS
        if self._taken < self._rooms and self._held.get(line, 0) < self._most and line not in self._lines:
            self._take(place, line)
            return
        if len(self._lines.get(line, ())) >= self._waiting:
            await self._hold_back()
            raise TooManyRequests("more requests at once than can be answered", RETRY_SECONDS)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(line, deque()).append(turn)
        try:
            if not await _comes(turn, self._patience) and not (
                self._interrupted() and await _comes(turn, self._interruption - self._patience)
            ):
                if self._interrupted():
                    raise Unavailable
                raise TooManyRequests("more requests than can be answered in time", RETRY_SECONDS)
        # Also when the request is cancelled, as its client has gone.
        except BaseException:
            if turn.done():
                place.line = line
                self.leave(place)
            else:
                turn.cancel()
                self._leave_line(line, turn)
            raise
        place.line = line

    def leave(self, place: Place) -> None:
        """Give the room back, if any was taken; whose turn it is goes in."""
        line, place.line = place.line, None
        if line is None:
            return
        self._taken -= 1
        self._held[line] -= 1
        if not self._held[line]:
            del self._held[line]
        self._let_in()

    def worked(self, token_hash: bytes) -> None:
        """Give a token that works a line of its own."""
        self._known[token_hash] = None
        self._known.move_to_end(token_hash)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _take(self, place: Place, line: bytes) -> None:
        self._taken += 1
        self._held[line] = self._held.get(line, 0) + 1
        place.line = line

    def _let_in(self) -> None:
        while self._taken < self._rooms:
            line = next((line for line in self._lines if self._held.get(line, 0) < self._most), None)
            if line is None:
                return
            waiting = self._lines[line]
            turn = waiting.popleft()
            if waiting:
                self._lines.move_to_end(line)
            else:
                del self._lines[line]
            # Counted here and not when its request goes on, for others may ask in between.
            self._taken += 1
            self._held[line] = self._held.get(line, 0) + 1
            turn.set_result(None)

    async def _hold_back(self) -> None:
        if self._held_back < _HELD_BACK:
            self._held_back += 1
            try:
                await asyncio.sleep(self._refusal_seconds)
            finally:
                self._held_back -= 1

    def _leave_line(self, line: bytes, turn: asyncio.Future[None]) -> None:
        waiting = self._lines.get(line)
        if waiting is not None and turn in waiting:
            waiting.remove(turn)
            if not waiting:
                del self._lines[line]


async def _comes(turn: asyncio.Future[None], seconds: float) -> bool:
    """Wait for a turn, which stays what it is; tell whether it came."""
    await asyncio.wait((turn,), timeout=seconds)
    return turn.done()
