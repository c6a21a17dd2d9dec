"""Attribute mapping and attribute history (PRODUCT §3)."""

from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.json_format import MessageToDict
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.directory.v1 import directory_service_pb2 as directory_pb
from rollcall.directory.v1 import user_pb2

from directory_service.domain.changes import attribute_forms
from directory_service.domain.metadata import MappingRefused, check_mapping, resolve
from directory_service.tables import ATTRIBUTE_SIGHTINGS, USERS
from scim.schemas import USER_URN
from tests.conftest import eventually
from tests.directory_service.world import Connected, World, email, operation, running, settings, user

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
DOCUMENT: dict[str, Any] = {
    "userName": "a@b",
    "active": False,
    "title": "Boss",
    "name": {"givenName": "A", "familyName": "B"},
    "emails": [{"value": "home@b", "type": "home"}, {"value": "work@b", "type": "work", "primary": True}],
    ENTERPRISE: {"department": "Tours", "manager": {"value": "m"}, "extra": 1},
    "urn:b": {"department": "b", "badge": 7, "tags": ["x", "y"], "nothing": ""},
    "urn:a": {"badge": {"value": 8}, "Level": 3, "list": [{"k": ""}, {"K": "v"}]},
}


def source(key: str, namespace: str = "") -> dict[str, str]:
    return {"namespace": namespace, "key": key}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([source("title")], "Boss"),
        ([source("TITLE")], "Boss"),
        ([source("nickName"), source("title")], "Boss"),
        ([source("title"), source("userName")], "Boss"),
        ([source("active")], False),
        ([source("name.familyName")], "B"),
        ([source("name")], {"givenName": "A", "familyName": "B"}),
        ([source('emails[type eq "home"].value')], "home@b"),
        ([source('emails[type eq "home"]')], {"value": "home@b", "type": "home"}),
        ([source("emails.value")], "work@b"),
        ([source('emails[type eq "other"].value')], None),
        ([source("department")], "Tours"),
        ([source("department", "urn:B")], "b"),
        ([source("department", USER_URN)], None),
        ([source("manager.value", ENTERPRISE.upper())], "m"),
        ([source("extra")], 1),
        ([source("badge")], {"value": 8}),
        ([source("badge.value")], 8),
        ([source("badge", "urn:b")], 7),
        ([source("level")], 3),
        ([source("tags")], ["x", "y"]),
        ([source("list.k")], "v"),
        ([source("nothing")], None),
        ([source("unheardOf")], None),
        ([source("title", "urn:never:seen")], None),
    ],
)
def test_the_first_source_with_a_value_wins(sources: list[dict[str, str]], expected: Any) -> None:
    """PRODUCT §3: "core, then enterprise, then the rest in alphabetical order"; "No value: the name is absent."."""
    mapping = [{"name": "n", "attributes": sources}]
    if sources[0]["namespace"] != USER_URN:  # of the core schema only its own attributes may be asked for
        check_mapping(mapping)
    assert resolve(DOCUMENT, mapping) == ({} if expected is None else {"n": expected})


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        ([{"name": "", "attributes": [source("title")]}], "mapped_attributes[0].name"),
        ([{"name": "a\n", "attributes": [source("title")]}], "mapped_attributes[0].name"),
        ([{"name": "n", "attributes": []}], "mapped_attributes[0].attributes"),
        ([{"name": "n", "attributes": [source("title")]}] * 2, "mapped_attributes[1].name"),
        ([{"name": "n", "attributes": [source("title"), source("")]}], "mapped_attributes[0].attributes[1].key"),
        ([{"name": "n", "attributes": [source("a b")]}], "mapped_attributes[0].attributes[0].key"),
        ([{"name": "n", "attributes": [source("password")]}], "mapped_attributes[0].attributes[0].key"),
        ([{"name": "n", "attributes": [source("name.nothing")]}], "mapped_attributes[0].attributes[0].key"),
        ([{"name": "n", "attributes": [source("department", USER_URN)]}], "mapped_attributes[0].attributes[0].key"),
        ([{"name": "n", "attributes": [source("urn:x:y")]}], "mapped_attributes[0].attributes[0].key"),
        (
            [{"name": "n", "attributes": [source('emails[nope eq "x"].value')]}],
            "mapped_attributes[0].attributes[0].key",
        ),
        ([{"name": "n", "attributes": [source("title", "no urn")]}], "mapped_attributes[0].attributes[0].namespace"),
        ([{"name": str(n), "attributes": [source("title")]} for n in range(101)], "mapped_attributes"),
    ],
)
def test_a_mapping_that_is_not_valid_names_the_field(entries: list[dict[str, Any]], field: str) -> None:
    """The rule: "Invalid mapping → INVALID_VALUE naming the field"."""
    with pytest.raises(MappingRefused) as refused:
        check_mapping(entries)
    assert refused.value.field == field


