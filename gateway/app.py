"""The gateway as an ASGI application: every path it answers, in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import falcon
import falcon.asgi

from chassis import telemetry
from chassis.auth import own_secret
from chassis.grpc_client import channel_credentials
from chassis.identity import GATEWAY
from gateway.admission import Admission, Place
from gateway.directory import CONNECT_SECONDS, Directory
from gateway.errors import Refusal
from gateway.exchange import PLACE, Request
from gateway.limits import FailedAuthentications, RateLimit
from gateway.middleware import (
    SCIM_JSON,
    Edge,
    handle_http_error,
    handle_refusal,
    handle_scim_error,
    handle_unexpected,
)
from gateway.provisioning_log import ProvisioningLog
from gateway.resources.absent import Absent
from gateway.resources.bulk import Bulk
from gateway.resources.discovery import ServiceProviderConfig, resource_types, schemas
from gateway.resources.groups import GroupById, GroupCalls, Groups, GroupSearch
from gateway.resources.health import Alive, Ready
from gateway.resources.search import Everything, Search, SearchCalls
from gateway.resources.users import UserById, UserCalls, Users, UserSearch
from gateway.settings import GatewaySettings
from scim.errors import ScimError

if TYPE_CHECKING:
    from gateway.metrics import RequestMetrics

BASE = "/scim/v2/{connection_id}"

ME_DETAIL = (
    "a bearer token of this server stands for a connection, not for a person, so that /Me has nobody to be: "
    'use /Users/{id}, or /Users?filter=userName eq "..."'
)


@dataclass(frozen=True, slots=True)
class Deps:
    """What the application is made of; tests make their own."""

    settings: GatewaySettings
    directory: Directory
    """Started by the application's lifespan, or by whoever made it."""
    metrics: RequestMetrics | None = None
    """Where requests are counted; None: nowhere."""


class App(falcon.asgi.App[Request, falcon.asgi.Response]):
    """Falcon, without WebSockets: a handshake is refused before anything is read of it."""

    admission: Admission
    """Where requests get the room that they give back at their end, whatever that is."""
    provisioning_log: ProvisioningLog
    """What the directory is told of requests."""

    async def __call__(  # type: ignore[override]  # Falcon's own type is that of its WSGI application
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        place = Place()
        try:
            await super().__call__({**scope, PLACE: place}, receive, send)
        finally:
            self.admission.leave(place)


def create_app(deps: Deps) -> App:
    """Put the application together. Raises nothing at this point: the directory is only called when a request comes."""
    settings, directory = deps.settings, deps.directory
    admission = Admission(
        settings.concurrent_requests,
        settings.waiting_requests,
        settings.patience_seconds,
        interrupted=lambda: not directory.is_connected,
        interruption=CONNECT_SECONDS,
    )
    metrics = deps.metrics
    provisioning_log = ProvisioningLog(directory, capacity=settings.provisioning_log_capacity, metrics=metrics)
    edge = Edge(
        directory,
        admission=admission,
        rate_limit=RateLimit(settings.requests_per_second, settings.burst),
        failures=FailedAuthentications(settings.failed_authentications_per_minute),
        deadline_seconds=settings.deadline_seconds,
        trusted_proxies=settings.trusted_proxies,
        log_requests=settings.log_requests,
        provisioning_log=provisioning_log,
        metrics=metrics,
    )
    app = App(media_type=SCIM_JSON, request_type=Request, middleware=[edge])
    app.admission = admission
    app.provisioning_log = provisioning_log
    app.add_error_handler(Exception, handle_unexpected)
    app.add_error_handler(falcon.HTTPError, handle_http_error)
    app.add_error_handler(ScimError, handle_scim_error)
    app.add_error_handler(Refusal, handle_refusal)

    users, groups = UserCalls(directory, settings), GroupCalls(directory, settings)
    app.add_route(f"{BASE}/Users", Users(users))
    app.add_route(f"{BASE}/Users/.search", UserSearch(users))
    app.add_route(f"{BASE}/Users/{{user_id}}", UserById(users))
    app.add_route(f"{BASE}/Groups", Groups(groups))
    app.add_route(f"{BASE}/Groups/.search", GroupSearch(groups))
    app.add_route(f"{BASE}/Groups/{{group_id}}", GroupById(groups))
    app.add_route(f"{BASE}/ServiceProviderConfig", ServiceProviderConfig(settings))
    discovered = (("ResourceTypes", resource_types(directory, settings)), ("Schemas", schemas(directory, settings)))
    for endpoint, documents in discovered:
        app.add_route(f"{BASE}/{endpoint}", documents)
        app.add_route(f"{BASE}/{endpoint}/{{document_id}}", documents, suffix="by_id")
    app.add_route(f"{BASE}/Me", Absent(ME_DETAIL))
    app.add_route(f"{BASE}/Bulk", Bulk(directory, settings))
    search = SearchCalls(users, groups)
    app.add_route(BASE, Everything(search))
    app.add_route(f"{BASE}/.search", Search(search))
    app.add_route("/healthz", Alive())
    app.add_route("/readyz", Ready(directory))
    return app


def get_app() -> App:
    """Put the application together from the environment; called in each worker, after the fork."""
    settings = GatewaySettings.load()
    telemetry.configure("gateway", settings.otlp_endpoint)
    directory = Directory(settings.directory_target, own_secret(settings, GATEWAY), tls=channel_credentials(settings))
    return create_app(Deps(settings, directory, _metrics(settings)))


def _metrics(settings: GatewaySettings) -> RequestMetrics | None:
    if not settings.metrics_address:
        return None
    from gateway.metrics import RequestMetrics

    return RequestMetrics()
