"""What the operations of a bulk request refer to, and the order in which they can be made (RFC 7644 §3.7.1, §3.7.2).

A reference is a text that is `bulkId:x`, or that ends in `/bulkId:x`: it stands for the id of the resource that the
creation with the bulk id x makes. Ids are given to creations before any is made, so a reference forward, or one of a
circle, can be filled in like any other.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from google.protobuf.message import Message

PREFIX = "bulkId:"

_IN_PATH = re.compile(rf'"{PREFIX}((?:[^"\\]|\\.)+)"')
_MARK = PREFIX.encode()

Replace = Callable[[str], str]
"""Gives the id for a bulk id."""


def references(message: Message) -> set[str]:
    """Return the bulk ids that a message refers to."""
    found: set[str] = set()
    if _MARK in message.SerializeToString():

        def note(bulk_id: str) -> str:
            found.add(bulk_id)
            return PREFIX + bulk_id

        _rewrite(message, note)
    return found


def resolve_references(message: Message, ids: Mapping[str, str]) -> None:
    """Put ids in the place of the references of a message; those that `ids` does not have stay."""
    if _MARK in message.SerializeToString():
        _rewrite(message, lambda bulk_id: ids.get(bulk_id, PREFIX + bulk_id))


def making_order(needs: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Yield the operations, by index, so that each comes after those it needs, and else in the order given.

    Operations that need each other come together, as one tuple in the order given. `needs` has the indexes that each
    operation needs (Tarjan's strongly connected components, which come out in just this order).
    """
    number: dict[int, int] = {}
    lowest: dict[int, int] = {}
    open_: list[int] = []
    is_open: set[int] = set()
    for root in range(len(needs)):
        if root in number:
            continue
        # Not by recursion: a chain may be as long as the request.
        path: list[tuple[int, Iterator[int]]] = []
        entering: int | None = root
        while entering is not None or path:
            if entering is not None:
                number[entering] = lowest[entering] = len(number)
                open_.append(entering)
                is_open.add(entering)
                path.append((entering, iter(needs[entering])))
                entering = None
            node, rest = path[-1]
            for needed in rest:
                if needed not in number:
                    entering = needed
                    break
                if needed in is_open:
                    lowest[node] = min(lowest[node], number[needed])
            else:
                path.pop()
                if path:
                    parent = path[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[node])
                if lowest[node] == number[node]:
                    start = open_.index(node)
                    together = sorted(open_[start:])
                    del open_[start:]
                    is_open.difference_update(together)
                    yield tuple(together)


def has_circle(needs: Mapping[int, Sequence[int]]) -> bool:
    """Tell whether anything needs itself, be it through others; what `needs` has no entry for needs nothing."""
    places = {index: place for place, index in enumerate(needs)}
    edges = [[places[needed] for needed in needs[index] if needed in places] for index in needs]
    return any(len(circle) > 1 or circle[0] in edges[circle[0]] for circle in making_order(edges))


def _rewrite(message: Message, replace: Replace) -> None:
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.name == "extensions":
                for urn in value:
                    value[urn] = _json_text(value[urn], replace)
        elif field.message_type is not None:
            for part in value if field.is_repeated else (value,):
                _rewrite(part, replace)
        elif field.type != field.TYPE_STRING:
            continue
        elif field.is_repeated:
            value[:] = [_text(item, replace) for item in value]
        else:
            change = _TEXTS.get(field.full_name, _text)
            changed = change(value, replace)
            if changed != value:
                setattr(message, field.name, changed)


def _text(text: str, replace: Replace) -> str:
    if text.startswith(PREFIX):
        start = 0
    else:
        start = text.rfind("/" + PREFIX) + 1
        if not start:
            return text
    bulk_id = text[start + len(PREFIX) :]
    return text[:start] + replace(bulk_id) if bulk_id else text


def _path(text: str, replace: Replace) -> str:
    return _IN_PATH.sub(lambda match: f'"{replace(match.group(1))}"', text)


def _json_text(text: str, replace: Replace) -> str:
    if PREFIX not in text:
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # explained by whoever reads the operation
    return orjson.dumps(_json(value, replace)).decode()


def _json(value: Any, replace: Replace) -> Any:
    if isinstance(value, str):
        return _text(value, replace)
    if isinstance(value, list):
        return [_json(item, replace) for item in value]
    if isinstance(value, dict):
        return {key: _json(item, replace) for key, item in value.items()}
    return value


_TEXTS: Mapping[str, Callable[[str, Replace], str]] = {
    "rollcall.directory.v1.PatchOperation.path": _path,
    "rollcall.directory.v1.PatchOperation.value": _json_text,
}
"""The fields whose text is not a value itself; that of `extensions` is JSON as well."""
