"""Roles that groups give and take, as their events arrive."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rollcall.portal.v1 import portal_service_pb2 as pb

from portal_service import collaborators, departures
from tests.portal_service.desk import WORKSPACE, Connection, Desk, later

CONTINUOUS = pb.ROLE_MODE_CONTINUOUS


async def provision(desk: Desk, *names: str, **stated: object) -> None:
    """Opens the dashboard connection, with an ADMIN who is none of its users, and creates users."""
    await desk.open(desk.dashboard, on_create=True, **stated)
    await desk.add("boss@example.com")
    await desk.take(*(desk.dashboard.created(desk.dashboard.user(name)) for name in names))


async def role_of(desk: Desk, name: str) -> tuple[str, str]:
    """Role and source of one user's collaborator."""
    return (await desk.roles())[f"{name}@example.com"]


async def test_groups_pushed_after_the_users_decide_within_the_settling_period(desk: Desk) -> None:
    """PRODUCT §4: "Okta creates users before it pushes groups, so "first" lasts a settling period"."""
    await provision(desk, "ada", "eve")
    editors = desk.dashboard.group("g", "Applivery-Editor")
    await desk.take(
        desk.dashboard.group_created(editors), desk.dashboard.members(editors, ["ada"]), at=later(minutes=59)
    )
    assert await role_of(desk, "ada") == ("EDITOR", "GROUP")
    assert await role_of(desk, "eve") == ("VIEWER", "DEFAULT")
    effect = await desk.last_effect()
    assert (effect["rule"], effect["action"], effect["user_id"], effect["user_name"]) == (
        "role_mapping",
        "SET_ROLE",
        "ada",
        "name of ada",
    )
    assert (effect["before"], effect["after"]) == (
        {"role": "VIEWER", "role_source": "DEFAULT"},
        {"role": "EDITOR", "role_source": "GROUP"},
    )
    await desk.take(desk.dashboard.members(editors, ["eve"], ["ada"]), at=later(minutes=60))
    assert await role_of(desk, "ada") == ("EDITOR", "GROUP")
    assert await role_of(desk, "eve") == ("VIEWER", "DEFAULT")


async def test_leaving_within_the_settling_period_returns_to_the_default_role(desk: Desk) -> None:
    """PRODUCT §4: "within it each group change re-decides"."""
    await provision(desk, "ada")
    editors = desk.dashboard.group("g", "applivery-editor")
    await desk.take(desk.dashboard.members(editors, ["ada"]), at=later(minutes=1))
    await desk.take(desk.dashboard.members(editors, removed=["ada"]), at=later(minutes=2))
    assert await role_of(desk, "ada") == ("VIEWER", "DEFAULT")
    assert (await desk.last_effect())["rule"] == "default_role"


async def test_the_time_of_the_event_decides_and_not_the_clock(desk: Desk) -> None:
    """PRODUCT §4: the period begins with "the collaborator's creation": events that arrive late decide as in time."""
    await provision(desk)
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada")), at=later(days=-90))
    editors = desk.dashboard.group("g", "applivery-editor")
    await desk.take(desk.dashboard.members(editors, ["ada"]), at=later(days=-90, minutes=30))
    assert await role_of(desk, "ada") == ("EDITOR", "GROUP")


async def test_a_settling_period_of_zero_lets_groups_decide_at_creation_only(desk: Desk) -> None:
    """PRODUCT §4: "a settling period from the collaborator's creation (default 1 hour, configurable, 0 allowed)"."""
    await provision(desk, settling_period=timedelta(0))
    editors = desk.dashboard.group("g", "applivery-editor")
    admins = desk.dashboard.group("h", "applivery-admin")
    await desk.take(desk.dashboard.members(editors, ["ada"]))
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada")))
    await desk.take(desk.dashboard.members(admins, ["ada"]))
    assert await role_of(desk, "ada") == ("EDITOR", "GROUP")


async def test_continuous_groups_decide_always(desk: Desk) -> None:
    """PRODUCT §4: "`CONTINUOUS`: groups decide always; leaving the last mapped group returns to the default role"."""
    await provision(desk, "ada", role_mode=CONTINUOUS, default_role=pb.ROLE_EDITOR)
    admins = desk.dashboard.group("g", "applivery-admin")
    viewers = desk.dashboard.group("h", "applivery-viewer")
    await desk.take(
        desk.dashboard.members(admins, ["ada"]), desk.dashboard.members(viewers, ["ada"]), at=later(days=100)
    )
    assert await role_of(desk, "ada") == ("ADMIN", "GROUP")
    await desk.take(desk.dashboard.members(admins, removed=["ada"]), at=later(days=200))
    assert await role_of(desk, "ada") == ("VIEWER", "GROUP")
    await desk.take(desk.dashboard.group_deleted(viewers), at=later(days=300))
    assert await role_of(desk, "ada") == ("EDITOR", "DEFAULT")


