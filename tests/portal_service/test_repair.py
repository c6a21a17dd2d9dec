"""Repair of gaps: the directory's present state, applied through the handlers' own steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from rollcall.directory.v1 import directory_service_pb2 as directory_pb2
from rollcall.directory.v1 import events_pb2
from rollcall.directory.v1.group_pb2 import MEMBER_TYPE_USER, Member
from rollcall.portal.v1 import portal_service_pb2 as pb

from chassis.consumer import Event
from chassis.errors import RpcFailure
from portal_service.repair import repairer
from tests.portal_service.desk import WORKSPACE, Connection, Desk, RecordedDirectory, envelope


def tell(recorded: RecordedDirectory, resource_id: str, *items: dict[str, Any]) -> None:
    """Puts the snapshot of one resource into the directory."""
    recorded.snapshots[resource_id] = [directory_pb2.StreamSnapshotResponse(**item) for item in items]


def tell_connection(recorded: RecordedDirectory, connection: Connection, *, enabled: bool = True) -> None:
    """Puts the snapshot of a connection into the directory."""
    snapshot = directory_pb2.ConnectionSnapshot(
        connection_id=connection.connection_id,
        workspace_id=WORKSPACE,
        portal=connection.origin.portal,
        enabled=enabled,
        version=3,
    )
    tell(recorded, connection.connection_id, {"connection": snapshot})


async def repair(desk: Desk, event: Event) -> tuple[int, bool]:
    """Repairs as the consumer does, and returns the version and whether the resource is gone."""
    unit = await repairer(desk.directory)(event)
    await desk.db.write(lambda tx: unit.apply(tx, dataclasses.replace(event, repair=True)))
    return unit.version, unit.deleted


async def test_a_missed_deactivation_is_made_good_and_marked_as_repair(desk: Desk, recorded: RecordedDirectory) -> None:
    """DELIVERY: "a gap is repaired by reading the aggregate from the directory"; "effects marked as repair"."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    await desk.take(desk.dashboard.created(desk.dashboard.user("ada")))
    tell_connection(recorded, desk.dashboard)
    tell(recorded, "ada", {"user": desk.dashboard.user("ada", active=False, version=5)})
    message = desk.dashboard.updated(desk.dashboard.user("ada", active=False, version=4))
    assert await repair(desk, envelope(message, version=4)) == (5, False)
    assert await desk.roles() == {}
    effect = await desk.last_effect()
    assert (effect["action"], effect["outcome"], effect["repair"]) == ("REMOVE_COLLABORATOR", "APPLIED", True)
    tell(recorded, "ada", {"user": desk.dashboard.user("ada", email="new@example.com", version=7)})
    assert await repair(desk, envelope(message, version=6)) == (7, False)
    assert list(await desk.roles()) == ["new@example.com"]
    tell(recorded, "ada", {"user": desk.dashboard.user("ada", version=9)})
    assert await repair(desk, envelope(message, version=8)) == (9, False)
    assert list(await desk.roles()) == ["ada@example.com"]


