"""What happens around every request: authentication, limits, errors as SCIM, ids and logs.

Nothing but the health checks is told to anybody without a token that the directory has found good. A request that calls
the directory is authenticated by that very call; what is answered without one (a discovery document, an unknown path, a
wrong method, a body that is refused) is held back until the directory has been asked about the token alone.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import falcon
import falcon.asgi
import orjson

from chassis import telemetry
from chassis.client_address import client_address, networks
from chassis.request_context import RequestContext, request_context
from gateway.admission import Admission
from gateway.directory import Directory
from gateway.errors import NotImplementedHere, Refusal, TooManyRequests, Unauthorized, body_of, internal
from gateway.exchange import Exchange, Request
from gateway.limits import FailedAuthentications, RateLimit
from gateway.provisioning_log import ProvisioningLog
from gateway.resources.absent import Absent
from scim.errors import ScimError

if TYPE_CHECKING:
    from gateway.metrics import RequestMetrics

SCIM_JSON = "application/scim+json"

CHECK_SECONDS = 2.0
"""How long the directory may take at least to say whether a token is good."""

_OTHER_VERSION = re.compile(r"/scim/v(?!2/)[0-9]+/")

logger = logging.getLogger("gateway")


class Edge:
    """Falcon middleware: the only one."""

    def __init__(
        self,
        directory: Directory,
        *,
        admission: Admission,
        rate_limit: RateLimit,
        failures: FailedAuthentications,
        deadline_seconds: float,
        trusted_proxies: Sequence[str],
        log_requests: bool,
        provisioning_log: ProvisioningLog,
        metrics: RequestMetrics | None,
    ) -> None:
        self._directory = directory
        self._admission = admission
        self._rate_limit = rate_limit
        self._failures = failures
        self._deadline_seconds = deadline_seconds
        self._trusted = networks(trusted_proxies)
        self._log_requests = log_requests
        self._provisioning_log = provisioning_log
        self._metrics = metrics

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Connect to the directory; runs in the worker, after the fork."""
        await self._directory.start()
        self._provisioning_log.start()

    async def process_shutdown(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Tell what is to be told, and disconnect from the directory."""
        await self._provisioning_log.stop()
        await self._directory.stop()
        await asyncio.to_thread(telemetry.shutdown)

    async def process_request(self, request: Request, response: falcon.asgi.Response) -> None:
        """Refuse what needs no directory to be refused: no token, a garbled one, too many requests; wait for room."""
        exchange = request.exchange
        exchange.span = telemetry.start("SERVER", request.method[:16], exchange.traceparent)
        if exchange.span is not None:
            exchange.traceparent = exchange.span.traceparent
        # For what is logged.
        request_context.set(RequestContext(request_id=exchange.request_id, traceparent=exchange.traceparent))
        exchange.deadline = exchange.started + self._deadline_seconds
        if exchange.is_public:
            return
        self._failures.check(self._address(request), exchange.token_hash, exchange.started)
        if exchange.token_hash is None:
            raise Unauthorized
        self._rate_limit.check(exchange.token_hash, exchange.started)
        await self._admission.enter(exchange.place, exchange.token_hash)

    async def process_resource(
        self, request: Request, response: falcon.asgi.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Refuse what is not offered, and answer a method nobody knows like one that the resource does not have."""
        if isinstance(resource, Absent):
            raise NotImplementedHere(resource.detail)
        if request.method not in falcon.COMBINED_METHODS:
            allowed = [method for method in falcon.HTTP_METHODS if hasattr(resource, f"on_{method.lower()}")]
            raise falcon.HTTPMethodNotAllowed([*allowed, "OPTIONS"])

    async def process_response(
        self, request: Request, response: falcon.asgi.Response, resource: object, succeeded: bool
    ) -> None:
        """Hold back what the client has not been authenticated for; count, mark and log what is answered."""
        exchange = request.exchange
        if not exchange.is_public:
            await self._authenticated(request, response)
        if request.method == "OPTIONS" and (allowed := response.get_header("Allow")):
            response.set_header("Allow", f"{allowed}, OPTIONS")  # which the framework leaves out of its own answer
        response.set_header("X-Request-Id", exchange.request_id)
        failed = response.status_code >= 500 and response.status_code != 501
        seconds = asyncio.get_running_loop().time() - exchange.started
        if exchange.span is not None:
            self._end_span(exchange.span, request, response)
        if self._metrics is not None:
            route = self._provisioning_log.route(request)
            self._metrics.add(route, request.method, response.status_code, seconds)
        try:
            self._provisioning_log.note(request, response, seconds)
        # The request is answered; that it cannot be told of is no reason to answer it otherwise.
        except Exception as error:
            logger.error("a request has no entry in the provisioning log", exc_info=error)
        if self._log_requests or failed:
            self._log(request, response, logging.ERROR if failed else logging.INFO, seconds)

    async def _authenticated(self, request: Request, response: falcon.asgi.Response) -> None:
        exchange = request.exchange
        refusal = exchange.refusal
        if not exchange.answered and not isinstance(refusal, Unauthorized | TooManyRequests):
            # A request that ran out of time has to be authenticated all the same before it is told so.
            now = asyncio.get_running_loop().time()
            exchange.deadline = max(exchange.deadline, now + CHECK_SECONDS)
            try:
                await self._directory.check_token(exchange)
            except Refusal as error:
                refusal = error
                answer_refusal(exchange, response, error)
        if isinstance(refusal, Unauthorized):
            self._failures.failed(self._address(request), exchange.token_hash, exchange.started)
        elif exchange.token_hash is not None and (refusal is None or refusal.status not in (429, 500, 503)):
            self._failures.succeeded(exchange.token_hash)
            self._admission.worked(exchange.token_hash)

    def _end_span(self, span: telemetry.Span, request: Request, response: falcon.asgi.Response) -> None:
        exchange, route, method = request.exchange, self._provisioning_log.route(request), request.method[:16]
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": response.status_code,
            "rollcall.request_id": exchange.request_id,
            "rollcall.connection_id": exchange.connection_id[:36],
        }
        error = str(response.status_code) if response.status_code >= 500 else ""
        span.end(name=f"{method} {route}".rstrip(), error=error, attributes=attributes)

    def _address(self, request: Request) -> str:
        client = request.scope.get("client")
        return client_address(client[0] if client else "", request._header(b"x-forwarded-for"), self._trusted)

    def _log(self, request: Request, response: falcon.asgi.Response, level: int, seconds: float) -> None:
        exchange = request.exchange
        # The route, not the path: what stands in a path or a query may be personal data.
        logger.log(
            level,
            "%s %s %d %.1f ms",
            request.method[:16],
            request.uri_template or "(no route)",
            response.status_code,
            seconds * 1000,
            extra={"connection_id": exchange.connection_id[:64]},
        )


