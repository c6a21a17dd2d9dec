"""Every command of PRODUCT section 8 against a real stack."""

import json
import os
import re
import signal
import subprocess
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.cli.conftest import ROLLCALL, clean_environment, eventually
from tests.loopback import NO_TLS

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def accounts(cli, *command):
    """The e-mails that a list command shows."""
    return [account["email"] for account in cli.json(*command)]


# -- workspaces, connections, tokens ----------------------------------------------------------------------------------


def test_a_workspace_is_created_listed_shown_and_deleted(cli):
    """PRODUCT 8: "create prints `workspace_id`, `slug`"; W is an id or a slug."""
    name = f"Acme {uuid.uuid4().hex[:8]}"
    made = cli.json("workspace", "create", name)
    assert UUID.fullmatch(made["workspace_id"])
    assert made["slug"] == name.lower().replace(" ", "-")
    assert made in cli.json("workspace", "list")
    assert cli.json("workspace", "show", made["slug"]) == made == cli.json("workspace", "show", made["workspace_id"])
    assert cli.json("workspace", "delete", made["slug"]) == {"workspace_id": made["workspace_id"]}
    assert made["slug"] in cli("workspace", "show", made["slug"]).refusal


def test_a_workspace_with_connections_is_not_deleted(cli):
    """ConnectionService: FAILED_PRECONDITION while it has connections: one clear line, nothing changed."""
    workspace = cli.workspace()
    cli.connection(workspace, "mdm")
    assert "connection" in cli("workspace", "delete", workspace).refusal
    assert cli.json("workspace", "show", workspace)["slug"] == workspace


def test_all_pages_of_a_list_are_shown(cli):
    """A list is whole: the services give 200 at a time at most."""
    workspace = cli.workspace()
    connection = cli.connection(workspace, "dashboard")
    names = [f"u{number:03d}@example.com" for number in range(205)]
    creations = [{"method": "POST", "path": "/Users", "bulkId": name, "data": {"userName": name}} for name in names]
    bulk = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": creations}
    assert {made["status"] for made in connection.scim("POST", "/Bulk", bulk).json()["Operations"]} == {"201"}
    assert [user["user_name"] for user in cli.json("user", "list", connection.id)] == names


def test_enabling_a_portal_gives_a_base_url_and_a_token_that_work(cli):
    """PRODUCT 8: connection enable "prints `connection_id`, `base_url`, `token` (the only time)"."""
    workspace = cli.workspace()
    made = cli.json("connection", "enable", "--workspace", workspace, "--portal", "dashboard")
    assert made["portal"] == "DASHBOARD"
    assert made["state"] == "ENABLED"
    assert made["base_url"] == f"{cli.up.url}/scim/v2/{made['connection_id']}"
    assert made["token"].startswith(f"rollcall_scim_{made['token_id']}_")
    connection = cli.connection(workspace, "store")
    assert connection.scim("GET", "/Users").status_code == 200
    assert "token" not in cli.json("connection", "show", connection.id)


def test_a_connection_shows_which_clients_it_has_seen(cli):
    """Proto: "The dialects of SCIM that were seen", each with first and last sight and how many requests."""
    connection = cli.connection(cli.workspace(), "mdm")
    assert cli.json("connection", "show", connection.id)["client_profiles"] == []
    headers = {"Authorization": f"Bearer {connection.token}", "User-Agent": "Okta SCIM Client 1.0.0"}
    for _ in range(2):
        httpx.get(f"{connection.base_url}/Users", headers=headers, timeout=15, verify=NO_TLS).raise_for_status()
    (profile,) = cli.json("connection", "show", connection.id)["client_profiles"]
    assert (profile["dialect"], profile["request_count"]) == ("OKTA", 2)
    assert profile["first_seen_time"] <= profile["last_seen_time"]
    assert "OKTA" in cli("connection", "show", connection.id).out


def test_a_portal_has_one_enabled_connection(cli):
    """PRODUCT 1: "at most one enabled connection per workspace and portal"."""
    workspace = cli.workspace()
    cli.connection(workspace, "store")
    assert cli("connection", "enable", "--workspace", workspace, "--portal", "store").refusal


def test_a_connection_is_disabled_and_enabled_again(cli):
    """PRODUCT 1: "A connection can be disabled (every call answers 401; nothing is deleted) and enabled again"."""
    connection = cli.connection(cli.workspace(), "store")
    assert cli.json("connection", "disable", connection.id)["state"] == "DISABLED"
    eventually(lambda: connection.scim("GET", "/Users").status_code == 401)
    again = cli.json("connection", "enable", connection.id)
    assert again["state"] == "ENABLED"
    assert again["connection_id"] == connection.id
    assert "token" not in again
    eventually(lambda: connection.scim("GET", "/Users").status_code == 200)


