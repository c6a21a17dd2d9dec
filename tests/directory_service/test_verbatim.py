"""Extensions of any URN, kept, patched, filtered, sorted and mapped (PRODUCT §2, RFC 7643 §3.3)."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rollcall.directory.v1 import connection_service_pb2 as connections_pb
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import group_pb2

from chassis.database import Transaction, create_engine
from chassis.scim_message import message_to_document
from directory_service.repository import connections, users
from scim.schemas import USER
from scim.values import normalize
from tests.directory_service.world import Connected, World, operation, plain

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
URNS = [
    "urn:okta:acme_app_1:1.0:user:custom",
    "urn:ietf:params:scim:schemas:extension:acme:2.0:User",
    "URN:Upper:Case",
    "urn:acme:site(north):o'hare:1.0",
    "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group",
]
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    TEXT,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)
NAMES = st.one_of(st.sampled_from(["badge", "Badge No", "x" * 40, "a", "bb", "ccc", "é", "$odd", ""]), TEXT)


@pytest.fixture(scope="module")
def engine(shared_url: str) -> Iterator[sa.Engine]:
    opened = create_engine(shared_url, "verbatim", purpose="write")
    yield opened
    opened.dispose()


def comparable(value: object) -> object:
    """A value such that equal ones are equal JSON: true is not 1, and 1e3 is 1000, digit by digit."""
    if isinstance(value, dict):
        return {name: comparable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(repr(value))
    return (type(value), value)


def unassigned(value: object) -> bool:
    """What leaves no trace on the top level of an extension (RFC 7643 §2.5)."""
    return value is None or value == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([*URNS, ENTERPRISE]),
    st.dictionaries(NAMES, VALUES, max_size=5).filter(lambda d: len(d) == len({k.lower() for k in d})),
)
def test_any_value_under_any_urn_comes_back_from_either_database(
    engine: sa.Engine, urn: str, extension: dict[str, Any]
) -> None:
    """PRODUCT §2: "any number of other extension URNs, kept verbatim"; what is kept is the JSON value: RFC 8259 §4, "An
    object is an unordered collection"; lists keep their order and numbers their value.
    """
    document = normalize(USER, {"userName": "a@b", urn: extension})
    expected = {name: value for name, value in extension.items() if not unassigned(value)}
    with engine.connect() as connection, connection.begin() as transaction:
        tx = Transaction(connection, engine.dialect.name)
        connections.insert_workspace(tx, "wv", name="w", slug="verbatim-test", now_ms=0)
        connections.insert_connection(tx, "cv", workspace_id="wv", portal="MDM", display_name="c", now_ms=0)
        assert users.insert_user(tx, "cv", user_id="uv", document=document, metadata={}, mapping_generation=1, now_ms=0)
        row = users.get_user(tx, "cv", "uv")
        assert row is not None
        shown = message_to_document(users.user_message(row))
        assert comparable(shown.get(urn, {})) == comparable(expected)
        transaction.rollback()


@pytest.mark.parametrize("urn", URNS)
async def test_an_extension_is_patched_filtered_and_sorted_by(connected: Connected, urn: str) -> None:
    """Design: "any URN is kept verbatim, can be patched, filtered, sorted and mapped"."""
    scim = connected.scim
    first = await scim.create("first", extensions={urn: '{"Badge":"b2","level":{"grade":3},"tags":["x","y"]}'})
    second = await scim.create("second", extensions={urn: '{"Badge":"B1","level":{"grade":10}}'})
    await scim.create("none")
    for term, expected in {
        f'{urn}:badge eq "B2"': ["first"],
        f"{urn}:badge pr": ["first", "second"],
        f"{urn}:level.grade gt 3": ["second"],
        f'{urn}:tags eq "y"': ["first"],
        f'not ({urn}:badge sw "b")': ["none"],
        f'{urn.upper() if urn.startswith("urn") else urn}:BADGE co "1"': ["second"],
        f'schemas eq "{urn}"': ["first", "second"],
    }.items():
        assert await scim.find(term) == expected, term
    assert await scim.find(sort_by=f"{urn}:badge") == ["second", "first", "none"]
    patched = await scim.patch(
        first.id,
        operation("add", f"{urn}:tags", ["z"]),
        operation("replace", f"{urn}:level.grade", 4),
        operation("add", value={f"{urn}:new": {"deep": [1, None]}}),
        operation("remove", f"{urn}:badge"),
    )
    assert json.loads(patched.extensions[urn]) == {
        "level": {"grade": 4}, "tags": ["x", "y", "z"], "new": {"deep": [1, None]}
    }  # fmt: skip
    gone = await scim.patch(second.id, operation("remove", urn))
    assert not gone.extensions
    assert await scim.find(f"{urn}:level pr") == ["first"]


@pytest.mark.parametrize("urn", URNS[:2])
async def test_an_extension_of_a_group_is_kept_too(connected: Connected, urn: str) -> None:
    """RFC 7643 §3.3: extensions belong to any resource type."""
    scim = connected.scim
    group = await scim.create_group("Staff", extensions={urn: '{"owner":{"zz":1,"a":2},"list":[2,1]}'})
    assert json.loads(group.extensions[urn]) == {"owner": {"zz": 1, "a": 2}, "list": [2, 1]}
    patched = await scim.patch_group(group.id, operation("replace", f"{urn}:owner.a", 3))
    assert json.loads(patched.extensions[urn]) == {"owner": {"zz": 1, "a": 3}, "list": [2, 1]}
    found = await scim.call("ListGroups", pb.ListGroupsRequest(filter=f"{urn}:owner.a eq 3", sort_by=f"{urn}:list"))
    assert [each.id for each in found.groups] == [group.id]


async def test_the_same_extension_with_its_keys_in_another_order_is_no_change(
    world: World, connected: Connected
) -> None:
    """PRODUCT §2: "a write that changes nothing changes no version", whatever order a database keeps keys in."""
    urn = URNS[0]
    made = await connected.scim.create("a@b", extensions={urn: '{"bb":{"y":1,"x":[1,{"q":1,"p":2}]},"a":"v"}'})
    made.extensions[urn] = '{"a":"v","bb":{"x":[1,{"p":2,"q":1}],"y":1}}'
    assert (await connected.scim.update(made)).version == 1
    group = await connected.scim.create_group("Staff", extensions={urn: '{"bb":1,"a":{"d":1,"c":2}}'})
    again = group_pb2.Group(id=group.id, display_name="Staff", extensions={urn: '{"a":{"c":2,"d":1},"bb":1}'})
    assert (await connected.scim.put_group(again)).version == 1
    assert (await world.kinds(connected.id)) == ["UserCreated", "GroupCreated"]


async def test_an_extension_is_mapped_with_and_without_its_namespace(world: World, connected: Connected) -> None:
    """PRODUCT §3: "With a namespace only that schema is searched; without one, the first schema that has the key"."""
    request = connections_pb.UpdateAttributeMappingRequest(connection_id=connected.id)
    named = connections_pb.MappedAttribute(name="badge")
    named.attributes.add(namespace=URNS[1], key="Badge")
    anywhere = connections_pb.MappedAttribute(name="grade")
    anywhere.attributes.add(key="level.grade")
    request.mapped_attributes.extend([named, anywhere])
    await world.admin.call("UpdateAttributeMapping", request)
    made = await connected.scim.create(
        "a@b", extensions={URNS[0]: '{"badge":"other","level":{"grade":3}}', URNS[1]: '{"badge":{"zz":1,"a":[2,1]}}'}
    )
    assert plain(made.metadata) == {"badge": {"zz": 1.0, "a": [2.0, 1.0]}, "grade": 3.0}
