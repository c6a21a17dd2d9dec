"""Every interleaving of two relays on one outbox, searched exhaustively: is order kept, with and without the fence?

The model, as small as shows the danger:

- The outbox holds the rows 1..n of one aggregate in their order; row v carries version v. A row is unsent or marked
  with a stream sequence.
- The database lock has one holder. It passes to another at any moment while its holder is paused, as the server ends
  a silent session: the old holder does not know. A crash frees it.
- A relay that leads reads what is unsent, puts a publish of each row on its way (its connection to the broker is a
  queue), awaits the acks in order, and marks. Between any two steps it may be paused, resumed, or crash; what it had
  put on its way arrives even after its death.
- The stream appends what arrives. With the fence a publish carries the sequence of the aggregate's last message as its
  relay predicts it, and is refused unless it is that. With the duplicate window it answers "already there" for a
  version that it still remembers; the window may end at any moment.
- A connection may break: what is on it, both ways, is lost, and the relay marks what it has acks of and reads anew.
  A refused publish makes the relay ask for the aggregate's last message: is that of
  this version or a later one, the row is marked; else it is published again behind that message.

Order holds when no version is in the stream before a smaller one, and none comes again after a larger one. Nothing is
lost when every marked row is in the stream.

`explore(fence=True)` finds no violation. `explore(fence=False)` finds the interleaving that the fence exists for.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

RELAYS = (0, 1)


class Publish(NamedTuple):
    """A publish on its way: its version, and the last sequence of the aggregate that it expects."""

    version: int
    expected: int


class Relay(NamedTuple):
    """One relay: what it believes, and where it is.

    `batch` are the rows that it read and not yet settled; `sent` is how many of them are on their way or answered.
    """

    leads: bool = False
    paused: bool = False
    alive: bool = True
    batch: tuple[int, ...] = ()
    sent: int = 0
    predicted: int = 0
    true_last: int = -1
    """The aggregate's last sequence as the stream told it after a refusal; -1: it was not asked."""
    acks: tuple[tuple[int, int], ...] = ()
    """Answers that wait to be read, in order: the version, and its sequence, or 0 for "refused"."""
    wire: tuple[Publish, ...] = ()
    """Publishes that the broker has not received yet."""
    settled: tuple[tuple[int, int], ...] = ()
    """What is to be marked: version and sequence."""


class State(NamedTuple):
    """All of it: rows by version, 0 unsent, else their sequence; the stream's versions; the lock's holder."""

    rows: tuple[int, ...]
    stream: tuple[int, ...]
    remembered: frozenset[int]
    holder: int
    relays: tuple[Relay, ...]
    crashes: int
    takeovers: int
    forgets: int
    breaks: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large the search is: rows, and how often something may crash, the lock pass on, the window or a wire end."""

    rows: int = 2
    crashes: int = 1
    takeovers: int = 2
    forgets: int = 1
    breaks: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """What was found: how many states there are, and the shortest way to a violation, empty if there is none."""

    states: int
    violation: str
    trace: tuple[str, ...]


def explore(*, fence: bool, bounds: Bounds | None = None) -> Result:
    """Search every reachable state, breadth first, until one violates order or loses a row."""
    bounds = bounds or Bounds()
    first = State((0,) * bounds.rows, (), frozenset(), -1, (Relay(), Relay()), 0, 0, 0, 0)
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        if violation := _violation(state):
            return Result(len(came_from), violation, _trace(came_from, state))
        for action, following in _steps(state, fence, bounds):
            if following not in came_from:
                came_from[following] = (state, action)
                waiting.append(following)
    return Result(len(came_from), "", ())


def _violation(state: State) -> str:
    seen = 0
    for version in state.stream:
        if version > seen + 1:
            return f"version {version} is in the stream before version {seen + 1}"
        seen = max(seen, version)
    for version, sequence in enumerate(state.rows, start=1):
        if sequence and version not in state.stream:
            return f"version {version} is marked as sent and not in the stream"
    # A reader that begins here, or whose inbox was pruned, would take the old state for the newest.
    if state.stream and state.stream[-1] < seen:
        return f"version {state.stream[-1]} comes again after version {seen}"
    return ""


def _trace(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    actions: list[str] = []
    step = came_from[state]
    while step is not None:
        state, action = step
        actions.append(action)
        step = came_from[state]
    return tuple(reversed(actions))


def _steps(state: State, fence: bool, bounds: Bounds) -> Iterator[tuple[str, State]]:
    if state.forgets < bounds.forgets and state.remembered:
        yield "the duplicate window ends", state._replace(remembered=frozenset(), forgets=state.forgets + 1)
    for number in RELAYS:
        relay = state.relays[number]
        if relay.wire:
            yield from _arrival(state, number, fence)
        if relay.alive and relay.sent and state.breaks < bounds.breaks:
            broken = _with(state, number, relay._replace(wire=(), acks=(), sent=len(relay.batch)))
            yield f"relay {number} loses its connection", broken._replace(breaks=state.breaks + 1)
        if not relay.alive:
            if not relay.wire:
                yield f"relay {number} starts again", _with(state, number, Relay())
            continue
        if relay.paused:
            yield f"relay {number} is resumed", _with(state, number, relay._replace(paused=False))
            if state.holder == number and state.takeovers < bounds.takeovers:
                freed = state._replace(holder=-1, takeovers=state.takeovers + 1)
                yield f"the server takes the lock from relay {number}", freed
            continue
        yield f"relay {number} is paused", _with(state, number, relay._replace(paused=True))
        if state.crashes < bounds.crashes:
            crashed = _with(state, number, Relay(alive=False, wire=relay.wire))
            holder = -1 if state.holder == number else state.holder
            yield f"relay {number} crashes", crashed._replace(holder=holder, crashes=state.crashes + 1)
        yield from _work(state, number)


def _arrival(state: State, number: int, fence: bool) -> Iterator[tuple[str, State]]:
    """The broker receives the first publish on a relay's wire, and answers."""
    relay = state.relays[number]
    publish, wire = relay.wire[0], relay.wire[1:]
    last = _last(state.stream)
    stream, remembered = state.stream, state.remembered
    if publish.version in remembered:
        answer = stream.index(publish.version) + 1
        what = "is a duplicate"
    elif fence and publish.expected != last:
        answer, what = 0, "is refused"
    else:
        stream, remembered = (*stream, publish.version), remembered | {publish.version}
        answer, what = len(stream), "is stored"
    acks = (*relay.acks, (publish.version, answer)) if relay.alive else ()
    after = _with(state, number, relay._replace(wire=wire, acks=acks))
    yield (
        f"version {publish.version} of relay {number} {what}",
        after._replace(stream=stream, remembered=remembered),
    )


