"""`rollcall connection`: SCIM on a portal of a workspace."""

from typing import Annotated, Any

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.errors import Misuse
from cli.output import Document, document, documents
from cli.parameters import ConnectionArgument, PortalName

app = noun("connection", "SCIM connections: one per portal of a workspace.")

_PortalOption = Annotated[PortalName | None, typer.Option(case_sensitive=False, help="The portal.")]


@command(app, "enable")
def enable(
    session: Session,
    connection: Annotated[
        str | None, typer.Argument(metavar="[C]", help="A disabled connection's id, to enable it again.")
    ] = None,
    workspace: Annotated[
        str | None, typer.Option(metavar="W", help="The workspace of a new connection: its id or its slug.")
    ] = None,
    portal: _PortalOption = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="A name for a new connection.")] = "",
) -> None:
    """Enable SCIM on a portal, or a disabled connection again.

    With --workspace and --portal: makes a connection and prints its base URL and its token, which is shown this once.
    With a connection's id: enables that one again; its tokens are the ones that it had.
    """
    if connection is not None:
        if workspace is not None or portal is not None or name:
            raise Misuse(
                "connection enable: give either a connection's id to enable it again, "
                "or --workspace and --portal to make a new connection, not both"
            )
        request = contract.connections.EnableConnectionRequest(connection_id=connection)
        session.show(document(session.services.connections.call("EnableConnection", request).connection))
        return
    if workspace is None or portal is None:
        raise Misuse(
            "connection enable: give --workspace and --portal to make a new connection, "
            "or a connection's id to enable it again"
        )
    session.show(create_connection(session, session.services.workspace_id(workspace), portal, name))


def create_connection(session: Session, workspace_id: str, portal: str, name: str) -> Document:
    """Make a connection; its fields with `token_id` and `token`. Raises Refused, also when the portal has one."""
    request = contract.connections.CreateConnectionRequest(
        workspace_id=workspace_id,
        portal=f"PORTAL_{portal.upper()}",
        display_name=name,
    )
    response = session.services.connections.call("CreateConnection", request)
    return {**document(response.connection), "token_id": response.token_id, "token": response.token}


@command(app, "list")
def list_connections(
    session: Session,
    workspace: Annotated[str | None, typer.Option(metavar="W", help="Only this workspace's.")] = None,
) -> None:
    """List the connections."""
    workspace_id = "" if workspace is None else session.services.workspace_id(workspace)
    request = contract.connections.ListConnectionsRequest(workspace_id=workspace_id)
    rows = documents(session.services.connections.pages("ListConnections", request, "connections"))
    columns = ("connection_id", "portal", "state", "display_name", "base_url", "last_request_time")
    session.table(rows, columns, empty="No connections.")


@command(app, "show")
def show(session: Session, connection: ConnectionArgument) -> None:
    """Show one connection."""
    session.show(document(session.services.connection(connection)))


@command(app, "disable")
def disable(session: Session, connection: ConnectionArgument) -> None:
    """Disable a connection: every SCIM call answers 401, nothing is deleted."""
    _change(session, "DisableConnection", contract.connections.DisableConnectionRequest(connection_id=connection))


@command(app, "rename")
def rename(
    session: Session,
    connection: ConnectionArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
) -> None:
    """Rename a connection."""
    request = contract.connections.RenameConnectionRequest(connection_id=connection, display_name=name)
    _change(session, "RenameConnection", request)


@command(app, "delete")
def delete(session: Session, connection: ConnectionArgument) -> None:
    """Delete a connection with all its users and groups; goes on in the background."""
    _change(session, "DeleteConnection", contract.connections.DeleteConnectionRequest(connection_id=connection))


def _change(session: Session, rpc: str, request: Any) -> None:
    session.show(document(session.services.connections.call(rpc, request).connection))
