"""The manager of a user (RFC 7643 §4.3)."""

from typing import Any

import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import connection_service_pb2 as connections_pb
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import user_pb2

from directory_service.tables import USERS
from tests.directory_service.world import PUBLIC_URL, Caller, Connected, World, operation, user

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def managed(**manager: str) -> user_pb2.EnterpriseUser:
    """The enterprise extension of somebody with a manager."""
    return user_pb2.EnterpriseUser(manager=user_pb2.Manager(**manager))


def shown(found: user_pb2.User) -> tuple[str, str, str, str]:
    """What a user shows of its manager."""
    manager = found.enterprise.manager
    return manager.value, manager.id, manager.display_name, manager.ref


async def boss(scim: Caller, **fields: Any) -> user_pb2.User:
    """Create somebody who manages others."""
    return await scim.create("boss@b", display_name="The Boss", **fields)


@pytest.mark.parametrize("by", ["id", "external_id"])
async def test_a_manager_of_the_connection_is_shown_by_name_in_every_answer(
    world: World, connected: Connected, by: str
) -> None:
    """Design: "shows `displayName` of a manager in the same connection"."""
    chief = await boss(connected.scim, external_id="00u-boss")
    value = getattr(chief, by)
    expected = (value, chief.id, "The Boss", "")
    made = await connected.scim.create("a@b", enterprise=managed(value=value))
    assert shown(made) == expected
    assert shown(await connected.scim.get(made.id)) == expected
    listed = await connected.scim.call("ListUsers", pb.ListUsersRequest(filter='userName eq "a@b"'))
    assert [shown(found) for found in listed.users] == [expected]
    assert shown(await connected.scim.update(user("a@b", id=made.id, enterprise=managed(value=value)))) == expected
    assert shown(await connected.scim.patch(made.id, operation("replace", "title", "x"))) == expected
    await connected.scim.patch(chief.id, operation("replace", "displayName", "Chief"))
    assert shown(await connected.scim.get(made.id)) == (value, chief.id, "Chief", "")
    events = [event for event in await world.events(connected.id) if "user" in event.DESCRIPTOR.fields_by_name]
    assert {shown(event.user)[1:] for event in events if event.user.id == made.id} == {("", "", "")}
    (row,) = await world.rows(sa.select(USERS.c.document).where(USERS.c.id == made.id))
    assert row.document[ENTERPRISE] == {"manager": {"value": value}}


async def test_a_manager_who_is_not_there_stays_as_sent(world: World, connected: Connected) -> None:
    """Design: "survives one that is not there"; PRODUCT §1: nothing is "even hinted at through another" connection."""
    elsewhere = await world.connect(connections_pb.PORTAL_STORE)
    stranger = await boss(elsewhere.scim, external_id="ext")
    for value in (stranger.id, "ext", "nobody", "Boss, The"):
        made = await connected.scim.create(f"{value}@b", enterprise=managed(value=value))
        assert shown(made) == shown(await connected.scim.get(made.id)) == (value, "", "", "")
    assert await connected.scim.find(f"{ENTERPRISE}:manager.displayName pr") == []
    chief = await boss(connected.scim)
    made = await connected.scim.create("a@b", enterprise=managed(value=chief.id))
    await connected.scim.delete(chief.id)
    assert shown(await connected.scim.get(made.id)) == (chief.id, "", "", "")
    assert (await connected.scim.get(made.id)).version == 1


async def test_an_id_comes_before_an_external_id_and_a_name_may_be_missing(connected: Connected) -> None:
    """RFC 7643 §4.3: `value` is "the `id` of the SCIM resource representing the user's manager"."""
    chief = await connected.scim.create("boss@b")
    await connected.scim.create("other@b", external_id=chief.id, display_name="Other")
    made = await connected.scim.create("a@b", enterprise=managed(value=chief.id))
    assert shown(made) == (chief.id, chief.id, "", "")
    assert await connected.scim.find(f'{ENTERPRISE}:manager.displayName eq "Other"') == []


@pytest.mark.parametrize(
    "sent",
    [
        {"value": "{id}"},
        {"value": "{id}", "ref": "{own}{id}"},
        {"ref": "{own}{id}"},
        {"value": "{id}", "ref": "{own}somebody-else"},
        {"value": "{id}", "display_name": "Somebody", "id": "x"},
    ],
)
async def test_a_manager_may_be_given_by_value_or_by_reference(connected: Connected, sent: dict[str, str]) -> None:
    """Design: "`manager` accepts a string, `{value}` and `$ref`"."""
    chief = await boss(connected.scim)
    own = f"{PUBLIC_URL}/scim/v2/{connected.id}/Users/"
    filled = {name: text.replace("{own}", own).replace("{id}", chief.id) for name, text in sent.items()}
    made = await connected.scim.create("a@b", enterprise=managed(**filled))
    assert shown(made) == (chief.id, chief.id, "The Boss", "")


