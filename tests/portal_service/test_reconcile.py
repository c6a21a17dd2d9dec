"""Comparison with the directory and repair: `Reconcile` and `Verify`, over both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import connection_service_pb2 as connections_pb2
from rollcall.directory.v1 import directory_service_pb2 as directory_pb2
from rollcall.directory.v1.group_pb2 import MEMBER_TYPE_USER, Member
from rollcall.directory.v1.user_pb2 import User
from rollcall.portal.v1 import portal_service_pb2 as pb

from chassis import reconcile as engine
from chassis.consumer import Consumer
from chassis.database import Transaction
from chassis.reconcile import Reconciler
from portal_service import collaborators, provisioning
from portal_service.errors import ConnectionNotFound, WrongPortal
from portal_service.provisioning import HANDLERS
from portal_service.reconcile import PortalView
from portal_service.repair import repairer
from portal_service.repository import STATE_DELETED
from portal_service.server import DIRECTORY_STREAM
from portal_service.tables import DELIVERY_TABLES
from tests.portal_service.desk import WORKSPACE, Connection, Desk, RecordedDirectory, table

REPORTED, REPAIRED, HELD, FAILED = "REPORTED", "REPAIRED", "HELD", "FAILED"


class Roll:
    """A directory with one connection, and the portal service that is compared with it."""

    def __init__(self, desk: Desk, recorded: RecordedDirectory, connection: Connection) -> None:
        self.desk = desk
        self.recorded = recorded
        self.connection = connection
        consumer = Consumer(
            desk.db,
            service="portal",
            servers="nats://127.0.0.1:1",
            stream=DIRECTORY_STREAM,
            tables=DELIVERY_TABLES,
            handlers=HANDLERS,
            repair=repairer(desk.directory),
        )
        self.reconciler = Reconciler(desk.db, DELIVERY_TABLES, consumer, PortalView(desk.db, desk.directory))
        self.summary = delivery.ReconcileSummary()

    def enable(self, *, version: int = 1) -> None:
        """Let the directory have the workspace and the connection."""
        connection_id = self.connection.connection_id
        self.recorded.workspaces[WORKSPACE] = "acme"
        self.recorded.connections[connection_id] = connections_pb2.Connection(
            connection_id=connection_id,
            workspace_id=WORKSPACE,
            portal=connections_pb2.Portal.Value(f"PORTAL_{self.connection.origin.portal}"),
            state=connections_pb2.CONNECTION_STATE_ENABLED,
        )
        snapshot = directory_pb2.ConnectionSnapshot(
            connection_id=connection_id,
            workspace_id=WORKSPACE,
            portal=self.connection.origin.portal,
            enabled=True,
            version=version,
        )
        self._tell(connection_id, connection=snapshot)

    def user(self, user_id: str, **fields: Any) -> User:
        """Let the directory have a user; see `Connection.user`."""
        user = self.connection.user(user_id, **fields)
        self._tell(user_id, user=user)
        return user

    def group(self, group_id: str, name: str, *members: str, version: int = 1) -> None:
        """Let the directory have a group with members, in two chunks."""
        group = self.connection.group(group_id, name)
        group.version = version
        rows = [Member(value=member, type=MEMBER_TYPE_USER) for member in members]
        self.recorded.snapshots[group_id] = [
            directory_pb2.StreamSnapshotResponse(group=chunk)
            for chunk in (
                directory_pb2.GroupSnapshot(group=group, members=rows[:1], more=True),
                directory_pb2.GroupSnapshot(group=group, members=rows[1:]),
            )
        ]

    def delete(self, kind: str, resource_id: str, version: int) -> None:
        """Let the directory have only the tombstone of a resource."""
        number = directory_pb2.ResourceKind.Value(f"RESOURCE_KIND_{kind.upper()}")
        self._tell(resource_id, tombstone=directory_pb2.Tombstone(kind=number, id=resource_id, version=version))

    def _tell(self, resource_id: str, **item: Any) -> None:
        self.recorded.snapshots[resource_id] = [directory_pb2.StreamSnapshotResponse(**item)]

    async def reconcile(
        self, connection_id: str = "", *, dry_run: bool = False, apply_destructive: bool = False
    ) -> list[tuple[str, str, str]]:
        """Repair; the differences as (kind, resource, resolution)."""
        self.differences = []
        async for item in self.reconciler.reconcile(
            connection_id, dry_run=dry_run, apply_destructive=apply_destructive
        ):
            self._take(item)
        return self._told()

    async def verify(self, connection_id: str = "") -> list[tuple[str, str, tuple[str, ...]]]:
        """Compare; the differences as (kind, resource, fields)."""
        self.differences = []
        async for item in self.reconciler.verify(connection_id):
            self._take(item)
        return [(kind, resource, tuple(item.fields)) for (kind, resource, _), item in zip(
            self._told(), self.differences, strict=True
        )]  # fmt: skip

    def _take(self, item: Any) -> None:
        if isinstance(item, delivery.Difference):
            self.differences.append(item)
        elif isinstance(item, delivery.ReconcileSummary):
            self.summary = item

    def _told(self) -> list[tuple[str, str, str]]:
        return [
            (
                delivery.DifferenceKind.Name(item.kind).removeprefix("DIFFERENCE_KIND_"),
                f"{item.resource_kind} {item.resource_id}",
                delivery.Resolution.Name(item.resolution).removeprefix("RESOLUTION_"),
            )
            for item in self.differences
        ]

    def effects(self) -> list[tuple[str, str]]:
        """The effects of the last run's differences: action and outcome."""
        return [
            (effect.action, delivery.Outcome.Name(effect.outcome).removeprefix("OUTCOME_"))
            for item in self.differences
            for effect in item.effects
        ]

    async def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table."""
        return {name: await self.desk.rows(name) for name in table("users").metadata.tables}

    async def damage(self, name: str, where: dict[str, Any], **values: Any) -> None:
        """Change rows behind the service's back; without values they are deleted."""
        source = table(name)
        matching = sa.and_(*(source.c[column] == value for column, value in where.items()))
        statement = sa.update(source).where(matching).values(**values) if values else sa.delete(source).where(matching)
        await self.desk.db.write(lambda tx: tx.execute(statement).rowcount)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look comes at once."""
    monkeypatch.setattr(engine, "_SECOND_LOOKS", (0.0,))


@pytest.fixture
async def roll(desk: Desk, recorded: RecordedDirectory) -> Roll:
    """A dashboard connection whose users become collaborators, and whose roles groups decide always."""
    made = Roll(desk, recorded, desk.dashboard)
    made.enable()
    assert await made.reconcile() == [("MISSING", "connection dashboard-connection", REPAIRED)]
    await desk.rule(desk.dashboard, on_create=True, on_deactivate=True, role_mode=pb.ROLE_MODE_CONTINUOUS)
    await desk.review()
    return made


async def test_what_is_missing_is_repaired_once_and_marked(roll: Roll) -> None:
    """DELIVERY: "reports the difference (missing, …) and repairs it through the same handlers, … marked as repair"."""
    for name in ("ada", "eve"):
        roll.user(name, version=3)
    roll.group("g", "applivery-editor", "ada", version=2)
    assert await roll.verify() == [("MISSING", "user ada", ()), ("MISSING", "user eve", ()), ("MISSING", "group g", ())]
    assert await roll.reconcile() == [(kind, resource, REPAIRED) for kind, resource, _ in [
        ("MISSING", "user ada", ()), ("MISSING", "user eve", ()), ("MISSING", "group g", ()),
    ]]  # fmt: skip
    assert await roll.desk.roles() == {"ada@example.com": ("EDITOR", "GROUP"), "eve@example.com": ("VIEWER", "DEFAULT")}
    assert all(effect["repair"] for effect in await roll.desk.rows("effects"))
    assert (roll.summary.differences, roll.summary.repaired, roll.summary.examined) == (3, 3, 4)
    before = await roll.tables()
    assert await roll.reconcile() == []
    assert await roll.verify() == []
    assert await roll.tables() == before


async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(roll: Roll) -> None:
    """DELIVERY: "`rollcall reconcile … [--dry-run]`"."""
    roll.user("ada")
    before = await roll.tables()
    assert await roll.reconcile(dry_run=True) == [("MISSING", "user ada", REPORTED)]
    assert roll.effects() == [("CREATE_COLLABORATOR", "APPLIED")]
    assert await roll.tables() == before


@pytest.mark.parametrize("change", ["deactivated", "deleted", "unknown"])
async def test_a_removal_is_held_until_it_is_asked_for(roll: Roll, change: str) -> None:
    """DELIVERY: "Destructive effects in a repair are listed and need `--apply-destructive`"."""
    roll.user("ada")
    await roll.reconcile()
    if change == "deactivated":
        roll.user("ada", active=False, version=2)
    elif change == "deleted":
        roll.delete("user", "ada", 2)
    else:
        del roll.recorded.snapshots["ada"]
    kind = "STALE" if change == "deactivated" else "EXTRA"
    before = await roll.tables()
    for dry_run in (True, False):
        assert await roll.reconcile(dry_run=dry_run) == [(kind, "user ada", HELD)]
        assert roll.effects() == [("REMOVE_COLLABORATOR", "HELD")]
    assert roll.summary.held == 1
    assert await roll.tables() == before
    assert await roll.reconcile(dry_run=True, apply_destructive=True) == [(kind, "user ada", REPORTED)]
    assert await roll.tables() == before
    assert await roll.reconcile(apply_destructive=True) == [(kind, "user ada", REPAIRED)]
    assert await roll.desk.roles() == {}
    assert await roll.verify() == []


async def test_a_lower_role_is_held_and_a_higher_one_is_not(roll: Roll) -> None:
    """DELIVERY: a role that is taken away in a repair takes something from a person."""
    for name in ("ada", "eve"):
        roll.user(name)
    roll.group("g", "applivery-editor", "ada")
    await roll.reconcile()
    roll.group("g", "applivery-editor", "ada", "eve", version=2)
    assert await roll.reconcile() == [("STALE", "group g", REPAIRED)]
    roll.group("g", "applivery-editor", "eve", version=3)
    assert await roll.reconcile() == [("STALE", "group g", HELD)]
    assert (await roll.desk.roles())["ada@example.com"] == ("EDITOR", "GROUP")
    assert await roll.reconcile(apply_destructive=True) == [("STALE", "group g", REPAIRED)]
    assert (await roll.desk.roles())["ada@example.com"] == ("VIEWER", "DEFAULT")


async def test_wrong_members_at_the_right_version_are_set_right(roll: Roll) -> None:
    """DELIVERY: "reports the difference (missing, stale, extra, wrong members)"."""
    for name in ("ada", "eve"):
        roll.user(name)
    roll.group("g", "sales", "ada", "eve", version=4)
    await roll.reconcile()
    await roll.damage("group_members", {"member_id": "ada"})
    assert await roll.verify() == [("WRONG_MEMBERS", "group g", ("members",))]
    assert await roll.reconcile() == [("WRONG_MEMBERS", "group g", REPAIRED)]
    assert {row["member_id"] for row in await roll.desk.rows("group_members")} == {"ada", "eve"}


@pytest.mark.parametrize(
    ("name", "where", "values", "fields"),
    [
        ("collaborators", {"user_id": "ada"}, {"email": "x@x", "email_key": "x@x"}, ("account.email",)),
        ("collaborators", {"user_id": "ada"}, {"display_name": "Somebody"}, ("account.display_name",)),
        ("collaborators", {"user_id": "ada"}, {"user_metadata": {"a": 1}}, ("account.metadata",)),
        ("collaborators", {"user_id": "ada"}, {"role": pb.ROLE_VIEWER}, ("account.role",)),
        ("collaborators", {"user_id": "ada"}, {}, ("account",)),
        ("users", {"id": "ada"}, {"user_name": "other", "email": "x@x"}, ("user_name", "email")),
        ("users", {"id": "ada"}, {"account_state": 0}, ("account.state",)),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else None,
)
async def test_an_account_that_does_not_follow_its_user_is_found_and_set_right(
    roll: Roll, name: str, where: dict[str, Any], values: dict[str, Any], fields: tuple[str, ...]
) -> None:
    """DELIVERY: "`rollcall verify` recomputes downstream state as a fold over the directory"."""
    roll.user("ada", name="Ada", metadata={"team": "red"})
    roll.group("g", "applivery-editor", "ada")
    await roll.reconcile()
    right = await roll.desk.roles()
    await roll.damage(name, where, **values)
    assert await roll.verify() == [("WRONG", "user ada", fields)]
    assert await roll.reconcile(apply_destructive=True) == [("WRONG", "user ada", REPAIRED)]
    assert await roll.verify() == []
    assert await roll.desk.roles() == right


async def test_a_run_that_was_cut_off_is_gone_on_with_by_the_next(roll: Roll) -> None:
    """The rule: bulk work "runs in bounded chunks, resumes after a kill where it stopped"; nothing is done twice."""
    for number in range(130):
        roll.user(f"user{number:03}")
    run = roll.reconciler.reconcile("", dry_run=False, apply_destructive=False)
    async for item in run:
        if isinstance(item, delivery.Difference):
            break
    await run.aclose()  # type: ignore[attr-defined]
    begun = len(await roll.desk.roles())
    assert 0 < begun <= 60
    assert len(await roll.reconcile()) == 130 - begun
    assert len(await roll.desk.roles()) == 130
    assert await roll.verify() == []
    effects = await roll.desk.rows("effects")
    assert len({row["target_id"] for row in effects}) == len(effects) == 130


async def test_a_role_that_stands_is_the_one_that_was_given(roll: Roll) -> None:
    """PRODUCT §4: after the settling period "the role stands"; §7: "any role … answers "why?"" by its effect."""
    await roll.desk.add("boss@example.com", role=pb.ROLE_ADMIN)
    await roll.desk.rule(roll.connection, role_mode=pb.ROLE_MODE_FIRST_PROVISIONING)
    roll.user("ada")
    roll.user("eve")
    roll.group("g", "applivery-editor", "ada")
    await roll.reconcile()
    right = await roll.desk.roles()
    assert right["ada@example.com"] == ("EDITOR", "GROUP")
    # The groups say otherwise by now, and nothing follows from that.
    await roll.desk.rule(roll.connection, default_role=pb.ROLE_EDITOR)
    assert await roll.verify() == []
    await roll.damage("collaborators", {"user_id": "ada"}, role=pb.ROLE_ADMIN)
    await roll.damage("collaborators", {"user_id": "eve"}, role=pb.ROLE_UNASSIGNED)
    wrong = [("WRONG", "user ada", ("account.role",)), ("WRONG", "user eve", ("account.role",))]
    assert sorted(await roll.verify()) == wrong
    assert sorted(await roll.reconcile()) == [("WRONG", "user ada", HELD), ("WRONG", "user eve", REPAIRED)]
    assert await roll.reconcile(apply_destructive=True) == [("WRONG", "user ada", REPAIRED)]
    assert await roll.desk.roles() == right
    assert await roll.verify() == []


async def test_a_user_who_was_never_let_go_is_found_and_one_whom_the_rules_spared_is_not(roll: Roll) -> None:
    """PRODUCT §4: **on deactivate** `NOTHING | REMOVE_COLLABORATOR`, by the rules of the time."""
    await roll.desk.rule(roll.connection, on_deactivate=False)
    for name in ("ada", "eve"):
        roll.user(name)
    await roll.reconcile()
    for name in ("ada", "eve"):
        roll.user(name, active=False, version=2)
    await roll.reconcile()
    assert len(await roll.desk.roles()) == 2
    await roll.desk.rule(roll.connection, on_deactivate=True)
    assert await roll.verify() == []
    await roll.damage("effects", {"user_id": "eve", "rule": "on_deactivate"})
    assert await roll.verify() == [("WRONG", "user eve", ("account.not_removed",))]
    assert await roll.reconcile() == [("WRONG", "user eve", HELD)]
    assert await roll.reconcile(apply_destructive=True) == [("WRONG", "user eve", REPAIRED)]
    assert list(await roll.desk.roles()) == ["ada@example.com"]


async def test_what_a_person_decided_is_no_difference(roll: Roll) -> None:
    """PRODUCT §4: "A person's choice (MANUAL) is never overwritten"; the last ADMIN is never demoted."""
    await roll.desk.add("boss@example.com", role=pb.ROLE_ADMIN)
    for name in ("ada", "eve"):
        roll.user(name)
    roll.group("g", "applivery-editor", "ada")
    await roll.reconcile()
    desk = roll.desk
    await collaborators.set_role(desk.db, desk.workspaces, WORKSPACE, email="ada@example.com", role=pb.ROLE_VIEWER)
    await collaborators.delete_collaborator(desk.db, desk.workspaces, WORKSPACE, "eve@example.com")
    assert await roll.verify() == []


async def test_it_never_goes_back_to_what_was_read_too_early(roll: Roll, monkeypatch: pytest.MonkeyPatch) -> None:
    """DELIVERY: "Per aggregate, the consumer keeps the last applied version": a snapshot is only a moment's."""
    roll.user("ada", name="new", version=5)
    await roll.reconcile()
    old = directory_pb2.StreamSnapshotResponse(user=roll.connection.user("ada", name="old", active=False, version=4))
    monkeypatch.setattr(
        roll.recorded, "snapshot_of_all", lambda connection_id, kind: [old] if kind == 1 else [], raising=True
    )
    before = await roll.tables()
    assert await roll.reconcile(apply_destructive=True) == []
    assert await roll.tables() == before


