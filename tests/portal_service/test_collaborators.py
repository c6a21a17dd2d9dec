"""Collaborators: what users, their coming and going, and administrators make of them."""

from __future__ import annotations

import pytest
from rollcall.directory.v1 import events_pb2
from rollcall.portal.v1 import portal_service_pb2 as pb

from portal_service import collaborators
from portal_service.errors import (
    CollaboratorExists,
    CollaboratorNotFound,
    InvalidValue,
    LastAdmin,
    WorkspaceNotFound,
)
from tests.portal_service.desk import WORKSPACE, Connection, Desk, later


async def test_a_rule_nobody_set_creates_nothing_and_says_so(desk: Desk) -> None:
    """PRODUCT §4: "**on create** `NOTHING | CREATE_COLLABORATOR`"; §7: every consequence is an effect."""
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada")))
    assert await desk.roles() == {}
    assert await desk.effects() == [("CREATE_COLLABORATOR", "SKIPPED", "RULE_NOTHING")]


async def test_a_user_becomes_a_collaborator_with_the_default_role(desk: Desk) -> None:
    """PRODUCT §4: "**on create** … `CREATE_COLLABORATOR`; **default role** `ADMIN | EDITOR | VIEWER`"."""
    await desk.open(desk.dashboard, on_create=True, default_role=pb.ROLE_EDITOR)
    user = desk.dashboard.user("ada", name="Ada", metadata={"floor": 3, "tags": ["a", True, None]})
    await desk.take(desk.dashboard.created(user))
    found = await collaborators.get_collaborator(desk.db, desk.workspaces, WORKSPACE, "ADA@example.com")
    assert (found.email, found.display_name, found.role) == ("ada@example.com", "Ada", pb.ROLE_EDITOR)
    assert found.role_source == pb.ROLE_SOURCE_DEFAULT
    assert (found.connection_id, found.user_id) == (desk.dashboard.connection_id, "ada")
    assert found.metadata == user.metadata
    assert found.created_time.ToDatetime(tzinfo=later().tzinfo) == later()


async def test_every_effect_names_event_request_rule_and_target(desk: Desk) -> None:
    """PRODUCT §7: "event id, request id, connection, user, rule and its version, target …, action, before, after"."""
    rules = await desk.open(desk.dashboard, on_create=True)
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada", name="Ada")), event_id="event-7")
    effect = await desk.last_effect()
    [row] = await desk.rows("collaborators")
    assert effect["event_id"] == "event-7"
    assert effect["event_type"] == "rollcall.directory.v1.UserCreated"
    assert effect["request_id"] == "request-1"
    assert (effect["workspace_id"], effect["connection_id"]) == (WORKSPACE, desk.dashboard.connection_id)
    assert (effect["user_id"], effect["user_name"]) == ("ada", "name of ada")
    assert (effect["rule"], effect["rule_version"]) == ("on_create", rules.rule_version)
    assert (effect["target_kind"], effect["target_id"], effect["target_name"]) == (
        "COLLABORATOR",
        row["id"],
        "ada@example.com",
    )
    assert (effect["before"], effect["after"]) == (
        None,
        {"email": "ada@example.com", "display_name": "Ada", "role": "VIEWER", "role_source": "DEFAULT"},
    )
    assert not effect["repair"]


async def test_a_user_created_inactive_gets_nothing_until_activated(desk: Desk) -> None:
    """PRODUCT §2: "Deactivation is the transition `active` true → false and reactivation false → true"."""
    await desk.open(desk.dashboard, on_create=True)
    user = desk.dashboard.user("ada", active=False)
    await desk.take(desk.dashboard.created(user), desk.dashboard.updated(user))
    assert await desk.roles() == {}
    await desk.take(desk.dashboard.reactivated(desk.dashboard.user("ada")))
    assert await desk.roles() == {"ada@example.com": ("VIEWER", "DEFAULT")}
    assert await desk.effects() == [
        ("CREATE_COLLABORATOR", "SKIPPED", "INACTIVE"),
        ("CREATE_COLLABORATOR", "APPLIED", ""),
    ]


