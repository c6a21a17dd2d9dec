"""The provisioning log of a connection: what the identity provider asked for, what failed, and what to do about it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import falcon
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import provisioning_log_service_pb2 as pb

from console import evidence
from console.advice import Advice, Failure, advise
from console.history import list_effects, requests_of
from console.paging import PAGE_SIZE, first_page, next_page, page_token, query_text
from console.rendering import page
from console.request import Request, Response
from console.scope import find_scope

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

RECENT_FAILURES = 10
EVENTS = 50
EFFECTS = 50


class ProvisioningLog:
    """`…/log`: failed requests first, then all; with `?show=failed` the failed ones alone."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show a page of requests, newest first, each failed one with what to do about it."""
        scope = await find_scope(self._services, slug, portal_name)
        connection_id, token = scope.connection.connection_id, page_token(req)
        failed_only = query_text(req, "show") == "failed"
        requests = pb.ListProvisioningLogEntriesRequest(
            connection_id=connection_id, failed_only=failed_only, page_size=PAGE_SIZE, page_token=token
        )
        failures = pb.ListProvisioningLogEntriesRequest(
            connection_id=connection_id, failed_only=True, page_size=RECENT_FAILURES
        )
        log = self._services.log
        if failed_only or token:
            answer, recent = await log.ListProvisioningLogEntries(requests), pb.ListProvisioningLogEntriesResponse()
        else:
            answer, recent = await asyncio.gather(
                log.ListProvisioningLogEntries(requests), log.ListProvisioningLogEntries(failures)
            )
        await page(
            req,
            resp,
            "log.html",
            **scope.values,
            entries=answer.entries,
            failures=[(entry, advice_on(entry)) for entry in recent.entries],
            more_failures=bool(recent.next_page_token),
            failed_only=failed_only,
            is_first=not token,
            advice=advice_on,
            words=evidence,
            next_href=next_page(req, answer.next_page_token),
            previous_href=first_page(req),
        )


class LogEntry:
    """`…/log/{request_id}`: one request, the events that it caused, and their effects."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str, request_id: str) -> None:
        """Show everything that is kept about a request of this connection."""
        services = self._services
        scope = await find_scope(services, slug, portal_name)
        connection_id = scope.connection.connection_id
        entries, events, (effects, more) = await asyncio.gather(
            requests_of(services, request_id),
            services.log.ListRequestEvents(pb.ListRequestEventsRequest(request_id=request_id, page_size=EVENTS)),
            list_effects(
                services,
                delivery.ListEffectsRequest(workspace_id=scope.workspace.workspace_id, request_id=request_id),
                EFFECTS,
                (scope.delivery,),
            ),
        )
        # A client that numbers its requests itself may give one number to two connections.
        own = [entry for entry in entries if entry.connection_id == connection_id]
        own_events = [event for event in events.events if event.connection_id == connection_id]
        if not own and not own_events:
            raise falcon.HTTPNotFound(description="No request of this connection has that id, or it is forgotten.")
        values = scope.values
        await page(
            req,
            resp,
            "log_entry.html",
            **values | {"breadcrumbs": [*values["breadcrumbs"], ("Log", f"{scope.base}/log")]},
            request_id=request_id,
            entries=[(entry, advice_on(entry)) for entry in own],
            events=own_events,
            more_events=bool(events.next_page_token),
            effects=effects,
            more_effects=more,
            words=evidence,
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of the provisioning log."""
    base = "/workspaces/{slug}/login-providers/{portal_name}/log"
    app.add_route(base, ProvisioningLog(deps))
    app.add_route(f"{base}/{{request_id}}", LogEntry(deps))


def advice_on(entry: pb.ProvisioningLogEntry) -> Advice | None:
    """Return what to do about a request; None for one that did not fail."""
    if entry.status < 400:
        return None
    return advise(Failure(entry.status, entry.scim_type, entry.route, entry.detail))
