"""Pages of device management: devices, policies, segments."""

from __future__ import annotations

import html

import pytest
from rollcall.mdm.v1 import mdm_service_pb2 as mdm

from console.pages.devices import PLATFORMS
from mdm_service.devices import PLATFORMS as KNOWN_PLATFORMS
from tests.console.company import Company, next_of, rows_of, text_of
from tests.console.conftest import Console
from tests.stack import Stack

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def acme(console_stack: Stack) -> Company:
    """One company for the tests of this file, with two employees who may own devices."""
    company = Company(console_stack)
    for name in ("ada", "eve"):
        company.create_user("mdm", f"{name}@acme.test")
    console_stack.settled()
    return company


async def test_what_is_empty_says_what_to_do_next(console: Console, console_stack: Stack) -> None:
    """Specification: "empty states that say what to do next"."""
    fresh = Company(console_stack)
    assert "Enroll the first one" in await console.get(f"{fresh.root}/devices")
    assert "Create the first one below" in await console.get(f"{fresh.root}/segments")
    assert rows_of(await console.get(f"{fresh.root}/policies")) == ["Locked"]


def test_the_platforms_that_are_offered_are_those_that_there_are() -> None:
    """mdm_service.proto: "The platform: ios, ipados, macos, android, windows, chromeos, linux, tvos"."""
    assert tuple(value for value, _ in PLATFORMS) == KNOWN_PLATFORMS


async def test_a_device_is_enrolled_and_found_by_serial_and_owner(console: Console, acme: Company) -> None:
    """Specification: "devices (enroll …)"; PRODUCT §6: "Devices (serial, name, platform, policy, owner, state …)"."""
    devices = f"{acme.root}/devices"
    where = await console.submit(
        f"{devices}/enroll", serial="C02-1", name="Ada's Mac", platform="macos", policy_id=acme.policy_id,
        owner_email="ada@acme.test",
    )  # fmt: skip
    words = text_of(await console.get(where))
    for expected in ("C02-1", "Ada's Mac", "macOS", "Enrolled", "ada@acme.test", "Locked", "Apply the policy: Locked"):
        assert expected in words
    assert rows_of(await console.get(f"{devices}?q=C02")) == ["C02-1"]
    assert rows_of(await console.get(f"{devices}?q=ADA%40acme.test")) == ["C02-1"]
    assert "No device found" in await console.get(f"{devices}?q=02-1")
    assert 'id="q-error"' in await console.get(f"{devices}?q=ada%40")
    assert rows_of(await console.get(f"{devices}/C02-1")) == rows_of(await console.get(where))
    for fields, field in (
        ({"serial": "", "platform": "ios"}, "serial"),
        ({"serial": "C02-1", "platform": "ios"}, "serial"),
        ({"serial": "X", "platform": "amiga"}, "platform"),
        ({"serial": "X", "platform": "ios", "owner_email": "nobody@acme.test"}, "owner_email"),
        ({"serial": "X", "platform": "ios", "owner_email": "nobody"}, "owner_email"),
        ({"serial": "X", "platform": "ios", "policy_id": "nope"}, "policy_id"),
    ):
        answer = await console.post(f"{devices}/enroll", **fields)
        assert (answer.status_code, f'id="{field}-error"' in answer.text) == (422, True), fields


async def test_devices_are_listed_in_pages(console: Console, console_stack: Stack) -> None:
    """Specification: "keyset/page tokens only, no page walks everything"."""
    fresh = Company(console_stack)
    serials = [f"S{number:02}" for number in range(51)]
    for serial in serials:
        fresh.enroll(serial)
    first = await console.get(f"{fresh.root}/devices")
    assert rows_of(first) + rows_of(await console.get(next_of(first))) == serials


async def test_a_device_changes_hands_and_policy_by_hand(console: Console, acme: Company) -> None:
    """PRODUCT §6: the epoch says "How often the device has changed hands"; a policy is told to the device."""
    where = f"{acme.root}/devices/{acme.enroll('C03')}"
    await console.submit(where, action="assign", email="eve@acme.test")
    await console.submit(where, action="policy", policy_id=acme.policy_id)
    page = text_of(await console.get(where))
    assert "Owner eve@acme.test Policy Locked Assignment 1," in page
    assert "Apply the policy: Locked Pending" in page
    assert "Provisioning has not touched this device" in page
    await console.submit(where, action="unassign")
    assert "Owner nobody Policy Locked Assignment 2," in text_of(await console.get(where))
    for fields, field in (
        ({"action": "assign", "email": "nobody@acme.test"}, "email"),
        ({"action": "assign", "email": ""}, "email"),
        ({"action": "policy", "policy_id": ""}, "policy_id"),
        ({"action": "policy", "policy_id": "nope"}, "policy_id"),
    ):
        answer = await console.post(where, **fields)
        assert (answer.status_code, f'id="{field}-error"' in answer.text) == (422, True), fields
    assert (await console.post(where, action="explode")).status_code == 422