def answer(response: falcon.asgi.Response, status: int, body: bytes | None, media_type: str = SCIM_JSON) -> None:
    """Set the status and the body of an answer."""
    response.status = status
    response.content_type = media_type
    response.data = body


def answer_refusal(exchange: Exchange, response: falcon.asgi.Response, refusal: Refusal) -> None:
    """Turn an answer into an error, whatever it was before."""
    exchange.refusal = refusal
    for name in ("allow", "content-length", "etag", "location"):
        response.delete_header(name)
    response.stream = None
    detail = refusal.detail
    if refusal.status == 500:
        detail = f"{detail}; request id {exchange.request_id}"
    answer(response, refusal.status, body_of(refusal.status, detail, refusal.scim_type))
    for name, value in refusal.headers.items():
        response.set_header(name, value)


async def handle_refusal(
    request: Request, response: falcon.asgi.Response, error: Refusal, params: dict[str, Any]
) -> None:
    """Answer an error of the gateway or of the directory."""
    answer_refusal(request.exchange, response, error)


async def handle_scim_error(
    request: Request, response: falcon.asgi.Response, error: ScimError, params: dict[str, Any]
) -> None:
    """Answer an error of the SCIM library."""
    answer_refusal(request.exchange, response, Refusal(error.status, error.detail, error.scim_type))


async def handle_http_error(
    request: Request, response: falcon.asgi.Response, error: falcon.HTTPError, params: dict[str, Any]
) -> None:
    """Answer an error of the framework: no route, no such method, a header that cannot be read."""
    headers = dict(error.headers or ())
    status = error.status_code
    details = {
        404: "nothing is at this path; paths are case-sensitive and have no trailing slash",
        405: f"{request.method[:32]} is not allowed here",
    }
    detail = details.get(status) or error.description or error.title or "bad request"
    if status == 404 and _OTHER_VERSION.match(request.path):
        # RFC 7644 §3.13: what is asked for in another version is not done in this one.
        refusal = Refusal(400, "this version of SCIM is not supported: there is v2 only", "invalidVers")
    else:
        refusal = Refusal(status, detail, headers=headers)
    answer_refusal(request.exchange, response, refusal)


async def handle_unexpected(
    request: Request, response: falcon.asgi.Response, error: Exception, params: dict[str, Any]
) -> None:
    """Log an error that nobody foresaw, and answer that there was one."""
    exchange = request.exchange
    logger.error("unexpected error", exc_info=error)
    answer_refusal(exchange, response, internal())


def json_body(value: object) -> bytes:
    """Return JSON in UTF-8."""
    return orjson.dumps(value)
