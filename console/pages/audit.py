"""`/audit`: who did what in administration, of all three services in one list."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING

from rollcall.audit.v1 import audit_service_pb2 as pb
from rollcall.directory.v1 import administrator_service_pb2 as administrators
from rollcall.directory.v1 import connection_service_pb2 as connections

from console.paging import query_text
from console.rendering import page
from console.request import Request, Response
from console.services import NAMES, Services

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

PAGE_SIZE = 50
WORKSPACES = 200
"""Workspaces that the list can be narrowed to, the first by name."""
ADMINISTRATORS = 200
"""Administrators who are shown by name, the first by e-mail address."""


def add_routes(app: App, deps: Deps) -> None:
    """Add the path."""
    app.add_route("/audit", Audit(deps))


async def list_entries(
    services: Services, workspace_id: str, before: str
) -> tuple[list[tuple[str, pb.AuditEntry]], str]:
    """Return a page of entries of all services, the newest first, each with its service; and where the next begins."""
    request = pb.ListAuditEntriesRequest(workspace_id=workspace_id, page_size=PAGE_SIZE + 1, before_audit_id=before)
    pages = await asyncio.gather(*(services.audits(name).ListAuditEntries(request) for name in NAMES))
    # Ids rise with time, whichever service made them.
    named = (((name, entry) for entry in found.audit_entries) for name, found in zip(NAMES, pages, strict=True))
    merged = list(heapq.merge(*named, key=lambda pair: pair[1].audit_id, reverse=True))
    shown = merged[:PAGE_SIZE]
    return shown, shown[-1][1].audit_id if len(merged) > PAGE_SIZE else ""


class Audit:
    """The list, of all workspaces or of one."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response) -> None:
        """Show a page of it."""
        slug, before = query_text(req, "workspace"), query_text(req, "before")
        workspaces, people = await asyncio.gather(
            self._services.connections.ListWorkspaces(connections.ListWorkspacesRequest(page_size=WORKSPACES)),
            self._services.administrators.ListAdministrators(
                administrators.ListAdministratorsRequest(page_size=ADMINISTRATORS)
            ),
        )
        by_slug = {one.slug: one for one in workspaces.workspaces}
        chosen = by_slug.get(slug)
        if slug and chosen is None:
            request = connections.GetWorkspaceRequest(workspace=slug)
            chosen = (await self._services.connections.GetWorkspace(request)).workspace
        if chosen is not None:
            by_slug.setdefault(chosen.slug, chosen)
        entries, following = await list_entries(self._services, chosen.workspace_id if chosen else "", before)
        narrowed = f"workspace={chosen.slug}&" if chosen else ""
        await page(
            req,
            resp,
            "audit.html",
            entries=[(service, entry, _method(entry.method)) for service, entry in entries],
            people={one.administrator_id: one.name or one.email for one in people.administrators},
            workspaces=[("", "All workspaces"), *((one.slug, one.name) for one in by_slug.values())],
            names={one.workspace_id: one for one in by_slug.values()},
            chosen=chosen.slug if chosen else "",
            next_href=f"/audit?{narrowed}before={following}" if following else None,
            previous_href=(f"/audit?{narrowed}".rstrip("?&")) if before else None,
        )


def _method(full: str) -> str:
    """Return a method in words: `/rollcall.directory.v1.ConnectionService/IssueToken` is `Issue token`."""
    name = full.rpartition("/")[2]
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return words[:1].upper() + words[1:]
