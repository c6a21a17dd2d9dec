"""`rollcall user`: the users of a connection."""

from typing import Annotated, Any

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.errors import NotFound
from cli.output import Document, document
from cli.parameters import ConnectionArgument, is_uuid, quoted

app = noun("user", "Users of a connection, as the identity provider describes them.")


def user_document(user: Any) -> Document:
    """A user as plain data, with the e-mail that the account downstream has as `email`.

    That is the primary e-mail, else the first, else a userName that is an address; empty when there is none.
    """
    value = document(user)
    emails = [email for email in value["emails"] if email["value"]]
    chosen = next((email for email in emails if email["primary"]), emails[0] if emails else None)
    fallback = value["user_name"] if "@" in value["user_name"] else ""
    return {**value, "email": chosen["value"] if chosen else fallback}


@command(app, "list")
def list_users(
    session: Session,
    connection: ConnectionArgument,
    filter: Annotated[
        str, typer.Option(metavar="F", help="A SCIM filter, such as 'userName eq \"ana@example.com\"'.")
    ] = "",
) -> None:
    """List the users of a connection in the order of their creation."""
    request = contract.directory.ListUsersRequest(connection_id=connection, filter=filter, include_groups=True)
    users = session.services.directory.pages("ListUsers", request, "users")
    columns = ("id", "user_name", "active", "display_name", "email", "external_id")
    session.table(map(user_document, users), columns, empty="No users.")


@command(app, "show")
def show(
    session: Session,
    connection: ConnectionArgument,
    user: Annotated[str, typer.Argument(metavar="ID_OR_USERNAME", help="The user: id or userName.")],
) -> None:
    """Show one user with metadata and groups."""
    value = user_document(find_user(session, connection, user))
    if not session.json:
        value["groups"] = [group["display_name"] for group in value["groups"]]
        value = {key: item for key, item in value.items() if item not in (None, "", [], {})}
    session.show(value)


def find_user(session: Session, connection_id: str, user: str) -> Any:
    """A user by id, else by userName. Raises NotFound."""
    directory = session.services.directory
    if is_uuid(user):
        request = contract.directory.GetUserRequest(connection_id=connection_id, id=user, include_groups=True)
        try:
            return directory.call("GetUser", request).user
        except NotFound:
            # A userName may look like an id. A connection that does not exist is refused by the next call again.
            pass
    response = directory.call(
        "ListUsers",
        contract.directory.ListUsersRequest(
            connection_id=connection_id, filter=f"userName eq {quoted(user)}", page_size=2, include_groups=True
        ),
    )
    if not response.users:
        raise NotFound(f"no user of the connection has the id or userName {quoted(user)}")
    return response.users[0]
