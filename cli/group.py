"""`rollcall group`: the groups of a connection."""

from typing import Annotated, Any

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.errors import NotFound
from cli.output import document, documents, print_fields, print_table, write
from cli.parameters import ConnectionArgument, is_uuid, quoted

app = noun("group", "Groups of a connection, as the identity provider pushes them.")


@command(app, "list")
def list_groups(session: Session, connection: ConnectionArgument) -> None:
    """List the groups of a connection in the order of their creation."""
    request = contract.directory.ListGroupsRequest(connection_id=connection)
    rows = documents(session.services.directory.pages("ListGroups", request, "groups"))
    columns = ("id", "display_name", "member_count", "external_id", "last_modified_time")
    session.table(rows, columns, empty="No groups.")


@command(app, "show")
def show(
    session: Session,
    connection: ConnectionArgument,
    group: Annotated[str, typer.Argument(metavar="ID_OR_NAME", help="The group: id or display name.")],
) -> None:
    """Show one group with all its members."""
    found = find_group(session, connection, group)
    request = contract.directory.ListGroupMembersRequest(connection_id=connection, group_id=found.id)
    del found.members[:]
    for chunk in session.services.directory.stream("ListGroupMembers", request):
        found.members.extend(chunk.members)
    value = document(found)
    if session.json:
        session.show(value)
        return
    print_fields({key: item for key, item in value.items() if key != "members" and item not in (None, "", {})})
    write("\n")
    print_table(value["members"], ("value", "display", "type"), empty="No members.")


def find_group(session: Session, connection_id: str, group: str) -> Any:
    """A group by id, else by display name. Raises NotFound."""
    directory = session.services.directory
    if is_uuid(group):
        try:
            return directory.call(
                "GetGroup", contract.directory.GetGroupRequest(connection_id=connection_id, id=group)
            ).group
        except NotFound:
            # A display name may look like an id. A connection that does not exist is refused by the next call again.
            pass
    request = contract.directory.ListGroupsRequest(
        connection_id=connection_id, filter=f"displayName eq {quoted(group)}", page_size=2
    )
    response = directory.call("ListGroups", request)
    if not response.groups:
        raise NotFound(f"no group of the connection has the id or display name {quoted(group)}")
    return response.groups[0]


@command(app, "parked")
def parked(session: Session, connection: ConnectionArgument) -> None:
    """List member values that name no user yet; each becomes a membership when such a user appears."""
    request = contract.directory.ListParkedMembersRequest(connection_id=connection)
    rows = documents(session.services.directory.pages("ListParkedMembers", request, "parked_members"))
    columns = ("group_display_name", "group_id", "value", "parked_time")
    session.table(rows, columns, empty="No parked members.")
