"""`rollcall workspace`: customer organisations."""

from typing import Annotated

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.output import document, documents
from cli.parameters import WorkspaceArgument

app = noun("workspace", "Customer organisations, each with its portals.")


@command(app, "create")
def create(session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="The name.")]) -> None:
    """Create a workspace; its slug is made of its name."""
    request = contract.connections.CreateWorkspaceRequest(name=name)
    session.show(document(session.services.connections.call("CreateWorkspace", request).workspace))


@command(app, "list")
def list_workspaces(session: Session) -> None:
    """List the workspaces by name."""
    request = contract.connections.ListWorkspacesRequest()
    rows = documents(session.services.connections.pages("ListWorkspaces", request, "workspaces"))
    session.table(rows, ("workspace_id", "slug", "name", "created_time"), empty="No workspaces.")


@command(app, "show")
def show(session: Session, workspace: WorkspaceArgument) -> None:
    """Show one workspace."""
    request = contract.connections.GetWorkspaceRequest(workspace=workspace)
    session.show(document(session.services.connections.call("GetWorkspace", request).workspace))


@command(app, "delete")
def delete(session: Session, workspace: WorkspaceArgument) -> None:
    """Delete a workspace that has no connections any more."""
    workspace_id = session.services.workspace_id(workspace)
    request = contract.connections.DeleteWorkspaceRequest(workspace_id=workspace_id)
    session.services.connections.call("DeleteWorkspace", request)
    session.done({"workspace_id": workspace_id}, f"Workspace {workspace} is deleted.")