async def test_a_device_leaves_management_when_its_serial_number_is_typed(console: Console, acme: Company) -> None:
    """Specification: "destructive actions say exactly what will happen (…) and need typing the name"."""
    where = f"{acme.root}/devices/{acme.enroll('C04', owner_email='ada@acme.test')}"
    page = text_of(await console.get(f"{where}/remove"))
    assert "1 person, ada@acme.test, does not own it any more" in page
    for typed in ("", "c04", "C0"):
        assert (await console.post(f"{where}/remove", confirmation=typed)).status_code == 422
    assert "Enrolled" in text_of(await console.get(where))
    assert await console.submit(f"{where}/remove", confirmation="C04") == where
    gone = await console.get(where)
    assert "Removed" in text_of(gone)
    assert "Leave management" in text_of(gone)
    assert "/remove" not in gone
    again = await console.post(f"{where}/remove", confirmation="C04")
    assert "removed from management" in text_of(again.text)
    assert again.status_code == 422


async def test_a_policy_in_use_is_kept_and_its_users_are_named(console: Console, acme: Company) -> None:
    """PRODUCT §6: "a policy in use so cannot be deleted"."""
    policies = f"{acme.root}/policies"
    await console.submit(policies, name="Kiosk")
    twice = await console.post(policies, name="KIOSK")
    assert (twice.status_code, 'id="name-error"' in twice.text) == (422, True)
    assert rows_of(await console.get(policies))[:2] == ["Kiosk", "Locked"]
    acme.enroll("C05", policy_id=acme.policy_id)
    delete = f"{policies}/{acme.policy_id}/delete"
    refused = await console.post(delete, confirmation="Locked")
    assert refused.status_code == 422
    assert "C05" in refused.text
    assert acme.links["mdm"].connection_id in refused.text
    unused = next(
        policy.policy_id
        for policy in acme.stack.mdm.ListPolicies(mdm.ListPoliciesRequest(workspace_id=acme.workspace_id)).policies
        if policy.name == "Kiosk"
    )
    assert (await console.post(f"{policies}/{unused}/delete", confirmation="kiosk")).status_code == 422
    assert await console.submit(f"{policies}/{unused}/delete", confirmation="Kiosk") == policies
    await console.get(f"{policies}/{unused}/delete", status=404)


async def test_a_segment_gets_devices_and_says_who_may_see_them(console: Console, acme: Company) -> None:
    """PRODUCT §6: "segment permissions say which collaborator may view or manage them"."""
    where = await console.submit(f"{acme.root}/segments", name="Office")
    assert 'id="name-error"' in (await console.post(f"{acme.root}/segments", name="office")).text
    acme.enroll("C06")
    await console.submit(where, action="add", device="C06")
    await console.submit(where, action="grant", email="boss@acme.test", permission="view")
    await console.submit(where, action="grant", email="Boss@acme.test", permission="manage")
    page = await console.get(where)
    assert rows_of(page) == ["C06", "Boss@acme.test"]
    assert "View and manage" in text_of(page)
    assert "Office 1 1" in text_of(await console.get(f"{acme.root}/segments"))
    await console.submit(f"{acme.root}/collaborators", email="boss@acme.test", role="viewer")
    boss = text_of(await console.get(f"{acme.root}/collaborators/person?email=boss%40acme.test"))
    assert "Office 1 view and manage" in boss
    for fields, field in (
        ({"action": "add", "device": "nope"}, "device"),
        ({"action": "add", "device": ""}, "device"),
        ({"action": "grant", "email": "boss", "permission": "view"}, "email"),
        ({"action": "grant", "email": "a@b.example", "permission": "own"}, "permission"),
    ):
        answer = await console.post(where, **fields)
        assert (answer.status_code, f'id="{field}-error"' in answer.text) == (422, True), fields
    await console.submit(where, action="revoke", email="boss@acme.test")
    assert "Nobody yet" in html.unescape(await console.get(where))
    await console.get(f"{acme.root}/segments/nobody", status=404)
