"""The rules of a connection: what stands unset, what may be set, what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from rollcall.directory.v1 import connection_service_pb2, events_pb2
from rollcall.portal.v1 import portal_service_pb2 as pb

from portal_service import rules
from portal_service.errors import (
    ConnectionNotFound,
    DirectoryUnavailable,
    InvalidValue,
    PortalError,
    RoleMappingNotFound,
    WrongPortal,
)
from tests.portal_service.desk import WORKSPACE, Desk, RecordedDirectory


async def update(desk: Desk, connection_id: str, **stated: Any) -> pb.Rules:
    """UpdateRules with what is stated."""
    whole: dict[str, Any] = {
        "on_create": 0,
        "on_deactivate": 0,
        "default_role": 0,
        "role_mode": 0,
        "settling_period": None,
    }
    return await rules.update_rules(desk.db, desk.workspaces, desk.reviewer, connection_id, **(whole | stated))


async def test_a_dashboard_connection_begins_with_the_rules_of_the_design(desk: Desk) -> None:
    """PRODUCT §4: "Default: `applivery-admin`, `applivery-editor`, `applivery-viewer`, `applivery-unassigned`"."""
    await desk.take(desk.dashboard.event(events_pb2.ConnectionEnabled))
    found = await rules.get_rules(desk.db, desk.workspaces, desk.dashboard.connection_id)
    assert (found.on_create, found.on_deactivate) == (pb.ON_CREATE_NOTHING, pb.ON_DEACTIVATE_NOTHING)
    assert (found.default_role, found.role_mode) == (pb.ROLE_VIEWER, pb.ROLE_MODE_FIRST_PROVISIONING)
    assert found.settling_period.ToTimedelta() == timedelta(hours=1)
    assert {entry.group: entry.role for entry in found.role_mappings} == {
        "applivery-admin": pb.ROLE_ADMIN,
        "applivery-editor": pb.ROLE_EDITOR,
        "applivery-viewer": pb.ROLE_VIEWER,
        "applivery-unassigned": pb.ROLE_UNASSIGNED,
    }


async def test_a_store_connection_has_no_roles(desk: Desk) -> None:
    """PRODUCT §5: "Rules of a STORE connection: **on create** …; **on deactivate** …", and no more."""
    await desk.take(desk.store.event(events_pb2.ConnectionEnabled))
    found = await rules.get_rules(desk.db, desk.workspaces, desk.store.connection_id)
    assert (found.default_role, found.role_mode, len(found.role_mappings)) == (0, 0, 0)
    assert not found.HasField("settling_period")


async def test_what_is_absent_stays_and_each_change_is_a_version(desk: Desk) -> None:
    """AIP-134: what an update does not state stays; the contract: the version "rises with every change"."""
    first = await desk.open(desk.dashboard)
    changed = await update(desk, desk.dashboard.connection_id, on_create=pb.ON_CREATE_CREATE_COLLABORATOR)
    assert changed.rule_version == first.rule_version + 1
    period = Duration(seconds=90)
    changed = await update(desk, desk.dashboard.connection_id, settling_period=period)
    assert (changed.on_create, changed.settling_period) == (pb.ON_CREATE_CREATE_COLLABORATOR, period)
    same = await update(desk, desk.dashboard.connection_id, on_create=pb.ON_CREATE_CREATE_COLLABORATOR)
    assert same.rule_version == changed.rule_version == first.rule_version + 2


@pytest.mark.parametrize(
    ("stated", "field", "message"),
    [
        ({"default_role": pb.ROLE_UNASSIGNED}, "default_role", "default_role: must be one of ADMIN, EDITOR, VIEWER"),
        ({"default_role": 99}, "default_role", "default_role: must be one of ADMIN, EDITOR, VIEWER"),
        ({"role_mode": 99}, "role_mode", "role_mode: must be one of FIRST_PROVISIONING, CONTINUOUS"),
        ({"on_create": 99}, "on_create", "on_create: must be one of NOTHING, CREATE_COLLABORATOR, CREATE_EMPLOYEE"),
        (
            {"on_deactivate": 99},
            "on_deactivate",
            "on_deactivate: must be one of NOTHING, REMOVE_COLLABORATOR, REMOVE_E",
        ),
        ({"settling_period": Duration(seconds=-1)}, "settling_period", "settling_period: must be 0 to 30 days"),
        ({"settling_period": Duration(nanos=-1)}, "settling_period", "settling_period: must be 0 to 30 days"),
        ({"settling_period": Duration(seconds=30 * 86_400, nanos=1_000)}, "settling_period", "must be 0 to 30 days"),
        ({"settling_period": Duration(seconds=315_576_000_000)}, "settling_period", "must be 0 to 30 days"),
    ],
)
async def test_a_value_that_no_rule_has_is_refused(desk: Desk, stated: Any, field: str, message: str) -> None:
    """The contract: default role "ADMIN, EDITOR or VIEWER", settling period "0 to 30 days"."""
    before = await desk.open(desk.dashboard)
    with pytest.raises(InvalidValue) as caught:
        await update(desk, desk.dashboard.connection_id, **({"on_create": pb.ON_CREATE_NOTHING} | stated))
    assert caught.value.field == field
    assert message in caught.value.message
    assert await rules.get_rules(desk.db, desk.workspaces, desk.dashboard.connection_id) == before


@pytest.mark.parametrize(
    ("portal", "stated", "field"),
    [
        ("store", {"on_create": pb.ON_CREATE_CREATE_COLLABORATOR}, "on_create"),
        ("store", {"on_deactivate": pb.ON_DEACTIVATE_REMOVE_COLLABORATOR}, "on_deactivate"),
        ("store", {"default_role": pb.ROLE_ADMIN}, "default_role"),
        ("store", {"role_mode": pb.ROLE_MODE_CONTINUOUS}, "role_mode"),
        ("store", {"settling_period": Duration()}, "settling_period"),
        ("dashboard", {"on_create": pb.ON_CREATE_CREATE_EMPLOYEE}, "on_create"),
        ("dashboard", {"on_deactivate": pb.ON_DEACTIVATE_REMOVE_EMPLOYEE}, "on_deactivate"),
    ],
)
async def test_a_rule_of_another_portal_is_refused(desk: Desk, portal: str, stated: Any, field: str) -> None:
    """The contract, WRONG_PORTAL: "The connection belongs to another portal, so the rule does not apply to it"."""
    connection = getattr(desk, portal)
    before = await desk.open(connection)
    with pytest.raises(WrongPortal) as caught:
        await update(desk, connection.connection_id, **stated)
    assert caught.value.field == field
    assert await rules.get_rules(desk.db, desk.workspaces, connection.connection_id) == before


async def test_groups_are_mapped_and_unmapped_by_name_whatever_its_case(desk: Desk) -> None:
    """PRODUCT §4: "Role mapping maps group display names to …. Names compare case-insensitively"."""
    first = await desk.open(desk.dashboard)
    await desk.take(desk.dashboard.group_created(desk.dashboard.group("g", "Straße")))
    mapped = await desk.map_role("STRASSE", pb.ROLE_EDITOR)
    assert mapped.rule_version == first.rule_version + 1
    assert [(entry.role, entry.group_id) for entry in mapped.role_mappings if entry.group == "STRASSE"] == [
        (pb.ROLE_EDITOR, "g")
    ]
    again = await desk.map_role("straße", pb.ROLE_EDITOR)
    assert again.rule_version == mapped.rule_version
    connection_id = desk.dashboard.connection_id
    left = await rules.unmap_role(desk.db, desk.workspaces, desk.reviewer, connection_id, group="straße")
    assert len(left.role_mappings) == 4
    with pytest.raises(RoleMappingNotFound):
        await rules.unmap_role(desk.db, desk.workspaces, desk.reviewer, connection_id, group="straße")


@pytest.mark.parametrize(
    ("group", "role"), [("", pb.ROLE_ADMIN), (" ", pb.ROLE_ADMIN), ("a\0b", pb.ROLE_ADMIN), ("a", 0)]
)
async def test_a_mapping_needs_a_name_and_a_role(desk: Desk, group: str, role: int) -> None:
    """HOUSE: errors "name the field and the rule"."""
    await desk.open(desk.dashboard)
    with pytest.raises(InvalidValue) as caught:
        await desk.map_role(group, role)
    assert caught.value.field == ("group" if role else "role")


async def test_roles_are_mapped_on_dashboard_connections_only(desk: Desk) -> None:
    """The contract: "The connection, of the DASHBOARD"."""
    await desk.open(desk.store)
    with pytest.raises(WrongPortal):
        await rules.map_role(
            desk.db, desk.workspaces, desk.reviewer, desk.store.connection_id, group="g", role=pb.ROLE_ADMIN
        )
    with pytest.raises(WrongPortal):
        await rules.unmap_role(desk.db, desk.workspaces, desk.reviewer, desk.store.connection_id, group="g")


async def test_a_connection_that_no_event_told_of_is_asked_for_once(desk: Desk, recorded: RecordedDirectory) -> None:
    """A projection that is a few milliseconds late must not make an administrator's command fail."""
    recorded.connections["new"] = connection_service_pb2.Connection(
        connection_id="new",
        workspace_id=WORKSPACE,
        portal=connection_service_pb2.PORTAL_DASHBOARD,
        state=connection_service_pb2.CONNECTION_STATE_ENABLED,
    )
    for _ in range(2):
        changed = await update(desk, "new", on_create=pb.ON_CREATE_CREATE_COLLABORATOR)
    assert len(changed.role_mappings) == 4
    assert recorded.questions == ["connection new"]


