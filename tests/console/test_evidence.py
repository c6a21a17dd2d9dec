"""Pages of evidence: the provisioning log with what to do, effects and why, dead letters."""

from __future__ import annotations

import re

import pytest
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import events_pb2, user_pb2
from rollcall.portal.v1 import portal_service_pb2 as portal

from console import evidence
from tests.console.company import USER_URN, Company, console_shows, next_of, person, rows_of, text_of
from tests.console.conftest import Console
from tests.stack import Stack

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def acme(console_stack: Stack) -> Company:
    """One company for the tests of this file, each of which works with people of its own."""
    return Company(console_stack)


async def test_what_is_empty_says_what_to_do_next(console: Console, console_stack: Stack) -> None:
    """Specification: "empty states that say what to do next"."""
    fresh = Company(console_stack)
    base = fresh.base("dashboard")
    for path, words in (
        (f"{base}/log", "Enter the base URL and a token"),
        (f"{base}/log?show=failed", "No request has failed"),
        (f"{base}/dead-letters", "No dead letters"),
        (f"{fresh.root}/effects", "Enable SCIM on a portal"),
        (f"{fresh.root}/effects?outcome=failed", "No effect found"),
    ):
        assert words in text_of(await console.get(path))


async def test_failed_requests_come_first_each_with_what_to_do(console: Console, acme: Company) -> None:
    """Specification: "failed requests first and, for each, what the administrator should do in the identity
    provider"."""
    acme.create_user("store", "twin@acme.test")
    body = {"schemas": [USER_URN], "userName": "TWIN@acme.test"}
    refused = acme.send("store", "POST", "/Users", body, status=409)
    acme.send("store", "GET", "/Users/nobody", status=404)
    for _ in range(12):
        acme.send("store", "GET", "/Users?count=1")
    log = f"{acme.base('store')}/log"
    page = await console_shows(console, f"{log}?show=failed", "GET /Users/{id}")
    words = text_of(page)
    assert "uniqueness" in words
    assert "another user with this userName" in words
    assert "twin@acme.test" not in words.lower()
    whole = text_of(await console_shows(console, log, "All requests, newest first"))
    assert whole.index("Failed lately, and what to do") < whole.index("All requests, newest first")
    request_id = refused.headers["X-Request-Id"]
    entry = text_of(await console.get(f"{log}/{request_id}"))
    for expected in ("POST /Users", "409", "Okta", "What to do", "Nothing: it only read, it failed"):
        assert expected in entry
    await console.get(f"{log}/nothing-of-that-id", status=404)
    await console.get(f"{acme.base('mdm')}/log/{request_id}", status=404)


async def test_the_log_goes_on_page_by_page(console: Console, console_stack: Stack) -> None:
    """Specification: "provisioning log", paged: "keyset/page tokens only"."""
    fresh = Company(console_stack)
    for _ in range(55):
        fresh.send("store", "GET", "/Users?count=1")
    log = f"{fresh.base('store')}/log"
    first = await console_shows(console, log, "Next page")
    second = await console_shows(console, next_of(first), "GET /Users")
    ids = re.findall(r'id="request-([^"]+)"', first), re.findall(r'id="request-([^"]+)"', second)
    assert len(ids[0]) == 50
    assert not set(ids[0]) & set(ids[1])
    assert "Previous page" in second


async def test_a_request_leads_to_its_events_and_effects_and_an_effect_back_to_the_request(
    console: Console, acme: Company
) -> None:
    """PRODUCT §7: "any role, removal or policy answers "why?": effect → event → SCIM request"."""
    ada = acme.create_user("mdm", "ada@acme.test")
    acme.stack.settled()
    device = acme.enroll("WHY-1", owner_email="ada@acme.test")
    request_id = acme.deactivate("mdm", ada)
    acme.stack.settled()
    page = await console.get(f"{acme.root}/devices/{device}")
    assert "Change the policy" in text_of(page)
    assert "Policy: none → Locked" in text_of(page)
    why = re.search(rf'href="({acme.root}/why/[^"]+)"', page)
    assert why is not None
    found = await console_shows(console, why[1], "Okta, catalogue application")
    steps = [text_of(step) for step in re.findall(r"<li>(.*?)</li>", found.partition('class="chain"')[2], re.DOTALL)]
    assert [re.match(r"(Change the policy|Because of the \w+)", step)[1] for step in steps[:4]] == [  # type: ignore[index]
        "Change the policy", "Because of the rule", "Because of the event", "Because of the request",
    ]  # fmt: skip
    assert "Policy none Locked" in steps[0]
    assert "when a user is deactivated or deleted" in steps[1]
    assert "User deactivated" in steps[2]
    assert "Okta, catalogue application" in steps[3]
    assert request_id in found
    assert f"/login-providers/{acme.links['mdm'].connection_id}/log/{request_id}" in found
    assert "Everything that provisioning did to the same target" in text_of(found)
    entry = await console.get(f"{acme.base('mdm')}/log/{request_id}")
    words = text_of(entry)
    for expected in ("User deactivated", "Change the policy", "Make the employee inactive", f"/users/{ada}"):
        assert expected in words or expected in entry
    assert why[1] in entry


