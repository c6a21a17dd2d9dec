"""The Enterprise Store: employees, publications, and who sees what."""

from __future__ import annotations

import pytest
from rollcall.directory.v1 import connection_service_pb2, events_pb2
from rollcall.directory.v1.group_pb2 import Group

from chassis.paging import InvalidPageToken
from portal_service import employees, publications
from portal_service.errors import (
    EmployeeNotFound,
    GroupNotFound,
    InvalidValue,
    PublicationExists,
    PublicationNotFound,
)
from tests.portal_service.desk import WORKSPACE, Connection, Desk, RecordedDirectory


async def hire(desk: Desk, *names: str, on_deactivate: bool = True) -> None:
    """Opens the store's connection and creates users, who become employees."""
    await desk.open(desk.store, on_create=True, on_deactivate=on_deactivate)
    await desk.take(*(desk.store.created(desk.store.user(name)) for name in names))


async def test_a_user_of_the_store_becomes_an_employee_and_leaves_as_one(desk: Desk) -> None:
    """PRODUCT §5: "**on create** `NOTHING | CREATE_EMPLOYEE`; **on deactivate** `NOTHING | REMOVE_EMPLOYEE`"."""
    await hire(desk, "ada", "eve")
    found = await employees.get_employee(desk.db, desk.workspaces, WORKSPACE, "Ada@Example.com")
    assert (found.email, found.user_id, found.connection_id) == ("ada@example.com", "ada", desk.store.connection_id)
    await desk.take(desk.store.deactivated(desk.store.user("ada")), desk.store.deleted(desk.store.user("eve")))
    assert await desk.employees() == set()
    assert await desk.roles() == {}
    assert await desk.effects() == [("CREATE_EMPLOYEE", "APPLIED", "")] * 2 + [("REMOVE_EMPLOYEE", "APPLIED", "")] * 2
    with pytest.raises(EmployeeNotFound):
        await employees.get_employee(desk.db, desk.workspaces, WORKSPACE, "ada@example.com")


async def test_leaving_the_dashboard_app_takes_nothing_in_the_store(desk: Desk) -> None:
    """PRODUCT §1: "The three portals are usually three Okta apps": leaving one never touches another."""
    await hire(desk, "ada")
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    twin = desk.dashboard.user("twin", email="ada@example.com")
    await desk.take(desk.dashboard.created(twin), desk.dashboard.deactivated(twin))
    assert await desk.employees() == {"ada@example.com"}


async def test_pages_of_employees_are_by_address(desk: Desk) -> None:
    """The contract: "Lists the store's employees of a workspace by e-mail (AIP-132)"."""
    await hire(desk, "c", "a", "b")
    page, token = await employees.list_employees(desk.db, desk.workspaces, WORKSPACE, page_size=2, page_token="")
    rest, end = await employees.list_employees(desk.db, desk.workspaces, WORKSPACE, page_size=2, page_token=token)
    assert [item.email[0] for item in [*page, *rest]] == ["a", "b", "c"]
    assert end == ""


async def test_a_public_app_is_seen_by_every_employee_and_nobody_else(desk: Desk) -> None:
    """PRODUCT §5: "public to all the workspace's employees"."""
    await hire(desk, "ada")
    await desk.publish("Mail")
    await desk.publish("Calendar")
    assert await desk.visible("ADA@example.com") == ["Calendar", "Mail"]
    assert await desk.visible("stranger@example.com") == []


