"""Workspaces, login providers, enabling SCIM, tokens: from an empty console to a connection, and back."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

from console.pages.tokens import rotation_of, rows_of
from console.setup_guide import GUIDES
from console.words import ON_DEACTIVATE, departure
from tests.console.conftest import Console
from tests.console.workspace import OKTA, Workspace, push
from tests.stack import Connection

_TOKEN = re.compile(r"rollcall_scim_[0-9a-f]{32}_[A-Za-z0-9_-]{49}")


@pytest.fixture
def workspace(console: Console) -> Workspace:
    return Workspace(console, "Ümlaut & <b>Söhne</b>")


async def test_a_workspace_is_created_listed_and_led_to(console: Console) -> None:
    """Pages: workspaces."""
    name = f"Fleet {secrets.token_hex(4)}"
    location = await console.submit("/", name=f"  {name} ")
    page = await console.get(location)
    assert f"Workspace {name} is created." in page
    for title in ("Dashboard", "Enterprise Store", "MDM Portal"):
        assert f'Enable SCIM<span class="unseen"> for the {title}</span>' in page
    listed = await console.get("/")
    while f'href="{location}">{name}</a>' not in listed:
        (following,) = re.findall(r'rel="next" href="([^"]+)"', listed)
        listed = await console.get(unescape(following))


@pytest.mark.parametrize(
    ("name", "error"),
    [(" ", "A workspace needs a name."), ("x" * 201, "Must be at most 200 printable characters.")],
)
async def test_a_name_that_is_refused_is_told_at_its_field(console: Console, name: str, error: str) -> None:
    """Every input a label, errors linked by aria-describedby."""
    answer = await console.post("/", name=name)
    assert answer.status_code == 200
    assert f'id="name-error">{error}</p>' in answer.text
    assert 'aria-describedby="name-hint name-error" aria-invalid="true"' in answer.text


async def test_what_people_have_typed_is_shown_as_text(console: Console, workspace: Workspace) -> None:
    """Nothing that anybody has typed becomes a part of the page."""
    for page in (await console.get(workspace.address), await console.get(f"{workspace.address}/delete")):
        assert "<b>Söhne" not in page
        assert "&lt;b&gt;Söhne" in page


async def test_the_three_portals_say_how_they_are(console: Console, workspace: Workspace) -> None:
    """Login providers (the three portals, state of each connection, dialect seen, last request, health)."""
    connection = workspace.enable("store")
    push(console, connection, "jo@example.com")
    page = await console.get(workspace.address)
    store = page[page.index("Enterprise Store</a>") : page.index("MDM Portal")]
    assert "Enabled" in store
    assert "Healthy" in store
    assert "Okta" in store
    assert "1 user" in store
    assert page.count("Not connected") == 2
    assert workspace.at("mdm", "/enable") in page


async def test_enabling_scim_shows_base_url_and_token_once_with_the_fields_to_fill(
    console: Console, workspace: Workspace
) -> None:
    """Enable SCIM with base URL and token shown once with copy buttons and the exact Okta fields to fill."""
    form = await console.get(workspace.at("dashboard", "/enable"))
    assert "Enable SCIM for the Dashboard" in form
    answer = await console.post(workspace.at("dashboard", "/enable"), display_name="Okta, people")
    assert answer.status_code == 201
    (token,) = set(_TOKEN.findall(answer.text))
    connection = _connection(console, workspace.id)
    for value in (connection.base_url, token):
        assert f'value="{value}" readonly' in answer.text
    assert answer.text.count("data-copy=") == 2
    assert answer.headers["cache-control"] == "no-store"
    for text in (
        "SCIM connector base URL",
        "Unique identifier field for users",
        "userName",
        "Push New Users, Push Profile Updates, Push Groups",
        "HTTP Header",
        "SCIM 2.0 Base Url",
        "OAuth Bearer Token",
        "Tenant URL",
        "Secret Token",
    ):
        assert text in answer.text
    made = Connection(workspace.id, "DASHBOARD", connection.connection_id, connection.base_url, token, "")
    with console.stack.scim(made) as client:
        assert client.get("/Users?count=1", headers=OKTA).status_code == 200
    for page in ("", "/tokens", "/setup", "/enable"):
        shown = await console.client.get(workspace.at("dashboard", page))
        assert token not in shown.text
    assert (await console.client.get(workspace.at("dashboard", "/enable"))).headers["location"] == workspace.at(
        "dashboard"
    )


async def test_sending_the_form_again_shows_no_second_token(console: Console, workspace: Workspace) -> None:
    """Never again after reload."""
    await console.post(workspace.at("store", "/enable"))
    location = await console.submit(workspace.at("store", "/enable"))
    page = await console.get(location)
    assert "enabled on this portal already" in page
    assert not _TOKEN.search(page)
    assert len(_connections(console, workspace.id)) == 1


async def test_pages_of_a_portal_without_a_connection_lead_to_enabling_it(
    console: Console, workspace: Workspace
) -> None:
    """Empty states that say what to do next."""
    for page in ("", "/tokens", "/rules", "/doctor", "/mapping"):
        answer = await console.client.get(workspace.at("mdm", page))
        assert (answer.status_code, answer.headers["location"]) == (303, workspace.at("mdm", "/enable"))
    await console.get(workspace.at("nonsense"), status=404)
    await console.get(workspace.at("nonsense", "/enable"), status=404)
    await console.get("/workspaces/no-such-workspace", status=404)


async def test_a_connection_tells_who_speaks_and_what_it_does(console: Console, workspace: Workspace) -> None:
    """State of the connection, dialect seen with first and last sight, last request."""
    connection = workspace.enable("dashboard")
    empty = await console.get(workspace.at("dashboard"))
    assert "Nobody yet" in empty
    assert workspace.at("dashboard", "/setup") in empty
    push(console, connection, "jo@example.com")
    page = unescape(await console.get(workspace.at("dashboard")))
    assert "Dialects of SCIM that were seen" in page
    assert '<th scope="row">Okta</th>' in page
    assert connection.base_url in page
    assert "1 user" in page


async def test_a_connection_is_renamed_disabled_and_enabled_again(console: Console, workspace: Workspace) -> None:
    """Disable/enable/rename a connection."""
    connection = workspace.enable("mdm")
    base = workspace.at("mdm")
    await console.submit(f"{base}/rename", display_name="Fleet")
    assert "The connection is now called Fleet." in await console.get(base)
    refused = await console.post(f"{base}/rename", display_name=" ")
    assert "A connection needs a name." in refused.text

    assert "answered with 401" in await console.get(f"{base}/disable")
    await console.submit(f"{base}/disable")
    page = await console.get(base)
    assert "Disabled" in page
    assert "1 critical problem" in page
    with console.stack.scim(connection) as client:
        console.stack.eventually(lambda: client.get("/Users?count=1").status_code == 401)

    enabling = await console.get(f"{base}/enable")
    assert "There is a disabled connection" in enabling
    await console.submit(f"{base}/enable-again")
    assert "enabled again" in await console.get(base)
    with console.stack.scim(connection) as client:
        console.stack.eventually(lambda: client.get("/Users?count=1").status_code == 200)


async def test_a_connection_that_another_has_replaced_is_reached_by_its_id(
    console: Console, workspace: Workspace
) -> None:
    """At most one enabled connection per workspace and portal (PRODUCT §1)."""
    old = workspace.enable("store")
    await console.submit(workspace.at("store", "/disable"))
    new = workspace.enable("store")
    assert new.base_url in await console.get(workspace.at("store"))
    assert workspace.at(old.connection_id) in await console.get(workspace.address)
    assert old.base_url in await console.get(workspace.at(old.connection_id))
    location = await console.submit(workspace.at(old.connection_id, "/enable-again"))
    assert "note failed" in await console.get(location)


@pytest.mark.parametrize("behaviour", ["unassign_devices", "remove_employee_and_devices", "change_policy"])
async def test_deleting_a_connection_says_whom_it_reaches_and_wants_its_name(
    console: Console, workspace: Workspace, behaviour: str
) -> None:
    """Destructive actions say exactly what will happen (how many people, devices) and need typing the name."""
    stack, connection = console.stack, workspace.enable("mdm")
    policy = stack.mdm.CreatePolicy(mdm.CreatePolicyRequest(workspace_id=workspace.id, name="Locked down")).policy
    leaves = mdm.OnDeactivate()
    getattr(leaves, behaviour).SetInParent()
    if behaviour == "change_policy":
        leaves.change_policy.policy_id = policy.policy_id
    stack.mdm.UpdateRules(
        mdm.UpdateRulesRequest(
            connection_id=connection.connection_id, on_create="ON_CREATE_CREATE_EMPLOYEE", on_deactivate=leaves
        )
    )
    for name in ("jo", "mo"):
        push(console, connection, f"{name}@example.com", emails=[{"value": f"{name}@example.com"}])
    stack.settled()
    for number, owner in enumerate(("jo@example.com", "jo@example.com", "mo@example.com", "")):
        stack.mdm.EnrollDevice(
            mdm.EnrollDeviceRequest(
                workspace_id=workspace.id, serial=f"S{number}", name="n", platform="ios", owner_email=owner
            )
        )
    base = workspace.at("mdm")
    page = unescape(await console.get(f"{base}/delete"))
    assert "2 users and 0 groups of this connection are deleted" in page
    assert "2 employees" in page
    assert "3 devices" in page
    assert ("Locked down" in page) is (behaviour == "change_policy")

    refused = await console.post(f"{base}/delete", confirmation="MDM ")
    assert refused.status_code == 303  # white space around what is typed does not matter
    assert "is being deleted" in await console.get(refused.headers["location"])
    stack.settled()


async def test_another_name_deletes_nothing(console: Console, workspace: Workspace) -> None:
    """Destructive actions need typing the name."""
    workspace.enable("dashboard")
    answer = await console.post(workspace.at("dashboard", "/delete"), confirmation="dashboard")
    assert answer.status_code == 200
    assert "Type Dashboard to confirm. Nothing was deleted." in answer.text
    assert _connections(console, workspace.id)[0].state == pb.CONNECTION_STATE_ENABLED


async def test_deleting_a_dashboard_connection_counts_its_collaborators(console: Console, workspace: Workspace) -> None:
    """Exactly what will happen: how many people."""
    stack, connection = console.stack, workspace.enable("dashboard")
    stack.portal.UpdateRules(
        portal.UpdateRulesRequest(
            connection_id=connection.connection_id,
            on_create="ON_CREATE_CREATE_COLLABORATOR",
            on_deactivate="ON_DEACTIVATE_REMOVE_COLLABORATOR",
        )
    )
    push(console, connection, "jo@example.com")
    stack.portal.CreateCollaborator(
        portal.CreateCollaboratorRequest(workspace_id=workspace.id, email="other@example.com", role="ROLE_ADMIN")
    )
    stack.settled()
    page = await console.get(workspace.at("dashboard", "/delete"))
    assert "1 collaborator lose" not in page
    assert "Access to the dashboard ends for 1 collaborator." in page
    assert "The last Admin of the workspace is kept." in page


def test_what_a_deletion_does_is_told_for_every_rule() -> None:
    """Exact counts of users, groups, devices and what the rules will do."""
    for slug, choices in ON_DEACTIVATE.items():
        told = {departure(slug, one.value, people="7 people", devices="9 devices", policy="P") for one in choices}
        assert len(told) == len(choices)
        assert all("7 people" in text for text in told)
        assert slug != "mdm" or all("9 devices" in text for text in told)


async def test_a_workspace_with_connections_says_which_to_delete_first(console: Console, workspace: Workspace) -> None:
    """Deletes a workspace. FAILED_PRECONDITION while it has connections."""
    connection = workspace.enable("store")
    page = await console.get(f"{workspace.address}/delete")
    assert "Delete these first" in page
    assert workspace.at(connection.connection_id, "/delete") in page
    answer = await console.post(f"{workspace.address}/delete", confirmation=workspace.name)
    assert answer.status_code == 200
    assert "note failed" in answer.text


async def test_deleting_a_workspace_says_what_goes_and_wants_its_name(console: Console, workspace: Workspace) -> None:
    """Destructive actions say exactly what will happen (how many people, devices) and need typing the name."""
    console.stack.portal.CreateCollaborator(
        portal.CreateCollaboratorRequest(workspace_id=workspace.id, email="a@example.com", role="ROLE_ADMIN")
    )
    console.stack.portal.CreatePublication(portal.CreatePublicationRequest(workspace_id=workspace.id, name="App"))
    console.stack.mdm.EnrollDevice(
        mdm.EnrollDeviceRequest(workspace_id=workspace.id, serial="S", name="n", platform="ios")
    )
    page = await console.get(f"{workspace.address}/delete")
    assert "Access to the dashboard ends for 1 collaborator." in page
    assert "1 publication" in page
    assert "Device management ends for 1 device" in page
    answer = await console.post(f"{workspace.address}/delete", confirmation="Acme")
    assert "Nothing was deleted." in answer.text
    assert await console.submit(f"{workspace.address}/delete", confirmation=workspace.name) == "/"
    await console.get(workspace.address, status=404)
    console.stack.settled()


async def test_a_token_is_rotated_without_a_gap(console: Console, workspace: Workspace) -> None:
    """Token rotation with overlap."""
    connection = workspace.enable("store")
    page = await console.get(workspace.at("store", "/tokens"))
    assert "issue a second token" in page
    known = _hidden(page, "known")
    answer = await console.post(workspace.at("store", "/tokens"), scope="write", days="90", known=known)
    assert answer.status_code == 201
    (token,) = set(_TOKEN.findall(answer.text))
    assert "The old one works meanwhile." in answer.text
    again = await console.post(workspace.at("store", "/tokens"), scope="write", days="90", known=known)
    assert again.status_code == 200
    assert "No token was issued" in again.text
    assert not _TOKEN.search(again.text)

    page = await console.get(workspace.at("store", "/tokens"))
    assert "has not been used yet" in page
    assert "Two tokens live already" in page
    new = Connection(workspace.id, "STORE", connection.connection_id, connection.base_url, token, "")
    with console.stack.scim(new) as client:
        assert client.get("/Users?count=1", headers=OKTA).status_code == 200
    _used(console, connection.connection_id, token)
    assert "has taken over" in await console.get(workspace.at("store", "/tokens"))

    revoking = workspace.at("store", f"/tokens/{connection.token_id}/revoke")
    assert "The connection has another live token" in await console.get(revoking)
    assert "Nothing was revoked." in (await console.post(revoking, confirmation="")).text
    location = await console.submit(revoking, confirmation=connection.token_id[:8])
    assert "Revoked" in await console.get(location)
    with console.stack.scim(connection) as client:
        console.stack.eventually(lambda: client.get("/Users?count=1").status_code == 401)


async def test_revoking_the_only_token_says_that_nobody_is_provisioned(console: Console, workspace: Workspace) -> None:
    """Destructive actions say exactly what will happen."""
    connection = workspace.enable("store")
    page = await console.get(workspace.at("store", f"/tokens/{connection.token_id}/revoke"))
    assert "It is the only live token of the connection" in page
    await console.get(workspace.at("store", "/tokens/nonsense/revoke"), status=404)
    await console.post(workspace.at("store", "/tokens/nonsense/revoke"), confirmation="nonsense")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"scope": "write", "days": "0"}, "1 to 3650 days"),
        ({"scope": "write", "days": "3651"}, "1 to 3650 days"),
        ({"scope": "write", "days": "soon"}, "1 to 3650 days"),
        ({"scope": "all", "days": "30"}, "Choose what the token may do."),
    ],
)
async def test_a_token_that_is_not_asked_for_rightly_is_not_issued(
    console: Console, workspace: Workspace, fields: dict[str, str], error: str
) -> None:
    """Tokens: scope, expiry."""
    workspace.enable("store")
    page = await console.get(workspace.at("store", "/tokens"))
    answer = await console.post(workspace.at("store", "/tokens"), known=_hidden(page, "known"), **fields)
    assert (answer.status_code, error in answer.text) == (200, True)
    assert not _TOKEN.search(answer.text)


NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _token(name: str, created: int, used: int | None, *, left: int = 100) -> pb.Token:
    made = pb.Token(token_id=name * 8)
    made.created_time.FromDatetime(NOW - timedelta(days=created))
    made.expire_time.FromDatetime(NOW + timedelta(days=left))
    if used is not None:
        made.last_used_time.FromDatetime(NOW - timedelta(days=used))
    return made


@pytest.mark.parametrize(
    ("old_used", "new_used", "revocable"),
    [(1, None, ""), (1, 2, ""), (1, 1, ""), (2, 1, "o" * 8), (None, 1, "o" * 8)],
)
def test_the_old_token_can_go_once_only_the_new_one_is_used(
    old_used: int | None, new_used: int | None, revocable: str
) -> None:
    """Issue second, then revoke first; shows last use of each so that one sees when the old one is no longer used."""
    rows = rows_of([_token("o", 9, old_used), _token("n", 1, new_used)], NOW)
    assert [row.name[0] for row in rows] == ["n", "o"]
    assert rotation_of(rows).revocable == revocable


def test_a_token_is_called_what_it_is() -> None:
    """Tokens: expiry one year by default, warned 30 days ahead (SECURITY)."""
    gone = _token("r", 1, 1)
    gone.revoked_time.CopyFrom(Timestamp(seconds=1))
    tokens = [_token("l", 3, 1, left=31), _token("s", 2, 1, left=30), _token("e", 1, 1, left=0), gone]
    assert {row.name[0]: row.state for row in rows_of(tokens, NOW)} == {
        "l": "Live",
        "s": "Expires soon",
        "e": "Expired",
        "r": "Revoked",
    }
    assert rotation_of(rows_of([gone], NOW)).kind == "failed"


def test_every_guide_asks_for_base_url_and_token_once() -> None:
    """The exact Okta fields to fill (and Entra's)."""
    for guide in GUIDES:
        values = [entry.value for step in guide.steps for entry in step.entries]
        assert (values.count("{base_url}"), values.count("{token}")) == (1, 1)


def _hidden(page: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return unescape(found[1])


def _connections(console: Console, workspace_id: str) -> list[pb.Connection]:
    request = pb.ListConnectionsRequest(workspace_id=workspace_id)
    return list(console.stack.connections.ListConnections(request).connections)


def _connection(console: Console, workspace_id: str) -> pb.Connection:
    (found,) = _connections(console, workspace_id)
    return found


def _used(console: Console, connection_id: str, token: str) -> None:
    """Wait until the first use of a token is written, which takes up to some seconds."""
    token_id = token.split("_")[2]

    def is_told() -> bool:
        found = console.stack.connections.ListTokens(pb.ListTokensRequest(connection_id=connection_id)).tokens
        return any(one.token_id == token_id and one.HasField("last_used_time") for one in found)

    console.stack.eventually(is_told, what="the use of the token")
