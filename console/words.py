"""What connections, rules and roles are called on a page."""

from __future__ import annotations

from typing import NamedTuple

from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal


class Choice(NamedTuple):
    """One option of a rule: its value in a form, its name, and what it does."""

    value: str
    text: str
    explanation: str


STATES: dict[int, tuple[str, str]] = {
    connections.CONNECTION_STATE_ENABLED: ("Enabled", "good"),
    connections.CONNECTION_STATE_DISABLED: ("Disabled", "neutral"),
    connections.CONNECTION_STATE_DELETING: ("Being deleted", "warning"),
}

ROLES: dict[int, str] = {
    portal.ROLE_ADMIN: "Admin",
    portal.ROLE_EDITOR: "Developer / Editor",
    portal.ROLE_VIEWER: "Viewer",
    portal.ROLE_UNASSIGNED: "Unassigned",
}
"""The highest privilege first."""

DEFAULT_ROLES = (
    Choice("ADMIN", "Admin", "May do everything, and manage the workspace."),
    Choice("EDITOR", "Developer / Editor", "May publish and change apps."),
    Choice("VIEWER", "Viewer", "May look."),
)

ON_CREATE: dict[str, tuple[Choice, ...]] = {
    "dashboard": (
        Choice("NOTHING", "Do nothing", "The user is kept on the roll; no collaborator is made."),
        Choice(
            "CREATE_COLLABORATOR",
            "Create a collaborator",
            "The user becomes a collaborator with the default role, or the role of a mapped group. One who is a "
            "collaborator already is linked and keeps the role.",
        ),
    ),
    "store": (
        Choice("NOTHING", "Do nothing", "The user is kept on the roll; no employee is made."),
        Choice(
            "CREATE_EMPLOYEE",
            "Create an employee",
            "The user becomes an employee of the Enterprise Store and sees the apps offered to everyone and to the "
            "user's groups.",
        ),
    ),
    "mdm": (
        Choice("NOTHING", "Do nothing", "The user is kept on the roll; no employee is made."),
        Choice(
            "CREATE_EMPLOYEE",
            "Create an employee",
            "The user becomes an employee of device management, to whom devices can be assigned.",
        ),
    ),
}

ON_DEACTIVATE: dict[str, tuple[Choice, ...]] = {
    "dashboard": (
        Choice("NOTHING", "Do nothing", "The collaborator keeps access to the dashboard."),
        Choice(
            "REMOVE_COLLABORATOR",
            "Remove the collaborator",
            "Access to the dashboard ends. The last Admin of the workspace is never removed.",
        ),
    ),
    "store": (
        Choice("NOTHING", "Do nothing", "The employee keeps access to the Enterprise Store."),
        Choice("REMOVE_EMPLOYEE", "Remove the employee", "Access to the Enterprise Store ends."),
    ),
    "mdm": (
        Choice("do_nothing", "Do nothing", "Employee and devices stay as they are."),
        Choice(
            "unassign_devices",
            "Unassign the devices",
            "The devices stay under management, with their policy, and belong to nobody.",
        ),
        Choice(
            "change_policy",
            "Change the policy of the devices",
            "Each assigned device gets the policy chosen below. It stays assigned.",
        ),
        Choice(
            "remove_employee",
            "Remove the employee",
            "The employee is removed; the devices stay under management and belong to nobody.",
        ),
        Choice(
            "remove_employee_and_devices",
            "Remove the employee and the devices",
            "The employee is removed, and each device is removed from management: it gets the command REMOVE.",
        ),
    ),
}

ROLE_MODES = (
    Choice(
        "FIRST_PROVISIONING",
        "Only when a collaborator is first provisioned",
        "Groups decide within the settling period after the collaborator was created; after it the role stands.",
    ),
    Choice(
        "CONTINUOUS",
        "Always",
        "Every change of groups decides anew, and a change of the mapping, the default role or this choice decides "
        "for everyone at once. Who is in no mapped group gets the default role.",
    ),
)

# What a rule of device management makes of those who follow a connection that is deleted.
_MDM_DEPARTURES = {
    "do_nothing": "{employees} and {devices} stay as they are; nobody provisions them any more.",
    "unassign_devices": "{devices} stay under management and belong to nobody; {employees} become inactive.",
    "change_policy": "{devices} get the policy {policy}; {employees} become inactive.",
    "remove_employee": "{employees} are removed; {devices} stay under management and belong to nobody.",
    "remove_employee_and_devices": "{employees} are removed; {devices} are removed from management, by the command "
    "REMOVE.",
}


def departure(slug: str, on_deactivate: str, *, people: str, devices: str = "", policy: str = "") -> str:
    """Say what happens to those whom a connection provisions when it is deleted; counts come with their nouns."""
    if slug == "mdm":
        return _MDM_DEPARTURES[on_deactivate].format(employees=people, devices=devices, policy=policy)
    place = "the dashboard" if slug == "dashboard" else "the Enterprise Store"
    if on_deactivate == "NOTHING":
        return f"{people} keep access to {place}; nobody provisions them any more."
    last = " The last Admin of the workspace is kept." if slug == "dashboard" else ""
    return f"Access to {place} ends for {people}.{last}"


def on_deactivate_of(rules: mdm.Rules | portal.Rules) -> str:
    """Return what rules say of a user who leaves, as the value of a `Choice`."""
    if isinstance(rules, mdm.Rules):
        return rules.on_deactivate.WhichOneof("behaviour") or "do_nothing"
    name = portal.OnDeactivate.Name(rules.on_deactivate).removeprefix("ON_DEACTIVATE_")
    return "NOTHING" if name == "UNSPECIFIED" else name


def on_create_of(rules: mdm.Rules | portal.Rules) -> str:
    """Return what rules say of a user who appears, as the value of a `Choice`."""
    enumeration = mdm.OnCreate if isinstance(rules, mdm.Rules) else portal.OnCreate
    name = enumeration.Name(rules.on_create).removeprefix("ON_CREATE_")
    return "NOTHING" if name == "UNSPECIFIED" else name


def text_of(choices: tuple[Choice, ...], value: str) -> str:
    """Return what an option is called; the value itself for one that is not among them."""
    return next((one.text for one in choices if one.value == value), value)