async def test_a_membership_may_arrive_before_its_user(desk: Desk) -> None:
    """DELIVERY: events of different aggregates may be applied in another order; the result is the same."""
    await provision(desk)
    editors = desk.dashboard.group("g", "applivery-editor")
    await desk.take(desk.dashboard.group_created(editors), desk.dashboard.members(editors, ["ada"]))
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada")))
    assert await role_of(desk, "ada") == ("EDITOR", "GROUP")
    assert (await desk.last_effect())["after"]["role_source"] == "GROUP"


async def test_a_rename_neither_grants_nor_takes(desk: Desk) -> None:
    """PRODUCT §4: "bound to the group's id when first seen, so a rename in the IdP neither grants nor takes"."""
    await provision(desk, "ada", "eve", role_mode=CONTINUOUS)
    admins = desk.dashboard.group("g", "applivery-admin")
    sales = desk.dashboard.group("h", "sales")
    await desk.take(
        desk.dashboard.members(admins, ["ada"]),
        desk.dashboard.members(sales, ["eve"]),
        desk.dashboard.renamed(admins, "former admins"),
        desk.dashboard.renamed(sales, "applivery-admin"),
        desk.dashboard.members(desk.dashboard.group("h", "applivery-admin"), ["ada"]),
    )
    assert await role_of(desk, "ada") == ("ADMIN", "GROUP")
    assert await role_of(desk, "eve") == ("VIEWER", "DEFAULT")
    rules = await desk.rule(desk.dashboard)
    assert {entry.group: entry.group_id for entry in rules.role_mappings}["applivery-admin"] == "g"


async def test_a_rename_into_a_mapped_name_grants_nothing_even_when_the_mapping_is_free(desk: Desk) -> None:
    """PRODUCT §4: "a rename in the IdP neither grants nor takes"."""
    await provision(desk, "eve", role_mode=CONTINUOUS)
    sales = desk.dashboard.group("h", "sales")
    await desk.take(desk.dashboard.members(sales, ["eve"]), desk.dashboard.renamed(sales, "applivery-admin"))
    assert await role_of(desk, "eve") == ("VIEWER", "DEFAULT")
    await desk.map_role("applivery-admin", pb.ROLE_ADMIN)
    await desk.review()
    assert await role_of(desk, "eve") == ("ADMIN", "GROUP")


async def test_a_deleted_group_frees_its_mapping_for_the_next_of_that_name(desk: Desk) -> None:
    """PRODUCT §4: "a mapping is bound to the group's id when first seen"; an id is never seen again."""
    await provision(desk, "ada", role_mode=CONTINUOUS)
    first = desk.dashboard.group("g", "applivery-admin")
    second = desk.dashboard.group("h", "Applivery-ADMIN")
    await desk.take(desk.dashboard.members(first, ["ada"]), desk.dashboard.group_deleted(first))
    assert await role_of(desk, "ada") == ("VIEWER", "DEFAULT")
    await desk.take(desk.dashboard.group_created(second), desk.dashboard.members(second, ["ada"]))
    assert await role_of(desk, "ada") == ("ADMIN", "GROUP")


async def test_a_group_whose_namesake_goes_later_inherits_its_mapping(desk: Desk) -> None:
    """DELIVERY: events of different aggregates may be applied in another order; the result is the same."""
    await provision(desk, "ada", "eve", role_mode=CONTINUOUS)
    first, second = desk.dashboard.group("g", "applivery-admin"), desk.dashboard.group("h", "applivery-admin")
    renamed = desk.dashboard.group("r", "sales")
    await desk.take(
        desk.dashboard.members(renamed, ["eve"]),
        desk.dashboard.members(first, ["eve"]),
        desk.dashboard.members(second, ["ada"]),
    )
    assert await role_of(desk, "ada") == ("VIEWER", "DEFAULT")
    await desk.take(desk.dashboard.group_deleted(first), desk.dashboard.renamed(renamed, "applivery-admin"))
    assert await role_of(desk, "ada") == ("ADMIN", "GROUP")
    assert await role_of(desk, "eve") == ("VIEWER", "DEFAULT")
    await desk.take(desk.dashboard.group_deleted(second))
    assert await role_of(desk, "eve") == ("VIEWER", "DEFAULT")


