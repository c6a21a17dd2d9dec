"""`rollcall rules`: what a connection does when users come and go."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.errors import Misuse
from cli.output import Document, document, duration_text, enum_name, print_fields, print_table, write
from cli.parameters import ConnectionArgument, RoleName, duration_option

app = noun("rules", "What a connection does when users come and go.")

# The words of the command line and what each portal makes of them.
_PORTAL_ON_CREATE = {
    "DASHBOARD": {"nothing": "ON_CREATE_NOTHING", "create": "ON_CREATE_CREATE_COLLABORATOR"},
    "STORE": {"nothing": "ON_CREATE_NOTHING", "create": "ON_CREATE_CREATE_EMPLOYEE"},
}
_PORTAL_ON_DEACTIVATE = {
    "DASHBOARD": {"nothing": "ON_DEACTIVATE_NOTHING", "remove": "ON_DEACTIVATE_REMOVE_COLLABORATOR"},
    "STORE": {"nothing": "ON_DEACTIVATE_NOTHING", "remove": "ON_DEACTIVATE_REMOVE_EMPLOYEE"},
}
_MDM_ON_CREATE = {"nothing": "ON_CREATE_NOTHING", "create": "ON_CREATE_CREATE_EMPLOYEE"}
_MDM_ON_DEACTIVATE = {
    "nothing": "do_nothing",
    "unassign-devices": "unassign_devices",
    "change-policy": "change_policy",
    "remove-employee": "remove_employee",
    "remove-employee-and-devices": "remove_employee_and_devices",
}

_GroupOption = Annotated[str, typer.Option("--group", metavar="NAME", help="The group's display name.")]


def portal_of(session: Session, connection_id: str) -> str:
    """The portal of a connection: DASHBOARD, STORE or MDM. Raises NotFound."""
    connection = session.services.connection(connection_id)
    return enum_name(contract.connections.Portal.DESCRIPTOR, connection.portal)


def rules_document(rules: Any) -> Document:
    """Rules as plain data: for MDM the behaviour's name as `on_deactivate`, and its `policy_id` beside it."""
    value = document(rules)
    if rules.DESCRIPTOR is not contract.mdm.Rules.DESCRIPTOR:
        return value
    behaviour = rules.on_deactivate.WhichOneof("behaviour") or "do_nothing"
    value["on_deactivate"] = behaviour.upper()
    value["policy_id"] = rules.on_deactivate.change_policy.policy_id
    value["portal"] = "MDM"
    return value


def _show(session: Session, rules: Any) -> None:
    value = rules_document(rules)
    if session.json:
        session.show(value)
        return
    hidden = {"role_mappings", "settling_period"}
    if value["portal"] == "STORE":
        hidden |= {"default_role", "role_mode"}
    shown = {key: item for key, item in value.items() if key not in hidden}
    if value["portal"] == "DASHBOARD":
        shown["settling_period"] = duration_text(value["settling_period"] or "0s")
    print_fields(shown)
    if value["portal"] == "DASHBOARD":
        write("\n")
        print_table(value["role_mappings"], ("group", "role", "group_id"), empty="No group is mapped to a role.")


@command(app, "show")
def show(session: Session, connection: ConnectionArgument) -> None:
    """Show a connection's rules."""
    if portal_of(session, connection) == "MDM":
        response = session.services.mdm.call("GetRules", contract.mdm.GetRulesRequest(connection_id=connection))
    else:
        response = session.services.portal.call("GetRules", contract.portal.GetRulesRequest(connection_id=connection))
    _show(session, response.rules)


