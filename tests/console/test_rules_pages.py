"""Rules, role mapping and attribute mapping, as an administrator changes them in the console."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

from console.mapping_draft import Draft, Entry, Source, fingerprint, form_field
from console.words import ON_CREATE, ON_DEACTIVATE, Choice
from tests.console.conftest import Console
from tests.console.workspace import Workspace, push, push_group

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture
def workspace(console: Console) -> Workspace:
    return Workspace(console, "Acme")


def hidden(page: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return unescape(found[1])


def checked(page: str, name: str) -> str:
    found = re.search(f'<input type="radio" id="[^"]*" name="{name}" value="([^"]*)" checked', page)
    assert found is not None
    return found[1]


# Rules


async def test_dashboard_rules_are_those_of_the_product_and_are_saved(console: Console, workspace: Workspace) -> None:
    """Rules of a DASHBOARD connection: on create, default role, on deactivate, role mode (PRODUCT §4)."""
    connection = workspace.enable("dashboard")
    address = workspace.at("dashboard", "/rules")
    page = await console.get(address)
    for text in ("Create a collaborator", "Developer / Editor", "Remove the collaborator", "Settling period", "Always"):
        assert text in page
    assert (checked(page, "on_create"), checked(page, "on_deactivate")) == ("NOTHING", "NOTHING")
    assert 'value="1"' in page  # the settling period of one hour
    location = await console.submit(
        address,
        version=hidden(page, "version"),
        on_create="CREATE_COLLABORATOR",
        on_deactivate="REMOVE_COLLABORATOR",
        default_role="EDITOR",
        role_mode="CONTINUOUS",
        settling="90",
        unit="minutes",
    )
    page = await console.get(location)
    assert "The rules are saved." in page
    assert checked(page, "default_role") == "EDITOR"
    assert 'value="90"' in page
    rules = console.stack.portal.GetRules(portal.GetRulesRequest(connection_id=connection.connection_id)).rules
    assert rules.on_create == portal.ON_CREATE_CREATE_COLLABORATOR
    assert rules.on_deactivate == portal.ON_DEACTIVATE_REMOVE_COLLABORATOR
    assert rules.role_mode == portal.ROLE_MODE_CONTINUOUS
    assert rules.settling_period.seconds == 5400


async def test_store_rules_have_two_questions(console: Console, workspace: Workspace) -> None:
    """Rules of a STORE connection: on create, on deactivate (PRODUCT §5)."""
    connection = workspace.enable("store")
    address = workspace.at("store", "/rules")
    page = await console.get(address)
    assert "Settling period" not in page
    assert "policy" not in page.lower().replace("content-security-policy", "")[page.index("<main") :]
    await console.submit(
        address, version=hidden(page, "version"), on_create="CREATE_EMPLOYEE", on_deactivate="REMOVE_EMPLOYEE"
    )
    rules = console.stack.portal.GetRules(portal.GetRulesRequest(connection_id=connection.connection_id)).rules
    assert rules.on_create == portal.ON_CREATE_CREATE_EMPLOYEE
    assert rules.on_deactivate == portal.ON_DEACTIVATE_REMOVE_EMPLOYEE


async def test_mdm_rules_offer_the_five_behaviours_with_the_policy_picker(
    console: Console, workspace: Workspace
) -> None:
    """The five MDM behaviours with the policy picker."""
    connection = workspace.enable("mdm")
    address = workspace.at("mdm", "/rules")
    page = await console.get(address)
    assert "Create a policy" in page  # there is none to pick yet
    refused = await console.post(
        address, version=hidden(page, "version"), on_create="CREATE_EMPLOYEE", on_deactivate="change_policy"
    )
    assert "Choose the policy that the devices get." in refused.text
    assert checked(refused.text, "on_create") == "CREATE_EMPLOYEE"  # what was chosen is kept

    made = console.stack.mdm.CreatePolicy(mdm.CreatePolicyRequest(workspace_id=workspace.id, name="Lost & found"))
    page = await console.get(address)
    assert "Lost &amp; found" in page
    for arm in ("do_nothing", "unassign_devices", "remove_employee", "remove_employee_and_devices", "change_policy"):
        await console.submit(
            address,
            version=hidden(await console.get(address), "version"),
            on_create="CREATE_EMPLOYEE",
            on_deactivate=arm,
            policy=made.policy.policy_id,
        )
        rules = console.stack.mdm.GetRules(mdm.GetRulesRequest(connection_id=connection.connection_id)).rules
        assert rules.on_deactivate.WhichOneof("behaviour") == arm
    assert rules.on_deactivate.change_policy.policy_id == made.policy.policy_id
    page = await console.get(address)
    assert f'<option value="{made.policy.policy_id}" selected>' in page

    refused = await console.post(
        address,
        version=hidden(page, "version"),
        on_create="NOTHING",
        on_deactivate="change_policy",
        policy="00000000-0000-4000-8000-000000000000",
    )
    assert 'id="policy-error"' in refused.text


def test_every_rule_of_the_contract_can_be_chosen() -> None:
    """Rules per portal exactly as PRODUCT lists them."""
    arms = {field.name for field in mdm.OnDeactivate.DESCRIPTOR.oneofs_by_name["behaviour"].fields}
    assert {one.value for one in ON_DEACTIVATE["mdm"]} == arms

    def chosen(choices: dict[str, tuple[Choice, ...]], *portals: str) -> set[str]:
        return {one.value for name in portals for one in choices[name]}

    def named(enumeration: Any, prefix: str) -> set[str]:
        return {value.name.removeprefix(prefix) for value in enumeration.DESCRIPTOR.values if value.number}

    assert chosen(ON_CREATE, "dashboard", "store") == named(portal.OnCreate, "ON_CREATE_")
    assert chosen(ON_DEACTIVATE, "dashboard", "store") == named(portal.OnDeactivate, "ON_DEACTIVATE_")
    assert chosen(ON_CREATE, "mdm") == named(mdm.OnCreate, "ON_CREATE_")


@pytest.mark.parametrize(("settling", "unit"), [("-1", "hours"), ("31", "days"), ("soon", "hours"), ("nan", "hours")])
async def test_a_settling_period_out_of_range_is_told_at_its_field(
    console: Console, workspace: Workspace, settling: str, unit: str
) -> None:
    """How long groups decide after a collaborator's creation: 0 to 30 days."""
    workspace.enable("dashboard")
    address = workspace.at("dashboard", "/rules")
    answer = await console.post(
        address,
        version=hidden(await console.get(address), "version"),
        on_create="NOTHING",
        on_deactivate="NOTHING",
        default_role="VIEWER",
        role_mode="CONTINUOUS",
        settling=settling,
        unit=unit,
    )
    assert 'id="settling-error">Give a number: 0 to 30 days.' in answer.text