def test_keys_of_the_history_are_leaves() -> None:
    """Proto, AttributeSighting: "The attribute, dotted for a sub-attribute."."""
    assert set(attribute_forms(DOCUMENT, USER_URN)) == {
        (USER_URN, "userName"), (USER_URN, "active"), (USER_URN, "title"), (USER_URN, "name.givenName"),
        (USER_URN, "name.familyName"), (USER_URN, "emails.value"), (USER_URN, "emails.type"),
        (USER_URN, "emails.primary"),
        (ENTERPRISE, "department"), (ENTERPRISE, "manager.value"), (ENTERPRISE, "extra"), ("urn:b", "department"),
        ("urn:b", "badge"), ("urn:b", "tags"), ("urn:b", "nothing"), ("urn:a", "badge.value"), ("urn:a", "Level"),
        ("urn:a", "list.k"), ("urn:a", "list.K"),
    }  # fmt: skip


def entry(name: str, *keys: str) -> pb.MappedAttribute:
    return pb.MappedAttribute(name=name, attributes=[pb.AttributeSource(key=key) for key in keys])


async def set_mapping(world: World, connected: Connected, *entries: pb.MappedAttribute) -> Any:
    request = pb.UpdateAttributeMappingRequest(connection_id=connected.id, mapped_attributes=entries)
    return await world.admin.call("UpdateAttributeMapping", request)


async def pending(world: World, connected: Connected) -> int:
    request = pb.GetAttributeMappingRequest(connection_id=connected.id)
    return int((await world.admin.call("GetAttributeMapping", request)).pending_users)


async def settled(world: World, connected: Connected) -> None:
    async def check() -> bool:
        return await pending(world, connected) == 0

    await eventually(check)


def metadata(found: user_pb2.User) -> dict[str, Any]:
    return MessageToDict(found.metadata)


async def test_metadata_follows_every_write(world: World, connected: Connected) -> None:
    """PRODUCT §3: "the first source that yields a value wins and is written to the user's `metadata[name]`"."""
    await set_mapping(
        world, connected, entry("mail", 'emails[type eq "work"].value', "userName"), entry("dept", "department")
    )
    created = await connected.scim.create("a@b", enterprise=user_pb2.EnterpriseUser(department="Tours"))
    assert metadata(created) == {"mail": "a@b", "dept": "Tours"}
    patched = await connected.scim.patch(created.id, operation("add", "emails", [{"value": "w@b", "type": "work"}]))
    assert metadata(patched) == {"mail": "w@b", "dept": "Tours"}
    replaced = await connected.scim.update(user("a@b", id=created.id))
    assert metadata(replaced) == {"mail": "a@b"}
    assert metadata((await world.events(connected.id))[-1].user) == {"mail": "a@b"}


