"""`rollcall collaborator`: who has access to the dashboard."""

from typing import Annotated

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.output import document, documents
from cli.parameters import EmailArgument, RoleName, WorkspaceArgument

app = noun("collaborator", "Dashboard collaborators and their roles.")


@command(app, "list")
def list_collaborators(session: Session, workspace: WorkspaceArgument) -> None:
    """List a workspace's collaborators by e-mail."""
    request = contract.portal.ListCollaboratorsRequest(workspace_id=session.services.workspace_id(workspace))
    rows = documents(session.services.portal.pages("ListCollaborators", request, "collaborators"))
    session.table(rows, ("email", "role", "role_source", "display_name", "metadata"), empty="No collaborators.")


@command(app, "show")
def show(session: Session, workspace: WorkspaceArgument, email: EmailArgument) -> None:
    """Show one collaborator."""
    request = contract.portal.GetCollaboratorRequest(workspace_id=session.services.workspace_id(workspace), email=email)
    session.show(document(session.services.portal.call("GetCollaborator", request).collaborator))


@command(app, "add")
def add(
    session: Session,
    workspace: WorkspaceArgument,
    email: EmailArgument,
    role: Annotated[RoleName, typer.Option(case_sensitive=False, help="The role.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="The name for display.")] = "",
) -> None:
    """Add a collaborator by hand; provisioning never overwrites the role."""
    request = contract.portal.CreateCollaboratorRequest(
        workspace_id=session.services.workspace_id(workspace),
        email=email,
        role=f"ROLE_{role.upper()}",
        display_name=name,
    )
    session.show(document(session.services.portal.call("CreateCollaborator", request).collaborator))


@command(app, "set-role")
def set_role(
    session: Session,
    workspace: WorkspaceArgument,
    email: EmailArgument,
    role: Annotated[RoleName, typer.Argument(metavar="ROLE", case_sensitive=False, help="The role.")],
) -> None:
    """Give a collaborator a role by hand; provisioning never overwrites it."""
    request = contract.portal.SetCollaboratorRoleRequest(
        workspace_id=session.services.workspace_id(workspace), email=email, role=f"ROLE_{role.upper()}"
    )
    session.show(document(session.services.portal.call("SetCollaboratorRole", request).collaborator))


@command(app, "remove")
def remove(session: Session, workspace: WorkspaceArgument, email: EmailArgument) -> None:
    """Remove a collaborator by hand."""
    request = contract.portal.DeleteCollaboratorRequest(
        workspace_id=session.services.workspace_id(workspace), email=email
    )
    session.services.portal.call("DeleteCollaborator", request)
    session.done({"email": email}, f"{email} is no collaborator of {workspace} any more.")
