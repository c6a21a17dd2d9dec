"""What a command prints: one JSON document for programs, tables and `key: value` lines for people."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message
    from google.protobuf.struct_pb2 import Struct, Value

Document = dict[str, Any]

# Wide enough for a row of ids where no terminal sets a width, so that a pipe gets whole values.
_PIPE_WIDTH = 400
_STRUCT = "google.protobuf.Struct"


def document(message: "Message") -> Document:
    """A message as plain data: every field, in snake_case.

    Enum values lose the type's prefix, times are RFC 3339, durations end in `s`, int64 are numbers, what is absent is
    null. A `google.protobuf.Struct` becomes the object that it stands for, empty when absent.
    """
    fields = cast("Sequence[FieldDescriptor]", message.DESCRIPTOR.fields)
    return {field.name: _field(message, field) for field in fields}


def documents(messages: "Iterable[Message]") -> list[Document]:
    """`document` of each."""
    return [document(message) for message in messages]


def _field(message: "Message", field: "FieldDescriptor") -> Any:
    if field.is_repeated:
        values = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return dict(values)
        return [_value(item, field) for item in values]
    if field.has_presence and not message.HasField(field.name):
        # A Struct stands for an object; an absent one holds nothing.
        return {} if field.message_type is not None and field.message_type.full_name == _STRUCT else None
    return _value(getattr(message, field.name), field)


def _value(value: Any, field: "FieldDescriptor") -> Any:
    if field.enum_type is not None:
        return enum_name(field.enum_type, value)
    if field.message_type is None:
        return value
    match field.message_type.full_name:
        case "google.protobuf.Timestamp":
            return value.ToJsonString()
        case "google.protobuf.Duration":
            return value.ToJsonString()
        case full_name if full_name == _STRUCT:
            return struct(value)
        case _:
            return document(value)


def struct(value: "Struct") -> Document:
    """The object that a Struct stands for; whole numbers become integers."""
    return {key: _struct_value(item) for key, item in sorted(value.fields.items())}


def _struct_value(value: "Value") -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return struct(value.struct_value)
        case "list_value":
            return [_struct_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


@cache
def _prefix(type_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type_name).upper() + "_"


def enum_name(enum_type: "EnumDescriptor", number: int) -> str:
    """The name of an enum value without the type's prefix; the number as text when this version knows no name."""
    value = enum_type.values_by_number.get(number)
    return str(number) if value is None else value.name.removeprefix(_prefix(enum_type.name))


def duration_text(value: "Duration | str") -> str:
    """A duration as the command line writes it: `1h`, `30m`, `90s`, `0`."""
    text = value if isinstance(value, str) else value.ToJsonString()
    seconds = float(text.removesuffix("s"))
    if seconds == 0:
        return "0"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds) if seconds.is_integer() else seconds}s"


def print_json(value: Any, *, one_line: bool = False) -> None:
    """Print one JSON document on stdout, with two spaces of indentation or on one line."""
    import orjson

    option = orjson.OPT_APPEND_NEWLINE | (0 if one_line else orjson.OPT_INDENT_2)
    write(orjson.dumps(value, option=option).decode())


def write(text: str, stream: TextIO | None = None) -> None:
    """Write and flush, to stdout unless another stream is given."""
    stream = stream or sys.stdout
    stream.write(text)
    stream.flush()


def printable(value: Any) -> str:
    """A value on one line for people; control characters are shown escaped, so that no name can drive a terminal."""
    if value is None or value in ("", [], {}):
        return "-"
    if value is True or value is False:
        return "yes" if value else "no"
    if isinstance(value, list) and all(not isinstance(item, dict | list) for item in value):
        value = ", ".join(str(item) for item in value)
    elif isinstance(value, dict | list):
        import orjson

        value = orjson.dumps(_without_empty(value)).decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def _without_empty(value: Any) -> Any:
    """A value without what says nothing, at every depth."""
    if isinstance(value, dict):
        inner = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item not in (None, "", [], {})}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def print_fields(value: Mapping[str, Any]) -> None:
    """Print an object as `key: value` lines; nothing is wrapped, so that ids and tokens can be copied."""
    width = max((len(key) for key in value), default=0) + 1
    write("".join(f"{key + ':':<{width}} {printable(item)}\n" for key, item in value.items()))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """Print rows under the headings of `columns`; `empty` when there is none. Long values fold, none is cut."""
    if not rows:
        write(f"{empty}\n")
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(row[column])) for column in columns))
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH, color_system=None)
    console.print(table)
