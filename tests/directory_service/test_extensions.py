"""What discovery is told of the extensions that a connection received (RFC 7643 §3.3)."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import group_pb2

from directory_service.domain.changes import attribute_forms
from directory_service.domain.extensions import ExtensionSighting, extensions_of
from scim.schemas import ENTERPRISE_USER_URN, USER_URN
from tests.directory_service.world import Connected, World, operation, user

ACME = "urn:acme:2.0:User"
TEAMS = "urn:acme:2.0:Team"


async def listed(connected: Connected) -> dict[str, Any]:
    """The extensions of a connection, each attribute as `type`, `[type]` for a list, or an object of these."""
    response = await connected.scim.call("ListExtensions", pb.ListExtensionsRequest())
    return {extension.schema: shown(extension.attributes) for extension in response.extensions}


def shown(attributes: Any) -> dict[str, Any]:
    """Attributes in the short form of these tests."""
    result: dict[str, Any] = {}
    for attribute in attributes:
        name = pb.ExtensionAttributeType.Name(attribute.type).removeprefix("EXTENSION_ATTRIBUTE_TYPE_").lower()
        value: Any = shown(attribute.sub_attributes) if attribute.sub_attributes else name
        result[attribute.name] = [value] if attribute.multi_valued else value
    return result


async def test_every_extension_that_was_received_is_listed_with_its_attributes(connected: Connected) -> None:
    """Rule: "every extension URN seen on the connection", with the types that the values had."""
    scim = connected.scim
    assert await listed(connected) == {}
    extension = (
        '{"badge":7,"remote":true,"ratio":0.5,"site":"Soho","skills":["a","b"],'
        '"desk":{"floor":3,"tags":["x"]},"cards":[{"id":"1","active":false}],"odd":{"deep":{"er":1}}}'
    )
    created = await scim.create("a@b", title="core", extensions={ACME: extension})
    attributes = {
        "badge": "integer",
        "remote": "boolean",
        "ratio": "decimal",
        "site": "string",
        "skills": ["string"],
        "desk": {"floor": "integer", "tags": ["string"]},
        "cards": [{"id": "string", "active": "boolean"}],
        "odd": {"deep": "complex"},
    }
    assert await listed(connected) == {ACME: attributes}
    await scim.patch(created.id, operation("add", f"{ACME}:badge", 1.5), operation("replace", f"{ACME}:site", 5))
    # A number that has been whole and broken is a decimal; of text and numbers only text can be said.
    assert await listed(connected) == {ACME: {**attributes, "badge": "decimal"}}
    await scim.delete(created.id)
    assert set(await listed(connected)) == {ACME}


async def test_an_extension_says_which_resources_carried_it(world: World, connected: Connected) -> None:
    """RFC 7643 §6: `schemaExtensions` is of a resource type."""
    scim = connected.scim
    await scim.create("a@b", extensions={ACME: '{"badge":"1"}'})
    group = await scim.create_group("Team", extensions={TEAMS: '{"lead":"a"}'})
    both = group_pb2.Group(id=group.id, display_name="Team", extensions={TEAMS: '{"lead":"a"}', ACME: '{"size":2}'})
    await scim.put_group(both)
    found = (await scim.call("ListExtensions", pb.ListExtensionsRequest())).extensions
    assert [(e.schema, e.of_users, e.of_groups) for e in found] == [(TEAMS, False, True), (ACME, True, True)]
    assert shown(found[1].attributes) == {"badge": "string", "size": "integer"}
    other = await world.connect()
    assert await listed(other) == {}


async def test_the_enterprise_extension_is_listed_with_what_the_rfc_does_not_declare(connected: Connected) -> None:
    """WIRE: identity providers add attributes of their own to the enterprise schema."""
    created = await connected.scim.create("a@b")
    await connected.scim.patch(created.id, operation("add", f"{ENTERPRISE_USER_URN}:department", "Compilers"))
    assert await listed(connected) == {ENTERPRISE_USER_URN: {"department": "string"}}


async def test_what_was_received_is_known_after_a_crash_and_widens_later(world: World, connected: Connected) -> None:
    """PRODUCT §3: "Every (namespace, key) ever received on the connection is recorded"."""
    await connected.scim.create("a@b", extensions={ACME: '{"badge":1}'})
    world.server.directory.history.forget(connected.id)
    assert await listed(connected) == {ACME: {"badge": "integer"}}
    await connected.scim.call(
        "CreateUser", pb.CreateUserRequest(user=user("b@b", extensions={ACME: '{"badge":["x"]}'}))
    )
    assert await listed(connected) == {ACME: {"badge": ["string"]}}


def test_spellings_of_one_name_are_one_attribute() -> None:
    """RFC 7643 §2.1: "Attribute names are case insensitive"."""
    (extension,) = extensions_of(
        [
            ExtensionSighting("urn:Acme:X", "Badge", 4, of_group=False),
            ExtensionSighting("urn:acme:x", "badge", 8, of_group=False),
        ]
    )
    assert extension.schema == "urn:Acme:X"
    assert shown(extension.attributes) == {"Badge": "decimal"}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(0, 1) | st.text("ab", max_size=2),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), below, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3))
def test_any_extension_can_be_told_of(extension: dict[str, Any]) -> None:
    """Every leaf is in the history once, and nothing but what came is listed."""
    forms = attribute_forms({"userName": "a", ACME: extension}, USER_URN)
    assert forms.pop((USER_URN, "userName")) == 0
    listed_ = extensions_of(ExtensionSighting(urn, key, form, of_group=False) for (urn, key), form in forms.items())
    assert {a.name for e in listed_ for a in e.attributes} <= set(extension)
    for e in listed_:
        for attribute in e.attributes:
            value = extension[attribute.name]
            assert attribute.multi_valued == isinstance(value, list)
            assert bool(attribute.sub_attributes) == any(
                isinstance(item, dict) and item for item in (value if isinstance(value, list) else [value])
            )