def test_connections_are_listed_renamed_and_deleted(cli):
    """PRODUCT 1: "renamed, and deleted"."""
    workspace = cli.workspace()
    connection = cli.connection(workspace, "mdm")
    assert cli.json("connection", "rename", connection.id, "Okta devices")["display_name"] == "Okta devices"
    listed = cli.json("connection", "list", "--workspace", workspace)
    assert [(item["connection_id"], item["display_name"]) for item in listed] == [(connection.id, "Okta devices")]
    assert connection.id in [item["connection_id"] for item in cli.json("connection", "list")]
    assert cli.json("connection", "delete", connection.id)["state"] == "DELETING"
    eventually(lambda: cli.json("connection", "list", "--workspace", workspace) == [])


def test_tokens_are_issued_listed_and_revoked(cli):
    """PRODUCT 8: "issue prints `token_id`, `token`"; PRODUCT 1: up to two live ones."""
    connection = cli.connection(cli.workspace(), "mdm")
    issued = cli.json("token", "issue", connection.id, "--expires-in", "1h", "--scope", "read")
    assert issued["scope"] == "READ"
    expires = datetime.fromisoformat(issued["expire_time"])
    assert abs(expires - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert cli("token", "issue", connection.id).refusal
    listed = cli.json("token", "list", connection.id)
    assert issued["token_id"] in [token["token_id"] for token in listed]
    assert len(listed) == 2
    assert issued["token"] not in json.dumps(listed)
    assert cli.json("token", "revoke", connection.id, issued["token_id"])["revoked_time"]
    connection.token = issued["token"]
    eventually(lambda: connection.scim("GET", "/Users").status_code == 401)


def test_a_token_for_no_time_is_refused(cli):
    """IssueToken: more than 0; the error names the field."""
    connection = cli.connection(cli.workspace(), "mdm")
    assert "expires_in" in cli("token", "issue", connection.id, "--expires-in", "0").refusal


# -- rules and mapping ------------------------------------------------------------------------------------------------


def test_dashboard_rules_are_set_and_shown(cli):
    """PRODUCT 4: on create, on deactivate, default role, role mode, settling period."""
    connection = cli.connection(cli.workspace(), "dashboard")
    arguments = (
        "--on-create create --on-deactivate remove --default-role editor --role-mode continuous --settling-period 30m"
    )
    cli.json("rules", "set", connection.id, *arguments.split())
    rules = cli.json("rules", "show", connection.id)
    assert rules["on_create"] == "CREATE_COLLABORATOR"
    assert rules["on_deactivate"] == "REMOVE_COLLABORATOR"
    assert rules["default_role"] == "EDITOR"
    assert rules["role_mode"] == "CONTINUOUS"
    assert rules["settling_period"] == "1800s"
    assert {mapping["group"] for mapping in rules["role_mappings"]} == {
        "applivery-admin", "applivery-editor", "applivery-viewer", "applivery-unassigned",
    }  # fmt: skip
    assert cli.json("rules", "set", connection.id, "--settling-period", "0")["settling_period"] == "0s"
    assert "settling_period: " in cli("rules", "show", connection.id).out


def test_what_is_not_given_stays(cli):
    """UpdateRules: "what is absent stays"."""
    connection = cli.connection(cli.workspace(), "store", "--on-create", "create", "--on-deactivate", "remove")
    rules = cli.json("rules", "set", connection.id, "--on-deactivate", "nothing")
    assert (rules["on_create"], rules["on_deactivate"]) == ("CREATE_EMPLOYEE", "NOTHING")


def test_roles_are_mapped_and_unmapped(cli):
    """PRODUCT 4: "Role mapping maps group display names to ADMIN | EDITOR | VIEWER | UNASSIGNED"."""
    connection = cli.connection(cli.workspace(), "dashboard")
    rules = cli.json("rules", "map-role", connection.id, "--group", "Platform Team", "--role", "admin")
    assert ("Platform Team", "ADMIN") in [(item["group"], item["role"]) for item in rules["role_mappings"]]
    rules = cli.json("rules", "unmap-role", connection.id, "--group", "platform team")
    assert "Platform Team" not in [item["group"] for item in rules["role_mappings"]]
    assert cli("rules", "unmap-role", connection.id, "--group", "Platform Team").refusal


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("nothing", "DO_NOTHING"),
        ("unassign-devices", "UNASSIGN_DEVICES"),
        ("change-policy", "CHANGE_POLICY"),
        ("remove-employee", "REMOVE_EMPLOYEE"),
        ("REMOVE_EMPLOYEE_AND_DEVICES", "REMOVE_EMPLOYEE_AND_DEVICES"),
    ],
)
def test_each_behaviour_of_mdm_rules_is_set_and_shown(cli, kind, shown):
    """PRODUCT 6: "on deactivate, five behaviours"."""
    workspace = cli.workspace()
    policy = cli.json("policy", "create", workspace, "Locked")["policy_id"] if kind == "change-policy" else ""
    connection = cli.connection(workspace, "mdm")
    more = ["--policy", policy] if policy else []
    cli.json("rules", "set", connection.id, "--on-create", "create", "--on-deactivate", kind, *more)
    rules = cli.json("rules", "show", connection.id)
    assert rules["on_create"] == "CREATE_EMPLOYEE"
    assert (rules["on_deactivate"], rules["policy_id"], rules["portal"]) == (shown, policy, "MDM")