async def test_without_an_address_nothing_is_created_until_an_update_brings_one(desk: Desk) -> None:
    """PRODUCT §2: "with none the effect is `SKIPPED`, reason `NO_EMAIL`"."""
    await desk.open(desk.dashboard, on_create=True)
    nameless = desk.dashboard.user("ada", email="")
    await desk.take(desk.dashboard.created(nameless), desk.dashboard.updated(nameless))
    assert await desk.effects() == [("CREATE_COLLABORATOR", "SKIPPED", "NO_EMAIL")]
    await desk.take(desk.dashboard.updated(desk.dashboard.user("ada")))
    assert await desk.roles() == {"ada@example.com": ("VIEWER", "DEFAULT")}


async def test_a_user_who_came_under_the_rule_nothing_stays_without_an_account_on_updates(desk: Desk) -> None:
    """PRODUCT §4: **on create** says what happens when a user appears; an update is no appearance."""
    user = desk.dashboard.user("ada")
    await desk.take(desk.dashboard.created(user))
    await desk.rule(desk.dashboard, on_create=True)
    await desk.take(desk.dashboard.updated(user))
    assert await desk.roles() == {}


async def test_one_who_exists_already_is_linked_and_keeps_the_role(desk: Desk) -> None:
    """PRODUCT §4: "A collaborator who exists already in the workspace with that e-mail is linked, not duplicated"."""
    await desk.open(desk.dashboard, on_create=True)
    await desk.add("Ada@Example.com", pb.ROLE_EDITOR)
    user = desk.dashboard.user("ada", name="Ada")
    await desk.take(desk.dashboard.created(user))
    assert list((await desk.roles()).values()) == [("EDITOR", "MANUAL")]
    [row] = await desk.rows("collaborators")
    assert (row["user_id"], row["display_name"]) == ("ada", "Ada")
    assert [action for action, _, _ in await desk.effects()] == [
        "LINK_COLLABORATOR",
        "UPDATE_EMAIL",
        "UPDATE_DISPLAY_NAME",
    ]


async def test_a_clash_outside_the_workspace_never_links(desk: Desk) -> None:
    """SECURITY, CVE-2022-1680: "an e-mail clash outside the workspace never links"."""
    elsewhere = Connection("DASHBOARD", "elsewhere", "workspace-2")
    await desk.open(desk.dashboard, on_create=True)
    await desk.add("ada@example.com")
    await desk.open(elsewhere, on_create=True)
    await desk.take(elsewhere.created(elsewhere.user("other", email="ada@example.com")))
    rows = await desk.rows("collaborators")
    assert sorted((row["workspace_id"], row["user_id"]) for row in rows) == [(WORKSPACE, ""), ("workspace-2", "other")]


async def test_the_account_of_another_living_user_is_never_taken(desk: Desk) -> None:
    """PRODUCT §2: "if another account has it, the effect is `FAILED` with that reason and nothing is merged"."""
    await desk.open(desk.dashboard, on_create=True)
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada", email="same@example.com")))
    before = await desk.rows("collaborators")
    eve = desk.dashboard.user("eve", email="SAME@example.com")
    await desk.take(desk.dashboard.created(eve), desk.dashboard.updated(eve))
    assert await desk.rows("collaborators") == before
    assert (await desk.effects())[1:] == [("CREATE_COLLABORATOR", "FAILED", "EMAIL_TAKEN")]


async def test_an_address_that_becomes_free_goes_to_the_user_who_waits_for_it(desk: Desk) -> None:
    """DELIVERY: "downstream = fold(directory)": the order of two users' events must not decide who has an account."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    ada = desk.dashboard.user("ada", email="same@example.com")
    await desk.take(
        desk.dashboard.created(ada),
        desk.dashboard.created(desk.dashboard.user("eve", email="same@example.com")),
        desk.dashboard.updated(desk.dashboard.user("ada", email="new@example.com")),
    )
    assert {row["email"]: row["user_id"] for row in await desk.rows("collaborators")} == {
        "same@example.com": "eve",
        "new@example.com": "ada",
    }


async def test_a_chain_of_waiting_addresses_is_resolved(desk: Desk) -> None:
    """DELIVERY: "downstream = fold(directory)", also when each waits for what the next one leaves."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    a, b, c = (desk.dashboard.user(name) for name in "abc")
    await desk.take(*(desk.dashboard.created(user) for user in (a, b, c)))
    await desk.take(
        desk.dashboard.updated(desk.dashboard.user("c", email="b@example.com")),
        desk.dashboard.updated(desk.dashboard.user("b", email="a@example.com")),
    )
    assert (await desk.effects())[3:] == [("UPDATE_EMAIL", "FAILED", "EMAIL_TAKEN")] * 2
    await desk.take(desk.dashboard.deactivated(a))
    assert {row["user_id"]: row["email"] for row in await desk.rows("collaborators")} == {
        "b": "a@example.com",
        "c": "b@example.com",
    }


