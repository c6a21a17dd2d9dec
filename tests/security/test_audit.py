"""Administrative actions leave an entry each (SECURITY: "Issue, rotate and revoke are audited")."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from rollcall.audit.v1 import audit_service_pb2 as pb
from rollcall.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.directory.v1 import directory_service_pb2 as directory
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

from chassis.database import Transaction
from directory_service.tables import AUDIT_LOG
from tests.directory_service.world import World, as_request, running, settings
from tests.stack import Stack, refused


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory, on SQLite and on PostgreSQL."""
    async with running(settings(database_url, tmp_path)) as started:
        yield started


async def entries(world: World, workspace_id: str = "") -> list[pb.AuditEntry]:
    """The directory's entries, oldest first."""
    stub = AuditServiceStub(world.channels["admin"])
    response = await stub.ListAuditEntries(pb.ListAuditEntriesRequest(workspace_id=workspace_id), timeout=10)
    return list(response.audit_entries)[::-1]


def told(found: list[pb.AuditEntry]) -> list[tuple[str, str, str]]:
    """Who did what and how it ended."""
    return [(entry.identity, entry.method.rpartition("/")[2], entry.outcome) for entry in found]


async def test_the_life_of_a_token_is_audited_without_its_secret(world: World) -> None:
    """SECURITY: "Issue, rotate and revoke are audited. Never logged, never returned again"."""
    connected = await world.connect()
    admin = world.admin
    async with as_request("request-7", "rollcall token issue"):
        issue = connections.IssueTokenRequest(connection_id=connected.id)
        issued = await admin.call("IssueToken", issue)
    revoke = connections.RevokeTokenRequest(connection_id=connected.id, token_id=connected.token_id)
    await admin.call("RevokeToken", revoke)
    found = await entries(world, connected.workspace_id)
    assert told(found)[-3:] == [
        ("admin", "CreateConnection", "OK"),
        ("admin", "IssueToken", "OK"),
        ("admin", "RevokeToken", "OK"),
    ]
    created, made, ended = found[-3:]
    assert created.targets["token_id"] == connected.token_id
    assert made.targets == {"connection_id": connected.id, "token_id": issued.details.token_id}
    assert (made.request_id, made.request) == ("request-7", "rollcall token issue")
    assert made.connection_id == ended.connection_id == connected.id
    assert ended.targets["token_id"] == connected.token_id
    written = " ".join(map(str, found))
    assert issued.token not in written
    assert connected.token not in written


async def test_every_change_by_an_administrator_has_its_entry_and_no_read_has(world: World) -> None:
    """Who changed what is known for every method that only an administrator may call."""
    connected = await world.connect()
    admin = world.admin
    rename = connections.RenameConnectionRequest(connection_id=connected.id, display_name="Anew")
    await admin.call("RenameConnection", rename)
    for method in ("DisableConnection", "DisableConnection", "EnableConnection"):
        await admin.call(method, getattr(connections, f"{method}Request")(connection_id=connected.id))
    mapping = connections.UpdateAttributeMappingRequest(
        connection_id=connected.id, mapped_attributes=[{"name": "n", "attributes": [{"key": "title"}]}]
    )
    await admin.call("UpdateAttributeMapping", mapping)
    await admin.call("GetConnection", connections.GetConnectionRequest(connection_id=connected.id))
    await admin.call("ListTokens", connections.ListTokensRequest(connection_id=connected.id))
    user = directory.CreateUserRequest(connection_id=connected.id, user={"user_name": "ada@example.com"})
    await admin.call("CreateUser", user)
    await connected.scim.create("grace@example.com")
    await admin.call("DeleteConnection", connections.DeleteConnectionRequest(connection_id=connected.id))
    found = await entries(world, connected.workspace_id)
    assert [(method, outcome) for _, method, outcome in told(found)] == [
        ("CreateWorkspace", "OK"),
        ("CreateConnection", "OK"),
        ("RenameConnection", "OK"),
        ("DisableConnection", "OK"),
        ("DisableConnection", "UNCHANGED"),
        ("EnableConnection", "OK"),
        ("UpdateAttributeMapping", "OK"),
        ("CreateUser", "OK"),
        ("DeleteConnection", "OK"),
    ]
    # Nothing of a person, and nothing that is no id.
    assert "example.com" not in " ".join(map(str, found))
    assert "Anew" not in " ".join(map(str, found))