@pytest.mark.parametrize(
    ("portal", "arguments", "expected"),
    [
        ("dashboard", "--on-deactivate change-policy --policy p", "DASHBOARD connection has nothing, remove"),
        ("store", "--on-deactivate unassign-devices", "STORE connection has nothing, remove"),
        ("mdm", "--on-deactivate remove", "MDM connection has nothing, unassign-devices, change-policy"),
        ("mdm", "--default-role admin", "--default-role: only for a DASHBOARD connection, this one is MDM"),
        ("store", "--role-mode continuous", "--role-mode: only for a DASHBOARD connection, this one is STORE"),
        ("store", "--settling-period 1h", "--settling-period: only for a DASHBOARD connection"),
    ],
)
def test_a_rule_of_another_portal_is_refused_with_what_there_is(cli, portal, arguments, expected):
    """PRODUCT 8: "KIND by portal"."""
    connection = cli.connection(cli.workspace(), portal)
    before = cli.json("rules", "show", connection.id)
    assert expected in cli("rules", "set", connection.id, *arguments.split()).misuse
    assert cli.json("rules", "show", connection.id) == before


def test_a_policy_that_does_not_exist_is_refused_by_name(cli):
    """PRODUCT 6: CHANGE_POLICY's policy "must exist in the workspace"; errors name the field."""
    connection = cli.connection(cli.workspace(), "mdm")
    arguments = ("--on-deactivate", "change-policy", "--policy", str(uuid.uuid4()))
    assert "policy" in cli("rules", "set", connection.id, *arguments).refusal


