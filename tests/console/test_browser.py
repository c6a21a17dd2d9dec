"""The console in a real browser: the main journeys, by pointer and by keyboard, and what a screen reader is told.

One browser, one console and one system serve the whole file. With ROLLCALL_SCREENSHOTS=1 the pages are also drawn into
`docs/screenshots/`.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from rollcall.delivery.v1 import delivery_service_pb2 as delivery_pb
from rollcall.directory.v1 import administrator_service_pb2 as administrators_pb
from rollcall.directory.v1 import administrator_service_pb2_grpc as administrators_rpc
from rollcall.directory.v1 import connection_service_pb2 as connections_pb
from rollcall.mdm.v1 import mdm_service_pb2 as mdm_pb
from rollcall.portal.v1 import portal_service_pb2 as portal_pb

from tests.console.conftest import PASSWORD, Person, console_process, is_ready, make_person
from tests.loopback import NO_TLS
from tests.stack import REPOSITORY, Connection, Stack, eventually

SCREENSHOTS = REPOSITORY / "docs" / "screenshots"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
OKTA = {"User-Agent": "Okta SCIM Client 1.0.0", "Content-Type": "application/scim+json; charset=utf-8"}
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
AXE = AXE_FILE_PATH.read_text()
FOUND = """(options) => axe.run({resultTypes: ["violations"], ...options}).then((result) => result.violations
    .filter((one) => one.impact === "serious" || one.impact === "critical")
    .map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`))"""
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
CONTRAST = "color-contrast"
"""The rule that colours decide; all others find the same in the dark."""
BY_WIDTH = ["scrollable-region-focusable", "target-size"]
"""The rules that the width decides."""

# Of the browser: it sets the pace of a page, not a test.
expect.set_options(timeout=15_000)


class Okta:
    """An identity provider that sends what Okta sends, with a base URL and a token that somebody copied."""

    def __init__(self, base_url: str, token: str) -> None:
        self._client = httpx.Client(
            base_url=base_url, headers={**OKTA, "Authorization": f"Bearer {token}"}, timeout=30, verify=NO_TLS
        )

    def _send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self._client.request(method, path, **options)
        answer.raise_for_status()
        return dict(answer.json()) if answer.content else {}

    def person(self, email: str, *, active: bool = True) -> dict[str, Any]:
        """A person's profile as Okta writes it."""
        given = email.partition("@")[0].title()
        return {
            "schemas": [USER],
            "userName": email,
            "name": {"givenName": given, "familyName": "Example"},
            "emails": [{"primary": True, "value": email, "type": "work"}],
            "displayName": f"{given} Example",
            "locale": "en-US",
            "externalId": f"00u{secrets.token_hex(8)}",
            "groups": [],
            "active": active,
        }

    def assign(self, email: str) -> str:
        """Assign a person to the application; return the id that SCIM gave."""
        found = self._send("GET", "/Users", params={"filter": f'userName eq "{email}"', "startIndex": 1, "count": 100})
        assert found["totalResults"] == 0
        return str(self._send("POST", "/Users", json=self.person(email))["id"])

    def push_group(self, name: str, *members: str) -> str:
        """Push a group, then its members."""
        group = str(self._send("POST", "/Groups", json={"schemas": [GROUP], "displayName": name, "members": []})["id"])
        operation = {"op": "add", "path": "members", "value": [{"value": member} for member in members]}
        self._send("PATCH", f"/Groups/{group}", json={"schemas": [PATCH], "Operations": [operation]})
        return group

    def unassign(self, user_id: str) -> None:
        """Deactivate a person: read, then write what was read with `active` false."""
        profile = self._send("GET", f"/Users/{user_id}")
        self._send("PUT", f"/Users/{user_id}", json=profile | {"active": False})

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


@dataclass
class Site:
    """A console as a process of its own over the system."""

    url: str
    stack: Stack


@pytest.fixture(scope="module")
def site(console_stack: Stack) -> Iterator[Site]:
    """The running console."""
    with console_process(console_stack) as (url, _):
        eventually(lambda: is_ready(url), timeout=30, what="the console")
        yield Site(url, console_stack)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's browser; Playwright's own is a download that is not needed."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("no chromium: `make chromium`, or apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        # As root the browser has no sandbox; it is shown nothing but our own pages.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"] if os.getuid() == 0 else ["--disable-gpu"]
        )
        yield browser
        browser.close()


def open_context(chromium: Browser, site: Site, person: Person | None = None, **options: Any) -> BrowserContext:
    """A window of its own, signed in as somebody; whatever the page complains of fails the test."""
    context = chromium.new_context(base_url=site.url, **({"viewport": DESKTOP} | options))
    context.set_default_timeout(15_000)
    if person is not None:
        context.add_cookies([{"name": "rollcall_session", "value": person.session_token, "url": site.url}])
    return context


@pytest.fixture
def window(chromium: Browser, site: Site) -> Iterator[Page]:
    """A page of a stranger. A script that fails, or that the content policy stops, fails the test."""
    context = open_context(chromium, site)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert [text for text in complaints if "favicon" not in text] == []


def draw(page: Page, name: str, *, hidden: tuple[Locator, ...] = ()) -> None:
    """Keep a picture of the page where pictures are asked for; `hidden` is covered."""
    if os.environ.get("ROLLCALL_SCREENSHOTS") == "1":
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, mask=list(hidden), mask_color="#8a94a0")


def follow(page: Page, name: str, *, within: str = "body") -> None:
    """Click a link, and be where it leads."""
    page.locator(within).get_by_role("link", name=name, exact=True).first.click()


def press(page: Page, name: str) -> None:
    """Click a button."""
    page.get_by_role("button", name=name, exact=True).click()


def enable(page: Page, title: str, screenshot: str = "") -> Okta:
    """Enable SCIM on a portal from the page of login providers, and copy what the identity provider needs."""
    page.get_by_role("link", name=f"Enable SCIM for the {title}").click()
    press(page, "Enable SCIM")
    expect(page.get_by_role("heading", level=1)).to_contain_text("SCIM is enabled")
    base_url = page.get_by_label("Base URL", exact=True).first.input_value()
    field = page.get_by_label("Bearer token", exact=True).first
    token = field.input_value()
    assert token.startswith("rollcall_scim_")
    if screenshot:
        draw(page, screenshot, hidden=(field,))
    page.reload()
    assert token not in page.content()
    return Okta(base_url, token)


def test_from_the_first_account_to_why_a_device_changed(window: Page, site: Site) -> None:
    """Specification 7.5: "enable SCIM → simulate Okta → watch the user appear → group push → role → deactivate → device
    policy changed → why"."""
    page, stack = window, site.stack
    admin = administrators_rpc.AdministratorServiceStub(stack.channel("directory", "admin"))
    link = admin.CreateSignInLink(administrators_pb.CreateSignInLinkRequest()).link_token
    page.goto(f"/sign-in/link/{link}")
    page.get_by_label("E-mail address").fill(f"{secrets.token_hex(6)}@example.com")
    page.get_by_label("Name").fill("Ada Admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    press(page, "Create the account and sign in")

    page.get_by_label("Name", exact=True).fill("Acme")
    press(page, "Create workspace")
    expect(page.get_by_role("heading", level=1)).to_have_text("Login providers")
    root = page.url

    okta = enable(page, "Dashboard", "enable-scim")
    page.goto(f"{root}/login-providers/dashboard/rules")
    page.get_by_label("Create a collaborator").check()
    page.get_by_label("Viewer").check()
    page.get_by_label("Remove the collaborator").check()
    draw(page, "rules-dashboard")
    press(page, "Save rules")

    # Somebody watches while Okta assigns a person.
    page.goto(f"{root}/login-providers/dashboard/live")
    expect(page.locator("[data-live-state]")).to_contain_text("Live", ignore_case=True)
    user = okta.assign("grace@example.com")
    expect(page.locator("#live-request tbody tr").first).to_contain_text("201")
    expect(page.locator("#live-effect tbody tr").first).to_contain_text("grace@example.com")
    draw(page, "live")

    page.goto(f"{root}/collaborators")
    expect(page.get_by_role("row", name="grace@example.com")).to_contain_text("Viewer")
    okta.push_group("applivery-admin", user)
    stack.settled()
    page.reload()
    row = page.get_by_role("row", name="grace@example.com")
    expect(row).to_contain_text("Admin")
    draw(page, "collaborators")
    # The last Admin would stay; another one lets her go.
    page.goto(f"{root}/login-providers/dashboard/users/{user}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("grace@example.com")
    expect(page.locator("main")).to_contain_text("applivery-admin")
    draw(page, "user")
    other = okta.assign("linus@example.com")
    okta.push_group("applivery-admins-too", other)
    page.goto(f"{root}/collaborators")
    stack.settled()
    okta.unassign(other)
    stack.settled()
    page.reload()
    expect(page.get_by_role("row", name="linus@example.com")).to_have_count(0)
    okta.close()

    page.goto(f"{root}/policies")
    page.get_by_label("Name", exact=True).fill("Quarantine")
    press(page, "Create policy")
    page.goto(root)
    okta = enable(page, "MDM Portal")
    page.goto(f"{root}/login-providers/mdm/rules")
    page.get_by_label("Create an employee").check()
    page.get_by_label("Change the policy of the devices", exact=True).check()
    page.get_by_label(re.compile("^Policy for")).select_option(label="Quarantine")
    draw(page, "rules-mdm")
    press(page, "Save rules")
    user = okta.assign("grace@example.com")
    stack.settled()
    page.goto(f"{root}/devices/enroll")
    page.get_by_label("Serial number").fill("C02XK1")
    page.get_by_label("Owner's e-mail address").fill("grace@example.com")
    press(page, "Enroll device")
    expect(page.get_by_role("heading", level=1)).to_have_text("C02XK1")
    okta.unassign(user)
    stack.settled()
    page.reload()
    expect(page.locator("dl")).to_contain_text("Quarantine")
    draw(page, "device")
    page.locator("table", has_text="Why").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Why")
    chain = page.locator("ol.chain")
    for words in ("Because of the rule", "Because of the event", "Because of the request"):
        expect(chain).to_contain_text(words)
    expect(chain).to_contain_text("PUT")
    # The gateway tells the log of its requests within a second.
    request = chain.get_by_role("link", name=re.compile("^Request"))
    eventually(lambda: page.reload() and request.count() == 1, what="the request in the log")
    draw(page, "why")
    request.click()
    expect(page.locator("main")).to_contain_text("PUT")
    okta.close()

    # The way out.
    press(page, "Sign out")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto(root)
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def tab_to(page: Page, name: str) -> None:
    """Press Tab until something of that name has the focus, which must be seen."""
    focused = "() => document.activeElement.innerText || document.activeElement.labels?.[0]?.innerText || ''"
    for _ in range(60):
        page.keyboard.press("Tab")
        if re.sub(r"\s+", " ", page.evaluate(focused)).strip().startswith(name):
            outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"{name}: the focus is not seen"
            return
    raise AssertionError(f"Tab never reaches {name!r}")


def test_scim_is_enabled_by_the_keyboard_alone(chromium: Browser, site: Site) -> None:
    """Specification 7.4: "works with keyboard"; WCAG 2.1.1, 2.4.1, 2.4.7."""
    workspace = site.stack.create_workspace("Keys")
    slug = slug_of(site.stack, workspace)
    context = open_context(chromium, site, make_person(site.stack))
    page = context.new_page()
    page.goto(f"/workspaces/{slug}")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    tab_to(page, "Enable SCIM for the Enterprise Store")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Enable SCIM for the Enterprise Store")
    tab_to(page, "Name")
    page.keyboard.type("Okta, for the store")
    tab_to(page, "Enable SCIM")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("SCIM is enabled")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab_to(page, "Copy Base URL")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_have_text("Copied")
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == page.get_by_label("Base URL", exact=True).first.input_value()
    tab_to(page, "Choose what happens")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Rules")
    context.close()


def slug_of(stack: Stack, workspace_id: str) -> str:
    """How the addresses of the console name a workspace."""
    request = connections_pb.GetWorkspaceRequest(workspace=workspace_id)
    return str(stack.connections.GetWorkspace(request).workspace.slug)


@dataclass
class Lived:
    """A workspace in which something has happened, and the addresses of its pages."""

    person: Person
    pages: list[str]


@pytest.fixture(scope="module")
def lived(site: Site) -> Lived:
    """A workspace with people, devices, effects, a failed request and a parked member."""
    stack = site.stack
    made = stack.connections.CreateWorkspace(connections_pb.CreateWorkspaceRequest(name="Acme"))
    workspace_id = made.workspace.workspace_id
    connections: dict[str, Connection] = {name: stack.enable(workspace_id, name) for name in ("dashboard", "mdm")}
    stack.portal.UpdateRules(
        portal_pb.UpdateRulesRequest(
            connection_id=connections["dashboard"].connection_id, on_create=portal_pb.ON_CREATE_CREATE_COLLABORATOR
        )
    )
    policy = stack.mdm.CreatePolicy(mdm_pb.CreatePolicyRequest(workspace_id=workspace_id, name="Locked")).policy
    stack.mdm.UpdateRules(
        mdm_pb.UpdateRulesRequest(
            connection_id=connections["mdm"].connection_id,
            on_create=mdm_pb.ON_CREATE_CREATE_EMPLOYEE,
            on_deactivate=mdm_pb.OnDeactivate(change_policy=mdm_pb.ChangePolicy(policy_id=policy.policy_id)),
        )
    )
    ids: dict[str, str] = {}
    for name, connection in connections.items():
        okta = Okta(connection.base_url, connection.token)
        ids[name] = okta.assign("grace@example.com")
        ids[f"{name}-group"] = okta.push_group("applivery-editor", ids[name], "00u-nobody")
        with pytest.raises(httpx.HTTPStatusError):
            okta._send("POST", "/Users", json=okta.person("grace@example.com"))
        if name == "mdm":
            stack.settled()
            enroll = mdm_pb.EnrollDeviceRequest(
                workspace_id=workspace_id, serial="C02AXE", owner_email="grace@example.com", platform="ios"
            )
            ids["device"] = stack.mdm.EnrollDevice(enroll).device.device_id
            okta.unassign(ids[name])
        okta.close()
    segment = stack.mdm.CreateSegment(mdm_pb.CreateSegmentRequest(workspace_id=workspace_id, name="Lab")).segment
    stack.settled()
    effect = stack.mdm_delivery.ListEffects(delivery_pb.ListEffectsRequest(workspace_id=workspace_id)).effects[0]
    root = f"/workspaces/{slug_of(stack, workspace_id)}"
    dashboard, mdm = f"{root}/login-providers/dashboard", f"{root}/login-providers/mdm"
    pages = [
        "/", "/account", "/administrators", "/audit",
        root, f"{root}/delete", f"{root}/login-providers/store/enable",
        *(f"{dashboard}{below}" for below in (
            "", "/setup", "/tokens", "/rules", "/roles", "/mapping", "/doctor", "/log", "/live", "/dead-letters",
            "/parked", "/users", f"/users/{ids['dashboard']}", "/groups", f"/groups/{ids['dashboard-group']}",
            "/delete",
        )),
        f"{mdm}/rules",
        f"{root}/collaborators", f"{root}/collaborators/person?email=grace%40example.com",
        f"{root}/employees/mdm", f"{root}/publications", f"{root}/policies",
        f"{root}/devices", f"{root}/devices/enroll", f"{root}/devices/{ids['device']}",
        f"{root}/devices/{ids['device']}/remove",
        f"{root}/segments", f"{root}/segments/{segment.segment_id}",
        f"{root}/effects", f"{root}/why/{effect.effect_id}", "/nothing-here",
    ]  # fmt: skip
    return Lived(make_person(stack), pages)


def findings(page: Page, **options: Any) -> list[str]:
    """What axe finds on a page that keeps people out: serious and critical findings."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE)
    return list(page.evaluate(FOUND, options))


def test_what_keeps_people_out_would_be_found(chromium: Browser) -> None:
    """The instrument works: a picture without words, a field without a label, grey on grey."""
    page = chromium.new_page()
    page.set_content('<img src="x.png"><input><p style="color: #999; background: #aaa">grey</p>')
    found = {finding.partition(":")[0] for finding in findings(page)}
    assert found >= {"image-alt", "label", CONTRAST}
    (only,) = findings(page, runOnly=[CONTRAST])
    assert only.startswith(CONTRAST)
    page.close()


@pytest.mark.timeout(300)
def test_nothing_on_the_pages_keeps_anybody_out(chromium: Browser, site: Site, lived: Lived) -> None:
    """Specification 7.4: "axe-core run in the browser test: no serious finding"; "phone width, in dark and light"."""
    wrong: list[str] = []

    def look(page: Page, path: str) -> None:
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == (404 if path == "/nothing-here" else 200), path
        found = [f"light: {finding}" for finding in findings(page, runOnly=STANDARD)]
        page.emulate_media(color_scheme="dark")
        found += [f"dark: {finding}" for finding in findings(page, runOnly=[CONTRAST])]
        page.set_viewport_size(PHONE)
        found += [f"phone: {finding}" for finding in findings(page, runOnly=BY_WIDTH)]
        width = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if width > 0:
            found.append(f"phone: scrolls sideways by {width} px")
        if (headings := page.locator("h1").count()) != 1:
            found.append(f"has {headings} headings of the first level")
        wrong.extend(f"{path}: {finding}" for finding in found)

    signed_in = open_context(chromium, site, lived.person)
    page = signed_in.new_page()
    for path in lived.pages:
        look(page, path)
    signed_in.close()
    stranger = open_context(chromium, site)
    look(stranger.new_page(), "/sign-in")
    stranger.close()
    assert wrong == [], "\n".join(wrong)


def test_pages_are_drawn_where_that_is_asked_for(chromium: Browser, site: Site, lived: Lived) -> None:
    """Specification 7.5: "screenshots of the main pages in `docs/`, made by the tests"; each page is there and full."""
    names = {
        "/login-providers/dashboard/doctor": "doctor",
        "/login-providers/dashboard/mapping": "mapping",
        "/login-providers/dashboard/log": "provisioning-log",
        "/login-providers/dashboard/tokens": "tokens",
        "/login-providers/dashboard/roles": "roles",
    }
    root = lived.pages[4]
    context = open_context(chromium, site, lived.person)
    page = context.new_page()
    for path, name in {"": "login-providers", **names}.items():
        page.goto(root + path)
        assert len(page.locator("main").inner_text()) > 100, path
        draw(page, name)
    context.close()
    dark = open_context(chromium, site, lived.person, color_scheme="dark", viewport=PHONE)
    page = dark.new_page()
    page.goto(root)
    draw(page, "phone-dark")
    dark.close()


def test_pages_work_without_script(chromium: Browser, site: Site) -> None:
    """The agreement: "every action works as plain form POST + 303"."""
    context = open_context(chromium, site, make_person(site.stack), java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    name = f"Plain {secrets.token_hex(3)}"
    page.get_by_label("Name", exact=True).fill(name)
    press(page, "Create workspace")
    expect(page.get_by_role("heading", level=1)).to_have_text("Login providers")
    okta = enable(page, "Enterprise Store")
    okta.assign("grace@example.com")
    page.goto(f"{page.url.partition('/login-providers')[0]}/login-providers/store/users")
    expect(page.locator("main")).to_contain_text("grace@example.com")
    okta.close()
    context.close()
