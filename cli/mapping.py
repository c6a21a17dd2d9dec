"""`rollcall mapping`: which attributes become a user's metadata."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.errors import Refused
from cli.output import document, documents, print_fields, print_table, struct
from cli.parameters import ConnectionArgument

app = noun("mapping", "Attribute mapping: which attributes become a user's metadata.")

_FILE_HELP = 'The mapping, a JSON list of {"name": …, "attributes": [{"namespace": …, "key": …}]}; - reads stdin.'
_EXPECTED = 'expected a list of {"name": "…", "attributes": [{"namespace": "…", "key": "…"}]}, namespace optional'

_FileOption = Annotated[
    Path, typer.Option("--file", metavar="F.json", exists=True, dir_okay=False, allow_dash=True, help=_FILE_HELP)
]
_OptionalFileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="F.json", exists=True, dir_okay=False, allow_dash=True, help=_FILE_HELP),
]


def read_mapping(text: str, source: str) -> list[Any]:
    """Read the list of PRODUCT section 3, or the object that `mapping show --json` prints, as MappedAttribute messages.

    Raises Refused with the line for text that is not JSON, and with the place in the list for what is not a mapping.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            raise Refused(f"{source}, line {error.lineno}, column {error.colno}: {error.msg}; {_EXPECTED}") from None
        raise Refused(f"{source}: {error}; {_EXPECTED}") from None
    if isinstance(value, dict) and "mapped_attributes" in value:
        value = value["mapped_attributes"]
    if not isinstance(value, list):
        raise Refused(f"{source}: {_EXPECTED}")
    return [_mapped_attribute(item, f"{source}: [{index}]") for index, item in enumerate(value)]


def _mapped_attribute(item: Any, place: str) -> Any:
    _check_keys(item, {"name", "attributes"}, {"name", "attributes"}, place)
    if not isinstance(item["name"], str) or not item["name"]:
        raise Refused(f"{place}.name: expected a text that is not empty")
    if not isinstance(item["attributes"], list) or not item["attributes"]:
        raise Refused(f"{place}.attributes: expected a list with at least one source")
    sources = []
    for index, source in enumerate(item["attributes"]):
        inner = f"{place}.attributes[{index}]"
        _check_keys(source, {"namespace", "key"}, {"key"}, inner)
        if not isinstance(source["key"], str) or not source["key"]:
            raise Refused(f"{inner}.key: expected an attribute such as department or name.familyName")
        namespace = source.get("namespace") or ""
        if not isinstance(namespace, str):
            raise Refused(f"{inner}.namespace: expected a schema URN, or nothing")
        sources.append(contract.connections.AttributeSource(namespace=namespace, key=source["key"]))
    return contract.connections.MappedAttribute(name=item["name"], attributes=sources)


def _check_keys(item: Any, known: set[str], required: set[str], place: str) -> None:
    if not isinstance(item, dict):
        raise Refused(f"{place}: expected an object with {' and '.join(sorted(known))}")
    if missing := required - item.keys():
        raise Refused(f"{place}: {', '.join(sorted(missing))} is missing")
    if unknown := item.keys() - known:
        raise Refused(f"{place}: {', '.join(sorted(unknown))} is not known; {_EXPECTED}")


def _read(path: Path) -> list[Any]:
    source = "stdin" if str(path) == "-" else str(path)
    try:
        data = typer.get_binary_stream("stdin").read() if source == "stdin" else path.read_bytes()
        return read_mapping(data.decode("utf-8-sig"), source)
    except UnicodeDecodeError:
        raise Refused(f"{source}: the text is not UTF-8") from None
    except OSError as error:
        raise Refused(f"{source}: {error.strerror}") from None


def _show(session: Session, response: Any) -> None:
    value = document(response)
    if session.json:
        session.show(value)
        return
    rows = [
        {
            "name": item["name"],
            "attributes": [f"{source['namespace']} {source['key']}".strip() for source in item["attributes"]],
        }
        for item in value["mapped_attributes"]
    ]
    print_table(rows, ("name", "attributes"), empty="No attribute is mapped.")
    if value["pending_users"]:
        print_fields({"users still to be re-resolved": value["pending_users"]})


@command(app, "show")
def show(session: Session, connection: ConnectionArgument) -> None:
    """Show a connection's attribute mapping."""
    request = contract.connections.GetAttributeMappingRequest(connection_id=connection)
    _show(session, session.services.connections.call("GetAttributeMapping", request))


@command(app, "set")
def set_mapping(session: Session, connection: ConnectionArgument, file: _FileOption) -> None:
    """Replace a connection's attribute mapping; every user is re-resolved in the background."""
    request = contract.connections.UpdateAttributeMappingRequest(
        connection_id=connection, mapped_attributes=_read(file)
    )
    _show(session, session.services.connections.call("UpdateAttributeMapping", request))


@command(app, "history")
def history(session: Session, connection: ConnectionArgument) -> None:
    """List every attribute that was ever received on a connection."""
    request = contract.connections.ListAttributeHistoryRequest(connection_id=connection)
    rows = documents(session.services.connections.call("ListAttributeHistory", request).sightings)
    columns = ("namespace", "key", "count", "first_seen_time", "last_seen_time")
    session.table(rows, columns, empty="No attribute was received yet.")


@command(app, "preview")
def preview(
    session: Session,
    connection: ConnectionArgument,
    user: Annotated[str, typer.Option(metavar="USERNAME", help="The user: userName or id.")],
    file: _OptionalFileOption = None,
) -> None:
    """Show what a mapping makes of one user without keeping it: that of --file, else the one that stands."""
    request = contract.connections.PreviewAttributeMappingRequest(
        connection_id=connection, user=user, mapped_attributes=[] if file is None else _read(file)
    )
    metadata = struct(session.services.connections.call("PreviewAttributeMapping", request).metadata)
    if session.json:
        session.show({"metadata": metadata})
    else:
        print_fields(metadata or {"metadata": None})