@pytest.mark.parametrize("is_gone_here", [False, True])
async def test_a_service_ahead_of_a_restored_directory_goes_back_only_when_asked(
    roll: Roll, is_gone_here: bool
) -> None:
    """The contract, DIFFERENCE_KIND_AHEAD: "the directory was restored from an older backup"."""
    roll.user("ada", name="old", version=4)
    await roll.reconcile()
    if is_gone_here:
        roll.delete("user", "ada", 6)
        await roll.reconcile(apply_destructive=True)
    else:
        roll.user("ada", name="new", version=6)
        await roll.reconcile()
    roll.user("ada", name="old", version=4)
    assert [found[:2] for found in await roll.verify()] == [("AHEAD", "user ada")]
    before = await roll.tables()
    assert await roll.reconcile() == [("AHEAD", "user ada", HELD)]
    assert await roll.tables() == before
    assert await roll.reconcile(apply_destructive=True) == [("AHEAD", "user ada", REPAIRED)]
    assert await roll.verify() == []
    [row] = await roll.desk.rows("collaborators")
    assert row["display_name"] == "old"
    roll.user("ada", name="next", version=5)
    assert await roll.reconcile() == [("STALE", "user ada", REPAIRED)]


async def test_a_repair_that_fails_stops_no_other(roll: Roll, monkeypatch: pytest.MonkeyPatch) -> None:
    """DELIVERY: what cannot be applied stops nobody else's."""
    for name in ("ada", "bob", "eve"):
        roll.user(name)
    restore: Callable[..., None] = provisioning.restore_user

    def failing(tx: Transaction, event: Any, origin: Any, user: Any) -> None:
        restore(tx, event, origin, user)
        if user.id == "bob":
            raise ValueError("no good")

    monkeypatch.setattr(provisioning, "restore_user", failing)
    assert await roll.reconcile() == [
        ("MISSING", "user ada", REPAIRED), ("MISSING", "user bob", FAILED), ("MISSING", "user eve", REPAIRED),
    ]  # fmt: skip
    assert "no good" in roll.differences[1].error
    assert set(await roll.desk.roles()) == {"ada@example.com", "eve@example.com"}
    monkeypatch.undo()
    assert await roll.reconcile() == [("MISSING", "user bob", REPAIRED)]