async def test_rules_that_somebody_else_changed_meanwhile_are_not_overwritten(
    console: Console, workspace: Workspace
) -> None:
    """Errors are product: clear, specific, change nothing."""
    workspace.enable("store")
    address = workspace.at("store", "/rules")
    version = hidden(await console.get(address), "version")
    fields = {"version": version, "on_create": "CREATE_EMPLOYEE", "on_deactivate": "NOTHING"}
    await console.submit(address, **fields)
    answer = await console.post(address, **(fields | {"on_deactivate": "REMOVE_EMPLOYEE"}))
    assert "Somebody else has changed the rules" in answer.text
    assert checked(await console.get(address), "on_deactivate") == "NOTHING"


async def test_a_rule_that_there_is_not_is_refused(console: Console, workspace: Workspace) -> None:
    """Rules per portal."""
    workspace.enable("store")
    address = workspace.at("store", "/rules")
    version = hidden(await console.get(address), "version")
    answer = await console.post(address, version=version, on_create="CREATE_COLLABORATOR", on_deactivate="NOTHING")
    assert 'id="on_create-error">Choose one of the options.' in answer.text


# Role mapping


async def test_groups_are_mapped_to_roles_by_precedence(console: Console, workspace: Workspace) -> None:
    """Role mapping editor (group name → role, precedence explained, known groups offered by datalist)."""
    connection = workspace.enable("dashboard")
    group_id = push_group(console, connection, "Pilots & crew")
    push_group(console, connection, "applivery-viewer")
    console.stack.settled()
    address = workspace.at("dashboard", "/roles")
    page = await console.get(address)
    assert page.index("applivery-admin") < page.index("applivery-editor") < page.index("applivery-unassigned")
    assert '<option value="Pilots &amp; crew"></option>' in page
    assert '<option value="applivery-viewer"></option>' not in page  # mapped already
    assert "gets the highest role: Admin, then Developer / Editor, Viewer, Unassigned" in page

    location = await console.submit(address, group="Pilots & crew", role="EDITOR")
    page = unescape(await console.get(location))
    assert "Group Pilots & crew now gives the role Developer / Editor." in page
    assert workspace.at("dashboard", f"/groups/{group_id}") in page
    await console.submit(address, group="pilots & crew", role="ADMIN")
    unmapping = await console.get(f"{address}/unmap?group=PILOTS+%26+CREW")
    assert "The group gives the role Admin to nobody any more. It has 0 members." in unmapping
    assert "roles that stand are not changed" in unmapping
    assert "No group of that name has been pushed yet." in await console.get(f"{address}/unmap?group=applivery-editor")
    await console.get(f"{address}/unmap?group=nobody", status=404)
    await console.submit(f"{address}/unmap", group="applivery-unassigned")
    rules = console.stack.portal.GetRules(portal.GetRulesRequest(connection_id=connection.connection_id)).rules
    roles = {one.group.casefold(): one.role for one in rules.role_mappings}
    assert roles["pilots & crew"] == portal.ROLE_ADMIN
    assert "applivery-unassigned" not in roles


