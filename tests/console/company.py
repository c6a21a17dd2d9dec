"""A workspace with three connections, and identity providers that push to them, as pages are shown of it."""

from __future__ import annotations

import asyncio
import html
import re
import sqlite3
import time
import uuid
from contextlib import closing
from typing import Any
from urllib.parse import quote

import httpx
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

from tests.console.conftest import Console
from tests.stack import Stack

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
WAIT_SECONDS = 15.0
POLL_SECONDS = 0.05
OKTA = {"User-Agent": "Okta SCIM Client 1.0.0"}


class Company:
    """The workspace, with rules that create accounts and take them away."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.workspace_id = stack.create_workspace("Acme")
        found = stack.connections.GetWorkspace(connections.GetWorkspaceRequest(workspace=self.workspace_id)).workspace
        self.slug, self.root = found.slug, f"/workspaces/{found.slug}"
        self.links = {name: stack.enable(self.workspace_id, name) for name in ("dashboard", "store", "mdm")}
        self.scim = {name: stack.scim(link, headers=OKTA) for name, link in self.links.items()}
        request = mdm.CreatePolicyRequest(workspace_id=self.workspace_id, name="Locked")
        self.policy_id = stack.mdm.CreatePolicy(request).policy.policy_id
        stack.portal.UpdateRules(
            portal.UpdateRulesRequest(
                connection_id=self.links["dashboard"].connection_id,
                on_create=portal.ON_CREATE_CREATE_COLLABORATOR,
                on_deactivate=portal.ON_DEACTIVATE_REMOVE_COLLABORATOR,
                default_role=portal.ROLE_VIEWER,
            )
        )
        stack.portal.UpdateRules(
            portal.UpdateRulesRequest(
                connection_id=self.links["store"].connection_id,
                on_create=portal.ON_CREATE_CREATE_EMPLOYEE,
                on_deactivate=portal.ON_DEACTIVATE_REMOVE_EMPLOYEE,
            )
        )
        rules = mdm.UpdateRulesRequest(
            connection_id=self.links["mdm"].connection_id, on_create=mdm.ON_CREATE_CREATE_EMPLOYEE
        )
        rules.on_deactivate.change_policy.policy_id = self.policy_id
        stack.mdm.UpdateRules(rules)

    def base(self, link: str) -> str:
        """The address of a connection's page."""
        return f"{self.root}/login-providers/{link}"

    def create_user(self, link: str, user_name: str, **more: Any) -> str:
        """Have the identity provider create a user; return the id."""
        body = {
            "schemas": [USER_URN],
            "userName": user_name,
            "emails": [{"value": user_name, "primary": True, "type": "work"}],
            "active": True,
            **more,
        }
        return str(self.send(link, "POST", "/Users", body).json()["id"])

    def create_group(self, link: str, display_name: str, *members: str) -> str:
        """Have the identity provider push a group; return the id."""
        body = {
            "schemas": [GROUP_URN],
            "displayName": display_name,
            "members": [{"value": value} for value in members],
        }
        return str(self.send(link, "POST", "/Groups", body).json()["id"])

    def deactivate(self, link: str, user_id: str) -> str:
        """Have the identity provider deactivate a user; return the id of the request."""
        body = {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "value": {"active": False}}]}
        return self.send(link, "PATCH", f"/Users/{user_id}", body).headers["X-Request-Id"]

    def send(self, link: str, method: str, path: str, body: Any = None, *, status: int | None = None) -> httpx.Response:
        """Make a request as the identity provider does; it must be answered with the status, or without an error."""
        answer = self.scim[link].request(method, path, json=body)
        assert answer.status_code == status if status else answer.status_code < 400, answer.text
        return answer

    def enroll(self, serial: str, **more: str) -> str:
        """Enroll a device; return its id."""
        request = mdm.EnrollDeviceRequest(
            workspace_id=self.workspace_id, serial=serial, name=f"{serial}-name", platform="macos", **more
        )
        return self.stack.mdm.EnrollDevice(request).device.device_id

    def park(
        self, service: str, connection_id: str, resource_id: str, *events: tuple[str, int, bytes, str]
    ) -> list[str]:
        """Leave dead letters behind: kind of event, version, payload and state of each; return their ids."""
        path = self.stack.databases[service].removeprefix("sqlite:///")
        ids = [str(uuid.uuid4()) for _ in events]
        with closing(sqlite3.connect(path, timeout=10)) as database, database:
            for letter_id, (kind, version, payload, state) in zip(ids, events, strict=True):
                database.execute(
                    "INSERT INTO dead_letters (id, event_id, event_type, event_time, subject, portal, connection_id, "
                    "aggregate_kind, aggregate_id, version, sequence, request_id, traceparent, payload, state, error, "
                    "attempts, created_at) VALUES (?, ?, ?, '2026-01-01 00:00:00', 'x', 'dashboard', ?, 'user', ?, ?, "
                    "1, '', '', ?, ?, 'cannot be read', 5, '2026-01-01 00:00:00')",
                    (letter_id, f"event-{letter_id}", f"rollcall.directory.v1.{kind}", connection_id, resource_id,
                     version, payload, state),
                )  # fmt: skip
        return ids


def person(email: str) -> str:
    """An e-mail address as an address of a page has it."""
    return quote(email, safe="")


def text_of(page: str) -> str:
    """What a page says, without its marks."""
    words = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    return re.sub(r" ([,.;:)])", r"\1", words)


def rows_of(page: str) -> list[str]:
    """The first cells of a page's rows."""
    return [text_of(cell) for cell in re.findall(r'<th scope="row">(.*?)</th>', page, re.DOTALL)]


def next_of(page: str) -> str:
    """Where the next page is; empty: this is the last."""
    found = re.search(r'rel="next" href="([^"]+)"', page)
    return html.unescape(found[1]) if found else ""


async def console_shows(console: Console, path: str, words: str) -> str:
    """Load a page until it says something, and return it: the gateway tells of its requests once a second."""
    deadline = time.monotonic() + WAIT_SECONDS
    while words not in text_of(page := await console.get(path)):
        assert time.monotonic() < deadline, f"{path} does not say {words!r}: {text_of(page)}"
        await asyncio.sleep(POLL_SECONDS)
    return page