async def test_roles_follow_nested_groups(desk: Desk) -> None:
    """RFC 7643 §4.1.2: a user's groups count "either through direct membership, through nested groups"."""
    await provision(desk, "ada", role_mode=CONTINUOUS)
    inner, outer = desk.dashboard.group("i", "team"), desk.dashboard.group("o", "applivery-editor")
    await desk.take(
        desk.dashboard.members(outer, added_groups=["m"]),
        desk.dashboard.members(desk.dashboard.group("m", "middle"), added_groups=["i"]),
        desk.dashboard.members(inner, ["ada"]),
    )
    assert await role_of(desk, "ada") == ("EDITOR", "GROUP")
    await desk.take(desk.dashboard.members(outer, removed_groups=["m"]))
    assert await role_of(desk, "ada") == ("VIEWER", "DEFAULT")
    await desk.take(desk.dashboard.members(outer, added_groups=["m"]))
    assert await role_of(desk, "ada") == ("EDITOR", "GROUP")
    await desk.take(desk.dashboard.group_deleted(inner))
    assert await role_of(desk, "ada") == ("VIEWER", "DEFAULT")


async def test_a_cycle_of_groups_ends(desk: Desk) -> None:
    """A directory refuses cycles; events of two groups out of order may still show one for a moment."""
    await provision(desk, "ada", role_mode=CONTINUOUS)
    a, b = desk.dashboard.group("a", "applivery-editor"), desk.dashboard.group("b", "team")
    await desk.take(
        desk.dashboard.members(a, added_groups=["b"]),
        desk.dashboard.members(b, ["ada"], added_groups=["a"]),
    )
    assert await role_of(desk, "ada") == ("EDITOR", "GROUP")


async def test_the_last_admin_is_never_demoted_by_groups(desk: Desk) -> None:
    """PRODUCT §4: "The last ADMIN of a workspace is never removed or demoted by provisioning"."""
    await desk.open(desk.dashboard, on_create=True, role_mode=CONTINUOUS)
    admins = desk.dashboard.group("g", "applivery-admin")
    names = ["ada", "eve"]
    await desk.take(desk.dashboard.members(admins, names))
    await desk.take(*(desk.dashboard.created(desk.dashboard.user(name)) for name in names))
    await desk.take(desk.dashboard.group_deleted(admins))
    assert sorted((await desk.roles()).values()) == [("ADMIN", "GROUP"), ("VIEWER", "DEFAULT")]
    assert sorted((await desk.effects())[2:]) == [("SET_ROLE", "APPLIED", ""), ("SET_ROLE", "HELD", "LAST_ADMIN")]


async def test_only_those_whom_a_change_concerns_are_decided(desk: Desk) -> None:
    """HOUSE, group push: "portal projects membership and re-decides the roles of the affected users only"."""
    await provision(desk, "ada", "eve", role_mode=CONTINUOUS)
    editors = desk.dashboard.group("g", "applivery-editor")
    await desk.take(desk.dashboard.members(editors, ["ada"]))
    await desk.take(desk.dashboard.members(editors, ["eve"]))
    assert [row["user_id"] for row in await desk.rows("effects") if row["action"] == "SET_ROLE"] == ["ada", "eve"]


async def test_groups_of_one_connection_decide_nothing_on_another(desk: Desk) -> None:
    """PRODUCT §1: "Nothing of one connection is reachable, matched or even hinted at through another"."""
    await provision(desk, "ada", role_mode=CONTINUOUS)
    elsewhere = Connection("DASHBOARD", "elsewhere", "workspace-2")
    await desk.open(elsewhere, on_create=True, role_mode=CONTINUOUS)
    await desk.take(elsewhere.members(elsewhere.group("g", "applivery-admin"), ["ada"]))
    assert await role_of(desk, "ada") == ("VIEWER", "DEFAULT")


async def test_store_groups_give_no_roles(desk: Desk) -> None:
    """PRODUCT §4: "Role mapping governs the dashboard alone"."""
    await provision(desk, "ada", role_mode=CONTINUOUS)
    await desk.open(desk.store, on_create=True)
    await desk.take(desk.store.members(desk.store.group("g", "applivery-admin"), ["ada"]))
    assert await role_of(desk, "ada") == ("VIEWER", "DEFAULT")
    assert all(not row["group_id"] for row in await desk.rows("role_mappings"))


async def test_a_big_push_is_decided_whole(desk: Desk) -> None:
    """The contract: GroupMembersChanged holds "at most 2,000 in all with `removed`"; chunks must not lose anyone."""
    await provision(desk, role_mode=CONTINUOUS)
    names = [f"user{number:04}" for number in range(1_201)]

    def create(tx: object) -> None:
        from tests.portal_service.desk import apply, envelope

        for name in names:
            apply(tx, envelope(desk.dashboard.created(desk.dashboard.user(name))))  # type: ignore[arg-type]

    await desk.db.write(create)
    editors = desk.dashboard.group("g", "applivery-editor")
    await desk.take(desk.dashboard.members(editors, names))
    roles = await desk.roles()
    assert {roles[f"{name}@example.com"] for name in names} == {("EDITOR", "GROUP")}