async def test_a_missed_creation_and_a_missed_deletion_are_made_good(desk: Desk, recorded: RecordedDirectory) -> None:
    """DELIVERY: "Per aggregate, the consumer keeps the last applied version, tombstones included"."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    tell_connection(recorded, desk.dashboard)
    tell(recorded, "ada", {"user": desk.dashboard.user("ada", version=3)})
    message = desk.dashboard.updated(desk.dashboard.user("ada", version=3))
    assert await repair(desk, envelope(message, version=3)) == (3, False)
    assert list(await desk.roles()) == ["ada@example.com"]
    tombstone = directory_pb2.Tombstone(kind=directory_pb2.RESOURCE_KIND_USER, id="ada", version=6)
    tell(recorded, "ada", {"tombstone": tombstone})
    assert await repair(desk, envelope(message, version=5)) == (6, True)
    assert await desk.roles() == {}
    assert await desk.rows("users") == []


async def test_a_missed_membership_is_made_good_in_both_directions(desk: Desk, recorded: RecordedDirectory) -> None:
    """DELIVERY: a repair reports "missing, stale, extra, wrong members" and sets them right."""
    await desk.open(desk.dashboard, on_create=True, role_mode=pb.ROLE_MODE_CONTINUOUS)
    await desk.take(*(desk.dashboard.created(desk.dashboard.user(name)) for name in ("ada", "eve", "bob")))
    editors = desk.dashboard.group("g", "applivery-editor")
    await desk.take(desk.dashboard.members(editors, ["ada", "eve"]))
    tell_connection(recorded, desk.dashboard)
    present = desk.dashboard.group("g", "renamed editors")
    present.version = 9
    chunks = [
        directory_pb2.GroupSnapshot(group=present, members=[Member(value="eve", type=MEMBER_TYPE_USER)], more=True),
        directory_pb2.GroupSnapshot(group=present, members=[Member(value="bob", type=MEMBER_TYPE_USER)]),
    ]
    tell(recorded, "g", *({"group": chunk} for chunk in chunks))
    assert await repair(desk, envelope(desk.dashboard.members(present, ["bob"]), version=8)) == (9, False)
    assert {email[:3]: role for email, (role, _) in (await desk.roles()).items()} == {
        "ada": "VIEWER",
        "eve": "EDITOR",
        "bob": "EDITOR",
    }
    assert [row["display_name"] for row in await desk.rows("groups")] == ["renamed editors"]
    tombstone = directory_pb2.Tombstone(kind=directory_pb2.RESOURCE_KIND_GROUP, id="g", version=12)
    tell(recorded, "g", {"tombstone": tombstone})
    assert await repair(desk, envelope(desk.dashboard.members(present), version=11)) == (12, True)
    assert await desk.rows("group_members") == []


async def test_a_connection_that_the_directory_has_no_longer_is_gone(desk: Desk, recorded: RecordedDirectory) -> None:
    """DELIVERY: the directory is the truth; what it does not know is deleted."""
    await desk.open(desk.dashboard, on_create=True, on_deactivate=True)
    await desk.take(*(desk.dashboard.created(desk.dashboard.user(name)) for name in ("ada", "eve")))
    message = desk.dashboard.updated(desk.dashboard.user("ada"))
    assert await repair(desk, envelope(message, version=4)) == (4, True)
    assert list(await desk.roles()) == ["eve@example.com"]
    assert await repair(desk, envelope(desk.dashboard.event(events_pb2.ConnectionDisabled), version=7)) == (7, True)
    assert await desk.roles() == {}
    assert await desk.rows("rules") == []


async def test_a_connection_is_repaired_to_its_present_state(desk: Desk, recorded: RecordedDirectory) -> None:
    """The contract, ConnectionSnapshot: "The version of the connection's last event"."""
    tell_connection(recorded, desk.store, enabled=False)
    event = envelope(desk.store.event(events_pb2.ConnectionDisabled), version=3)
    assert await repair(desk, event) == (3, False)
    [row] = await desk.rows("connections")
    assert (row["workspace_id"], row["portal"], row["state"]) == (WORKSPACE, "STORE", 2)


async def test_an_event_without_its_message_is_enough_for_a_repair(desk: Desk, recorded: RecordedDirectory) -> None:
    """DELIVERY: a discarded dead letter is made good by a repair; its payload may be what was unreadable."""
    await desk.open(desk.dashboard, on_create=True)
    tell_connection(recorded, desk.dashboard)
    tell(recorded, "ada", {"user": desk.dashboard.user("ada", version=2)})
    event = envelope(desk.dashboard.updated(desk.dashboard.user("ada")), version=2)
    await repair(desk, dataclasses.replace(event, message=Empty()))
    assert list(await desk.roles()) == ["ada@example.com"]


async def test_other_portals_and_workspaces_need_no_repair(desk: Desk, recorded: RecordedDirectory) -> None:
    """Another portal's event is passed over, and a workspace's only event is its last: neither is asked for."""
    mdm = Connection("MDM")
    assert await repair(desk, envelope(mdm.updated(mdm.user("ada")), version=4)) == (3, False)
    workspace = events_pb2.WorkspaceDeleted(origin=events_pb2.Origin(workspace_id=WORKSPACE))
    assert await repair(desk, envelope(workspace, version=2)) == (1, False)
    assert recorded.questions == []


async def test_a_directory_that_is_away_is_waited_for(desk: Desk, recorded: RecordedDirectory) -> None:
    """DELIVERY: what cannot be asked now is no poison; the consumer knows by the code UNAVAILABLE."""
    recorded.failing = True
    with pytest.raises(RpcFailure) as caught:
        await repairer(desk.directory)(envelope(desk.dashboard.updated(desk.dashboard.user("ada")), version=4))
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE
