"""Evidence in words: effects, events and requests as an administrator reads them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.directory.v1 import provisioning_log_service_pb2 as log
from rollcall.portal.v1 import portal_service_pb2 as portal

from console.words import ROLES as ROLES


class State(NamedTuple):
    """A word on how something stands, and how it is meant: good, warning, bad or neutral."""

    text: str
    kind: str


class Change(NamedTuple):
    """One part of a state, before and after."""

    name: str
    before: str
    after: str


OUTCOMES: Mapping[int, State] = {
    delivery.OUTCOME_APPLIED: State("Applied", "good"),
    delivery.OUTCOME_SKIPPED: State("Skipped", "neutral"),
    delivery.OUTCOME_HELD: State("Held", "warning"),
    delivery.OUTCOME_FAILED: State("Failed", "bad"),
}
"""How an effect ended."""

ACTIONS: Mapping[str, str] = {
    "CREATE_COLLABORATOR": "Create the collaborator",
    "LINK_COLLABORATOR": "Let the existing collaborator follow the user",
    "REMOVE_COLLABORATOR": "Remove the collaborator",
    "SET_ROLE": "Set the role",
    "CREATE_EMPLOYEE": "Create the employee",
    "LINK_EMPLOYEE": "Let the existing employee follow the user",
    "RESTORE_EMPLOYEE": "Make the employee active again",
    "DEACTIVATE_EMPLOYEE": "Make the employee inactive",
    "REMOVE_EMPLOYEE": "Remove the employee",
    "REMOVE_EMPLOYEE_AND_DEVICES": "Remove the employee and the devices",
    "UPDATE_EMPLOYEE": "Update name and attributes",
    "UPDATE_EMAIL": "Change the e-mail address",
    "CHANGE_EMAIL": "Change the e-mail address",
    "UPDATE_DISPLAY_NAME": "Change the name",
    "UPDATE_METADATA": "Update the attributes",
    "UNASSIGN_DEVICE": "Unassign the device",
    "UNASSIGN_DEVICES": "Unassign the devices",
    "CHANGE_POLICY": "Change the policy",
    "REMOVE_DEVICE": "Remove the device from management",
    "DO_NOTHING": "Do nothing",
}
"""What was to be done."""

REASONS: Mapping[str, str] = {
    "RULE_NOTHING": "The rule says that nothing happens.",
    "NO_EMAIL": "The user has no e-mail address. Map one in the identity provider; it is then tried again.",
    "EMAIL_TAKEN": "Another account of the workspace has this e-mail address. Change one of the two addresses.",
    "UNCHANGED": "It was like that already.",
    "NO_COLLABORATOR": "The user has no collaborator.",
    "NO_EMPLOYEE": "The user has no employee.",
    "LAST_ADMIN": "The last Admin of a workspace is never removed or demoted. Make somebody else Admin first.",
    "CHANGED_HANDS": "The device has had another owner since; the next owner's device is left alone.",
    "POLICY_NOT_FOUND": "The policy of the rule does not exist any more. Choose another one under Rules.",
}
"""Why something did not end as applied."""

RULES: Mapping[str, str] = {
    "on_create": "when a user appears",
    "on_deactivate": "when a user is deactivated or deleted",
    "profile": "accounts follow the user's profile",
    "role_mapping": "role mapping of groups",
    "default_role": "default role",
}
"""The rules that decide."""

EVENTS: Mapping[str, str] = {
    "UserCreated": "User created",
    "UserUpdated": "User updated",
    "UserDeactivated": "User deactivated",
    "UserReactivated": "User reactivated",
    "UserDeleted": "User deleted",
    "GroupCreated": "Group created",
    "GroupUpdated": "Group updated",
    "GroupMembersChanged": "Members of the group changed",
    "GroupDeleted": "Group deleted",
    "ConnectionEnabled": "Connection enabled",
    "ConnectionDisabled": "Connection disabled",
    "ConnectionDeleted": "Connection deleted",
    "WorkspaceDeleted": "Workspace deleted",
}
"""What happened in the directory."""

DIALECTS: Mapping[int, str] = {
    connections.CLIENT_DIALECT_OKTA_AIW: "Okta, custom application",
    connections.CLIENT_DIALECT_OKTA_OIN: "Okta, catalogue application",
    connections.CLIENT_DIALECT_OKTA: "Okta",
    connections.CLIENT_DIALECT_ENTRA: "Entra ID",
    connections.CLIENT_DIALECT_OTHER: "Other client",
}
"""Who asks, as the request itself shows."""

ROLE_SOURCES: Mapping[int, str] = {
    portal.ROLE_SOURCE_DEFAULT: "Default role",
    portal.ROLE_SOURCE_GROUP: "Group",
    portal.ROLE_SOURCE_MANUAL: "Set by hand",
}
"""Where a role came from."""

_FIELDS: Mapping[str, str] = {
    "email": "E-mail",
    "display_name": "Name",
    "role": "Role",
    "role_source": "Role from",
    "active": "Active",
    "user_id": "User",
    "owner_email": "Owner",
    "assignment_epoch": "Assignment",
    "policy_id": "Policy",
    "state": "State",
    "metadata": "Attributes",
}
_VALUES: Mapping[str, Mapping[str, str]] = {
    "role": {portal.Role.Name(role).removeprefix("ROLE_"): text for role, text in ROLES.items()},
    "role_source": {
        portal.RoleSource.Name(source).removeprefix("ROLE_SOURCE_"): text for source, text in ROLE_SOURCES.items()
    },
    "state": {"ENROLLED": "Enrolled", "REMOVED": "Removed"},
}
_LONGEST = 200


def outcome_state(effect: delivery.Effect) -> State:
    """Say how an effect ended."""
    return OUTCOMES.get(effect.outcome, State("Unknown", "neutral"))


def action_text(effect: delivery.Effect) -> str:
    """Say what was to be done; an action that is not known is shown by its own name."""
    return ACTIONS.get(effect.action) or _spelled(effect.action)


def reason_text(effect: delivery.Effect) -> str:
    """Say why an effect did not end as applied; empty where it did."""
    return REASONS.get(effect.reason) or _spelled(effect.reason)


def rule_text(effect: delivery.Effect) -> str:
    """Say which rule decided."""
    return RULES.get(effect.rule) or _spelled(effect.rule).lower()


def event_text(event_type: str) -> str:
    """Say what an event tells, by the full name of its message."""
    name = event_type.rpartition(".")[2]
    return EVENTS.get(name) or name


def dialect_text(dialect: int) -> str:
    """Say who asked."""
    return DIALECTS.get(dialect, "Unknown client")


def changes(effect: delivery.Effect, names: Mapping[str, str] | None = None) -> list[Change]:
    """Return what an effect changed, or would have: each part of the state that differs.

    `names` gives names of ids, such as of policies. A state that is no JSON object is one part called "Value".
    """
    before, after = _read(effect.before), _read(effect.after)
    known = names or {}
    if not isinstance(before, dict | None) or not isinstance(after, dict | None):
        return [Change("Value", _shown(before, known), _shown(after, known))] if before != after else []
    old, new = before or {}, after or {}
    parts = [part for part in dict.fromkeys((*old, *new)) if old.get(part) != new.get(part)]
    found = []
    for part in parts:
        meant = _VALUES.get(part, known)
        name = _FIELDS.get(part, _spelled(part))
        found.append(Change(name, _shown(old.get(part), meant), _shown(new.get(part), meant)))
    return found


def status_state(status: int) -> State:
    """Say how a request ended, by its HTTP status."""
    if status < 400:
        return State(str(status), "good")
    return State(str(status), "bad" if status >= 500 else "warning")


def request_text(entry: log.ProvisioningLogEntry) -> str:
    """Name a request by method and route, such as `PATCH /Users/{id}`."""
    return f"{entry.method} {entry.route or '(no such address)'}"


def duration_text(entry: log.ProvisioningLogEntry) -> str:
    """Say how long an answer took: in milliseconds, from ten seconds on in seconds."""
    milliseconds = entry.duration.ToMicroseconds() / 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"


def written_text(entry: log.ProvisioningLogEntry) -> str:
    """Say what a request wrote; empty: nothing."""
    if entry.resource_count > 1 or (entry.resource_count and not entry.resource_kind):
        return f"{entry.resource_count:,} resources"
    if not entry.resource_kind:
        return ""
    return f"{entry.resource_kind}, version {entry.resource_version}" if entry.resource_version else entry.resource_kind


def _read(text: str) -> Any:
    if not text:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _shown(value: Any, names: Mapping[str, str]) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = names.get(text, text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _spelled(name: str) -> str:
    words = name.replace("_", " ").lower()
    return words[:1].upper() + words[1:]
