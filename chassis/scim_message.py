"""THE conversion between a SCIM JSON document and a protobuf message, both ways, by one naming rule.

A **document** holds what a client may write of a resource: core attributes at the top level and each extension as an
object under its URN; never `schemas`, `id`, `meta`, `groups` or `members`. A **message** is
`rollcall.directory.v1.User` or `Group`; its output-only fields are neither read nor written here.

The rule: field `phone_numbers` ↔ attribute `phoneNumbers`, `x509_certificates` ↔ `x509Certificates`, and `ref` ↔
`$ref`. Field `enterprise` ↔ the enterprise URN (RFC 7643 §4.3); every other URN ↔ an entry of the map `extensions`,
whose values are the text of a JSON object. Attributes under the enterprise URN that RFC 7643 does not declare travel in
`extensions` under that same URN, so that nothing is lost.

An empty text, an empty list and an empty object are unassigned (RFC 7643 §2.5): they come back as absent. A boolean
keeps its presence. An attribute that no field has is ignored, never an error.

The table is compiled once per message type from its descriptor: a new attribute in the proto needs no code here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

ENTERPRISE_USER_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
"""RFC 7643 §4.3. Here, and not from `scim`, for the chassis depends on no other package."""

OUTPUT_ONLY_FIELDS = frozenset(
    {
        "id", "connection_id", "groups", "members", "metadata", "version", "etag", "created_time", "last_modified_time",
        "member_count",
    }
)  # fmt: skip
"""Fields of a resource's message, and of messages within, that are not part of its document."""

_CAPITAL = re.compile(r"(?<!^)[A-Z]")

_ENTERPRISE_FIELD = "enterprise"
_EXTENSIONS_FIELD = "extensions"
_ENTERPRISE_KEY = ENTERPRISE_USER_URN.casefold()

_SCALARS = {
    FieldDescriptor.TYPE_STRING: (str,),
    FieldDescriptor.TYPE_BOOL: (bool,),
    FieldDescriptor.TYPE_INT32: (int,),
    FieldDescriptor.TYPE_INT64: (int,),
}

_Reader = Callable[[Any, Any], None]  # (message, JSON value): sets the field
_Writer = Callable[[Any], Any]  # field value → JSON value


def attribute_name(field_name: str) -> str:
    """Give the SCIM attribute name of a proto field name: `phone_numbers` → `phoneNumbers`, `ref` → `$ref`."""
    if field_name == "ref":
        return "$ref"
    first, *rest = field_name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def field_name(attribute: str) -> str:
    """Give the proto field name of a SCIM attribute name, the inverse of `attribute_name`."""
    return _CAPITAL.sub(r"_\g<0>", attribute.removeprefix("$")).lower()


class InvalidDocument(ValueError):
    """A document holds a value of another type than the message's field; the text names the attribute."""


def document_to_message(document: Mapping[str, Any], message: M) -> M:
    """Write a document into an empty message of its resource and return the message.

    Raises `InvalidDocument` naming the attribute whose value is of the wrong type.
    """
    readers = _resource_table(message.DESCRIPTOR).readers
    for key, value in document.items():
        if value is None:
            continue
        reader = readers.get(key)
        if reader is not None:
            try:
                reader(message, value)
            except InvalidDocument:
                raise
            except (TypeError, ValueError, AttributeError) as error:
                raise InvalidDocument(f"{key}: {_what(value)} does not fit the attribute's type") from error
        elif ":" in key:
            _read_extension(message, key, value)
    return message


def message_to_document(message: Message) -> dict[str, Any]:
    """Give the document of a resource's message; keys come in the order of the fields.

    Raises `InvalidDocument` when an extension is not the text of a JSON object.
    """
    writers = _resource_table(message.DESCRIPTOR).writers
    document: dict[str, Any] = {}
    for field, value in message.ListFields():
        entry = writers.get(field.number)
        if entry is None:
            continue
        key, writer = entry
        converted = writer(value)
        if key is not None:
            if converted not in ("", [], {}):
                document[key] = converted
            continue
        for urn, content in converted.items():
            if urn.casefold() == _ENTERPRISE_KEY:
                document[ENTERPRISE_USER_URN] = {**document.get(ENTERPRISE_USER_URN, {}), **content}
            else:
                document[urn] = content
    return document


class _Table:
    __slots__ = ("readers", "writers")

    def __init__(self) -> None:
        self.readers: dict[str, _Reader] = {}
        self.writers: dict[int, tuple[str | None, _Writer]] = {}