def _work(state: State, number: int) -> Iterator[tuple[str, State]]:
    """What a relay that runs does next: one thing, for it is one task."""
    relay = state.relays[number]
    if not relay.batch:
        # At the start of each batch it asks whether the lock is still its own.
        if state.holder == -1:
            yield (
                f"relay {number} gets the lock",
                _with(state, number, relay._replace(leads=True))._replace(holder=number),
            )
        elif state.holder != number and relay.leads:
            yield f"relay {number} notices that it leads no more", _with(state, number, relay._replace(leads=False))
        elif state.holder == number:
            yield from _read(state, number)
    elif relay.sent < len(relay.batch):
        version = relay.batch[relay.sent]
        on_its_way = relay._replace(
            sent=relay.sent + 1,
            # The stream has this aggregate alone, so what it will append is predicted one by one.
            predicted=relay.predicted + 1,
            wire=(*relay.wire, Publish(version, relay.predicted)),
        )
        yield f"relay {number} sends version {version}", _with(state, number, on_its_way)
    elif relay.acks:
        yield from _settle(state, number)
    elif not relay.wire and relay.settled:
        rows = list(state.rows)
        for version, sequence in relay.settled:
            rows[version - 1] = sequence
        marked = _with(state, number, relay._replace(batch=(), sent=0, settled=()))
        yield f"relay {number} marks {len(relay.settled)} rows", marked._replace(rows=tuple(rows))
    elif not relay.wire:
        yield f"relay {number} reads anew", _with(state, number, relay._replace(batch=(), sent=0))


def _read(state: State, number: int) -> Iterator[tuple[str, State]]:
    unsent = tuple(version for version, sequence in enumerate(state.rows, start=1) if not sequence)
    if not unsent:
        return
    relay = state.relays[number]
    before = unsent[0] - 1
    # What the row of the version before says, unless the stream itself was asked since.
    predicted = relay.true_last if relay.true_last >= 0 else (state.rows[before - 1] if before else 0)
    read = relay._replace(batch=unsent, sent=0, predicted=predicted, true_last=-1)
    yield f"relay {number} reads versions {', '.join(map(str, unsent))}", _with(state, number, read)


def _settle(state: State, number: int) -> Iterator[tuple[str, State]]:
    relay = state.relays[number]
    (version, sequence), acks = relay.acks[0], relay.acks[1:]
    if sequence:
        settled = relay._replace(acks=acks, settled=(*relay.settled, (version, sequence)))
        yield f"relay {number} sees the ack of version {version}", _with(state, number, settled)
        return
    # Refused: the stream's last message of the aggregate decides.
    last = _last(state.stream)
    newest = state.stream[last - 1] if last else 0
    if newest >= version:
        there = relay._replace(acks=acks, settled=(*relay.settled, (version, last)))
        yield f"relay {number} finds version {version} in the stream", _with(state, number, there)
    else:
        # It stops here: the rest of the batch was refused too, and is read again behind the true last sequence.
        stopped = relay._replace(acks=(), true_last=last)
        yield f"relay {number} finds version {newest} as the last", _with(state, number, stopped)


def _last(stream: tuple[int, ...]) -> int:
    return len(stream)


def _with(state: State, number: int, relay: Relay) -> State:
    relays = list(state.relays)
    relays[number] = relay
    return state._replace(relays=tuple(relays))


def main() -> int:
    """Explore with and without the fence, print what was found; exit 1 when it is not what the design claims."""
    fenced = explore(fence=True)
    print(f"with the fence: {fenced.states} states, {fenced.violation or 'order holds in all of them'}")
    for step in fenced.trace:
        print(f"  {step}")
    bare = explore(fence=False)
    print(f"without the fence: after {bare.states} states, {bare.violation or 'order holds, which it should not'}")
    for step in bare.trace:
        print(f"  {step}")
    return 0 if not fenced.violation and bare.violation else 1


if __name__ == "__main__":
    sys.exit(main())
