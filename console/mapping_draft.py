"""An attribute mapping while it is edited: read from a form, changed by a button, and made into messages. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rollcall.directory.v1 import connection_service_pb2 as pb

_NAME = re.compile(r"name-([0-9]{1,4})")
_SOURCE = re.compile(r"(?:namespace|key)-([0-9]{1,4})-([0-9]{1,4})")
_COMMAND = re.compile(r"(add|add-source|remove|up|remove-source|up-source)(?:-([0-9]{1,4}))?(?:-([0-9]{1,4}))?")
_FIELD = re.compile(r"mapped_attributes\[([0-9]+)\](?:\.name|\.attributes(?:\[([0-9]+)\]\.(namespace|key))?)?")


@dataclass(slots=True)
class Source:
    """Where a value may come from, as it was typed."""

    namespace: str = ""
    key: str = ""


@dataclass(slots=True)
class Entry:
    """One attribute of the metadata, as it was typed."""

    name: str = ""
    sources: list[Source] = field(default_factory=list)


class Draft:
    """A mapping that nobody has saved yet."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = list(entries)

    @classmethod
    def of(cls, mapping: Sequence[pb.MappedAttribute]) -> Draft:
        """Begin with a mapping that stands."""
        return cls([Entry(one.name, [Source(s.namespace, s.key) for s in one.attributes]) for one in mapping])

    @classmethod
    def read(cls, values: Mapping[str, Sequence[str]]) -> Draft:
        """Read the fields `name-0`, `namespace-0-0`, `key-0-0` and so on; what is empty is left out."""
        entries: dict[int, Entry] = {}
        sources: dict[tuple[int, int], Source] = {}
        for name, found in values.items():
            text = found[0].strip() if found else ""
            if match := _NAME.fullmatch(name):
                entries.setdefault(int(match[1]), Entry()).name = text
            elif match := _SOURCE.fullmatch(name):
                place = int(match[1]), int(match[2])
                setattr(sources.setdefault(place, Source()), "key" if name.startswith("key") else "namespace", text)
        for (number, _), source in sorted(sources.items()):
            if source.key or source.namespace:
                entries.setdefault(number, Entry()).sources.append(source)
        return cls([entry for _, entry in sorted(entries.items()) if entry.name or entry.sources])

    def change(self, command: str) -> bool:
        """Do what a button says: add, add-source-0, remove-0, up-1, remove-source-0-1, up-source-0-1.

        Return whether it was one of these; one for a place that there is not changes nothing.
        """
        match = _COMMAND.fullmatch(command)
        if match is None:
            return False
        verb = match[1]
        first, second = (None if number is None else int(number) for number in match.groups()[1:])
        if verb == "add":
            self.entries.append(Entry("", [Source()]))
            return True
        if first is None or first >= len(self.entries):
            return True
        entry = self.entries[first]
        if verb == "add-source":
            entry.sources.append(Source())
        elif verb == "remove":
            del self.entries[first]
        elif verb == "up":
            _raise(self.entries, first)
        elif second is not None and second < len(entry.sources):
            if verb == "remove-source":
                del entry.sources[second]
            else:
                _raise(entry.sources, second)
        return True

    def take(self, namespace: str, key: str) -> None:
        """Add an entry for an attribute that was received, named by its last part."""
        name = stem = key.rpartition(".")[2]
        taken, number = {entry.name for entry in self.entries}, 1
        while name in taken:
            number += 1
            name = f"{stem}{number}"
        self.entries.append(Entry(name, [Source(namespace, key)]))

    def messages(self) -> list[pb.MappedAttribute]:
        """Return the mapping as the directory takes it; whether it is valid is for the directory to say."""
        return [
            pb.MappedAttribute(
                name=entry.name,
                attributes=[pb.AttributeSource(namespace=one.namespace, key=one.key) for one in entry.sources],
            )
            for entry in self.entries
        ]


def form_field(name: str) -> str:
    """Return the field of the form for a field that the directory names; empty for none."""
    match = _FIELD.fullmatch(name)
    if match is None:
        return ""
    if match[3]:
        return f"{match[3]}-{match[1]}-{match[2]}"
    return f"key-{match[1]}-0" if ".attributes" in name else f"name-{match[1]}"


def fingerprint(mapping: Sequence[pb.MappedAttribute]) -> str:
    """Return what tells one mapping from another."""
    digest = hashlib.sha256()
    for one in mapping:
        digest.update(one.SerializeToString(deterministic=True) + b"\0")
    return digest.hexdigest()[:16]


def _raise(items: list[Entry] | list[Source], place: int) -> None:
    if place > 0:
        items.insert(place - 1, items.pop(place))  # type: ignore[arg-type]  # what came from a list goes back into it