@functools.cache
def _resource_table(descriptor: Descriptor) -> _Table:
    table = _Table()
    for field in descriptor.fields:
        if field.name in OUTPUT_ONLY_FIELDS:
            continue
        if field.name == _EXTENSIONS_FIELD:
            table.writers[field.number] = (None, _write_extensions)
        elif field.name == _ENTERPRISE_FIELD:
            table.writers[field.number] = (ENTERPRISE_USER_URN, _message_writer(_inner(field)))
        else:
            _add(table, field)
    return table


@functools.cache
def _table(descriptor: Descriptor) -> _Table:
    table = _Table()
    for field in descriptor.fields:
        if field.name not in OUTPUT_ONLY_FIELDS:
            _add(table, field)
    return table


def _add(table: _Table, field: FieldDescriptor) -> None:
    key = attribute_name(field.name)
    table.readers[key] = _reader(field)
    table.writers[field.number] = (key, _writer(field))


def _reader(field: FieldDescriptor) -> _Reader:
    name = field.name
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        inner = _table(_inner(field)).readers.get
        if field.is_repeated:

            def read_repeated(message: Any, value: Any) -> None:
                add = getattr(message, name).add
                for item in value:
                    target = add()
                    for key, part in item.items():
                        if part is not None and (reader := inner(key)) is not None:
                            reader(target, part)

            return read_repeated

        def read_message(message: Any, value: Any) -> None:
            target = getattr(message, name)
            for key, part in value.items():
                if part is not None and (reader := inner(key)) is not None:
                    reader(target, part)

        return read_message
    accepted = _SCALARS.get(field.type)
    if accepted is None or field.is_repeated:
        raise TypeError(f"{field.full_name}: no conversion for this type of field")
    (kind,) = accepted
    attribute = attribute_name(name)

    def read_scalar(message: Any, value: Any) -> None:
        # A bool is an int for protobuf, and an int a bool: only the type itself will do.
        if type(value) is not kind:
            raise InvalidDocument(f"{attribute}: {_what(value)} does not fit the attribute's type")
        setattr(message, name, value)

    return read_scalar


def _writer(field: FieldDescriptor) -> _Writer:
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        return _same
    one = _message_writer(_inner(field))
    if not field.is_repeated:
        return one
    return lambda values: [one(value) for value in values]


def _message_writer(descriptor: Descriptor) -> _Writer:
    writers = _table(descriptor).writers

    def write(message: Message) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for field, value in message.ListFields():
            entry = writers.get(field.number)
            if entry is None:
                continue
            key, writer = entry
            part = value if writer is _same else writer(value)
            if part not in ("", [], {}):
                converted[key] = part  # type: ignore[index]  # only extensions have no key, and only at the top
        return converted

    return write


def _inner(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        raise TypeError(f"{field.full_name} is not a message")
    return field.message_type


def _same(value: Any) -> Any:
    return value


def _read_extension(message: Any, urn: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise InvalidDocument(f"{urn}: an extension must be an object")
    fields = message.DESCRIPTOR.fields_by_name
    if urn.casefold() == _ENTERPRISE_KEY and _ENTERPRISE_FIELD in fields:
        readers = _table(_inner(fields[_ENTERPRISE_FIELD])).readers
        undeclared = {}
        for key, part in value.items():
            if part is None:
                continue
            reader = readers.get(key)
            if reader is None:
                undeclared[key] = part
                continue
            try:
                reader(message.enterprise, part)
            except (TypeError, AttributeError) as error:
                raise InvalidDocument(f"{urn}:{key}: {_what(part)} does not fit the attribute's type") from error
        if not undeclared:
            return
        urn, value = ENTERPRISE_USER_URN, undeclared
    elif not value:
        return
    message.extensions[urn] = orjson.dumps(value).decode()


def _write_extensions(extensions: Mapping[str, str]) -> dict[str, Any]:
    documents: dict[str, Any] = {}
    # A map's order is not kept on the wire; the alphabet makes the document the same each time.
    for urn in sorted(extensions):
        try:
            content = orjson.loads(extensions[urn])
        except orjson.JSONDecodeError as error:
            raise InvalidDocument(f"{urn}: not the text of a JSON object") from error
        if not isinstance(content, dict):
            raise InvalidDocument(f"{urn}: not the text of a JSON object")
        if content:
            documents[urn] = content
    return documents


def _what(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"
