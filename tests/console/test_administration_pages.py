"""Administrators and the audit, as the console shows them."""

from __future__ import annotations

import re
import secrets
from html import unescape

import pytest

from tests.console.conftest import HOST, Console, browser, form_token, make_person
from tests.console.workspace import Workspace


@pytest.fixture
def workspace(console: Console) -> Workspace:
    return Workspace(console, "Acme")


async def test_a_link_makes_another_account_once(console: Console) -> None:
    """Administrators page (list, create link, disable)."""
    answer = await console.post("/administrators/link")
    assert answer.status_code == 200
    found = re.search(r'value="(http://console\.test(/sign-in/link/[A-Za-z0-9_-]+))"', answer.text)
    assert found is not None
    assert found[1].startswith(HOST)
    assert "shown this once" in answer.text
    email = f"{secrets.token_hex(4)}@example.com"
    async with browser(console.app) as guest:
        form = await guest.get(found[2])
        fields = {"csrf_token": form_token(form.text), "email": email, "name": "Bo", "password": "a long enough one"}
        made = await guest.post(found[2], data={**fields, "password_again": fields["password"]})
        assert made.status_code == 303, made.text
    assert email in await console.get("/administrators")


async def test_an_administrator_is_disabled_and_enabled_again(console: Console) -> None:
    """Administrators page (list, create link, disable)."""
    other = make_person(console.stack)
    page = await console.get(f"/administrators/{other.id}/disable")
    assert "signed out everywhere" in page
    assert "your own account" not in page
    await console.submit(f"/administrators/{other.id}/disable")
    page = await console.get("/administrators")
    assert f"{other.email} is disabled and signed out everywhere." in page
    async with browser(console.app, other) as theirs:
        assert (await theirs.get("/")).status_code == 303
    await console.submit(f"/administrators/{other.id}/enable")
    assert f"{other.email} may sign in again." in await console.get("/administrators")
    assert "your own account" in await console.get(f"/administrators/{console.person.id}/disable")


async def test_a_link_for_a_new_password_names_whom_it_is_for(console: Console) -> None:
    """The link chooses a new password for an account."""
    other = make_person(console.stack)
    answer = await console.post(f"/administrators/{other.id}/link")
    assert f"chooses a new password for {other.email}" in answer.text
    missing = await console.post("/administrators/00000000-0000-4000-8000-000000000000/link")
    assert missing.status_code == 404


async def test_what_a_person_does_is_in_the_audit_by_name(console: Console, workspace: Workspace) -> None:
    """The audit says which person acted."""
    await console.post(workspace.at("dashboard", "/enable"))
    await console.submit(f"{workspace.at('dashboard')}/rename", display_name="Renamed")
    slug = workspace.address.rpartition("/")[2]
    page = unescape(await console.get(f"/audit?workspace={slug}"))
    assert page.index("Rename connection") < page.index("Create connection")
    row = page[page.index("Rename connection") - 300 : page.index("Rename connection") + 600]
    assert "Ada Admin" in row
    assert "Done" in row
    assert f'<option value="{slug}" selected>' in page


async def test_the_audit_of_all_services_is_one_list_that_is_paged(
    console: Console, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An audit page over the three services, newest first."""
    from console.pages import audit

    monkeypatch.setattr(audit, "PAGE_SIZE", 3)
    workspace.enable("store")
    workspace.enable("mdm")
    slug = workspace.address.rpartition("/")[2]
    for portal_name, gone in (("store", "NOTHING"), ("mdm", "unassign_devices")):
        address = workspace.at(portal_name, "/rules")
        found = re.search('name="version" value="([0-9]+)"', await console.get(address))
        assert found is not None
        await console.submit(address, version=found[1], on_create="CREATE_EMPLOYEE", on_deactivate=gone)
    await console.submit(f"{workspace.at('mdm')}/rename", display_name="Fleet")
    methods: list[str] = []
    address: str | None = f"/audit?workspace={slug}"
    while address:
        page = await console.get(address)
        methods += re.findall(r'<th scope="row">([^<]+)</th>', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = unescape(following[1]) if following else None
    assert methods == [
        "Rename connection",
        "Update rules",
        "Update rules",
        "Create connection",
        "Create connection",
        "Create workspace",
    ]


async def test_the_audit_of_a_workspace_that_is_not_there_is_not_found(console: Console) -> None:
    """NOT_FOUND → 404 page."""
    await console.get("/audit?workspace=no-such-workspace", status=404)
