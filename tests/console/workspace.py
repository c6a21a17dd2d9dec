"""A workspace of a test's own as its pages name it, and users and groups that come as from Okta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollcall.directory.v1 import connection_service_pb2 as pb

from tests.console.conftest import Console
from tests.stack import Connection

OKTA = {"User-Agent": "Okta SCIM Client 1.0.0"}
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


class Workspace:
    """A workspace, and the addresses of its pages."""

    def __init__(self, console: Console, name: str) -> None:
        self.console = console
        self.id = console.stack.create_workspace(name)
        found = console.stack.connections.GetWorkspace(pb.GetWorkspaceRequest(workspace=self.id))
        self.name = found.workspace.name
        self.address = f"/workspaces/{found.workspace.slug}"

    def enable(self, portal_name: str) -> Connection:
        """Enable SCIM on a portal, by an RPC."""
        return self.console.stack.enable(self.id, portal_name.upper())

    def at(self, portal_name: str, page: str = "") -> str:
        """The address of a connection's page."""
        return f"{self.address}/login-providers/{portal_name}{page}"


def push(console: Console, connection: Connection, user_name: str, **attributes: Any) -> str:
    """Create a user as Okta does; the id."""
    body = {"schemas": [USER], "userName": user_name, "active": True, **attributes}
    return _create(console, connection, "/Users", body)


def push_group(console: Console, connection: Connection, name: str, members: Sequence[str] = ()) -> str:
    """Push a group as Okta does; the id."""
    body = {"schemas": [GROUP], "displayName": name, "members": [{"value": one} for one in members]}
    return _create(console, connection, "/Groups", body)


def _create(console: Console, connection: Connection, route: str, body: dict[str, Any]) -> str:
    with console.stack.scim(connection) as client:
        answer = client.post(route, json=body, headers=OKTA)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
