"""The doctor's page: facts of real services become findings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.directory.v1 import provisioning_log_service_pb2 as pb_log
from rollcall.directory.v1 import provisioning_log_service_pb2_grpc
from rollcall.mdm.v1 import mdm_service_pb2 as mdm

from console.doctor import examine
from console.facts import gather
from tests.console.conftest import Console
from tests.console.workspace import OKTA, Workspace, push, push_group


@pytest.fixture
def workspace(console: Console) -> Workspace:
    return Workspace(console, "Acme")


async def test_a_connection_in_order_says_so_and_what_was_looked_at(console: Console, workspace: Workspace) -> None:
    """Empty states that say what to do next."""
    connection = workspace.enable("store")
    push(console, connection, "jo@example.com")
    page = await console.get(workspace.at("store", "/doctor"))
    assert "Nothing is wrong" in page
    assert "people without an e-mail address" in page


async def test_the_doctor_sees_what_went_wrong_with_the_fix(console: Console, workspace: Workspace) -> None:
    """Okta doctor on each connection: what is wrong or about to be, with the fix."""
    stack, connection = console.stack, workspace.enable("mdm")
    stack.mdm.UpdateRules(
        mdm.UpdateRulesRequest(connection_id=connection.connection_id, on_create="ON_CREATE_CREATE_EMPLOYEE")
    )
    user_id = push(console, connection, "nomail")
    push_group(console, connection, "Pilots", [user_id, "unknown-okta-id"])
    push_group(console, connection, "Crew")
    with stack.scim(connection) as client:
        for _ in range(2):
            body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "NOMAIL"}
            assert client.post("/Users", json=body, headers=OKTA).status_code == 409
    stack.connections.IssueToken(
        pb.IssueTokenRequest(connection_id=connection.connection_id, expires_in={"seconds": 5 * 86_400})
    )
    stack.settled()

    log = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(stack.channel("directory"))
    failed = pb_log.ListProvisioningLogEntriesRequest(connection_id=connection.connection_id, failed_only=True)
    stack.eventually(lambda: len(log.ListProvisioningLogEntries(failed).entries) == 2, what="the log of the gateway")

    page = unescape(await console.get(workspace.at("mdm", "/doctor")))
    assert "2 requests failed: POST /Users, 409 uniqueness" in page
    assert "1 group member not provisioned, in Pilots" in page
    assert "1 user without an e-mail address: nomail" in page
    assert "expires in 5 days" in page or "expires in 4 days" in page
    assert "In Okta, open Dashboard, Tasks" in page
    overview = await console.get(workspace.address)
    assert "2 warnings" in overview

    # A day later, the group that stays empty is told too; an address that was added ends that finding.
    with stack.scim(connection) as client:
        operation = {"op": "add", "path": "emails", "value": [{"value": "no@example.com", "primary": True}]}
        patch = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]}
        assert client.patch(f"/Users/{user_id}", json=patch, headers=OKTA).status_code == 200
    found = stack.connections.GetConnection(pb.GetConnectionRequest(connection_id=connection.connection_id))
    facts = await gather(console.app.deps.services, found.connection, now=datetime.now(UTC) + timedelta(days=1))
    codes = [finding.code for finding in examine(facts)]
    assert "NO_EMAIL" not in codes
    assert [one.display_name for one in facts.empty_groups] == ["Crew"]
    assert {"EMPTY_GROUP", "PARKED", "TOKEN_EXPIRES", "FAILING"} <= set(codes)


async def test_the_overview_stands_while_a_service_is_away(console: Console, workspace: Workspace) -> None:
    """UNAVAILABLE → 503 page; the overview has more to show than the health of a connection."""
    workspace.enable("store")
    console.stack.terminate("portal")
    try:
        page = await console.get(workspace.address)
        assert "Health is not known at the moment" in page
        await console.get(workspace.at("store", "/doctor"), status=503)
    finally:
        console.stack.ensure_running()