async def test_why_of_a_role_leads_to_the_group_push(console: Console, acme: Company) -> None:
    """PRODUCT §4: groups decide a role; §7: "any role … answers "why?""."""
    kim = acme.create_user("dashboard", "kim@acme.test")
    acme.stack.settled()
    acme.create_group("dashboard", "applivery-editor", kim)
    acme.stack.settled()
    page = await console.get(f"{acme.root}/collaborators/person?email=kim%40acme.test")
    assert "Role: Viewer → Developer / Editor" in text_of(page)
    why = re.search(rf'href="({acme.root}/why/[^"]+)">Set the role', page)
    assert why is not None
    words = text_of(await console_shows(console, why[1], "POST /Groups"))
    assert "role mapping of groups" in words
    assert "Members of the group changed" in words


async def test_why_of_what_a_person_did_names_their_request(console: Console, acme: Company) -> None:
    """PRODUCT §7: a change of the rules has effects too; there the way ends at what is known."""
    lou = acme.create_user("dashboard", "lou@acme.test")
    acme.create_group("dashboard", "Leads", lou)
    acme.stack.settled()
    connection_id = acme.links["dashboard"].connection_id
    acme.stack.portal.UpdateRules(
        portal.UpdateRulesRequest(connection_id=connection_id, role_mode=portal.ROLE_MODE_CONTINUOUS)
    )
    acme.stack.portal.MapRole(portal.MapRoleRequest(connection_id=connection_id, group="Leads", role=portal.ROLE_ADMIN))
    page = await console_shows(console, f"{acme.root}/effects?target={person('lou@acme.test')}", "Role: Viewer → Admin")
    why = re.search(rf'href="({acme.root}/why/[^"]+)">Set the role', page)
    assert why is not None
    assert "that is not kept" in text_of(await console.get(why[1]))
    await console.get(f"{acme.root}/why/{lou}", status=404)


async def test_effects_of_both_services_are_one_list_by_outcome_user_and_target(
    console: Console, console_stack: Stack
) -> None:
    """Specification: "effects with "why?""; PRODUCT §8: "effects W [--user U] [--outcome O]"."""
    fresh, other = Company(console_stack), Company(console_stack)
    for number in range(14):
        for link in ("dashboard", "mdm"):
            fresh.create_user(link, f"p{number:02}@acme.test")
    # Two on each connection without an address: the effect is SKIPPED.
    names = [f"nobody-{number}" for number in range(2)]
    for name in names:
        for link in ("dashboard", "mdm"):
            fresh.create_user(link, name, emails=[])
    for number in range(14, 26):
        for link in ("dashboard", "mdm"):
            fresh.create_user(link, f"p{number:02}@acme.test")
    fresh.stack.settled()
    effects = f"{fresh.root}/effects"
    ids: list[str] = []
    where = effects
    while where:
        page = await console.get(where)
        ids += re.findall(r'id="effect-([^"]+)"', page)
        where = next_of(page)
    made = {effect.effect_id for effect in fresh.stack.effects(fresh.workspace_id)}
    assert len(ids) == len(made) == 56
    assert set(ids) == made
    assert ids == sorted(ids, reverse=True)
    skipped = await console.get(f"{effects}?outcome=skipped")
    assert len(rows_of(skipped)) == 4
    assert "The user has no e-mail address" in text_of(skipped)
    assert len(rows_of(await console.get(f"{effects}?user=nobody-1"))) == 2
    assert len(rows_of(await console.get(f"{effects}?target={person('p03@acme.test')}"))) == 2
    assert "No effect found" in await console.get(f"{effects}?outcome=failed")
    assert "No effects yet" in await console.get(f"{other.root}/effects")
    foreign = await console.client.get(f"{other.root}/why/{ids[0]}")
    assert foreign.status_code == 404


async def test_a_dead_letter_is_retried_and_given_up(console: Console, acme: Company) -> None:
    """DELIVERY: "`rollcall deadletter list|show|retry|discard`"; later events "queue behind it in order"."""
    link = acme.links["dashboard"]
    user_id = acme.create_user("dashboard", "late@acme.test")
    acme.stack.settled()
    head, behind = acme.park(
        "portal", link.connection_id, user_id,
        ("UserUpdated", 0, b"\xff\xff", "PARKED"), ("UserDeactivated", 1, b"", "QUEUED"),
    )  # fmt: skip
    letters = f"{acme.base('dashboard')}/dead-letters"
    words = text_of(await console.get(letters))
    assert "User updated" in words
    assert "Waits behind another one" in words
    assert "No dead letters" in await console.get(f"{acme.base('store')}/dead-letters")
    await console.get(f"{acme.base('store')}/dead-letters/{head}", status=404)
    await console.get(f"{acme.base('mdm')}/dead-letters/{head}", status=404)
    shown = await console.get(f"{letters}/{head}")
    assert "cannot be read" in shown
    assert "1 event behind it" in text_of(shown)
    assert f"/users/{user_id}" in shown
    assert "retry or give up that one first" in text_of(await console.get(f"{letters}/{behind}"))
    for letter in (head, behind):
        refused = await console.post(f"{letters}/{letter}")
        assert refused.status_code == 422
        assert 'role="alert"' in refused.text
    discard = f"{letters}/{head}/discard"
    assert "1 event waiting behind it is applied" in text_of(await console.get(discard))
    assert (await console.post(discard, confirmation="userupdated")).status_code == 422
    assert await console.submit(discard, confirmation="UserUpdated") == letters
    assert "No dead letters" in await console.get(letters)


