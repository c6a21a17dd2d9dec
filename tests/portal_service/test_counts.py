"""How much a deletion would reach: counts of a workspace, and of one connection."""

from __future__ import annotations

import pytest
from rollcall.portal.v1 import portal_service_pb2 as pb

from portal_service import counts, repository
from portal_service.errors import InvalidValue, WorkspaceNotFound
from tests.portal_service.desk import WORKSPACE, Desk


async def _counted(desk: Desk, workspace_id: str = WORKSPACE, connection_id: str = "") -> tuple[int, int, int]:
    found = await counts.get_counts(desk.db, desk.workspaces, workspace_id, connection_id)
    return found.collaborators, found.employees, found.publications


async def test_a_workspace_is_counted_and_a_connection_by_those_that_follow_it(desk: Desk) -> None:
    """GetCounts: "Counts what a workspace has, or what one of its connections provisions"."""
    await desk.open(desk.store, on_create=True)
    await desk.open(desk.dashboard, on_create=True)
    await desk.take(*(desk.store.created(desk.store.user(name)) for name in ("ada", "eve")))
    await desk.take(desk.dashboard.created(desk.dashboard.user("bo")))
    await desk.add("by-hand@example.com")
    await desk.publish("Maps")
    assert await _counted(desk) == (2, 2, 1)
    assert await _counted(desk, connection_id=desk.dashboard.connection_id) == (1, 0, 0)
    assert await _counted(desk, connection_id=desk.store.connection_id) == (0, 2, 0)
    assert await _counted(desk, connection_id="of nobody") == (0, 0, 0)


async def test_a_connection_of_another_workspace_counts_for_nothing(desk: Desk) -> None:
    """Nothing of one connection is hinted at through another (PRODUCT §1)."""
    await desk.open(desk.store, on_create=True)
    await desk.take(desk.store.created(desk.store.user("ada")))
    with pytest.raises(WorkspaceNotFound):
        await counts.get_counts(desk.db, desk.workspaces, "another", desk.store.connection_id)
    found = await desk.db.read(lambda tx: repository.counts(tx, "another", desk.store.connection_id))
    assert found == pb.GetCountsResponse()


async def test_an_id_that_no_database_takes_is_refused(desk: Desk) -> None:
    """Errors name the field and the rule."""
    with pytest.raises(InvalidValue) as refused:
        await counts.get_counts(desk.db, desk.workspaces, WORKSPACE, "a\0b")
    assert refused.value.field == "connection_id"
