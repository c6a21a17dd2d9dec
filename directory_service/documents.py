"""From requests to what SCIM works on: documents, PATCH operations, update masks."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from google.protobuf.message import Message
from rollcall.directory.v1 import directory_service_pb2 as pb

from chassis.scim_message import OUTPUT_ONLY_FIELDS, message_to_document
from directory_service.errors import EtagMismatch, InvalidValue, SyntaxRefused, refusing_as_scim
from directory_service.repository.users import etag as etag_of
from scim.patch import Operation, parse_patch
from scim.schemas import GROUP, USER, ResourceType
from scim.values import misfit, normalize

MAX_NAME = 512
"""Characters of a userName, a group's displayName, an externalId or a member value: what an index can hold."""

_OPS = {pb.PATCH_OP_ADD: "add", pb.PATCH_OP_REMOVE: "remove", pb.PATCH_OP_REPLACE: "replace"}
_INDEXED = {USER: ("userName", "externalId"), GROUP: ("displayName", "externalId")}


def read_document(resource_type: ResourceType, message: Message, *, for_update: bool = False) -> dict[str, Any]:
    """Return the valid document of a message; with `for_update` an absent `active` stays absent. Raises ScimRefusal."""
    with refusing_as_scim(resource_type.name.lower()):
        document = normalize(resource_type, message_to_document(message), for_update=for_update)
    document.pop("members", None)
    check_lengths(resource_type, document)
    return document


def check_lengths(resource_type: ResourceType, document: dict[str, Any]) -> None:
    """Raise ScimRefusal when a name is longer than an index can hold."""
    for name in _INDEXED[resource_type]:
        if len(document.get(name, "")) > MAX_NAME:
            with refusing_as_scim(resource_type.name.lower()):
                raise misfit(name, f"must be at most {MAX_NAME} characters")


def read_operations(operations: Sequence[pb.PatchOperation]) -> list[Operation]:
    """Return the valid operations of a PATCH (RFC 7644 §3.5.2). Raises ScimRefusal."""
    entries: list[dict[str, Any]] = []
    for number, operation in enumerate(operations, 1):
        entry: dict[str, Any] = {"op": _OPS.get(operation.op)}
        if operation.HasField("path"):
            entry["path"] = operation.path
        if operation.HasField("value"):
            try:
                entry["value"] = orjson.loads(operation.value)
            except orjson.JSONDecodeError:
                field = f"operations[{number - 1}].value"
                raise SyntaxRefused(f"operation {number}: value must be JSON text", field=field) from None
        entries.append(entry)
    with refusing_as_scim("operations"):
        return parse_patch({"Operations": entries})


def check_etag(sent: str, version: int) -> None:
    """Raise EtagMismatch unless the entity tag is empty, `*`, or that of the version (AIP-154, RFC 7232 §3.1)."""
    if sent and sent not in ("*", etag_of(version)):
        raise EtagMismatch(sent, etag_of(version))


def merge_masked(stored: Message, sent: Message, paths: Iterable[str]) -> None:
    """Copy the fields that an update mask names from one message to another (AIP-134).

    A path is a field, or fields joined by dots through single messages; `*` is all. Raises InvalidValue for others.
    """
    for path in paths:
        if path == "*":
            for name, field in sent.DESCRIPTOR.fields_by_name.items():
                if name not in OUTPUT_ONLY_FIELDS:
                    _copy_field(stored, sent, field)
            continue
        target, source = stored, sent
        *parents, last = path.split(".")
        for depth, name in enumerate(parents):
            field = _field(source, name, path, top=depth == 0)
            if field.message_type is None or field.is_repeated:
                raise _unknown(path)
            target, source = getattr(target, name), getattr(source, name)
        _copy_field(target, source, _field(source, last, path, top=not parents))


def _field(message: Message, name: str, path: str, *, top: bool) -> Any:
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None or (top and name in OUTPUT_ONLY_FIELDS):
        raise _unknown(path)
    return field


def _unknown(path: str) -> InvalidValue:
    return InvalidValue("update_mask", f"{path[:100]!r} is not a field that can be written")


def _copy_field(target: Message, source: Message, field: Any) -> None:
    target.ClearField(field.name)
    if field.is_repeated:
        # Maps and lists both: an empty one clears the field.
        getattr(target, field.name).MergeFrom(getattr(source, field.name))
    elif not field.has_presence:
        setattr(target, field.name, getattr(source, field.name))
    elif source.HasField(field.name):
        if field.message_type is None:
            setattr(target, field.name, getattr(source, field.name))
        else:
            getattr(target, field.name).CopyFrom(getattr(source, field.name))