async def test_the_account_of_a_deactivated_user_is_taken_over_by_the_new_one(desk: Desk) -> None:
    """PRODUCT §4: the collaborator of that e-mail is linked; nobody alive is behind the earlier link."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=False)
    old = desk.dashboard.user("old", email="ada@example.com")
    await desk.take(desk.dashboard.created(old), desk.dashboard.deactivated(old))
    await desk.take(desk.dashboard.created(desk.dashboard.user("new", email="ada@example.com")))
    [row] = await desk.rows("collaborators")
    assert row["user_id"] == "new"
    await desk.take(desk.dashboard.reactivated(old))
    [row] = await desk.rows("collaborators")
    assert row["user_id"] == "new"
    assert (await desk.effects())[-1] == ("CREATE_COLLABORATOR", "FAILED", "EMAIL_TAKEN")


async def test_address_name_and_metadata_follow_and_each_change_is_an_effect(desk: Desk) -> None:
    """PRODUCT §2: "When it changes, the account's e-mail follows"; §3: "`metadata` rides on events to the account"."""
    await desk.open(desk.dashboard, on_create=True)
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada", name="Ada", metadata={"floor": "1"})))
    changed = desk.dashboard.user("ada", email="countess@example.com", name="Countess", metadata={"floor": "2"})
    await desk.take(desk.dashboard.updated(changed), desk.dashboard.updated(changed))
    [row] = await desk.rows("collaborators")
    assert (row["email"], row["display_name"], row["user_metadata"]) == (
        "countess@example.com",
        "Countess",
        {"floor": "2"},
    )
    assert (await desk.effects())[1:] == [
        ("UPDATE_EMAIL", "APPLIED", ""),
        ("UPDATE_DISPLAY_NAME", "APPLIED", ""),
        ("UPDATE_METADATA", "APPLIED", ""),
    ]
    assert (await desk.last_effect())["before"] == {"floor": "1"}


async def test_an_address_that_another_account_has_is_not_taken(desk: Desk) -> None:
    """PRODUCT §2: "if another account has it, the effect is `FAILED` with that reason and nothing is merged"."""
    await desk.open(desk.dashboard, on_create=True)
    await desk.add("boss@example.com")
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada")))
    greedy = desk.dashboard.user("ada", email="boss@example.com")
    await desk.take(desk.dashboard.updated(greedy), desk.dashboard.updated(greedy))
    assert await desk.roles() == {"boss@example.com": ("ADMIN", "MANUAL"), "ada@example.com": ("VIEWER", "DEFAULT")}
    assert (await desk.effects())[1:] == [("UPDATE_EMAIL", "FAILED", "EMAIL_TAKEN")]


async def test_an_address_that_vanishes_leaves_the_account_as_it_is(desk: Desk) -> None:
    """PRODUCT §2: "with none the effect is `SKIPPED`, reason `NO_EMAIL`"."""
    await desk.open(desk.dashboard, on_create=True)
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada")))
    await desk.take(desk.dashboard.updated(desk.dashboard.user("ada", email="")))
    assert list(await desk.roles()) == ["ada@example.com"]
    assert (await desk.effects())[-1] == ("UPDATE_EMAIL", "SKIPPED", "NO_EMAIL")


@pytest.mark.parametrize("how", ["deactivated", "deleted"])
async def test_whoever_leaves_loses_the_account_also_one_with_a_persons_choice(desk: Desk, how: str) -> None:
    """PRODUCT §4: "**on deactivate** … `REMOVE_COLLABORATOR`"; §2: DELETE "counts downstream as a deactivation"."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    await desk.add("boss@example.com")
    await desk.add("ada@example.com", pb.ROLE_ADMIN)
    ada = desk.dashboard.user("ada")
    await desk.take(desk.dashboard.created(ada), getattr(desk.dashboard, how)(ada))
    assert list(await desk.roles()) == ["boss@example.com"]
    assert (await desk.effects())[-1] == ("REMOVE_COLLABORATOR", "APPLIED", "")
    assert (await desk.last_effect())["before"]["role"] == "ADMIN"
    assert [row["active"] for row in await desk.rows("users")] == ([False] if how == "deactivated" else [])


