"""What a write means: which event it is, by comparing the resource before and after."""

from collections.abc import Mapping
from typing import Any

from rollcall.directory.v1 import events_pb2

UserEvent = type[events_pb2.UserUpdated] | type[events_pb2.UserDeactivated] | type[events_pb2.UserReactivated]


def with_active(document: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with `active` as it was before when it does not say (PRODUCT §2)."""
    if "active" in document:
        return document
    return {**document, "active": before["active"]}


def user_event(before: Mapping[str, Any], after: Mapping[str, Any], *, metadata_changed: bool) -> UserEvent | None:
    """Return the one event that a write of a user causes, or None when it changes nothing.

    Deactivation is the transition of `active` from true to false, whatever verb brought it; with its reverse it wins
    over an update, for the event carries the whole user (PRODUCT §2).
    """
    if before["active"] and not after["active"]:
        return events_pb2.UserDeactivated
    if after["active"] and not before["active"]:
        return events_pb2.UserReactivated
    if metadata_changed or before != after:
        return events_pb2.UserUpdated
    return None


def attribute_keys(document: Mapping[str, Any], core_urn: str) -> set[tuple[str, str]]:
    """Return the (namespace, key) pairs that a document gives values to, for the attribute history (PRODUCT §3).

    A key is a leaf: `userName`, `name.familyName`, `emails.value`. Within an extension, what lies deeper than a
    sub-attribute belongs to the sub-attribute, as no attribute path reaches further (RFC 7644 §3.10).
    """
    keys: set[tuple[str, str]] = set()
    for name, value in document.items():
        if ":" in name:
            for key, item in value.items():
                _add_leaves(keys, name, key, item)
        else:
            _add_leaves(keys, core_urn, name, value)
    return keys


def _add_leaves(keys: set[tuple[str, str]], namespace: str, key: str, value: object) -> None:
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, dict) and item:
            keys.update((namespace, f"{key}.{name}") for name in item)
        else:
            keys.add((namespace, key))
