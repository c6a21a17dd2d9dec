"""Messages as SCIM JSON and back; the attributes themselves are converted by the one table, `chassis.scim_message`.

Here is what that table leaves out: `schemas`, `id`, `meta`, a user's `groups` and a group's `members`, which the
directory computes and a client never writes, save for members (RFC 7643 §3.1, §4.1.2, §4.2).
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.directory.v1.directory_service_pb2 import PatchOp
from rollcall.directory.v1.group_pb2 import Group, Member, MemberList, MemberType
from rollcall.directory.v1.user_pb2 import MembershipType, User

from chassis.scim_message import document_to_message, message_to_document
from scim.schemas import ENTERPRISE_USER_URN, GROUP, USER, schemas_of

LIST_RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"

_MEMBER_TYPES = {"user": MemberType.MEMBER_TYPE_USER, "group": MemberType.MEMBER_TYPE_GROUP}
_MEMBERSHIP_TYPES = {
    MembershipType.MEMBERSHIP_TYPE_DIRECT: "direct",
    MembershipType.MEMBERSHIP_TYPE_INDIRECT: "indirect",
}
PATCH_OPS: Mapping[str, PatchOp] = {
    "add": PatchOp.PATCH_OP_ADD,
    "remove": PatchOp.PATCH_OP_REMOVE,
    "replace": PatchOp.PATCH_OP_REPLACE,
}


def to_user(document: Mapping[str, Any], user_id: str = "") -> User:
    """Return the message of a user's document."""
    user = User(id=user_id)
    document_to_message(document, user)
    return user


def to_group(document: Mapping[str, Any], group_id: str = "") -> Group:
    """Return the message of a group's document; `members` is none of its fields that can be written."""
    group = Group(id=group_id)
    document_to_message({name: value for name, value in document.items() if name != "members"}, group)
    return group


def to_members(document: Mapping[str, Any]) -> MemberList | None:
    """Return the membership that a document states; None when it states none, which leaves it as it is."""
    members = document.get("members")
    if members is None:
        return None
    return MemberList(
        members=[
            Member(
                value=member["value"],
                type=_MEMBER_TYPES.get(member["type"].lower()) if "type" in member else None,
                display=member.get("display"),
            )
            for member in members
        ]
    )


def user_resource(user: User, base_url: str) -> dict[str, Any]:
    """Return the SCIM resource of a user; `base_url` is that of the connection."""
    document = message_to_document(user)
    resource = {"schemas": schemas_of(USER, document), "id": user.id, **document}
    if user.enterprise.manager.id:
        # A manager who is a user of the connection; a reference that the client sent stays as sent.
        manager = document[ENTERPRISE_USER_URN]["manager"]
        manager.setdefault("$ref", user_location(user.enterprise.manager.id, base_url))
    if user.groups:
        resource["groups"] = [
            {
                "value": group.group_id,
                "$ref": f"{base_url}/Groups/{group.group_id}",
                "display": group.display_name,
                "type": _MEMBERSHIP_TYPES.get(group.type, "direct"),
            }
            for group in user.groups
        ]
    resource["meta"] = _meta("User", user, user_location(user.id, base_url))
    return resource


def group_resource(group: Group, base_url: str, *, with_members: bool) -> dict[str, Any]:
    """Return the SCIM resource of a group; its members are a list, if an empty one, when they are wanted."""
    document = message_to_document(group)
    resource = {"schemas": schemas_of(GROUP, document), "id": group.id, **document}
    if with_members:
        resource["members"] = member_values(group.members, base_url)
    resource["meta"] = _meta("Group", group, group_location(group.id, base_url))
    return resource


def member_values(members: Iterable[Member], base_url: str) -> list[dict[str, str]]:
    """Return the value of `members` (RFC 7643 §4.2)."""
    values = []
    users, groups = f"{base_url}/Users/", f"{base_url}/Groups/"
    for member in members:
        value = member.value
        if member.type == MemberType.MEMBER_TYPE_GROUP:
            entry = {"value": value, "$ref": groups + value, "type": "Group"}
        else:
            entry = {"value": value, "$ref": users + value, "type": "User"}
        display = member.display
        if display:
            entry["display"] = display
        values.append(entry)
    return values


def user_location(user_id: str, base_url: str) -> str:
    """Return the URI of a user: `meta.location`, and `Location` of a 201 (RFC 7644 §3.1)."""
    return f"{base_url}/Users/{user_id}"


def group_location(group_id: str, base_url: str) -> str:
    """Return the URI of a group."""
    return f"{base_url}/Groups/{group_id}"


def list_response(resources: list[Any], total: int, start_index: int | None, next_cursor: str) -> dict[str, Any]:
    """Return the frame of a list; counters are numbers, `itemsPerPage` is how many are in it (RFC 7644 §3.4.2).

    `start_index` is None when paging by cursor; an empty `next_cursor` is that of the last page (RFC 9865 §2).
    """
    response: dict[str, Any] = {"schemas": [LIST_RESPONSE_URN], "totalResults": total}
    if start_index is not None:
        response["startIndex"] = start_index
    response["itemsPerPage"] = len(resources)
    if next_cursor:
        response["nextCursor"] = next_cursor
    response["Resources"] = resources
    return response


def _meta(kind: str, message: User | Group, location: str) -> dict[str, str]:
    return {
        "resourceType": kind,
        "created": date_time(message.created_time),
        "lastModified": date_time(message.last_modified_time),
        "location": location,
        "version": message.etag,
    }


def date_time(timestamp: Timestamp) -> str:
    """Return an xsd:dateTime in UTC, as exact as it is stored, so that a filter finds what was shown."""
    text = datetime.fromtimestamp(timestamp.seconds, UTC).isoformat()
    return f"{text[:19]}.{timestamp.nanos // 1_000:06d}Z"