async def test_a_restricted_app_is_seen_by_its_groups_members(desk: Desk) -> None:
    """PRODUCT §5: "or restricted to an **audience** of groups … access ends with membership or with the employee"."""
    await hire(desk, "ada", "eve")
    sales, ops = desk.store.group("s", "Sales"), desk.store.group("o", "Ops")
    await desk.take(desk.store.group_created(sales), desk.store.group_created(ops), desk.store.members(sales, ["ada"]))
    published = await desk.publish("CRM", "SALES", "ops", "sales")
    assert published.restricted
    assert [(entry.group_id, entry.display_name) for entry in published.audience] == [("o", "Ops"), ("s", "Sales")]
    assert (await desk.visible("ada@example.com"), await desk.visible("eve@example.com")) == (["CRM"], [])
    await desk.take(desk.store.members(ops, ["eve"]), desk.store.members(sales, removed=["ada"]))
    assert (await desk.visible("ada@example.com"), await desk.visible("eve@example.com")) == ([], ["CRM"])
    for email, allowed in (("ada@example.com", False), ("eve@example.com", True), ("x@example.com", False)):
        assert allowed == await publications.check_publication_access(
            desk.db, desk.workspaces, WORKSPACE, publication_id=published.publication_id, email=email
        )
    await desk.take(desk.store.deactivated(desk.store.user("eve")))
    assert await desk.visible("eve@example.com") == []


async def test_a_deactivated_user_whose_rule_is_nothing_keeps_access(desk: Desk) -> None:
    """PRODUCT §5: "**on deactivate** `NOTHING`" means that nothing happens."""
    await hire(desk, "ada", on_deactivate=False)
    sales = desk.store.group("s", "Sales")
    await desk.take(desk.store.members(sales, ["ada"]))
    await desk.publish("CRM", "Sales")
    await desk.take(desk.store.deactivated(desk.store.user("ada")))
    assert await desk.visible("ada@example.com") == ["CRM"]
    await desk.take(desk.store.deleted(desk.store.user("ada")))
    assert await desk.employees() == {"ada@example.com"}
    assert await desk.visible("ada@example.com") == []


async def test_access_goes_through_nested_groups(desk: Desk) -> None:
    """RFC 7643 §4.1.2: a user's groups count "either through direct membership, through nested groups"."""
    await hire(desk, "ada")
    outer, inner = desk.store.group("o", "Everyone"), desk.store.group("i", "Team")
    await desk.take(desk.store.members(outer, added_groups=["i"]), desk.store.members(inner, ["ada"]))
    await desk.publish("Wiki", "everyone")
    assert await desk.visible("ada@example.com") == ["Wiki"]
    await desk.take(desk.store.members(outer, removed_groups=["i"]))
    assert await desk.visible("ada@example.com") == []


async def test_when_all_groups_of_an_audience_are_gone_nobody_sees_the_app(desk: Desk) -> None:
    """SECURITY, GHSA-j8v8-g9cx-5qf4: "fail closed"."""
    await hire(desk, "ada")
    sales = desk.store.group("s", "Sales")
    await desk.take(desk.store.members(sales, ["ada"]))
    await desk.publish("CRM", "Sales")
    await desk.take(desk.store.group_deleted(sales))
    assert await desk.visible("ada@example.com") == []
    page, _ = await publications.list_publications(desk.db, desk.workspaces, WORKSPACE, page_size=0, page_token="")
    assert [(item.name, item.restricted, list(item.audience)) for item in page] == [("CRM", True, [])]


async def test_an_audience_is_its_groups_whatever_they_are_called_later(desk: Desk) -> None:
    """The contract: an audience holds "The group's id"; a rename changes what is shown and not who sees it."""
    await hire(desk, "ada")
    sales = desk.store.group("s", "Sales")
    await desk.take(desk.store.members(sales, ["ada"]))
    await desk.publish("CRM", "Sales")
    await desk.take(desk.store.renamed(sales, "Revenue"))
    assert await desk.visible("ada@example.com") == ["CRM"]
    page, _ = await publications.list_publications(desk.db, desk.workspaces, WORKSPACE, page_size=0, page_token="")
    assert page[0].audience[0].display_name == "Revenue"