@pytest.mark.parametrize(
    ("portal", "error"),
    [(None, ConnectionNotFound), (connection_service_pb2.PORTAL_MDM, WrongPortal)],
)
async def test_a_connection_without_rules_here_is_refused(
    desk: Desk, recorded: RecordedDirectory, portal: Any, error: type[PortalError]
) -> None:
    """The contract: CONNECTION_NOT_FOUND, "No such connection"; WRONG_PORTAL for one of device management."""
    if portal is not None:
        recorded.connections["c"] = connection_service_pb2.Connection(
            connection_id="c", workspace_id=WORKSPACE, portal=portal
        )
    for connection_id in ("c", "", "\0") if portal is None else ("c",):
        with pytest.raises(error):
            await rules.get_rules(desk.db, desk.workspaces, connection_id)


async def test_a_silent_directory_is_named_as_such(desk: Desk, recorded: RecordedDirectory) -> None:
    """The contract, DIRECTORY_UNAVAILABLE: "The directory did not answer. UNAVAILABLE"."""
    recorded.failing = True
    with pytest.raises(DirectoryUnavailable):
        await rules.get_rules(desk.db, desk.workspaces, "unknown")
    with pytest.raises(DirectoryUnavailable):
        await desk.add("boss@example.com")


async def test_a_deleted_connection_is_not_asked_for_again(desk: Desk, recorded: RecordedDirectory) -> None:
    """A tombstone answers for good: ids are never given out twice."""
    await desk.open(desk.dashboard)
    await desk.take(desk.dashboard.event(events_pb2.ConnectionDeleted))
    with pytest.raises(ConnectionNotFound):
        await update(desk, desk.dashboard.connection_id, on_create=pb.ON_CREATE_NOTHING)
    assert recorded.questions == []