async def test_members_of_a_large_group_that_is_deleted_leave_in_chunks(desk: Desk) -> None:
    """The rule: bulk work "runs in bounded chunks, resumes after a kill where it stopped"; §7: "any role … answers"."""
    await provision(desk, role_mode=CONTINUOUS)
    names = [f"user{number:04}" for number in range(602)]

    def create(tx: object) -> None:
        from tests.portal_service.desk import apply, envelope

        for name in names:
            apply(tx, envelope(desk.dashboard.created(desk.dashboard.user(name))))  # type: ignore[arg-type]

    await desk.db.write(create)
    editors = desk.dashboard.group("g", "applivery-editor")
    await desk.take(desk.dashboard.members(editors, names))
    await desk.take(desk.dashboard.group_deleted(editors))
    assert not [row for row in await desk.rows("groups") if row["id"] == "g"]
    assert list((await desk.roles()).values()).count(("EDITOR", "GROUP")) == 602
    # A new group of that name gives its role to its own members alone.
    await desk.take(desk.dashboard.members(desk.dashboard.group("h", "applivery-editor"), names[:1]))
    assert await desk.db.write(lambda tx: departures.let_go(tx, "g"))
    await departures.let_all_go(desk.db)
    found = list((await desk.roles()).values())
    assert (found.count(("EDITOR", "GROUP")), found.count(("VIEWER", "DEFAULT"))) == (1, 601)
    assert {row["group_id"] for row in await desk.rows("group_members")} == {"h"}
    assert await desk.rows("departures") == []
    effects = [row for row in await desk.rows("effects") if row["rule"] == "default_role"]
    assert len(effects) == 601
    (cause,) = {row["event_id"] for row in effects}
    assert effects[0]["event_type"] == "rollcall.directory.v1.GroupDeleted"
    assert cause == effects[0]["event_id"]


@pytest.mark.parametrize("mode", [pb.ROLE_MODE_FIRST_PROVISIONING, CONTINUOUS])
async def test_new_rules_are_applied_to_everybody_under_continuous_only(desk: Desk, mode: int) -> None:
    """PRODUCT §4: "`CONTINUOUS`: groups decide always"; `FIRST_PROVISIONING`: "each group change re-decides"."""
    await provision(desk, *[f"user{number}" for number in range(3)], role_mode=mode)
    await collaborators.set_role(
        desk.db, desk.workspaces, WORKSPACE, email="user2@example.com", role=pb.ROLE_UNASSIGNED
    )
    team = desk.dashboard.group("g", "team")
    await desk.take(desk.dashboard.members(team, ["user0"]))
    await desk.map_role("TEAM", pb.ROLE_ADMIN)
    await desk.rule(desk.dashboard, default_role=pb.ROLE_EDITOR)
    rules = await desk.rule(desk.dashboard)
    await desk.review()
    roles = await desk.roles()
    unchanged = mode == pb.ROLE_MODE_FIRST_PROVISIONING
    assert roles["user0@example.com"] == (("VIEWER", "DEFAULT") if unchanged else ("ADMIN", "GROUP"))
    assert roles["user1@example.com"] == (("VIEWER", "DEFAULT") if unchanged else ("EDITOR", "DEFAULT"))
    assert roles["user2@example.com"] == ("UNASSIGNED", "MANUAL")
    assert await desk.rows("role_reviews") == []
    if not unchanged:
        effect = await desk.last_effect()
        assert effect["event_id"] == f"rules:{desk.dashboard.connection_id}:{rules.rule_version}"
        assert effect["rule_version"] == rules.rule_version


async def test_a_review_goes_on_where_it_was_interrupted(desk: Desk) -> None:
    """HOUSE: background work goes in bounded chunks; a crash between two of them costs nothing but time."""
    from portal_service import reviews

    names = [f"user{number:03}" for number in range(201)]
    await provision(desk, *names, role_mode=CONTINUOUS)
    await desk.rule(desk.dashboard, default_role=pb.ROLE_EDITOR)
    connection_id = desk.dashboard.connection_id
    assert await desk.db.write(lambda tx: reviews.review_chunk(tx, connection_id, later()))
    assert list((await desk.roles()).values()).count(("EDITOR", "DEFAULT")) == 200
    assert not await desk.db.write(lambda tx: reviews.review_chunk(tx, connection_id, later()))
    assert list((await desk.roles()).values()).count(("EDITOR", "DEFAULT")) == 201
    assert not await desk.db.write(lambda tx: reviews.review_chunk(tx, connection_id, later()))
