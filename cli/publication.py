"""`rollcall publication`: the apps of the Enterprise Store and who sees them."""

from typing import Annotated

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.output import Document, document, documents
from cli.parameters import EmailArgument, WorkspaceArgument

app = noun("publication", "Apps offered in the Enterprise Store, and who sees them.")

_COLUMNS = ("publication_id", "name", "restricted", "audience")


@command(app, "create")
def create(
    session: Session,
    workspace: WorkspaceArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The app's name.")],
    audience: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP", help="A group that sees it, by display name; repeat for more. None: everyone."),
    ] = None,
) -> None:
    """Offer an app in the store, to everyone or to an audience of groups."""
    request = contract.portal.CreatePublicationRequest(
        workspace_id=session.services.workspace_id(workspace), name=name, audience=audience or []
    )
    value = document(session.services.portal.call("CreatePublication", request).publication)
    session.show(value if session.json else _row(value))


@command(app, "list")
def list_publications(session: Session, workspace: WorkspaceArgument) -> None:
    """List a workspace's publications by name."""
    request = contract.portal.ListPublicationsRequest(workspace_id=session.services.workspace_id(workspace))
    rows = documents(session.services.portal.pages("ListPublications", request, "publications"))
    session.table(rows if session.json else map(_row, rows), _COLUMNS, empty="No publications.")


@command(app, "delete")
def delete(
    session: Session,
    workspace: WorkspaceArgument,
    publication: Annotated[str, typer.Argument(metavar="ID", help="The publication's id.")],
) -> None:
    """Take an app from the store."""
    request = contract.portal.DeletePublicationRequest(
        workspace_id=session.services.workspace_id(workspace), publication_id=publication
    )
    session.services.portal.call("DeletePublication", request)
    session.done({"publication_id": publication}, f"Publication {publication} is deleted.")


@command(app, "visible")
def visible(session: Session, workspace: WorkspaceArgument, email: EmailArgument) -> None:
    """List the publications that an employee sees."""
    request = contract.portal.ListVisiblePublicationsRequest(
        workspace_id=session.services.workspace_id(workspace), email=email
    )
    rows = documents(session.services.portal.call("ListVisiblePublications", request).publications)
    session.table(rows if session.json else map(_row, rows), _COLUMNS, empty=f"{email} sees no publication.")


def _row(value: Document) -> Document:
    return {**value, "audience": [group["display_name"] or group["group_id"] for group in value["audience"]]}