async def test_groups_of_another_connection_are_no_audience(desk: Desk) -> None:
    """PRODUCT §1: "Nothing of one connection is reachable, matched or even hinted at through another"."""
    await hire(desk, "ada")
    await desk.open(desk.dashboard)
    elsewhere = Connection("STORE", "elsewhere", "workspace-2")
    await desk.take(
        desk.dashboard.group_created(desk.dashboard.group("d", "Dashboard people")),
        elsewhere.group_created(elsewhere.group("x", "Strangers")),
    )
    for name in ("Dashboard people", "Strangers"):
        with pytest.raises(GroupNotFound) as caught:
            await desk.publish("CRM", name)
        assert caught.value.field == "audience[0]"
    assert await desk.rows("publications") == []


async def test_membership_on_another_connection_opens_nothing(desk: Desk) -> None:
    """PRODUCT §1: a membership counts on the connection that provisions the employee, and on no other."""
    await hire(desk, "ada")
    sales = desk.store.group("s", "Sales")
    await desk.take(desk.store.group_created(sales))
    await desk.publish("CRM", "Sales")
    elsewhere = Connection("STORE", "elsewhere", "workspace-2")
    await desk.take(elsewhere.members(elsewhere.group("t", "Sales"), ["ada"], added_groups=["s"]))
    assert await desk.visible("ada@example.com") == []


async def test_a_group_that_no_event_told_of_is_asked_for(desk: Desk, recorded: RecordedDirectory) -> None:
    """PRODUCT §2: "Groups are first-class: they exist and can be used (publication audiences …)"."""
    await hire(desk, "ada")
    for connection_id, portal in (
        ("mdm", connection_service_pb2.PORTAL_MDM),
        (desk.store.connection_id, connection_service_pb2.PORTAL_STORE),
    ):
        recorded.connections[connection_id] = connection_service_pb2.Connection(
            connection_id=connection_id,
            workspace_id=WORKSPACE,
            portal=portal,
            state=connection_service_pb2.CONNECTION_STATE_ENABLED,
        )
    name = 'The "new" \\ group'
    recorded.groups.append(Group(id="n", connection_id=desk.store.connection_id, display_name=name))
    published = await desk.publish("CRM", name)
    assert [(entry.group_id, entry.display_name) for entry in published.audience] == [("n", name)]
    await desk.take(desk.store.members(desk.store.group("n", name), ["ada"]))
    assert await desk.visible("ada@example.com") == ["CRM"]


async def test_a_name_is_unique_per_workspace_whatever_its_case(desk: Desk) -> None:
    """The contract: "The name, unique per workspace"."""
    await hire(desk)
    await desk.publish("Mail")
    with pytest.raises(PublicationExists):
        await desk.publish("MAIL")
    for wrong in ("", " ", "a\0b", "x" * 201):
        with pytest.raises(InvalidValue):
            await desk.publish(wrong)
    with pytest.raises(InvalidValue) as caught:
        await desk.publish("CRM", "")
    assert caught.value.field == "audience[0]"


async def test_a_publication_taken_from_the_store_is_gone(desk: Desk) -> None:
    """The contract: DeletePublication "Takes an app from the store (AIP-135)"."""
    await hire(desk, "ada")
    sales = desk.store.group("s", "Sales")
    await desk.take(desk.store.members(sales, ["ada"]))
    published = await desk.publish("CRM", "Sales")
    with pytest.raises(PublicationNotFound):
        await publications.delete_publication(desk.db, desk.workspaces, WORKSPACE, "no-such\0")
    await publications.delete_publication(desk.db, desk.workspaces, WORKSPACE, published.publication_id)
    assert await desk.visible("ada@example.com") == []
    for table in ("publications", "publication_audiences"):
        assert await desk.rows(table) == []
    with pytest.raises(PublicationNotFound):
        await publications.check_publication_access(
            desk.db, desk.workspaces, WORKSPACE, publication_id=published.publication_id, email="ada@example.com"
        )


async def test_a_deleted_connection_ends_access_through_its_groups(desk: Desk) -> None:
    """PRODUCT §5: "access ends with membership or with the employee"."""
    await hire(desk, "ada", on_deactivate=False)
    sales = desk.store.group("s", "Sales")
    await desk.take(desk.store.members(sales, ["ada"]))
    await desk.publish("CRM", "Sales")
    await desk.publish("Mail")
    await desk.take(desk.store.event(events_pb2.ConnectionDeleted))
    assert await desk.visible("ada@example.com") == ["Mail"]


