"""What SCIM shows of members, of nested groups and of managers, over HTTP, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.directory_service.world import World
from tests.gateway.edge import ENTERPRISE_URN, GROUP_URN, USER_URN, assert_scim_error, gateway
from tests.gateway.scim_client import Scim

MANAGER = f"{ENTERPRISE_URN}:manager"


@pytest.fixture
async def client(world: World) -> AsyncIterator[Scim]:
    """An identity provider, with the directory on SQLite and on PostgreSQL."""
    async with gateway(f"127.0.0.1:{world.server.port}", world.secrets["gateway"]) as http:
        connected = await world.connect()
        yield Scim(http, connected.id, connected.token)


async def test_nested_groups_are_shown_and_circles_refused(client: Scim) -> None:
    """RFC 7643 §4.2: `members.type` "User" or "Group"; §4.1.2: `groups.type` "direct" or "indirect"."""
    ada = (await client.create_user())["id"]
    inner = await client.create_group("Inner", ada)
    sent = {"schemas": [GROUP_URN], "displayName": "Outer", "members": [{"value": inner["id"], "type": "Group"}]}
    outer = (await client.send("POST", "/Groups", sent)).json()
    base = outer["meta"]["location"].removesuffix(f"/Groups/{outer['id']}")
    assert outer["members"] == [
        {"value": inner["id"], "$ref": f"{base}/Groups/{inner['id']}", "type": "Group", "display": "Inner"}
    ]
    assert (await client.get(f"/Users/{ada}"))["groups"] == [
        {"value": each["id"], "$ref": f"{base}/Groups/{each['id']}", "display": each["displayName"], "type": kind}
        for each, kind in ((inner, "direct"), (outer, "indirect"))
    ]
    assert await client.user_names(f"?filter=groups.value%20eq%20%22{outer['id']}%22") == ["ada@example.com"]
    circle = {"op": "add", "path": "members", "value": [{"value": outer["id"]}]}
    refused = await client.patch(f"/Groups/{inner['id']}", circle)
    assert_scim_error(refused, 400, "invalidValue")
    assert refused.json()["detail"] == (
        f"members: group {outer['id']} contains this group: a group cannot contain itself"
    )


async def test_a_member_is_called_as_the_client_calls_it(client: Scim) -> None:
    """RFC 7643 §2.4: `display` is "A human-readable name, primarily used for display purposes"."""
    ada, bob, eve = [(await client.create_user(f"{name}@example.com"))["id"] for name in ("ada", "bob", "eve")]
    members = [{"value": ada, "display": "Ada L."}, {"value": bob}, {"value": "later@example.com", "display": "Late"}]
    made = await client.send("POST", "/Groups", {"displayName": "Team", "members": members})
    path = f"/Groups/{made.json()['id']}"
    assert [member["display"] for member in made.json()["members"]] == ["Ada L.", "bob@example.com"]
    await client.create_user("later@example.com")
    await client.patch(path, {"op": "add", "path": "members", "value": [{"value": eve, "display": "E"}]})
    shown = await client.get(path)
    assert [member["display"] for member in shown["members"]] == ["Ada L.", "bob@example.com", "Late", "E"]
    again = await client.send("PUT", path, shown)
    assert (again.json(), again.headers["etag"]) == (shown, shown["meta"]["version"])


async def test_a_manager_is_shown_with_name_and_reference_and_comes_back_unchanged(client: Scim) -> None:
    """RFC 7643 §4.3: `manager` has `value`, `$ref` and the read-only `displayName`."""
    boss = await client.create_user("boss@example.com", displayName="The Boss", externalId="00u-boss")
    location = boss["meta"]["location"]
    forms: tuple[Any, ...] = (
        boss["id"],
        {"value": boss["id"]},
        {"$ref": location},
        {"value": boss["id"], "$ref": location, "displayName": "Somebody else"},
    )
    for number, sent in enumerate(forms):
        made = await client.create_user(f"{number}@example.com", **{ENTERPRISE_URN: {"manager": sent}})
        shown = {"value": boss["id"], "$ref": location, "displayName": "The Boss"}
        assert made[ENTERPRISE_URN] == {"manager": shown}, sent
    path = f"/Users/{made['id']}"
    assert await client.get(path) == made
    again = await client.send("PUT", path, made)
    assert (again.json(), again.headers["etag"]) == (made, made["meta"]["version"])
    only = await client.get(f"{path}?attributes={MANAGER}.displayName")
    assert only == {
        "schemas": [USER_URN, ENTERPRISE_URN],
        "id": made["id"],
        ENTERPRISE_URN: {"manager": {"displayName": "The Boss"}},
    }
    assert (await client.get(f"/Users?filter={MANAGER}.displayName%20eq%20%22the%20boss%22"))["totalResults"] == len(
        forms
    )
    await client.send("DELETE", f"/Users/{boss['id']}")
    assert (await client.get(path))[ENTERPRISE_URN] == {"manager": {"value": boss["id"]}}


async def test_the_name_of_a_manager_cannot_be_written(client: Scim) -> None:
    """RFC 7643 §8.7.1, manager.displayName: readOnly; RFC 7644 §3.5.2: a read-only target is refused, one that comes
    along within a value is ignored.
    """
    made = await client.create_user()
    path = f"/Users/{made['id']}"
    target = {"op": "add", "path": f"{MANAGER}.displayName", "value": "Somebody"}
    assert_scim_error(await client.patch(path, target), 400, "mutability")
    along = {"op": "add", "path": MANAGER, "value": {"displayName": "Somebody"}}
    assert (await client.patch(path, along)).status_code == 200
    assert ENTERPRISE_URN not in await client.get(f"/Users/{made['id']}")


async def test_a_refusal_names_the_operation_the_attribute_and_the_rule(client: Scim) -> None:
    """RFC 7644 §3.12: `detail` is "A detailed human-readable message"."""
    made = await client.create_user()
    answer = await client.patch(
        f"/Users/{made['id']}",
        {"op": "replace", "path": "title", "value": "x"},
        {"op": "replace", "path": MANAGER, "value": {"value": 5}},
    )
    assert_scim_error(answer, 400, "invalidValue")
    assert answer.json()["detail"] == f"operation 2: {MANAGER}.value must be a string"