@pytest.mark.parametrize("how", ["deactivated", "deleted"])
async def test_the_rule_nothing_leaves_the_account_and_says_so(desk: Desk, how: str) -> None:
    """PRODUCT §4: "**on deactivate** `NOTHING | REMOVE_COLLABORATOR`"."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=False)
    ada = desk.dashboard.user("ada")
    await desk.take(desk.dashboard.created(ada), getattr(desk.dashboard, how)(ada))
    [row] = await desk.rows("collaborators")
    assert row["user_id"] == ("ada" if how == "deactivated" else "")
    assert (await desk.effects())[-1] == ("REMOVE_COLLABORATOR", "SKIPPED", "RULE_NOTHING")


async def test_a_removed_account_comes_back_with_reactivation(desk: Desk) -> None:
    """PRODUCT §2: "reactivation false → true": the user appears again."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    ada = desk.dashboard.user("ada")
    await desk.take(desk.dashboard.created(ada), desk.dashboard.deactivated(ada), desk.dashboard.updated(ada))
    await desk.take(desk.dashboard.reactivated(ada))
    assert list(await desk.roles()) == ["ada@example.com"]
    await desk.take(desk.dashboard.deactivated(ada), desk.dashboard.deleted(ada))
    assert (await desk.effects())[-1] == ("REMOVE_COLLABORATOR", "SKIPPED", "NO_COLLABORATOR")