@pytest.mark.parametrize("ref", ["../Users/{id}", "https://else.example/scim/v2/x/Users/{id}", "https://x/{own}{id}/y"])
async def test_a_reference_to_elsewhere_is_kept_as_sent(connected: Connected, ref: str) -> None:
    """PRODUCT §2: "kept verbatim"."""
    chief = await boss(connected.scim)
    sent = ref.replace("{id}", chief.id).replace("{own}", f"scim/v2/{connected.id}/Users/")
    made = await connected.scim.create("a@b", enterprise=managed(value=chief.id, ref=sent))
    assert shown(made) == (chief.id, chief.id, "The Boss", sent)


async def test_an_answer_that_is_sent_back_changes_nothing(world: World, connected: Connected) -> None:
    """PRODUCT §2: "a write that changes nothing changes no version, no `lastModified`, and publishes nothing"."""
    chief = await boss(connected.scim, external_id="ext")
    made = await connected.scim.create("a@b", enterprise=managed(value="ext"))
    made.enterprise.manager.ref = f"{PUBLIC_URL}/scim/v2/{connected.id}/Users/{chief.id}"
    again = await connected.scim.update(made)
    assert (again.version, shown(again)) == (1, ("ext", chief.id, "The Boss", ""))
    assert (await world.kinds(connected.id)) == ["UserCreated", "UserCreated"]


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([("replace", f"{ENTERPRISE}:manager", "{id}")], "{id}"),
        ([("add", f"{ENTERPRISE}:manager", {"value": "{id}"})], "{id}"),
        ([("add", f"{ENTERPRISE}:manager", [{"$ref": None, "value": "{id}"}])], "{id}"),
        ([("add", "manager", [{"$ref": "http://x/Users/{id}", "value": "{id}"}])], "{id}"),
        ([("replace", f"{ENTERPRISE}:manager.value", "{id}")], "{id}"),
        ([("replace", f"{ENTERPRISE}:manager.$ref", "{own}{id}")], "{id}"),
        ([("replace", None, {f"{ENTERPRISE}:manager": "{id}"})], "{id}"),
        ([("replace", None, {ENTERPRISE: {"manager": {"value": "{id}", "displayName": "Somebody"}}})], "{id}"),
        ([("replace", None, {f"{ENTERPRISE}:manager.value": "{id}"})], "{id}"),
        ([("replace", f"{ENTERPRISE}:manager", "")], ""),
        ([("remove", f"{ENTERPRISE}:manager")], ""),
        ([("remove", f"{ENTERPRISE}:manager.value")], ""),
    ],
)
async def test_a_manager_is_patched_in_every_form_seen(
    connected: Connected, operations: list[tuple[Any, ...]], expected: str
) -> None:
    """WIRE, Entra ID: "manager as a plain string or `{value}`"; flag `aadOptscim062020`: URN-colon keys."""
    chief = await boss(connected.scim)
    before = await connected.scim.create("old@b")
    made = await connected.scim.create("a@b", enterprise=managed(value=before.id))

    def filled(part: Any) -> Any:
        if isinstance(part, str):
            own = f"{PUBLIC_URL}/scim/v2/{connected.id}/Users/"
            return part.replace("{own}", own).replace("{id}", chief.id)
        if isinstance(part, list):
            return [filled(item) for item in part]
        return {key: filled(item) for key, item in part.items()} if isinstance(part, dict) else part

    sent = [operation(op, path, filled(value[0])) if value else operation(op, path) for op, path, *value in operations]
    patched = await connected.scim.patch(made.id, *sent)
    assert patched.enterprise.manager.value == filled(expected)
    assert patched.enterprise.manager.display_name == ("The Boss" if expected else "")


async def test_managers_are_filtered_and_sorted_by_what_is_shown(connected: Connected) -> None:
    """RFC 7644 §3.4.2.2: a filter is on the resource as it is shown."""
    names = {name: await connected.scim.create(f"{name}@boss", display_name=name) for name in ("Zoe", "Adam")}
    for name, chief in names.items():
        await connected.scim.create(f"of-{name}", enterprise=managed(value=chief.id))
    own = f"{PUBLIC_URL}/scim/v2/{connected.id}/Users/"
    for term in (
        'manager.displayName eq "adam"',
        f'manager[displayName sw "A" and value eq "{names["Adam"].id}"]',
        f'manager.$ref eq "{own}{names["Adam"].id}"',
    ):
        assert await connected.scim.find(f"{ENTERPRISE}:{term}") == ["of-Adam"], term
    in_order = await connected.scim.find(f"{ENTERPRISE}:manager pr", sort_by=f"{ENTERPRISE}:manager.displayName")
    assert in_order == ["of-Adam", "of-Zoe"]


async def test_a_page_of_users_costs_one_look_up_of_managers(fresh_world: World) -> None:
    """House rule of the directory: never a query for each row."""
    connected = await fresh_world.connect()
    chief = await boss(connected.scim)
    for number in range(5):
        await connected.scim.create(f"{number}@b", enterprise=managed(value=chief.id))
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        await connected.scim.find(page_size=100)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert sum("display_name FROM" in statement and "named_by" in statement for statement in statements) == 1
