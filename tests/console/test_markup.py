"""What every page owes to somebody with a keyboard or a screen reader, told from its markup alone."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import pytest
from rollcall.mdm.v1 import mdm_service_pb2 as mdm

from tests.console.conftest import Console
from tests.console.workspace import Workspace, push, push_group

VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})
LABELLED = frozenset({"input", "select", "textarea"})


class Markup(HTMLParser):
    """What is wrong with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self._open: list[str] = []
        self._ids: Counter[str] = Counter()
        self._labels: set[str] = set()
        self._controls: list[str] = []
        self._references: list[str] = []
        self._headings: list[int] = []
        self._landmarks: Counter[str] = Counter()
        self._tables = self._captions = 0

    @classmethod
    def errors(cls, page: str) -> list[str]:
        """Read a page; say what is wrong with it."""
        made = cls()
        made.feed(page)
        made.close()
        made._conclude()
        return made.wrong

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag not in VOID:
            self._open.append(tag)
        for name in attributes:
            if name == "style" or name.startswith("on"):
                self.wrong.append(f"<{tag} {name}>, which the content policy refuses")
        if identifier := attributes.get("id"):
            self._ids[identifier] += 1
        for name in ("aria-describedby", "aria-labelledby", "list"):
            self._references += (attributes.get(name) or "").split()
        if tag == "label":
            self._labels.add(attributes.get("for") or "")
        elif tag in LABELLED and attributes.get("type") != "hidden":
            self._controls.append(attributes.get("id") or f"<{tag} without id>")
        elif tag in ("h1", "h2", "h3", "h4"):
            self._headings.append(int(tag[1]))
        elif tag in ("main", "header", "footer"):
            self._landmarks[tag] += 1
        elif tag == "nav" and not attributes.get("aria-label"):
            self.wrong.append("<nav> without a name")
        elif tag == "table":
            self._tables += 1
        elif tag == "caption":
            self._captions += 1
        elif tag == "script" and not attributes.get("src"):
            self.wrong.append("a script inside the page, which the content policy refuses")
        elif tag == "form" and (attributes.get("method") or "").lower() == "post":
            self._landmarks["forms"] += 1
        if attributes.get("name") == "csrf_token":
            self._landmarks["tokens"] += 1

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def _conclude(self) -> None:
        self.wrong += [f"<{tag}> is not closed" for tag in self._open]
        self.wrong += [f"id {name} twice" for name, count in self._ids.items() if count > 1]
        self.wrong += [f"no label for {name}" for name in self._controls if name not in self._labels]
        self.wrong += [f"nothing has the id {name}" for name in self._references if name not in self._ids]
        if self._headings.count(1) != 1:
            self.wrong.append(f"{self._headings.count(1)} first headings")
        for above, below in zip(self._headings, self._headings[1:], strict=False):
            if below > above + 1:
                self.wrong.append(f"a heading of level {below} below one of {above}")
        for name in ("main", "header", "footer"):
            if self._landmarks[name] != 1:
                self.wrong.append(f"{self._landmarks[name]} times <{name}>")
        if self._tables != self._captions:
            self.wrong.append("a table without a caption")
        if self._landmarks["forms"] != self._landmarks["tokens"]:
            self.wrong.append("a form that is not told from one of another site")


@pytest.fixture
async def workspace(console: Console) -> Workspace:
    """A workspace with something on every page."""
    made = Workspace(console, "Acme")
    for portal_name in ("dashboard", "store", "mdm"):
        connection = made.enable(portal_name)
        user_id = push(console, connection, "jo@example.com", title="Pilot")
        push_group(console, connection, "Pilots", [user_id, "nobody"])
    console.stack.mdm.CreatePolicy(mdm.CreatePolicyRequest(workspace_id=made.id, name="Locked"))
    return made


async def test_every_page_can_be_used_without_seeing_it(console: Console, workspace: Workspace) -> None:
    """Every table has a caption or heading, every input a label, errors linked by aria-describedby, one h1, landmarks,
    skip link; nothing that the content policy refuses."""
    pages = ["/", "/administrators", f"/administrators/{console.person.id}/disable", "/audit"]
    pages += [workspace.address, f"{workspace.address}/delete"]
    for portal_name in ("dashboard", "store", "mdm"):
        pages += [
            workspace.at(portal_name, page)
            for page in ("", "/setup", "/tokens", "/rules", "/mapping", "/doctor", "/disable", "/delete")
        ]
    pages += [workspace.at("dashboard", page) for page in ("/roles", "/roles/unmap?group=applivery-admin")]
    pages += [
        workspace.at("store", page) for page in ("/users", "/groups", "/parked", "/log", "/live", "/dead-letters")
    ]
    sections = (
        "collaborators",
        "employees/store",
        "employees/mdm",
        "publications",
        "devices",
        "policies",
        "segments",
        "effects",
        "live",
    )
    pages += [f"{workspace.address}/{section}" for section in sections]
    wrong = {}
    for address in pages:
        page = await console.get(address)
        if errors := Markup.errors(page):
            wrong[address] = errors
        assert '<a class="skip" href="#main">' in page
    assert not wrong


async def test_a_refused_form_can_be_used_without_seeing_it(console: Console, workspace: Workspace) -> None:
    """Errors linked by aria-describedby."""
    refused = {
        "/": {"name": ""},
        workspace.at("store", "/rules"): {"on_create": "x"},
        workspace.at("dashboard", "/rules"): {"on_create": "x", "settling": "x"},
        workspace.at("mdm", "/rules"): {"on_deactivate": "change_policy"},
        workspace.at("dashboard", "/roles"): {"group": ""},
        workspace.at("store", "/mapping"): {"name-0": "", "key-0-0": "x y", "do": "save"},
        workspace.at("store", "/tokens"): {"days": "x"},
        workspace.at("store", "/delete"): {"confirmation": "x"},
        workspace.at("store", "/rename"): {"display_name": ""},
    }
    wrong = {}
    for address, fields in refused.items():
        answer = await console.post(address, **fields)
        assert answer.status_code == 200, address
        assert 'class="error"' in answer.text or "note failed" in answer.text, address
        if errors := Markup.errors(answer.text):
            wrong[address] = errors
    assert not wrong


async def test_pages_that_show_a_secret_can_be_used_without_seeing_them(console: Console) -> None:
    """Enable SCIM with base URL and token shown once with copy buttons."""
    made = Workspace(console, "Acme")
    enable = await console.get(made.at("store", "/enable"))
    credentials = await console.post(made.at("store", "/enable"))
    link = await console.post("/administrators/link")
    for page in (enable, credentials.text, link.text):
        assert not Markup.errors(page)


def test_what_is_wrong_is_seen() -> None:
    """A test that cannot fail is none."""
    page = (
        '<header></header><nav></nav><main><h1>A</h1><h3 style="x">B</h3><input id="a" aria-describedby="b">'
        '<p id="c"></p><p id="c"></p><table></table><form method="post"></form><script>x</script><h1>C</h1>'
    )
    told = " ".join(Markup.errors(page))
    for expected in (
        "without a name", "content policy", "no label for a", "id b", "id c twice", "level 3", "2 first headings",
        "caption", "another site", "times <footer>", "not closed", "a script inside",
    ):  # fmt: skip
        assert expected in told
