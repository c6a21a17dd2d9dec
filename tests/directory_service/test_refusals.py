"""What a refusal says: the exact field of the request, the attribute, the rule; and that nothing changed."""

from typing import Any

import pytest
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import group_pb2, user_pb2

from tests.directory_service.world import Connected, World, operation, user

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
CUSTOM = "urn:acme:1.0:User"


@pytest.mark.parametrize(
    ("sent", "field", "attribute"),
    [
        (user(""), "user.user_name", "userName"),
        (user(" "), "user.user_name", "userName"),
        (user("a\0"), "user.user_name", "userName"),
        (user("a", phone_numbers=[user_pb2.MultiValue(value="\0")]), "user.phone_numbers.value", "phoneNumbers.value"),
        (user("a", x509_certificates=[user_pb2.MultiValue(value="!")]), "user.x509_certificates.value",
         "x509Certificates.value"),
        (user("a", name=user_pb2.Name(given_name="\0")), "user.name.given_name", "name.givenName"),
        (user("a", enterprise=user_pb2.EnterpriseUser(manager=user_pb2.Manager(ref="\0"))),
         "user.enterprise.manager.ref", f"{ENTERPRISE}:manager.$ref"),
        (user("a", extensions={CUSTOM: '{"badge":"\\u0000"}'}), "user.extensions", f"{CUSTOM}:badge"),
        (user("a", extensions={ENTERPRISE: '{"badge":"\\u0000"}'}), "user.extensions", f"{ENTERPRISE}:badge"),
    ],
)  # fmt: skip
async def test_a_value_of_a_user_is_refused_by_its_field(
    world: World, connected: Connected, sent: user_pb2.User, field: str, attribute: str
) -> None:
    """Design: "INVALID_VALUE errors always set `field` (proto field path)"."""
    made = await connected.scim.create("there@b")
    sent.id = made.id
    for method, request in (
        ("CreateUser", pb.CreateUserRequest(user=sent)),
        ("UpdateUser", pb.UpdateUserRequest(user=sent)),
    ):
        failure = await connected.scim.refused(method, request)
        assert (failure.reason, failure.field) == ("INVALID_VALUE", field)
        assert failure.metadata["attribute"] == attribute
        assert attribute in failure.message
    assert await world.kinds(connected.id) == ["UserCreated"]


@pytest.mark.parametrize(
    ("last", "reason", "field", "attribute"),
    [
        (("replace", "active", "no"), "INVALID_VALUE", "operations[1].value", "active"),
        (("replace", None, {"name": {"givenName": 5}}), "INVALID_VALUE", "operations[1].value", "name.givenName"),
        (("replace", f"{ENTERPRISE}:manager", 5), "INVALID_VALUE", "operations[1].value", f"{ENTERPRISE}:manager"),
        (("replace", "id", "x"), "MUTABILITY", "operations[1].path", "id"),
        (("remove", "userName"), "MUTABILITY", "operations[1].path", "userName"),
        (("replace", 'emails[value co "x"].value', "x"), "NO_TARGET", "operations[1].path", "emails"),
        (("replace", "nope", "x"), "INVALID_PATH", "operations[1].path", ""),
        (("replace", "a b", "x"), "INVALID_PATH", "operations[1].path", ""),
        (("add", None, "x"), "INVALID_VALUE", "operations[1].value", ""),
        (("remove", None), "NO_TARGET", "operations[1].path", ""),
        (("replace", "userName", ""), "INVALID_VALUE", "operations", "userName"),
    ],
)
async def test_an_operation_on_a_user_is_refused_by_its_number_and_none_is_applied(
    world: World, connected: Connected, last: tuple[Any, ...], reason: str, field: str, attribute: str
) -> None:
    """RFC 7644 §3.5.2: "if a single operation encounters an error condition, the original SCIM resource MUST be
    restored, and a failure status SHALL be returned".
    """
    made = await connected.scim.create("a@b", title="before")
    op, path, *value = last
    operations = [operation("replace", "title", "after"), operation(op, path, *value)]
    failure = await connected.scim.refused("PatchUser", pb.PatchUserRequest(id=made.id, operations=operations))
    assert (failure.reason, failure.field) == (reason, field)
    assert failure.metadata.get("attribute", "") == attribute
    assert attribute in failure.message
    assert await connected.scim.get(made.id) == made
    assert await world.kinds(connected.id) == ["UserCreated"]


@pytest.mark.parametrize(
    ("last", "reason", "field"),
    [
        (("add", "members", [{"value": 5}]), "INVALID_VALUE", "operations[2].value"),
        (("remove", 'members[nope eq "x"]'), "INVALID_FILTER", "operations[2].path"),
        (("replace", 'members[value eq "x"].type', "Group"), "MUTABILITY", "operations[2].path"),
        (("replace", None, {"members": [], "displayName": 5}), "INVALID_VALUE", "operations[2].value"),
        (("remove", "displayName"), "MUTABILITY", "operations[2].path"),
        (("add", "members", [{"value": "x" * 513}]), "INVALID_VALUE", "members.value"),
    ],
)
async def test_an_operation_on_a_group_is_refused_by_its_number_and_none_is_applied(
    world: World, connected: Connected, last: tuple[Any, ...], reason: str, field: str
) -> None:
    """As for users: neither the name nor the membership changes, nor is anything parked."""
    made = await connected.scim.create_group("Before")
    member = (await connected.scim.create("a@b")).id
    op, path, *value = last
    operations = [
        operation("replace", "displayName", "After"),
        operation("add", "members", [member, "later"]),
        operation(op, path, *value),
    ]
    failure = await connected.scim.refused("PatchGroup", pb.PatchGroupRequest(id=made.id, operations=operations))
    assert (failure.reason, failure.field) == (reason, field)
    assert await connected.scim.group(made.id) == made
    assert await world.admin.parked(connection_id=connected.id) == []
    assert await world.kinds(connected.id) == ["GroupCreated", "UserCreated"]


async def test_a_value_of_a_group_is_refused_by_its_field(connected: Connected) -> None:
    """Design: "INVALID_VALUE errors always set `field` (proto field path)"."""
    for group, field in (
        (group_pb2.Group(), "group.display_name"),
        (group_pb2.Group(display_name="x", external_id="\0"), "group.external_id"),
        (group_pb2.Group(display_name="x" * 513), "group.display_name"),
    ):
        failure = await connected.scim.refused("CreateGroup", pb.CreateGroupRequest(group=group))
        assert (failure.reason, failure.field) == ("INVALID_VALUE", field)