async def test_a_mapping_without_group_or_role_is_refused_at_its_field(console: Console, workspace: Workspace) -> None:
    """Errors linked by aria-describedby."""
    workspace.enable("dashboard")
    answer = await console.post(workspace.at("dashboard", "/roles"), group=" ", role="OWNER")
    assert 'id="new-group-error"' in answer.text
    assert 'id="new-role-error"' in answer.text


async def test_only_the_dashboard_has_roles(console: Console, workspace: Workspace) -> None:
    """Role mapping governs the dashboard alone (PRODUCT §4)."""
    workspace.enable("store")
    await console.get(workspace.at("store", "/roles"), status=404)
    assert "/roles" not in await console.get(workspace.at("store"))
    assert (await console.post(workspace.at("store", "/roles"), group="g", role="ADMIN")).status_code == 404


# Attribute mapping


async def test_a_mapping_is_made_of_what_arrived_tried_and_saved(console: Console, workspace: Workspace) -> None:
    """Attribute mapping editor that offers the attribute history with sample counts and previews the result for a user
    of one's choice."""
    connection = workspace.enable("store")
    address = workspace.at("store", "/mapping")
    assert "Nothing has arrived yet" in await console.get(address)
    for name, department in (("jo", "R&D"), ("mo", "Ops")):
        push(console, connection, f"{name}@example.com", title="Pilot", **{ENTERPRISE: {"department": department}})
    page = unescape(await console.get(address))
    row = page[page.index("<code>department</code>") :]
    assert "Enterprise" in row[:200]
    assert "2 times" in row[:300]
    known = hidden(page, "known")

    taken = await console.post(address, known=known, take=f"{ENTERPRISE} department")
    assert "nothing is saved yet" in taken.text
    assert 'name="name-0" type="text" value="department"' in taken.text
    draft = {"known": known, "name-0": "unit", "namespace-0-0": ENTERPRISE, "key-0-0": "department"}
    previewed = await console.post(address, **draft, user="jo@example.com", do="preview")
    text = unescape(previewed.text)
    assert "Metadata of jo@example.com" in text
    assert re.search(r'<th scope="row">unit</th>\s*<td>absent</td>\s*<td><strong>R&D</strong>', text)
    stands = pb.GetAttributeMappingRequest(connection_id=connection.connection_id)
    assert not console.stack.connections.GetAttributeMapping(stands).mapped_attributes

    location = await console.submit(address, **draft, do="save")
    assert "The mapping is saved. It is applied to 2 users now." in await console.get(location)
    (mapped,) = console.stack.connections.GetAttributeMapping(stands).mapped_attributes
    assert (mapped.name, mapped.attributes[0].namespace, mapped.attributes[0].key) == ("unit", ENTERPRISE, "department")

    stale = await console.post(address, **(draft | {"name-0": "other"}), do="save")
    assert "Somebody else has changed the mapping" in stale.text
    gone = await console.post(address, known=hidden(await console.get(address), "known"), user="jo@example.com")
    assert "<strong>absent</strong>" in gone.text  # without an entry the metadata would be empty