async def test_a_changed_mapping_re_resolves_every_user_in_chunks(
    world: World, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PRODUCT §3: "in the background, in chunks, and publishes updates for those whose metadata changed"."""
    monkeypatch.setattr("directory_service.mappings.RESOLVED_AT_ONCE", 3)
    for n in range(8):
        await connected.scim.create(f"u{n}", title=f"t{n}" if n % 2 else "")
    before = len(await world.events(connected.id))
    answer = await set_mapping(world, connected, entry("title", "title"))
    assert answer.pending_users == 8
    await settled(world, connected)
    events = (await world.events(connected.id))[before:]
    assert [type(event).__name__ for event in events] == ["UserUpdated"] * 4
    assert [metadata(event.user) for event in events] == [{"title": f"t{n}"} for n in (1, 3, 5, 7)]
    again = await set_mapping(world, connected, entry("title", "title"))
    assert again.pending_users == 0
    await set_mapping(world, connected)
    await settled(world, connected)
    assert len(await world.events(connected.id)) == before + 8
    generations = sa.select(USERS.c.mapping_generation).where(USERS.c.connection_id == connected.id).distinct()
    assert await world.rows(generations) == [(3,)]


async def test_a_re_resolution_goes_on_after_a_restart(
    sqlite_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule: "a background task (resumes after restart)"."""

    async def nothing(*_: Any) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr("directory_service.mappings.re_resolve", nothing)
        async with running(settings(sqlite_url, tmp_path)) as world:
            connected = await world.connect()
            created = await connected.scim.create("a@b", title="Boss")
            await set_mapping(world, connected, entry("title", "title"))
            assert await pending(world, connected) == 1
    async with running(settings(sqlite_url, tmp_path)) as world:
        connected.scim = world.scim(connected.token)
        await settled(world, connected)
        assert metadata(await connected.scim.get(created.id)) == {"title": "Boss"}


async def test_a_preview_keeps_nothing(world: World, connected: Connected) -> None:
    """Proto: "Says what a mapping would make of one user, without keeping it."."""
    created = await connected.scim.create("A@b", title="Boss")
    for name in (created.id, "a@B"):
        request = pb.PreviewAttributeMappingRequest(
            connection_id=connected.id, user=name, mapped_attributes=[entry("t", "title")]
        )
        response = await world.admin.call("PreviewAttributeMapping", request)
        assert MessageToDict(response.metadata) == {"t": "Boss"}
    assert await connected.scim.get(created.id) == created
    request = pb.PreviewAttributeMappingRequest(connection_id=connected.id, user="nobody")
    assert (await world.admin.refused("PreviewAttributeMapping", request)).reason == "USER_NOT_FOUND"
    request = pb.PreviewAttributeMappingRequest(connection_id="nowhere", user="nobody")
    assert (await world.admin.refused("PreviewAttributeMapping", request)).reason == "CONNECTION_NOT_FOUND"


async def test_a_mapping_comes_back_in_order_and_a_wrong_one_is_refused(world: World, connected: Connected) -> None:
    """Proto: "The mapped attributes, in order."."""
    entries = [entry("b", "title", "nickName"), entry("a", "userName")]
    await set_mapping(world, connected, *entries)
    request = pb.GetAttributeMappingRequest(connection_id=connected.id)
    assert list((await world.admin.call("GetAttributeMapping", request)).mapped_attributes) == entries
    wrong = pb.UpdateAttributeMappingRequest(connection_id=connected.id, mapped_attributes=[entry("n", "a b")])
    failure = await world.admin.refused("UpdateAttributeMapping", wrong)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_VALUE")
    assert failure.field == "mapped_attributes[0].attributes[0].key"


async def history(world: World, connected: Connected) -> dict[str, int]:
    request = pb.ListAttributeHistoryRequest(connection_id=connected.id)
    sightings = (await world.admin.call("ListAttributeHistory", request)).sightings
    assert all(s.first_seen_time.ToNanoseconds() <= s.last_seen_time.ToNanoseconds() for s in sightings)
    return {s.key if s.namespace == USER_URN else f"{s.namespace}:{s.key}": s.count for s in sightings}


async def test_every_attribute_ever_received_is_in_the_history(world: World, connected: Connected) -> None:
    """PRODUCT §3: "Every (namespace, key) ever received on the connection is recorded [...] with first and last sight
    and a count".
    """
    created = await connected.scim.create("a@b", title="x", extensions={"urn:x:y": '{"badge":1}'})
    await connected.scim.patch(created.id, operation("add", "emails", [{"value": "a@b", "type": "work"}]))
    await connected.scim.update(user("a@b", id=created.id, emails=[email("a@b")]))
    assert await history(world, connected) == {
        "active": 2, "emails.type": 2, "emails.value": 2, "title": 1, "userName": 2, "urn:x:y:badge": 1
    }  # fmt: skip
    refused = directory_pb.CreateUserRequest(user=user("A@b", nick_name="never stored"))
    await connected.scim.refused("CreateUser", refused)
    assert "nickName" not in await history(world, connected)


async def test_the_fact_of_a_sighting_survives_a_crash(world: World, connected: Connected) -> None:
    """Proto: "a crash may lose the counts of its last seconds", and nothing else."""
    await connected.scim.create("a@b", title="x")
    rows = await world.rows(
        sa.select(ATTRIBUTE_SIGHTINGS.c.key).where(ATTRIBUTE_SIGHTINGS.c.connection_id == connected.id)
    )
    assert {row.key for row in rows} == {"userName", "active", "title"}
