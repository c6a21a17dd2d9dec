"""Attributes and metadata as rows of a table: the path of each value, and the value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from google.protobuf.struct_pb2 import Struct, Value
from rollcall.directory.v1 import group_pb2, user_pb2

from chassis.scim_message import message_to_document

Row: TypeAlias = tuple[str, str]


def attributes(resource: user_pb2.User | group_pb2.Group) -> list[Row]:
    """Return what the identity provider sent of a resource, by SCIM path: `name.familyName`, `emails[work].value`."""
    return list(_resource_rows(message_to_document(resource)))


def metadata(struct: Struct) -> list[Row]:
    """Return what the attribute mapping made of a user, by name."""
    return [row for name in sorted(struct.fields) for row in _rows(name, _plain(struct.fields[name]))]


def _resource_rows(document: Mapping[str, Any]) -> Iterator[Row]:
    for name, value in document.items():
        if ":" in name and isinstance(value, dict):
            # An extension: its attributes are named behind its URN (RFC 7644 §3.10).
            for attribute, inner in value.items():
                yield from _rows(f"{name}:{attribute}", inner)
        else:
            yield from _rows(name, value)


def _rows(path: str, value: Any) -> Iterator[Row]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _rows(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value, 1):
            label = inner.get("type") if isinstance(inner, dict) else None
            yield from _rows(f"{path}[{label or number}]", inner)
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    elif value is not None:
        yield path, str(value)


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: _plain(inner) for name, inner in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(inner) for inner in value.list_value.values]
    if kind == "number_value":
        return int(value.number_value) if value.number_value.is_integer() else value.number_value
    return None if kind in (None, "null_value") else getattr(value, kind)
