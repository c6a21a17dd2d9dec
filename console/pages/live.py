"""The live view: requests and effects as they come, pushed to the browser by server-sent events.

The services are asked once a second, and only while somebody watches. A stream ends after two minutes, so that who it
is for is looked at anew when the browser connects again; when the process is told to stop; and soon after the browser
has gone. Without script the page shows what there is, and a reload shows more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING

import falcon
import grpc
import grpc.aio
from falcon.asgi import SSEvent
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import provisioning_log_service_pb2 as log

from console import evidence
from console.history import list_effects
from console.pages.policies import known_policies
from console.rendering import page
from console.request import Request, Response
from console.scope import Scope, find_scope, find_workspace, trail, workspace_address
from console.services import Services
from console.tail import POLL_SECONDS, News, Source, Tail

if TYPE_CHECKING:
    from rollcall.directory.v1 import connection_service_pb2 as connections

    from console.app import App
    from console.deps import Deps

SHOWN = 25
"""Requests, and effects, that the page shows at first."""
STREAM_SECONDS = 120.0
MOST_STREAMS = 32
"""Streams of this process at once."""
MOST_OF_ONE = 4
"""Streams of one administrator at once."""
RETRY_MILLISECONDS = 1000
LONGEST_GAP_SECONDS = 300.0
"""How far back a browser that connects again is told what it has missed."""

_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class Streams:
    """The streams that are open, by administrator."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._open.values())

    def has_room(self, administrator_id: str) -> bool:
        """Tell whether an administrator may open one more."""
        return len(self) < MOST_STREAMS and self._open.get(administrator_id, 0) < MOST_OF_ONE

    @contextlib.contextmanager
    def one(self, administrator_id: str) -> Iterator[None]:
        """Count a stream while it is open."""
        self._open[administrator_id] = self._open.get(administrator_id, 0) + 1
        try:
            yield
        finally:
            self._open[administrator_id] -= 1
            if not self._open[administrator_id]:
                del self._open[administrator_id]


class ConnectionLive:
    """`…/live`: the live view of a connection."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show the newest requests and effects of the connection; script goes on from there."""
        scope = await find_scope(self._services, slug, portal_name)
        source = source_of(scope)
        (entries, effects), names = await asyncio.gather(
            newest(self._services, source), known_policies(self._services, scope.workspace)
        )
        await page(
            req,
            resp,
            "live.html",
            **scope.values,
            what=scope.connection.display_name,
            entries=entries,
            effects=effects,
            names=names,
            events_href=f"{scope.base}/live/events",
            words=evidence,
        )


class WorkspaceLive:
    """`/workspaces/{slug}/live`: the live view of all connections of a workspace."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show the newest requests and effects of the workspace; script goes on from there."""
        workspace = await find_workspace(self._services, slug)
        (entries, effects), names = await asyncio.gather(
            newest(self._services, Source(workspace.workspace_id)), known_policies(self._services, workspace)
        )
        await page(
            req,
            resp,
            "live.html",
            workspace=workspace,
            breadcrumbs=trail(workspace),
            what=workspace.name,
            entries=entries,
            effects=effects,
            names=names,
            events_href=f"{workspace_address(workspace)}/live/events",
            words=evidence,
        )


class ConnectionEvents:
    """`…/live/events`: the stream of a connection."""

    def __init__(self, deps: Deps, streams: Streams) -> None:
        self._deps = deps
        self._streams = streams

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Open the stream, or refuse one too many."""
        scope = await find_scope(self._deps.services, slug, portal_name)
        await open_stream(req, resp, self._deps, self._streams, source_of(scope), scope.workspace)


class WorkspaceEvents:
    """`/workspaces/{slug}/live/events`: the stream of a workspace."""

    def __init__(self, deps: Deps, streams: Streams) -> None:
        self._deps = deps
        self._streams = streams

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Open the stream, or refuse one too many."""
        workspace = await find_workspace(self._deps.services, slug)
        await open_stream(req, resp, self._deps, self._streams, Source(workspace.workspace_id), workspace)


