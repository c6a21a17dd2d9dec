"""What an address is about: `/workspaces/{slug}` a workspace, `/login-providers/{portal}` below it a connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import falcon
from rollcall.directory.v1 import connection_service_pb2 as pb

from console.services import Services

PORTALS: dict[str, pb.Portal] = {
    "dashboard": pb.PORTAL_DASHBOARD,
    "store": pb.PORTAL_STORE,
    "mdm": pb.PORTAL_MDM,
}
"""The portals as addresses name them, in the order in which they are shown."""

PORTAL_TITLES: dict[str, str] = {"dashboard": "Dashboard", "store": "Enterprise Store", "mdm": "MDM Portal"}
"""What each is called on a page."""

# A workspace has one connection for each portal, and those that were disabled before.
_CONNECTIONS = 200
_PRECEDENCE = (pb.CONNECTION_STATE_ENABLED, pb.CONNECTION_STATE_DISABLED, pb.CONNECTION_STATE_DELETING)


@dataclass(frozen=True, slots=True)
class Scope:
    """A connection that an address is about."""

    workspace: pb.Workspace
    connection: pb.Connection
    portal: str
    """As the address has it: `dashboard`, `store` or `mdm`, or the connection's own id."""
    slug: str
    """The portal of the connection, whichever way the address names it: `dashboard`, `store` or `mdm`."""

    @property
    def base(self) -> str:
        """The address of the connection's page, under which all its pages are."""
        return f"{workspace_address(self.workspace)}/login-providers/{self.portal}"

    @property
    def title(self) -> str:
        """What the portal is called."""
        return PORTAL_TITLES[self.slug]

    @property
    def delivery(self) -> str:
        """The service that acts on the connection's events: `portal` or `mdm`."""
        return "mdm" if self.slug == "mdm" else "portal"

    @property
    def values(self) -> dict[str, Any]:
        """What templates want of it: `workspace`, `connection`, `portal`, `base`, and `breadcrumbs` to its page."""
        return {
            "workspace": self.workspace,
            "connection": self.connection,
            "portal": self.portal,
            "portal_title": self.title,
            "base": self.base,
            "breadcrumbs": [*trail(self.workspace), (self.title, self.base)],
        }


def workspace_address(workspace: pb.Workspace) -> str:
    """Return the address of a workspace's page."""
    return f"/workspaces/{workspace.slug}"


def trail(workspace: pb.Workspace) -> list[tuple[str, str]]:
    """Return the breadcrumbs to a workspace's page and including it."""
    return [("Workspaces", "/"), (workspace.name, workspace_address(workspace))]


async def find_workspace(services: Services, slug: str) -> pb.Workspace:
    """Return the workspace of an address. Raises grpc.aio.AioRpcError: NOT_FOUND."""
    request = pb.GetWorkspaceRequest(workspace=slug)
    response: pb.GetWorkspaceResponse = await services.connections.GetWorkspace(request)
    return response.workspace


async def workspace_connections(services: Services, workspace: pb.Workspace) -> list[pb.Connection]:
    """Return a workspace's connections, of each portal the enabled one first, then the newest."""
    request = pb.ListConnectionsRequest(workspace_id=workspace.workspace_id, page_size=_CONNECTIONS)
    found = list((await services.connections.ListConnections(request)).connections)
    found.sort(key=lambda one: one.created_time.ToNanoseconds(), reverse=True)
    found.sort(key=lambda one: _PRECEDENCE.index(one.state) if one.state in _PRECEDENCE else len(_PRECEDENCE))
    return found


async def find_scope(services: Services, slug: str, portal: str) -> Scope:
    """Return the connection of an address: the enabled one of the portal, else the newest, or the one with that id.

    Raises falcon.HTTPNotFound for a portal or id that there is not, falcon.HTTPSeeOther to where SCIM is enabled for a
    portal without a connection, grpc.aio.AioRpcError.
    """
    workspace = await find_workspace(services, slug)
    found = await workspace_connections(services, workspace)
    wanted = PORTALS.get(portal)
    for connection in found:
        if connection.portal == wanted or connection.connection_id == portal:
            return Scope(workspace, connection, portal, portal_slug(connection.portal))
    if wanted is None:
        raise falcon.HTTPNotFound(description="This workspace has no connection with that id.")
    raise falcon.HTTPSeeOther(f"{workspace_address(workspace)}/login-providers/{portal}/enable")


def portal_slug(portal: int) -> str:
    """Return how addresses name a portal. Raises ValueError for none."""
    for slug, number in PORTALS.items():
        if number == portal:
            return slug
    raise ValueError(f"no portal has the number {portal}")
