"""What `rollcall up --demo` sets up: a workspace with three connections, rules, policies, devices and publications.

Everything goes through the services' RPCs, as an administrator would do it, and only what is missing is made.
"""

from typing import Any

from cli import contract
from cli.errors import NotFound
from cli.output import Document, document
from cli.targets import Services

WORKSPACE = "demo"
_PORTALS = ("DASHBOARD", "STORE", "MDM")
_POLICIES = ("Standard", "Locked")
_DEVICES = (
    ("DEMO-MAC-1", "MacBook Pro 14", "macos"),
    ("DEMO-WIN-1", "ThinkPad X1", "windows"),
    ("DEMO-IPHONE-1", "iPhone 16", "ios"),
    ("DEMO-PIXEL-1", "Pixel 9", "android"),
)
_AUDIENCE = "Beta Testers"
_PUBLICATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (("Company News", ()), ("Field App Beta", (_AUDIENCE,)))


def set_up(services: Services) -> Document:
    """Make what is missing of the demo; its workspace and connections, a `token` in each connection just made.

    Rules are set on a connection that is made here and never again, so that what a person changed stays. Raises
    Refused.
    """
    workspace = _workspace(services)
    workspace_id = workspace["workspace_id"]
    policies = _policies(services, workspace_id)
    _devices(services, workspace_id, policies["Standard"])
    present = {connection["portal"]: connection for connection in _connections(services, workspace_id)}
    made = [portal for portal in _PORTALS if portal not in present]
    for portal in made:
        present[portal] = _connect(services, workspace_id, portal)
        _set_rules(services, portal, present[portal]["connection_id"], policies["Locked"])
    _publications(services, workspace_id, present["STORE"]["connection_id"])
    return {**workspace, "connections": [present[portal] for portal in _PORTALS]}


def _workspace(services: Services) -> Document:
    try:
        request = contract.connections.GetWorkspaceRequest(workspace=WORKSPACE)
        return document(services.connections.call("GetWorkspace", request).workspace)
    except NotFound:
        create = contract.connections.CreateWorkspaceRequest(name=WORKSPACE)
        return document(services.connections.call("CreateWorkspace", create).workspace)


def _policies(services: Services, workspace_id: str) -> dict[str, str]:
    request = contract.mdm.ListPoliciesRequest(workspace_id=workspace_id)
    ids = {policy.name: policy.policy_id for policy in services.mdm.pages("ListPolicies", request, "policies")}
    for name in _POLICIES:
        if name not in ids:
            create = contract.mdm.CreatePolicyRequest(workspace_id=workspace_id, name=name)
            ids[name] = services.mdm.call("CreatePolicy", create).policy.policy_id
    return ids


def _devices(services: Services, workspace_id: str, policy_id: str) -> None:
    # Removed devices are listed too: a device that a person removed is not enrolled again.
    request = contract.mdm.ListDevicesRequest(workspace_id=workspace_id)
    serials = {device.serial for device in services.mdm.pages("ListDevices", request, "devices")}
    for serial, name, platform in _DEVICES:
        if serial not in serials:
            enroll = contract.mdm.EnrollDeviceRequest(
                workspace_id=workspace_id, serial=serial, name=name, platform=platform, policy_id=policy_id
            )
            services.mdm.call("EnrollDevice", enroll)


def _connections(services: Services, workspace_id: str) -> list[Document]:
    """The workspace's connections, an enabled one after a disabled one of the same portal; none that is going."""
    request = contract.connections.ListConnectionsRequest(workspace_id=workspace_id)
    found = [document(item) for item in services.connections.pages("ListConnections", request, "connections")]
    return sorted((item for item in found if item["state"] != "DELETING"), key=lambda item: item["state"] == "ENABLED")


def _connect(services: Services, workspace_id: str, portal: str) -> Document:
    request = contract.connections.CreateConnectionRequest(workspace_id=workspace_id, portal=f"PORTAL_{portal}")
    response = services.connections.call("CreateConnection", request)
    return {**document(response.connection), "token": response.token}


def _set_rules(services: Services, portal: str, connection_id: str, locked_policy_id: str) -> None:
    if portal == "MDM":
        behaviour = contract.mdm.OnDeactivate(change_policy=contract.mdm.ChangePolicy(policy_id=locked_policy_id))
        request: Any = contract.mdm.UpdateRulesRequest(
            connection_id=connection_id, on_create="ON_CREATE_CREATE_EMPLOYEE", on_deactivate=behaviour
        )
        services.mdm.call("UpdateRules", request)
        return
    if portal == "DASHBOARD":
        request = contract.portal.UpdateRulesRequest(
            connection_id=connection_id,
            on_create="ON_CREATE_CREATE_COLLABORATOR",
            on_deactivate="ON_DEACTIVATE_REMOVE_COLLABORATOR",
            default_role="ROLE_VIEWER",
        )
    else:
        request = contract.portal.UpdateRulesRequest(
            connection_id=connection_id,
            on_create="ON_CREATE_CREATE_EMPLOYEE",
            on_deactivate="ON_DEACTIVATE_REMOVE_EMPLOYEE",
        )
    services.portal.call("UpdateRules", request)


def _publications(services: Services, workspace_id: str, store_connection_id: str) -> None:
    request = contract.portal.ListPublicationsRequest(workspace_id=workspace_id)
    names = {item.name for item in services.portal.pages("ListPublications", request, "publications")}
    for name, audience in _PUBLICATIONS:
        if name in names:
            continue
        for group in audience:
            _group(services, store_connection_id, group)
        create = contract.portal.CreatePublicationRequest(workspace_id=workspace_id, name=name, audience=audience)
        services.portal.call("CreatePublication", create)


def _group(services: Services, connection_id: str, name: str) -> None:
    """Make the audience's group; the identity provider finds it by its display name when it pushes its own."""
    request = contract.directory.ListGroupsRequest(
        connection_id=connection_id, filter=f'displayName eq "{name}"', page_size=1
    )
    if not services.directory.call("ListGroups", request).groups:
        group = contract.groups.Group(display_name=name)
        create = contract.directory.CreateGroupRequest(connection_id=connection_id, group=group)
        services.directory.call("CreateGroup", create)