@pytest.mark.parametrize(
    ("fields", "error_id", "user"),
    [
        ({"name-0": "a", "key-0-0": "name.shoeSize"}, "key-0-0-error", "jo@example.com"),
        ({"name-0": "a", "key-0-0": "title", "name-1": "a", "key-1-0": "title"}, "name-1-error", "jo@example.com"),
        ({"name-0": "a", "key-0-0": "title", "namespace-0-0": "x"}, "namespace-0-0-error", "jo@example.com"),
        ({"name-0": "a"}, "key-0-0-error", "jo@example.com"),
        ({"name-0": "a", "key-0-0": "title"}, "user-error", "nobody@example.com"),
        ({"name-0": "a", "key-0-0": "title"}, "user-error", ""),
    ],
)
async def test_what_cannot_be_mapped_is_told_where_it_stands(
    console: Console, workspace: Workspace, fields: dict[str, str], error_id: str, user: str
) -> None:
    """Errors are product: name the field and the rule."""
    connection = workspace.enable("store")
    push(console, connection, "jo@example.com", title="Pilot")
    answer = await console.post(workspace.at("store", "/mapping"), **fields, user=user, do="preview")
    assert answer.status_code == 200
    assert f'id="{error_id}"' in answer.text
    saved = await console.post(workspace.at("store", "/mapping"), **fields, known=fingerprint([]), do="save")
    assert saved.status_code == (303 if error_id == "user-error" else 200)


def test_a_draft_is_changed_by_its_buttons() -> None:
    """Orders sources."""
    draft = Draft.read(
        {
            "name-0": ["first"],
            "key-0-0": ["title"],
            "key-0-1": ["userType"],
            "namespace-0-1": ["urn:x"],
            "name-1": ["second"],
            "key-1-0": ["locale"],
            "key-1-1": [""],
            "name-2": [""],
            "other": ["ignored"],
        }
    )
    assert draft.entries == [
        Entry("first", [Source("", "title"), Source("urn:x", "userType")]),
        Entry("second", [Source("", "locale")]),
    ]
    for command in ("up-source-0-1", "up-1", "add-source-0", "add", "remove-3", "up-source-9-1", "remove-source-0-9"):
        assert draft.change(command)
    assert draft.entries == [
        Entry("second", [Source("", "locale"), Source()]),
        Entry("first", [Source("urn:x", "userType"), Source("", "title")]),
        Entry("", [Source()]),
    ]
    assert draft.change("remove-source-0-1")
    assert draft.change("remove-2")
    assert draft.messages() == [
        pb.MappedAttribute(name="second", attributes=[pb.AttributeSource(key="locale")]),
        pb.MappedAttribute(
            name="first",
            attributes=[pb.AttributeSource(namespace="urn:x", key="userType"), pb.AttributeSource(key="title")],
        ),
    ]
    assert not draft.change("preview")


def test_what_is_taken_from_the_history_gets_a_name_of_its_own() -> None:
    """An administrator picks from what really arrives (PRODUCT §3)."""
    draft = Draft()
    draft.take("urn:a", "name.familyName")
    draft.take("urn:b", "familyName")
    assert [entry.name for entry in draft.entries] == ["familyName", "familyName2"]


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("mapped_attributes[2].name", "name-2"),
        ("mapped_attributes[0].attributes[1].key", "key-0-1"),
        ("mapped_attributes[0].attributes[1].namespace", "namespace-0-1"),
        ("mapped_attributes[3].attributes", "key-3-0"),
        ("mapped_attributes[3]", "name-3"),
        ("mapped_attributes", ""),
        ("user", ""),
    ],
)
def test_a_field_of_the_service_is_shown_at_that_of_the_form(field: str, shown: str) -> None:
    """Errors linked by aria-describedby."""
    assert form_field(field) == shown