async def test_employees_are_found_by_the_beginning_of_their_address(desk: Desk) -> None:
    """portal_service.proto: "What the e-mail address begins with, in any case; empty: all"."""
    await hire(desk, "anna", "ann", "bob", "a")

    async def find(prefix: str, size: int = 0, token: str = "") -> tuple[list[str], str]:
        page, following = await employees.list_employees(
            desk.db, desk.workspaces, WORKSPACE, email_prefix=prefix, page_size=size, page_token=token
        )
        return [item.user_id for item in page], following

    assert await find("ANN") == (["ann", "anna"], "")
    assert (await find("nn"))[0] == []
    first, token = await find("a", 2)
    rest, end = await find("a", 2, token)
    assert (first + rest, end) == (["a", "ann", "anna"], "")
    with pytest.raises(InvalidPageToken):
        await find("b", 2, token)


async def test_the_employee_of_a_user_is_found_by_the_user(desk: Desk) -> None:
    """portal_service.proto: "The id of the directory user that the employee follows"."""
    await hire(desk, "ada")
    found = await employees.get_employee(desk.db, desk.workspaces, WORKSPACE, "", "ada")
    assert found.email == "ada@example.com"
    for email, user_id in (("", "eve"), ("", ""), ("", "a\0"), ("eve@example.com", "ada")):
        with pytest.raises(EmployeeNotFound):
            await employees.get_employee(desk.db, desk.workspaces, WORKSPACE, email, user_id)


async def test_an_app_gets_another_audience(desk: Desk) -> None:
    """portal_service.proto: "The whole audience from now on"; PRODUCT §5: "access ends with membership"."""
    await hire(desk, "ada", "eve")
    sales, staff = desk.store.group("g1", "Sales"), desk.store.group("g2", "Staff")
    await desk.take(desk.store.group_created(sales), desk.store.group_created(staff))
    await desk.take(desk.store.members(sales, added=["ada"]), desk.store.members(staff, added=["eve"]))
    made = await desk.publish("Mail", "Sales")
    assert (await desk.visible("ada@example.com"), await desk.visible("eve@example.com")) == (["Mail"], [])

    async def give(*audience: str) -> list[str]:
        changed = await publications.update_publication(
            desk.db, desk.workspaces, desk.directory, WORKSPACE, made.publication_id, audience=audience
        )
        assert changed == await publications.get_publication(desk.db, desk.workspaces, WORKSPACE, made.publication_id)
        return [group.display_name for group in changed.audience]

    assert await give("g1", "staff") == ["Sales", "Staff"]
    assert await desk.visible("eve@example.com") == ["Mail"]
    assert await give("Staff") == ["Staff"]
    assert (await desk.visible("ada@example.com"), await desk.visible("eve@example.com")) == ([], ["Mail"])
    with pytest.raises(GroupNotFound):
        await give("Staff", "Nobody")
    with pytest.raises(GroupNotFound):
        await give("g1")  # not of the audience any more, and no name
    assert await desk.visible("eve@example.com") == ["Mail"]
    assert await give() == []
    assert await desk.visible("ada@example.com") == ["Mail"]


@pytest.mark.parametrize("publication_id", ["", "nobody", "a\0"])
async def test_an_app_that_is_not_offered_is_neither_read_nor_changed(desk: Desk, publication_id: str) -> None:
    """portal_service/errors.proto: "No such publication in the workspace. NOT_FOUND"."""
    await hire(desk)
    with pytest.raises(PublicationNotFound):
        await publications.get_publication(desk.db, desk.workspaces, WORKSPACE, publication_id)
    with pytest.raises(PublicationNotFound):
        await publications.update_publication(
            desk.db, desk.workspaces, desk.directory, WORKSPACE, publication_id, audience=[]
        )