@pytest.mark.parametrize("how", ["deactivated", "deleted"])
async def test_the_last_admin_is_never_removed_by_provisioning(desk: Desk, how: str) -> None:
    """PRODUCT §4: "The last ADMIN … is never removed or demoted by provisioning: the effect is refused, recorded"."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True, default_role=pb.ROLE_ADMIN)
    ada = desk.dashboard.user("ada")
    await desk.take(desk.dashboard.created(ada), getattr(desk.dashboard, how)(ada))
    assert await desk.roles() == {"ada@example.com": ("ADMIN", "DEFAULT")}
    assert (await desk.effects())[-1] == ("REMOVE_COLLABORATOR", "HELD", "LAST_ADMIN")


async def test_admins_of_another_workspace_do_not_count(desk: Desk) -> None:
    """PRODUCT §4: "The last ADMIN **of a workspace**"."""
    elsewhere = Connection("DASHBOARD", "elsewhere", "workspace-2")
    for connection in (desk.dashboard, elsewhere):
        await desk.open(connection, on_create=True, on_deactivate=True, default_role=pb.ROLE_ADMIN)
        await desk.take(connection.created(connection.user(f"ada-{connection.connection_id}")))
    ada = elsewhere.user(f"ada-{elsewhere.connection_id}")
    await desk.take(elsewhere.deactivated(ada))
    assert (await desk.effects())[-1] == ("REMOVE_COLLABORATOR", "HELD", "LAST_ADMIN")


async def test_an_administrator_cannot_leave_a_workspace_without_admin(desk: Desk) -> None:
    """The contract, LAST_ADMIN: "The workspace would be left without an ADMIN. FAILED_PRECONDITION"."""
    await desk.open(desk.dashboard)
    await desk.add("boss@example.com", pb.ROLE_ADMIN)
    with pytest.raises(LastAdmin):
        await collaborators.delete_collaborator(desk.db, desk.workspaces, WORKSPACE, "boss@example.com")
    with pytest.raises(LastAdmin):
        await collaborators.set_role(desk.db, desk.workspaces, WORKSPACE, email="boss@example.com", role=pb.ROLE_EDITOR)
    assert await desk.roles() == {"boss@example.com": ("ADMIN", "MANUAL")}
    await desk.add("vice@example.com", pb.ROLE_ADMIN)
    await collaborators.delete_collaborator(desk.db, desk.workspaces, WORKSPACE, "BOSS@example.com")
    assert list(await desk.roles()) == ["vice@example.com"]


async def test_a_role_given_by_hand_is_a_persons_choice(desk: Desk) -> None:
    """PRODUCT §4: "A person's choice (MANUAL) is never overwritten"."""
    await desk.open(desk.dashboard, on_create=True, role_mode=pb.ROLE_MODE_CONTINUOUS)
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada")))
    await collaborators.set_role(desk.db, desk.workspaces, WORKSPACE, email="ada@example.com", role=pb.ROLE_UNASSIGNED)
    admins = desk.dashboard.group("g", "applivery-admin")
    await desk.take(desk.dashboard.group_created(admins), desk.dashboard.members(admins, ["ada"]))
    assert await desk.roles() == {"ada@example.com": ("UNASSIGNED", "MANUAL")}


async def test_who_was_removed_by_hand_is_not_brought_back_by_an_update(desk: Desk) -> None:
    """The contract: "Removes a collaborator by hand"; what a person decides stands until the user appears again."""
    await desk.open(desk.dashboard, on_create=True)
    ada = desk.dashboard.user("ada")
    await desk.take(desk.dashboard.created(ada))
    await collaborators.delete_collaborator(desk.db, desk.workspaces, WORKSPACE, "ada@example.com")
    await desk.take(desk.dashboard.updated(ada))
    assert await desk.roles() == {}


async def test_what_is_wrong_is_refused_and_changes_nothing(desk: Desk) -> None:
    """HOUSE: errors "name the field and the rule, change nothing"."""
    await desk.open(desk.dashboard)
    await desk.add("boss@example.com")
    with pytest.raises(InvalidValue, match="email: must be an e-mail address"):
        await desk.add("boss")
    with pytest.raises(InvalidValue, match="role: must be one of ADMIN, EDITOR, VIEWER, UNASSIGNED"):
        await desk.add("new@example.com", pb.ROLE_UNSPECIFIED)
    with pytest.raises(CollaboratorExists):
        await desk.add("BOSS@example.com")
    with pytest.raises(CollaboratorNotFound):
        await collaborators.delete_collaborator(desk.db, desk.workspaces, WORKSPACE, "nobody@\0example.com")
    with pytest.raises(WorkspaceNotFound):
        await collaborators.get_collaborator(desk.db, desk.workspaces, "no-such", "boss@example.com")
    assert list(await desk.roles()) == ["boss@example.com"]


async def test_pages_hold_every_collaborator_once_in_the_order_of_addresses(desk: Desk) -> None:
    """The contract: "Lists a workspace's collaborators by e-mail (AIP-132)"; AIP-158."""
    await desk.open(desk.dashboard)
    for name in ("d", "B", "a", "C", "e"):
        await desk.add(f"{name}@example.com")
    seen, token = [], ""
    while True:
        page, token = await collaborators.list_collaborators(
            desk.db, desk.workspaces, WORKSPACE, page_size=2, page_token=token
        )
        seen += [item.email[0] for item in page]
        if not token:
            break
    assert seen == ["a", "B", "C", "d", "e"]


async def test_a_deleted_connection_leaves_its_accounts_to_themselves(desk: Desk) -> None:
    """PRODUCT §1: "deleted (all its users and groups are deleted …)"; what the rules left behind follows nobody."""
    await desk.open(desk.dashboard, on_create=True)
    ada = desk.dashboard.user("ada")
    group = desk.dashboard.group("g", "applivery-admin")
    await desk.take(
        desk.dashboard.created(ada),
        desk.dashboard.group_created(group),
        desk.dashboard.members(group, ["ada"]),
        desk.dashboard.deleted(ada),
        desk.dashboard.event(events_pb2.ConnectionDeleted),
    )
    [row] = await desk.rows("collaborators")
    assert (row["user_id"], row["connection_id"]) == ("", "")
    for name in ("users", "groups", "group_members", "rules", "role_mappings"):
        assert await desk.rows(name) == [], name
    await desk.take(desk.dashboard.created(desk.dashboard.user("late")))
    assert await desk.rows("users") == []


async def test_a_user_whose_last_event_is_parked_leaves_with_the_connection(desk: Desk) -> None:
    """DELIVERY, invariant 7: "a user deactivated with an `ok` has no access downstream"."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    users = [desk.dashboard.user(name) for name in ("ada", "eve")]
    await desk.take(*(desk.dashboard.created(user) for user in users))
    await desk.take(desk.dashboard.event(events_pb2.ConnectionDeleted))
    assert await desk.roles() == {}