def add_routes(app: App, deps: Deps) -> None:
    """Add the live views and their streams."""
    streams = Streams()
    for base, live, events in (
        (
            "/workspaces/{slug}/login-providers/{portal_name}/live",
            ConnectionLive(deps),
            ConnectionEvents(deps, streams),
        ),
        ("/workspaces/{slug}/live", WorkspaceLive(deps), WorkspaceEvents(deps, streams)),
    ):
        app.add_route(base, live)
        app.add_route(f"{base}/events", events)


def source_of(scope: Scope) -> Source:
    """Return what is watched of a connection."""
    return Source(scope.workspace.workspace_id, scope.connection.connection_id, (scope.delivery,))


async def newest(services: Services, source: Source) -> tuple[list[log.ProvisioningLogEntry], list[delivery.Effect]]:
    """Return the newest requests and effects of a source, newest first."""
    request = log.ListProvisioningLogEntriesRequest(
        workspace_id=source.workspace_id, connection_id=source.connection_id, page_size=SHOWN
    )
    wanted = delivery.ListEffectsRequest(workspace_id=source.workspace_id)
    answer, (effects, _) = await asyncio.gather(
        services.log.ListProvisioningLogEntries(request), list_effects(services, wanted, SHOWN, source.deliveries)
    )
    own = [one for one in effects if not source.connection_id or one.connection_id == source.connection_id]
    return list(answer.entries), own


async def open_stream(
    req: Request, resp: Response, deps: Deps, streams: Streams, source: Source, workspace: connections.Workspace
) -> None:
    """Answer with the news of a source. Raises falcon.HTTPServiceUnavailable where too many streams are open."""
    administrator = req.context.administrator
    assert administrator is not None, "the middleware lets nobody else through"
    if deps.closing.is_set() or not streams.has_room(administrator.id):
        raise falcon.HTTPServiceUnavailable(
            title="Too many live views",
            description="Close another live view, or reload this page now and then.",
            retry_after=10,
        )
    since = _since(req.get_header("Last-Event-ID") or "", time.time())
    tail = Tail(deps.services, source, since=since)
    names = await known_policies(deps.services, workspace)
    resp.sse = _events(deps, streams, administrator.id, tail, workspace_address(workspace), names)


async def _events(
    deps: Deps, streams: Streams, administrator_id: str, tail: Tail, root: str, names: Mapping[str, str]
) -> AsyncIterator[SSEvent]:
    rows = deps.templates.get_template("live_row.html")
    ends = time.monotonic() + STREAM_SECONDS
    with streams.one(administrator_id):
        yield SSEvent(retry=RETRY_MILLISECONDS, comment="connected")
        while time.monotonic() < ends and not deps.closing.is_set():
            at = str(int(time.time() * 1000))
            try:
                news = await tail.look()
            except grpc.aio.AioRpcError as error:
                if error.code() not in _PASSING:
                    return  # what is watched is gone: the page says so when it is loaded again
                news = []
            for one in news:
                text = " ".join(rows.render(root=root, words=evidence, names=names, **_named(one)).split())
                yield SSEvent(event="request" if isinstance(one, log.ProvisioningLogEntry) else "effect", text=text)
            # The id of where the browser is; and a sign of life, by which a browser that has gone is noticed.
            yield SSEvent(event="heartbeat", text="", event_id=at) if news else SSEvent(comment="nothing new")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(deps.closing.wait(), POLL_SECONDS)


def _named(one: News) -> dict[str, News]:
    return {"entry": one} if isinstance(one, log.ProvisioningLogEntry) else {"effect": one}


def _since(last_event_id: str, now: float) -> float:
    """Return from when on a browser wants to know: from where it was before, within bounds; else from now."""
    if not last_event_id.isdecimal() or len(last_event_id) > 15:
        return now
    return max(now - LONGEST_GAP_SECONDS, min(now, int(last_event_id) / 1000))