async def test_what_was_refused_is_audited_too(world: World) -> None:
    """An attempt is worth knowing of, most of all one that was not permitted."""
    connected = await world.connect()
    failure = await world.admin.refused("RevokeToken", connections.RevokeTokenRequest(
        connection_id=connected.id, token_id="nobody"))  # fmt: skip
    assert failure.reason == "TOKEN_NOT_FOUND"
    gateway = world.identity("gateway")
    await gateway.refused("IssueToken", connections.IssueTokenRequest(connection_id=connected.id))
    await gateway.refused("ListWorkspaces", connections.ListWorkspacesRequest())
    assert told(await entries(world))[-3:] == [
        ("admin", "RevokeToken", "TOKEN_NOT_FOUND"),
        ("gateway", "IssueToken", "PERMISSION_DENIED"),
        ("gateway", "ListWorkspaces", "PERMISSION_DENIED"),
    ]
    assert told(await entries(world, connected.workspace_id))[-1] == ("gateway", "IssueToken", "PERMISSION_DENIED")


async def test_an_entry_is_in_the_transaction_of_its_change(world: World) -> None:
    """A change without its entry cannot be: when the entry cannot be written, the change is rolled back."""
    connected = await world.connect()

    def refuse(tx: Transaction) -> None:
        tx.execute(sa.text("DROP TABLE audit_log"))

    await world.server.db.write(refuse)
    rename = connections.RenameConnectionRequest(connection_id=connected.id, display_name="Anew")
    await world.admin.refused("RenameConnection", rename)
    shown = await world.admin.call("GetConnection", connections.GetConnectionRequest(connection_id=connected.id))
    assert shown.connection.display_name != "Anew"


async def test_only_an_administrator_reads_the_audit(world: World) -> None:
    """Entries are of every workspace."""
    for name in ("gateway", "portal", "mdm"):
        stub = AuditServiceStub(world.channels[name])
        with pytest.raises(Exception, match="may not call"):
            await stub.ListAuditEntries(pb.ListAuditEntriesRequest(), timeout=10)


async def test_pages_hold_every_entry_once(world: World) -> None:
    """AIP-158."""
    for number in range(5):
        await world.admin.call("CreateWorkspace", connections.CreateWorkspaceRequest(name=f"Workspace {number}"))
    stub = AuditServiceStub(world.channels["admin"])
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListAuditEntriesRequest(page_size=2, page_token=token)
        page = await stub.ListAuditEntries(request, timeout=10)
        seen += [entry.audit_id for entry in page.audit_entries]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen) == len(await entries(world))


async def test_a_list_goes_on_before_an_entry_that_another_service_may_have_made(world: World) -> None:
    """ListAuditEntriesRequest: "it need not be one of this service"."""
    for number in range(3):
        await world.admin.call("CreateWorkspace", connections.CreateWorkspaceRequest(name=f"Workspace {number}"))
    stub = AuditServiceStub(world.channels["admin"])

    async def before(audit_id: str) -> list[str]:
        request = pb.ListAuditEntriesRequest(before_audit_id=audit_id)
        return [entry.audit_id for entry in (await stub.ListAuditEntries(request, timeout=10)).audit_entries]

    newest, *older = await before("")
    assert await before(newest) == older
    assert await before(f"{newest}-of-another-service") == [newest, *older]
    assert await before("0") == []


def test_changes_of_rules_are_audited_where_they_are_made(stack: Stack, capsys: Any, monkeypatch: Any) -> None:
    """`rollcall audit` shows the actions of all three services as one list."""
    from cli.main import run

    workspace_id = stack.create_workspace()
    dashboard, devices = stack.enable(workspace_id, "dashboard"), stack.enable(workspace_id, "mdm")
    stack.portal.MapRole(
        portal.MapRoleRequest(connection_id=dashboard.connection_id, group="secret group", role=portal.ROLE_ADMIN)
    )
    policy = stack.mdm.CreatePolicy(mdm.CreatePolicyRequest(workspace_id=workspace_id, name="Locked")).policy
    with refused():
        stack.mdm.UpdateRules(
            mdm.UpdateRulesRequest(
                connection_id=devices.connection_id, on_deactivate={"change_policy": {"policy_id": "no such policy"}}
            )
        )
    for name in ("directory", "portal", "mdm"):
        monkeypatch.setenv(f"ROLLCALL_{name.upper()}_TARGET", f"127.0.0.1:{stack.ports[name]}")
    monkeypatch.setenv("ROLLCALL_ADMIN_CREDENTIAL_FILE", str(stack.directory / "credentials.json"))
    assert run(["audit", workspace_id, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(entry["method"].rpartition("/")[2], entry["outcome"]) for entry in found[::-1]] == [
        ("CreateWorkspace", "OK"),
        ("CreateConnection", "OK"),
        ("CreateConnection", "OK"),
        ("MapRole", "OK"),
        ("CreatePolicy", "OK"),
        ("UpdateRules", "POLICY_NOT_FOUND"),
    ]
    assert found[1]["targets"]["policy_id"] == policy.policy_id
    assert "secret group" not in json.dumps(found)


def test_the_columns_of_a_tenant_are_not_null() -> None:
    """GHSA-j8v8-g9cx-5qf4: an entry without an owner would be shown to whoever asks for nobody's."""
    assert not any(column.nullable for column in AUDIT_LOG.columns)
