"""What a write means: which event it is, by comparing the resource before and after."""

from collections.abc import Mapping
from typing import Any

from rollcall.directory.v1 import events_pb2

FORM_STRING = 1
FORM_BOOLEAN = 2
FORM_INTEGER = 4
FORM_DECIMAL = 8
FORM_OBJECT = 16
FORM_LIST = 32
"""The value was in a list."""
FORM_OF_LIST = 64
"""The value was in an object that was in a list."""

_FORMS = {str: FORM_STRING, bool: FORM_BOOLEAN, int: FORM_INTEGER, float: FORM_DECIMAL, dict: FORM_OBJECT}

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


def attribute_forms(document: Mapping[str, Any], core_urn: str) -> dict[tuple[str, str], int]:
    """Return the (namespace, key) pairs that a document gives values to, for the attribute history (PRODUCT §3).

    A key is a leaf: `userName`, `name.familyName`, `emails.value`. Within an extension, what lies deeper than a
    sub-attribute belongs to the sub-attribute, as no attribute path reaches further (RFC 7644 §3.10). The value of a
    pair is the set of FORM_* that were seen of it; of core attributes, whose types a schema declares, it is empty.
    """
    forms: dict[tuple[str, str], int] = {}
    for name, value in document.items():
        if ":" in name:
            for key, item in value.items():
                _add_forms(forms, name, key, item)
        else:
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, dict) and item:
                    forms.update({(core_urn, f"{name}.{key}"): 0 for key in item})
                else:
                    forms[core_urn, name] = 0
    return forms


def _add_forms(forms: dict[tuple[str, str], int], namespace: str, key: str, value: object) -> None:
    listed = isinstance(value, list)
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, dict) and item:
            for name, below in item.items():
                form = (FORM_OF_LIST if listed else 0) | _form(below)
                forms[namespace, f"{key}.{name}"] = forms.get((namespace, f"{key}.{name}"), 0) | form
        else:
            forms[namespace, key] = forms.get((namespace, key), 0) | (FORM_LIST if listed else 0) | _form(item)


def _form(value: object) -> int:
    if isinstance(value, list):
        form = FORM_LIST
        for item in value:
            form |= _form(item)
        return form
    return _FORMS.get(type(value), 0)