async def test_a_disabled_connection_takes_nothing_from_anybody(desk: Desk) -> None:
    """PRODUCT §1: "A connection can be disabled (every call answers 401; nothing is deleted)"."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada")))
    await desk.take(desk.dashboard.event(events_pb2.ConnectionDisabled))
    assert list(await desk.roles()) == ["ada@example.com"]
    await desk.take(desk.dashboard.event(events_pb2.ConnectionEnabled))
    assert len(await desk.rows("role_mappings")) == 4


async def test_a_deleted_workspace_takes_all_that_it_holds(desk: Desk) -> None:
    """PRODUCT §1: a workspace is a customer organisation; with it goes what belongs to it, and nothing else."""
    elsewhere = Connection("STORE", "elsewhere", "workspace-2")
    await desk.open(desk.dashboard)
    await desk.add("boss@example.com")
    await desk.publish("Mail")
    await desk.open(elsewhere, on_create=True)
    await desk.take(elsewhere.created(elsewhere.user("other")))
    await desk.take(desk.dashboard.event(events_pb2.ConnectionDeleted))
    await desk.take(events_pb2.WorkspaceDeleted(origin=events_pb2.Origin(workspace_id=WORKSPACE)))
    assert await desk.roles() == {}
    assert await desk.rows("publications") == []
    assert await desk.employees() == {"other@example.com"}
    with pytest.raises(WorkspaceNotFound):
        await desk.add("late@example.com")


async def test_events_of_other_portals_leave_no_trace(desk: Desk) -> None:
    """PRODUCT §1: "leaving the Dashboard app must never touch devices governed by the MDM app", and the reverse."""
    mdm = Connection("MDM")
    group = mdm.group("g", "applivery-admin")
    await desk.take(
        mdm.event(events_pb2.ConnectionEnabled),
        mdm.created(mdm.user("ada")),
        mdm.group_created(group),
        mdm.members(group, ["ada"]),
        mdm.deactivated(mdm.user("ada")),
        mdm.deleted(mdm.user("ada")),
        mdm.group_deleted(group),
        mdm.event(events_pb2.ConnectionDeleted),
    )
    for name in ("connections", "rules", "users", "groups", "group_members", "effects"):
        assert await desk.rows(name) == [], name


async def test_collaborators_are_found_by_the_beginning_of_their_address_and_by_their_user(desk: Desk) -> None:
    """portal_service.proto: "What the e-mail address begins with, in any case"; "that the collaborator follows"."""
    await desk.open(desk.dashboard, on_create=True)
    await desk.take(desk.dashboard.created(desk.dashboard.user("ann")))
    for name in ("anna", "Bob"):
        await desk.add(f"{name}@example.com")

    async def find(prefix: str) -> list[str]:
        page, _ = await collaborators.list_collaborators(
            desk.db, desk.workspaces, WORKSPACE, email_prefix=prefix, page_size=0, page_token=""
        )
        return [item.email for item in page]

    assert await find("ANN") == ["ann@example.com", "anna@example.com"]
    assert await find("b") == ["Bob@example.com"]
    assert await find("ob") == []
    followed = await collaborators.get_collaborator(desk.db, desk.workspaces, WORKSPACE, "", "ann")
    assert followed.email == "ann@example.com"
    for email, user_id in (("", "eve"), ("", ""), ("eve@example.com", "ann")):
        with pytest.raises(CollaboratorNotFound):
            await collaborators.get_collaborator(desk.db, desk.workspaces, WORKSPACE, email, user_id)