@command(app, "set")
def set_rules(
    session: Session,
    connection: ConnectionArgument,
    on_create: Annotated[
        Literal["nothing", "create"] | None,
        typer.Option(case_sensitive=False, help="What happens when a user appears."),
    ] = None,
    on_deactivate: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What happens when a user is deactivated or deleted: nothing|remove, or for MDM "
            + "|".join(_MDM_ON_DEACTIVATE)
            + ".",
        ),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="POLICY_ID", help="The policy of --on-deactivate change-policy.")
    ] = None,
    default_role: Annotated[
        Literal["admin", "editor", "viewer"] | None,
        typer.Option(case_sensitive=False, help="The role of a collaborator whom no mapped group decides."),
    ] = None,
    role_mode: Annotated[
        Literal["first-provisioning", "continuous"] | None,
        typer.Option(case_sensitive=False, help="When groups decide a role."),
    ] = None,
    settling_period: Annotated[
        timedelta | None,
        duration_option(
            "--settling-period", help="How long groups decide after a collaborator's creation, such as 1h; 0 to 30d."
        ),
    ] = None,
) -> None:
    """Change a connection's rules; what is not given stays as it is."""
    given = (on_create, on_deactivate, policy, default_role, role_mode, settling_period)
    if all(value is None for value in given):
        raise Misuse("rules set: give at least one rule to change; see `rollcall rules set --help`")
    kind = None if on_deactivate is None else on_deactivate.strip().lower().replace("_", "-")
    if policy is not None and kind != "change-policy":
        raise Misuse("rules set: --policy goes with --on-deactivate change-policy")
    if kind == "change-policy" and not policy:
        raise Misuse("rules set: --on-deactivate change-policy needs --policy POLICY_ID")
    portal = portal_of(session, connection)
    if portal == "MDM":
        _refuse_for(portal, default_role=default_role, role_mode=role_mode, settling_period=settling_period)
        rules = _set_mdm(session, connection, on_create, kind, policy)
    else:
        if portal == "STORE":
            _refuse_for(portal, default_role=default_role, role_mode=role_mode, settling_period=settling_period)
        rules = _set_portal(session, portal, connection, on_create, kind, default_role, role_mode, settling_period)
    _show(session, rules)


def _refuse_for(portal: str, **options: object) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        raise Misuse(f"rules set: {', '.join(given)}: only for a DASHBOARD connection, this one is {portal}")


def _kind(portal: str, kinds: Mapping[str, str], kind: str) -> str:
    if kind not in kinds:
        raise Misuse(f"rules set: --on-deactivate {kind}: a {portal} connection has {', '.join(kinds)}")
    return kinds[kind]


def _set_portal(
    session: Session,
    portal: str,
    connection: str,
    on_create: str | None,
    kind: str | None,
    default_role: str | None,
    role_mode: str | None,
    settling_period: timedelta | None,
) -> Any:
    changes: dict[str, Any] = {}
    if on_create is not None:
        changes["on_create"] = _PORTAL_ON_CREATE[portal][on_create]
    if kind is not None:
        changes["on_deactivate"] = _kind(portal, _PORTAL_ON_DEACTIVATE[portal], kind)
    if default_role is not None:
        changes["default_role"] = f"ROLE_{default_role.upper()}"
    if role_mode is not None:
        changes["role_mode"] = f"ROLE_MODE_{role_mode.upper().replace('-', '_')}"
    if settling_period is not None:
        changes["settling_period"] = settling_period
    request = contract.portal.UpdateRulesRequest(connection_id=connection, **changes)
    return session.services.portal.call("UpdateRules", request).rules


def _set_mdm(session: Session, connection: str, on_create: str | None, kind: str | None, policy: str | None) -> Any:
    changes: dict[str, Any] = {} if on_create is None else {"on_create": _MDM_ON_CREATE[on_create]}
    request = contract.mdm.UpdateRulesRequest(connection_id=connection, **changes)
    if kind is not None:
        behaviour = getattr(request.on_deactivate, _kind("MDM", _MDM_ON_DEACTIVATE, kind))
        behaviour.SetInParent()
        if policy is not None:
            behaviour.policy_id = policy
    return session.services.mdm.call("UpdateRules", request).rules


@command(app, "map-role")
def map_role(
    session: Session,
    connection: ConnectionArgument,
    group: _GroupOption,
    role: Annotated[RoleName, typer.Option(case_sensitive=False, help="The role.")],
) -> None:
    """Map a group's display name to a role (DASHBOARD)."""
    request = contract.portal.MapRoleRequest(connection_id=connection, group=group, role=f"ROLE_{role.upper()}")
    _show(session, session.services.portal.call("MapRole", request).rules)


@command(app, "unmap-role")
def unmap_role(session: Session, connection: ConnectionArgument, group: _GroupOption) -> None:
    """End the mapping of a group's display name (DASHBOARD)."""
    request = contract.portal.UnmapRoleRequest(connection_id=connection, group=group)
    _show(session, session.services.portal.call("UnmapRole", request).rules)