async def test_a_dead_letter_whose_cause_is_mended_is_applied(console: Console, acme: Company) -> None:
    """DELIVERY: a retry applies "a dead letter and what queues behind it, in order"."""
    link = acme.links["dashboard"]
    user_id = acme.create_user("dashboard", "mended@acme.test")
    acme.stack.settled()
    origin = events_pb2.Origin(connection_id=link.connection_id, workspace_id=acme.workspace_id, portal="DASHBOARD")
    user = user_pb2.User(id=user_id, user_name="mended@acme.test", display_name="Mended", active=True, version=1)
    payload = events_pb2.UserUpdated(origin=origin, user=user).SerializeToString()
    (letter,) = acme.park("portal", link.connection_id, user_id, ("UserUpdated", 1, payload, "PARKED"))
    letters = f"{acme.base('dashboard')}/dead-letters"
    assert await console.submit(f"{letters}/{letter}") == letters
    await console.get(f"{letters}/{letter}", status=404)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("", '{"role":"ADMIN","role_source":"GROUP"}', [("Role", "none", "Admin"), ("Role from", "none", "Group")]),
        ('{"policy_id":"p1"}', '{"policy_id":"p2"}', [("Policy", "Kiosk", "p2")]),
        ('{"active":true,"email":"a"}', '{"active":false,"email":"a"}', [("Active", "yes", "no")]),
        ('"a@x"', '"b@x"', [("Value", "a@x", "b@x")]),
        ('{"metadata":{"floor":3}}', "", [("Attributes", '{"floor":3}', "none")]),
        ("not json", "", [("Value", "not json", "none")]),
        ("", "", []),
        ('"same"', '"same"', []),
    ],
)
def test_what_changed_is_told_part_by_part(before: str, after: str, changes: list[tuple[str, str, str]]) -> None:
    """delivery_service.proto: "The state before, as text of a JSON value; empty: none"."""
    effect = delivery.Effect(before=before, after=after)
    assert [tuple(change) for change in evidence.changes(effect, {"p1": "Kiosk"})] == changes


def test_a_long_value_is_cut() -> None:
    """HOUSE: "Simple beats clever": a row stays a row, whatever somebody's metadata hold."""
    (change,) = evidence.changes(delivery.Effect(after=f'"{"x" * 5000}"'))
    assert len(change.after) == 201


def test_every_outcome_and_dialect_has_words() -> None:
    """PRODUCT §7: "outcome (`APPLIED`, `SKIPPED` with reason, `HELD`, `FAILED`)"; WIRE: the dialects."""
    from rollcall.directory.v1.connection_service_pb2 import ClientDialect

    assert set(evidence.OUTCOMES) == set(delivery.Outcome.values()) - {delivery.OUTCOME_UNSPECIFIED}
    assert set(evidence.DIALECTS) == set(ClientDialect.values()) - {0}


def test_every_event_has_words() -> None:
    """DELIVERY: "One protobuf message per kind, past tense, in `rollcall.directory.v1`"."""
    kinds = set(events_pb2.DESCRIPTOR.message_types_by_name) - {"Origin"}
    assert kinds == set(evidence.EVENTS)


def test_what_services_do_and_why_not_has_words() -> None:
    """PRODUCT §7: actions and reasons are the evidence that people read."""
    from mdm_service.domain import deactivation
    from portal_service.accounts import _FOLLOWED

    actions = {
        deactivation.UNASSIGN_DEVICE, deactivation.CHANGE_POLICY, deactivation.REMOVE_DEVICE,
        deactivation.DEACTIVATE_EMPLOYEE, deactivation.REMOVE_EMPLOYEE, "SET_ROLE", "RESTORE_EMPLOYEE", "CHANGE_EMAIL",
        "UPDATE_EMPLOYEE", *(name.upper() for name in deactivation.BEHAVIOURS), *_FOLLOWED.values(),
        *(f"{verb}_{noun}" for verb in ("CREATE", "LINK", "REMOVE") for noun in ("COLLABORATOR", "EMPLOYEE")),
    }  # fmt: skip
    assert actions == set(evidence.ACTIONS)
    assert evidence.action_text(delivery.Effect(action="PAINT_DEVICE")) == "Paint device"
    assert evidence.reason_text(delivery.Effect(reason="TOO_BLUE")) == "Too blue"
    assert evidence.reason_text(delivery.Effect()) == ""