def test_a_mapping_is_set_shown_previewed_and_applied(cli, tmp_path):
    """PRODUCT 3: the first source that yields a value is "written to the user's metadata[name]"."""
    connection = cli.connection(cli.workspace(), "dashboard")
    connection.create_user(
        "ana@example.com",
        schemas=["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        title="Engineer",
        **{ENTERPRISE: {"department": "Field"}},
    )
    file = tmp_path / "F.json"
    mapping = [
        {"name": "department", "attributes": [{"namespace": ENTERPRISE, "key": "department"}]},
        {"name": "job", "attributes": [{"namespace": "", "key": "title"}]},
    ]
    file.write_text(json.dumps(mapping))
    preview = cli.json("mapping", "preview", connection.id, "--user", "ana@example.com", "--file", str(file))
    assert preview == {"metadata": {"department": "Field", "job": "Engineer"}}
    assert cli.json("mapping", "show", connection.id)["mapped_attributes"] == []
    cli.json("mapping", "set", connection.id, "--file", str(file))
    assert cli.json("mapping", "show", connection.id)["mapped_attributes"] == mapping
    assert cli.json("mapping", "preview", connection.id, "--user", "ana@example.com") == preview
    user = eventually(
        lambda: (found := cli.json("user", "show", connection.id, "ana@example.com"))["metadata"] and found,
        what="the user's metadata",
    )
    assert user["metadata"] == preview["metadata"]
    assert "department" in cli("mapping", "show", connection.id).out


def test_attributes_that_arrived_are_listed(cli):
    """PRODUCT 3: "an administrator picks from what really arrives"."""
    connection = cli.connection(cli.workspace(), "dashboard")
    connection.create_user("ana@example.com", title="Engineer")
    history = cli.json("mapping", "history", connection.id)
    assert "title" in [sighting["key"] for sighting in history]
    assert all(isinstance(sighting["count"], int) for sighting in history)


# -- users and groups -------------------------------------------------------------------------------------------------


def test_users_are_listed_filtered_and_shown_by_id_or_name(cli):
    """PRODUCT 8: `user list C [--filter F]` · `user show C ID_OR_USERNAME`."""
    connection = cli.connection(cli.workspace(), "dashboard")
    ana = connection.create_user("Ana@example.com")
    quoted = connection.create_user('o"brien\\x', emails=[{"value": "ob@example.com"}])
    assert [user["id"] for user in cli.json("user", "list", connection.id)] == [ana, quoted]
    found = cli.json("user", "list", connection.id, "--filter", 'userName eq "ana@EXAMPLE.com"')
    assert [user["id"] for user in found] == [ana]
    by_id = cli.json("user", "show", connection.id, ana)
    assert by_id == cli.json("user", "show", connection.id, "ana@example.com")
    assert by_id["email"] == "Ana@example.com"
    assert by_id["version"] == 1
    assert cli.json("user", "show", connection.id, 'o"brien\\x')["id"] == quoted
    assert cli("user", "list", connection.id, "--filter", "userName eq").refusal
    assert "nobody" in cli("user", "show", connection.id, "nobody").refusal
    assert cli("user", "show", connection.id, str(uuid.uuid4())).refusal


def test_a_group_is_shown_with_its_members_and_what_is_parked(cli):
    """PRODUCT 2: a member value that names no user is "parked: accepted, not shown as a member"."""
    connection = cli.connection(cli.workspace(), "dashboard")
    ana = connection.create_user("ana@example.com")
    group = connection.create_group("Field Team", ana, "somebody-later")
    shown = cli.json("group", "show", connection.id, "field team")
    assert shown == cli.json("group", "show", connection.id, group)
    assert [member["value"] for member in shown["members"]] == [ana]
    assert shown["member_count"] == 1
    assert [item["id"] for item in cli.json("group", "list", connection.id)] == [group]
    assert cli.json("user", "show", connection.id, ana)["groups"][0]["display_name"] == "Field Team"
    parked = cli.json("group", "parked", connection.id)
    assert [(item["group_id"], item["value"]) for item in parked] == [(group, "somebody-later")]
    assert "No group" not in cli("group", "show", connection.id, group).out
    assert "nothing" in cli("group", "show", connection.id, "nothing").refusal


# -- collaborators, employees, publications ---------------------------------------------------------------------------


def test_collaborators_are_managed_by_hand(cli):
    """PRODUCT 4: "A person's choice (MANUAL)"; PRODUCT 8: `email`, `role`, `role_source`, `metadata`."""
    workspace = cli.workspace()
    added = cli.json("collaborator", "add", workspace, "boss@example.com", "--role", "admin")
    shown = [added[key] for key in ("email", "role", "role_source", "metadata")]
    assert shown == ["boss@example.com", "ADMIN", "MANUAL", {}]
    cli.json("collaborator", "add", workspace, "ana@example.com", "--role", "viewer")
    assert cli("collaborator", "add", workspace, "ANA@example.com", "--role", "viewer").refusal
    assert cli.json("collaborator", "set-role", workspace, "ana@example.com", "editor")["role"] == "EDITOR"
    assert accounts(cli, "collaborator", "list", workspace) == ["ana@example.com", "boss@example.com"]
    assert cli.json("collaborator", "remove", workspace, "ana@example.com") == {"email": "ana@example.com"}
    assert "ana@example.com" in cli("collaborator", "show", workspace, "ana@example.com").refusal


def test_the_last_admin_is_kept_and_the_refusal_says_so(cli):
    """PRODUCT 4: "The last ADMIN of a workspace is never removed or demoted"."""
    workspace = cli.workspace()
    cli.json("collaborator", "add", workspace, "boss@example.com", "--role", "admin")
    assert "ADMIN" in cli("collaborator", "remove", workspace, "boss@example.com").refusal
    assert "ADMIN" in cli("collaborator", "set-role", workspace, "boss@example.com", "viewer").refusal
    assert cli.json("collaborator", "show", workspace, "boss@example.com")["role"] == "ADMIN"


def test_provisioned_employees_see_their_publications(cli):
    """PRODUCT 5: "public to all the workspace's employees or restricted to an audience of groups"."""
    workspace = cli.workspace()
    connection = cli.connection(workspace, "store", "--on-create", "create")
    ana = connection.create_user("ana@example.com")
    connection.create_user("bo@example.com")
    connection.create_group("Beta", ana)
    public = cli.json("publication", "create", workspace, "News")
    beta = cli.json("publication", "create", workspace, "Beta App", "--audience", "beta")
    assert (public["restricted"], beta["restricted"]) == (False, True)
    assert [group["display_name"] for group in beta["audience"]] == ["Beta"]
    assert "no such group" not in cli("publication", "list", workspace).out
    eventually(
        lambda: accounts(cli, "employee", "list", workspace, "--portal", "store")
        == ["ana@example.com", "bo@example.com"]
    )  # fmt: skip
    assert cli.json("employee", "show", workspace, "ana@example.com", "--portal", "store")["user_id"] == ana
    eventually(lambda: seen(cli, workspace, "ana@example.com") == ["Beta App", "News"])
    assert seen(cli, workspace, "bo@example.com") == ["News"]
    assert cli.json("publication", "delete", workspace, beta["publication_id"]) == {
        "publication_id": beta["publication_id"]
    }
    assert [item["name"] for item in cli.json("publication", "list", workspace)] == ["News"]
    assert "Nobody" in cli("publication", "create", workspace, "X", "--audience", "Nobody").refusal


def seen(cli, workspace, email):
    return [publication["name"] for publication in cli.json("publication", "visible", workspace, email)]


# -- devices ----------------------------------------------------------------------------------------------------------


def test_devices_are_enrolled_assigned_and_removed(cli):
    """PRODUCT 8: `device_id`, `serial`, `owner_email`, `policy_id`, `state`, `assignment_epoch`."""
    workspace = cli.workspace()
    connection = cli.connection(workspace, "mdm", "--on-create", "create")
    connection.create_user("ana@example.com")
    eventually(lambda: accounts(cli, "employee", "list", workspace, "--portal", "mdm") == ["ana@example.com"])
    policy = cli.json("policy", "create", workspace, "Standard")["policy_id"]
    enroll = ("device", "enroll", workspace, "--serial", "S-1", "--name", "Mac", "--platform", "macos")
    device = cli.json(*enroll, "--policy", policy, "--owner", "ana@example.com")
    assert (device["serial"], device["owner_email"], device["policy_id"]) == ("S-1", "ana@example.com", policy)
    assert device["state"] == "ENROLLED"
    assert cli(*enroll).refusal
    epoch = device["assignment_epoch"]
    device_id = device["device_id"]
    assert [d["device_id"] for d in cli.json("device", "list", workspace, "--owner", "ana@example.com")] == [device_id]
    assert cli.json("device", "show", workspace, "S-1") == device == cli.json("device", "show", workspace, device_id)
    free = cli.json("device", "unassign", workspace, device_id)
    assert (free["owner_email"], free["assignment_epoch"]) == ("", epoch + 1)
    assert cli.json("device", "assign", workspace, "S-1", "ana@example.com")["assignment_epoch"] == epoch + 2
    assert "bo@example.com" in cli("device", "assign", workspace, device_id, "bo@example.com").refusal
    other = cli.json("policy", "create", workspace, "Strict")["policy_id"]
    assert cli.json("device", "set-policy", workspace, device_id, other)["policy_id"] == other
    assert cli("policy", "delete", workspace, other).refusal
    assert cli.json("policy", "delete", workspace, policy) == {"policy_id": policy}
    assert [item["name"] for item in cli.json("policy", "list", workspace)] == ["Strict"]
    assert cli.json("device", "remove", workspace, device_id)["state"] == "REMOVED"
    kinds = [item["kind"] for item in cli.json("device", "commands", workspace, device_id)]
    assert kinds[0] == "REMOVE"
    assert "APPLY_POLICY" in kinds
    assert "S-2" in cli("device", "show", workspace, "S-2").refusal


def test_a_platform_that_is_not_known_is_refused_by_field(cli):
    """INVALID_VALUE errors name the field and the rule."""
    line = cli("device", "enroll", cli.workspace(), "--serial", "S", "--name", "N", "--platform", "vax").refusal
    assert "platform" in line
    assert "macos" in line


def test_segments_give_collaborators_devices(cli):
    """PRODUCT 6: "segment permissions say which collaborator may view or manage them"."""
    workspace = cli.workspace()
    device = cli.json("device", "enroll", workspace, "--serial", "S-1", "--name", "Mac", "--platform", "macos")
    segment = cli.json("segment", "create", workspace, "Berlin")["segment_id"]
    assert cli.json("segment", "add-device", workspace, segment, "S-1")["device_ids"] == [device["device_id"]]
    grants = cli.json("segment", "grant", workspace, segment, "ana@example.com", "manage")["grants"]
    assert grants == [{"email": "ana@example.com", "permission": "MANAGE"}]
    visible = cli.json("segment", "devices-visible", workspace, "ana@example.com")
    assert [(item["device_id"], item["permission"]) for item in visible] == [(device["device_id"], "MANAGE")]
    assert [item["name"] for item in cli.json("segment", "list", workspace)] == ["Berlin"]
    assert cli.json("segment", "revoke", workspace, segment, "ana@example.com")["grants"] == []
    assert cli.json("segment", "devices-visible", workspace, "ana@example.com") == []
    assert cli("segment", "revoke", workspace, segment, "ana@example.com").refusal


# -- effects ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def offboarded(cli):
    """A user of the dashboard and of devices who was deactivated: workspace, ids and the requests' ids."""
    workspace = cli.workspace()
    policy = cli.json("policy", "create", workspace, "Locked")["policy_id"]
    cli.json("collaborator", "add", workspace, "boss@example.com", "--role", "admin")
    rules = ("--on-create", "create", "--on-deactivate", "remove")
    dashboard = cli.connection(workspace, "dashboard", *rules)
    mdm = cli.connection(
        workspace, "mdm", "--on-create", "create", "--on-deactivate", "change-policy", "--policy", policy
    )
    ana, ana_mdm = dashboard.create_user("ana@example.com"), mdm.create_user("ana@example.com")
    eventually(lambda: accounts(cli, "employee", "list", workspace, "--portal", "mdm") == ["ana@example.com"])
    enroll = ("device", "enroll", workspace, "--serial", "S-1", "--name", "Mac", "--platform", "macos")
    device = cli.json(*enroll, "--owner", "ana@example.com")["device_id"]
    eventually(lambda: "ana@example.com" in accounts(cli, "collaborator", "list", workspace))
    requests = {"dashboard": dashboard.deactivate(ana), "mdm": mdm.deactivate(ana_mdm)}
    eventually(lambda: "ana@example.com" not in accounts(cli, "collaborator", "list", workspace))
    eventually(lambda: cli.json("device", "show", workspace, device)["policy_id"] == policy)
    return {"workspace": workspace, "device": device, "user": ana, "mdm_user": ana_mdm, "requests": requests}


def test_effects_of_both_services_are_one_list_newest_first(cli, offboarded):
    """PRODUCT 7: "Every consequence downstream is a row, an effect"."""
    effects = cli.json("effects", offboarded["workspace"])
    times = [effect["time"] for effect in effects]
    assert times == sorted(times, reverse=True)
    assert {"COLLABORATOR", "EMPLOYEE", "DEVICE"} <= {effect["target_kind"] for effect in effects}
    applied = cli.json("effects", offboarded["workspace"], "--outcome", "applied")
    assert applied
    assert {effect["outcome"] for effect in applied} == {"APPLIED"}
    of_ana = cli.json("effects", offboarded["workspace"], "--user", offboarded["mdm_user"])
    assert {effect["user_id"] for effect in of_ana} == {offboarded["mdm_user"]}
    assert {effect["user_name"] for effect in cli.json("effects", offboarded["workspace"], "--user", "ana@example.com")}
    assert "ana@example.com" in cli("effects", offboarded["workspace"]).out


@pytest.mark.parametrize("by", ["id", "serial", "effect"])
def test_a_device_policy_is_explained_down_to_the_scim_request(cli, offboarded, by):
    """PRODUCT 7: "any role, removal or policy answers "why?": effect → event → SCIM request"."""
    workspace = offboarded["workspace"]
    effects = cli.json("effects", workspace)
    effect_id = next(effect["effect_id"] for effect in effects if effect["target_id"] == offboarded["device"])
    target = {"id": offboarded["device"], "serial": "S-1", "effect": effect_id}[by]
    answer = cli.json("why", workspace, target)
    assert answer["target"] == target
    newest = answer["chain"][0]
    assert newest["effect"]["action"] == "CHANGE_POLICY"
    assert newest["effect"]["outcome"] == "APPLIED"
    assert newest["event"]["type"] == "rollcall.directory.v1.UserDeactivated"
    assert newest["event"]["id"] == newest["effect"]["event_id"]
    assert newest["event"]["request_id"] == offboarded["requests"]["mdm"]
    assert newest["event"]["request"] == "PATCH /Users/{id}"
    text = cli("why", workspace, target).out
    assert "PATCH /Users/{id}" in text
    assert offboarded["requests"]["mdm"] in text


def test_a_removed_collaborator_is_explained_by_email(cli, offboarded):
    """PRODUCT 8: TARGET may be a collaborator's e-mail, also of one who is gone."""
    chain = cli.json("why", offboarded["workspace"], "ana@example.com")["chain"]
    actions = {link["effect"]["action"]: link for link in chain}
    assert actions["REMOVE_COLLABORATOR"]["request"]["request_id"] == offboarded["requests"]["dashboard"]
    assert actions["CREATE_COLLABORATOR"]["request"]["request"] == "POST /Users"
    times = [link["effect"]["time"] for link in chain]
    assert times == sorted(times, reverse=True)


def test_a_request_in_the_log_leads_to_its_events_and_effects_and_back(cli, offboarded):
    """Specification: "`rollcall log [--connection C] [--failed] [--follow]`; each entry links to its events and effects
    and back"."""
    workspace, request_id = offboarded["workspace"], offboarded["requests"]["mdm"]
    # Entries are kept within a moment; effects may be there before.
    eventually(lambda: cli.json("log", "show", request_id)["entries"])
    shown = cli.json("log", "show", request_id)
    (entry,), (event,) = shown["entries"], shown["events"]
    assert (entry["method"], entry["route"], entry["status"]) == ("PATCH", "/Users/{id}", 200)
    assert (entry["resource_kind"], entry["resource_id"]) == ("user", offboarded["mdm_user"])
    assert (event["type"], event["version"]) == ("rollcall.directory.v1.UserDeactivated", entry["resource_version"])
    assert {effect["event_id"] for effect in shown["effects"]} == {event["id"]}
    assert "CHANGE_POLICY" in {effect["action"] for effect in shown["effects"]}
    (newest, *_) = cli.json("why", workspace, "S-1")["chain"]
    assert newest["request"]["log"] == [entry]
    listed = cli.json("log", "--connection", entry["connection_id"])
    assert entry in listed
    assert [one["route"] for one in listed].count("/Users") >= 1
    assert cli.json("log", "--connection", entry["connection_id"], "--failed") == []
    assert {one["connection_id"] for one in cli.json("log", "--workspace", workspace)} > {entry["connection_id"]}
    for told in (cli("log", "show", request_id).out, cli("log", "--workspace", workspace).out):
        assert "PATCH /Users/{id}" in told
        assert "ana@example.com" not in told.split("target_name")[0]
    assert "CHANGE_POLICY" in cli("log", "show", request_id).out
    assert "no request" in cli("log", "show", "nobody-sent-this").refusal


def test_the_log_is_followed_as_requests_come(cli):
    """Specification: "`rollcall log [--connection C] [--failed] [--follow]`"."""
    connection = cli.connection(cli.workspace(), "dashboard")
    command = [ROLLCALL, "log", "--connection", connection.id, "--follow", "--json"]
    with subprocess.Popen(
        [*command, "--data-dir", str(cli.up.data_dir)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(),
    ) as follower:  # fmt: skip
        try:
            for name in ("one@example.com", "two@example.com"):
                user_id = connection.create_user(name)
                line = json.loads(follower.stdout.readline())
                assert (line["route"], line["resource_id"]) == ("/Users", user_id)
            follower.send_signal(signal.SIGINT)
            rest, errors = follower.communicate(timeout=10)
            assert (follower.returncode, rest, errors) == (0, "", "")
        finally:
            follower.kill()


def test_without_evidence_why_says_so(cli, offboarded):
    """A target that provisioning never touched has no evidence; that is said, not an empty answer."""
    for target in ("nobody@example.com", "S-404", str(uuid.uuid4())):
        assert target in cli("why", offboarded["workspace"], target).refusal
    assert "no evidence" not in cli("why", offboarded["workspace"], "boss@example.com").refusal


def test_effects_are_followed_as_they_come(cli):
    """PRODUCT 8: `effects W --follow`: one JSON object per line until Ctrl-C."""
    workspace = cli.workspace()
    connection = cli.connection(workspace, "dashboard", "--on-create", "create")
    command = [ROLLCALL, "effects", workspace, "--follow", "--json", "--data-dir", str(cli.up.data_dir)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as follower:
        try:
            for number in range(3):
                connection.create_user(f"u{number}@example.com")
                line = json.loads(follower.stdout.readline())
                assert line["target_name"] == f"u{number}@example.com"
            follower.send_signal(signal.SIGINT)
            rest, errors = follower.communicate(timeout=10)
            assert (follower.returncode, rest, errors) == (0, "", "")
        finally:
            follower.kill()


def test_no_dead_letters_is_an_empty_list(cli):
    """DELIVERY: `rollcall deadletter list`."""
    assert cli.json("deadletter", "list") == []
    assert cli("deadletter", "show", str(uuid.uuid4()), "--service", "mdm").refusal


# -- all commands -----------------------------------------------------------------------------------------------------


def test_json_may_stand_anywhere(cli):
    """PRODUCT 8: "Every command has `--json`": before the noun, before the verb, or at the end."""
    expected = cli.json("workspace", "list")
    for line in (["--json", "workspace", "list"], ["workspace", "--json", "list"], ["workspace", "list", "--json"]):
        assert [item for item in cli(*line).json if item in expected] == expected


def test_the_data_directory_may_stand_anywhere_or_in_the_environment(cli, monkeypatch):
    """PRODUCT 8: "It finds the local stack through `--data-dir` or `ROLLCALL_DATA_DIR`"."""
    from tests.cli.conftest import rollcall

    where = str(cli.up.data_dir)
    assert rollcall("workspace", "list", "--data-dir", where).status == 0
    assert rollcall("workspace", "--data-dir", where, "list").status == 0
    monkeypatch.setenv("ROLLCALL_DATA_DIR", where)
    assert rollcall("workspace", "list").status == 0


def test_remote_services_are_found_through_the_environment(cli, tmp_path, monkeypatch):
    """PRODUCT 8: remote services through `ROLLCALL_…_TARGET` and an administrator's credential."""
    from tests.cli.conftest import rollcall

    for service, target in cli.up.stack()["targets"].items():
        monkeypatch.setenv(f"ROLLCALL_{service.upper()}_TARGET", target)
    monkeypatch.setenv("ROLLCALL_DATA_DIR", str(tmp_path))
    secret = json.loads((cli.up.data_dir / "credentials.json").read_text())["admin"]
    file = tmp_path / "credential"
    monkeypatch.setenv("ROLLCALL_ADMIN_CREDENTIAL_FILE", str(file))
    for text in (secret, f"{secret}\n", json.dumps({"admin": secret})):
        file.write_text(text)
        assert rollcall("workspace", "list").status == 0
    file.write_text("x" * 40)
    line = rollcall("workspace", "list").refusal
    assert "credential" in line
    assert "x" * 40 not in line


UNKNOWN = str(uuid.UUID(int=7))


@pytest.mark.parametrize(
    "line",
    [
        "workspace show {w}", "workspace delete {w}", "connection enable --workspace {w} --portal mdm",
        "connection list --workspace {w}", "connection show {c}", "connection disable {c}", "connection enable {c}",
        "connection rename {c} n", "connection delete {c}", "token issue {c}", "token list {c}", "token revoke {c} t",
        "rules show {c}", "rules set {c} --on-create create", "rules map-role {c} --group g --role admin",
        "rules unmap-role {c} --group g", "mapping show {c}", "mapping history {c}", "mapping preview {c} --user u",
        "user list {c}", "user show {c} u", "group list {c}", "group show {c} g", "group parked {c}",
        "collaborator list {w}", "collaborator show {w} a@x", "collaborator add {w} a@x --role admin",
        "collaborator set-role {w} a@x admin", "collaborator remove {w} a@x", "employee list {w} --portal store",
        "employee list {w} --portal mdm", "employee show {w} a@x --portal mdm", "publication create {w} n",
        "publication list {w}", "publication delete {w} p", "publication visible {w} a@x", "policy create {w} n",
        "policy list {w}", "policy delete {w} p", "device enroll {w} --serial s --name n --platform ios",
        "device list {w}", "device show {w} d", "device assign {w} d a@x", "device unassign {w} d",
        "device set-policy {w} d p", "device remove {w} d", "segment create {w} n", "segment list {w}",
        "segment add-device {w} s d", "segment grant {w} s a@x view", "segment revoke {w} s a@x",
        "segment devices-visible {w} a@x", "effects {w}", "why {w} t",
    ],
)  # fmt: skip
@pytest.mark.parametrize("unknown", ["no-such-one", UNKNOWN], ids=["word", "id"])
def test_a_workspace_or_connection_that_is_not_there_is_one_clear_line_and_1(cli, line, unknown):
    """PRODUCT 8: "1 refused (one clear line on stderr)"; nothing of another workspace answers."""
    refusal = cli(*line.format(w=unknown, c=unknown).split(), "--json").refusal
    assert "workspace" in refusal.lower() or "connection" in refusal.lower()


def test_each_command_answers_within_a_second(cli):
    """A person at a terminal does not wait. The whole process counts, the interpreter's start included."""
    command = [ROLLCALL, "workspace", "list", "--json", "--data-dir", str(cli.up.data_dir)]
    before = os.times()
    for _ in range(3):
        subprocess.run(command, check=True, capture_output=True, env=clean_environment(), timeout=30)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent / 3 < 1.0