async def test_a_connection_that_is_gone_goes_after_its_users_and_never_before(roll: Roll) -> None:
    """PRODUCT §1: a connection is deleted after its users, whose accounts go by its rules."""
    roll.user("ada")
    roll.group("g", "sales", "ada")
    await roll.reconcile()
    for resource, kind in (("ada", "user"), ("g", "group"), (roll.connection.connection_id, "connection")):
        roll.delete(kind, resource, 7)
    del roll.recorded.connections[roll.connection.connection_id]
    connection = f"connection {roll.connection.connection_id}"
    assert await roll.reconcile() == [
        ("EXTRA", "user ada", HELD), ("EXTRA", "group g", REPAIRED), ("EXTRA", connection, HELD),
    ]  # fmt: skip
    assert await roll.reconcile(roll.connection.connection_id, apply_destructive=True) == [
        ("EXTRA", "user ada", REPAIRED), ("EXTRA", connection, REPAIRED),
    ]  # fmt: skip
    assert await roll.desk.roles() == {}
    assert [row["state"] for row in await roll.desk.rows("connections")] == [STATE_DELETED]
    assert await roll.verify() == []


async def test_a_workspace_that_is_gone_is_emptied_only_when_asked(roll: Roll) -> None:
    """The contract: `apply_destructive` is for "repairs that take something away"."""
    await roll.desk.add("boss@example.com")
    roll.delete("connection", roll.connection.connection_id, 2)
    del roll.recorded.connections[roll.connection.connection_id]
    await roll.reconcile()
    del roll.recorded.workspaces[WORKSPACE]
    assert await roll.reconcile() == [("EXTRA", f"workspace {WORKSPACE}", HELD)]
    assert len(await roll.desk.roles()) == 1
    assert await roll.reconcile(apply_destructive=True) == [("EXTRA", f"workspace {WORKSPACE}", REPAIRED)]
    assert await roll.desk.roles() == {}
    assert await roll.verify() == []


async def test_an_account_that_follows_nobody_who_exists_is_extra(roll: Roll) -> None:
    """DELIVERY: "(missing, stale, extra, wrong members)": whoever is not in the directory has no access by it."""
    roll.user("ada")
    await roll.reconcile()
    del roll.recorded.snapshots["ada"]
    await roll.damage("users", {"id": "ada"})
    assert await roll.verify() == [("EXTRA", "user ada", ())]
    assert await roll.reconcile() == [("EXTRA", "user ada", HELD)]
    assert await roll.reconcile(apply_destructive=True) == [("EXTRA", "user ada", REPAIRED)]
    assert await roll.desk.roles() == {}


async def test_only_connections_that_exist_and_are_of_this_service_are_compared(roll: Roll) -> None:
    """SECURITY: a missing connection is an error, not "all"."""
    with pytest.raises(ConnectionNotFound):
        await roll.verify("no-such")
    with pytest.raises(ConnectionNotFound):
        await roll.verify("no\0such")
    mdm = Roll(roll.desk, roll.recorded, Connection("MDM"))
    mdm.enable()
    with pytest.raises(WrongPortal):
        await mdm.verify(mdm.connection.connection_id)
    assert await roll.verify() == []
