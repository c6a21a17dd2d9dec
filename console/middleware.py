"""What happens around every request: who it is from, whether its form is ours, and the headers of every answer.

Nothing but the sign-in, its style sheet and the health checks is shown to anybody who has not signed in.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
from typing import Any
from urllib.parse import quote, urlsplit

import falcon
import grpc
import grpc.aio
from rollcall.directory.v1 import administrator_service_pb2 as pb

from chassis.client_address import client_address, networks
from chassis.identifiers import time_ordered_hex
from chassis.request_context import RequestContext, request_context
from console import cookies
from console.deps import Deps
from console.forms import form
from console.problems import Problem, problem_of
from console.rendering import page, read_flash
from console.request import Administrator, Request, Response
from console.services import acting

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
YEAR_SECONDS = 31_536_000

SIGN_IN = "/sign-in"
_PROBES = frozenset({"/healthz", "/readyz"})
_STATIC = "/static/"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,200}")

logger = logging.getLogger("console")


class Edge:
    """Falcon middleware: the only one."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._trusted = networks(deps.settings.trusted_proxies)

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Connect to the services; runs in the worker, after the fork."""
        await self._deps.services.start()

    async def process_shutdown(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Disconnect from the services."""
        self._deps.closing.set()
        await self._deps.services.stop()

    async def process_request(self, req: Request, resp: Response) -> None:
        """Find who the request is from; send who has not signed in to the sign-in, and refuse a form of others."""
        context, settings = req.context, self._deps.settings
        context.started = asyncio.get_running_loop().time()
        context.templates = self._deps.templates
        resp.context.is_secure = settings.is_secure
        given = req.get_header("X-Request-Id") or ""
        context.request_id = given if _REQUEST_ID.fullmatch(given) else time_ordered_hex()
        context.client_address = self._address(req)
        request_context.set(RequestContext(request_id=context.request_id, request="console"))
        if _is_for_anybody(req.path):
            return
        await self._recognise(req, resp)
        signs_in = req.path == SIGN_IN or req.path.startswith(f"{SIGN_IN}/")
        if context.administrator is None and not signs_in:
            raise falcon.HTTPSeeOther(_sign_in_location(req))
        if context.administrator is None:
            context.visitor_token = cookies.get(req, resp, cookies.VISITOR)
            if not _TOKEN.fullmatch(context.visitor_token):
                context.visitor_token = secrets.token_urlsafe(32)
                cookies.put(resp, cookies.VISITOR, context.visitor_token)
        context.csrf_token = csrf_token(context.session_token if context.administrator else context.visitor_token)
        context.flash = read_flash(cookies.get(req, resp, cookies.FLASH))
        if req.method not in _SAFE:
            await self._require_own_form(req)

    async def process_resource(self, req: Request, resp: Response, resource: object, params: dict[str, Any]) -> None:
        """Name the operation for the services' records: the route, for a path may hold personal data."""
        operation = f"console {req.method[:16]} {req.uri_template}"
        request_context.set(RequestContext(request_id=req.context.request_id, request=operation))

    async def process_response(self, req: Request, resp: Response, resource: object, succeeded: bool) -> None:
        """Set the headers that every answer has, and log what failed."""
        resp.set_header("X-Request-Id", req.context.request_id)
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        resp.set_header("Cross-Origin-Opener-Policy", "same-origin")
        resp.set_header("Cross-Origin-Resource-Policy", "same-origin")
        # The address of a one-time link must not travel to others. With `no-referrer` a browser would not say of our
        # own forms either where they come from.
        resp.set_header("Referrer-Policy", "same-origin")
        if resp.get_header("Cache-Control") is None:
            resp.set_header("Cache-Control", "no-store")
        if self._deps.settings.is_secure:
            resp.set_header("Strict-Transport-Security", f"max-age={YEAR_SECONDS}")
        if resp.status_code >= 500:
            seconds = asyncio.get_running_loop().time() - req.context.started
            route = req.uri_template or "(no route)"
            logger.error("%s %s %d %.1f ms", req.method[:16], route, resp.status_code, seconds * 1000)

    def _address(self, req: Request) -> str:
        client = req.scope.get("client")
        return client_address(client[0] if client else "", req.get_header("X-Forwarded-For") or "", self._trusted)

    async def _recognise(self, req: Request, resp: Response) -> None:
        token = cookies.get(req, resp, cookies.SESSION)
        if not _TOKEN.fullmatch(token):
            return
        try:
            answer = await self._deps.services.administrators.GetSession(pb.GetSessionRequest(session_token=token))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED or problem_of(error).reason != "INVALID_SESSION":
                raise
            cookies.drop(resp, cookies.SESSION)
            return
        found = answer.administrator
        req.context.session_token = token
        req.context.administrator = Administrator(found.administrator_id, found.email, found.name)
        acting.set(found.administrator_id)

    async def _require_own_form(self, req: Request) -> None:
        """Refuse a form that another site's page has sent, or one of somebody who was signed in differently."""
        site = req.get_header("Sec-Fetch-Site")
        origin = req.get_header("Origin")
        own = self._deps.settings.public_url or f"{req.scheme}://{req.netloc}"
        is_foreign = site not in (None, "same-origin", "none") or (origin is not None and not _same(origin, own))
        given = (await form(req)).verbatim("csrf_token")
        if is_foreign or not hmac.compare_digest(given.encode(), req.context.csrf_token.encode()):
            raise falcon.HTTPForbidden(
                title="This form cannot be used any more",
                description="It was opened before you signed in or out. Go back, load the page again and repeat it.",
            )


def csrf_token(secret: str) -> str:
    """Return what a form has to send back: made from a token that no other site can read, which it does not tell."""
    return hmac.digest(secret.encode(), b"rollcall console form", "sha256").hex()


def _is_for_anybody(path: str) -> bool:
    return path in _PROBES or path.startswith(_STATIC)


def _same(origin: str, own: str) -> bool:
    one, other = urlsplit(origin), urlsplit(own)
    ports = {"http": 80, "https": 443}
    try:
        return (one.scheme, one.hostname, one.port or ports.get(one.scheme)) == (
            other.scheme,
            other.hostname,
            other.port or ports.get(other.scheme),
        )
    except ValueError:  # a port that is none
        return False


def _sign_in_location(req: Request) -> str:
    """Return the sign-in that leads back to where the request was for; what a form would have done is not repeated."""
    if req.method != "GET" or req.path == "/":
        return SIGN_IN
    return f"{SIGN_IN}?next={quote(req.relative_uri, safe='')}"


async def show_problem(req: Request, resp: Response, problem: Problem) -> None:
    """Answer with the page that tells of a problem."""
    if problem.retry_seconds:
        resp.set_header("Retry-After", str(problem.retry_seconds))
    resp.data = resp.stream = None
    await page(req, resp, "problem.html", status=problem.status, problem=problem, request_id=req.context.request_id)


async def handle_rpc_error(req: Request, resp: Response, error: grpc.aio.AioRpcError, params: dict[str, Any]) -> None:
    """Tell of a call that failed and that no page has dealt with."""
    problem = problem_of(error)
    if problem.status == falcon.HTTP_500:
        logger.error("a call failed with %s", error.code().name)
    await show_problem(req, resp, problem)


async def handle_http_error(req: Request, resp: Response, error: falcon.HTTPError, params: dict[str, Any]) -> None:
    """Tell of an error of the request: no such page, no such method, a form that cannot be read."""
    for name, value in dict(error.headers or ()).items():
        resp.set_header(name, value)
    words = {
        404: ("Page not found", "There is nothing at this address. It may have been deleted."),
        405: ("That cannot be done here", "This address does not take that kind of request."),
    }
    title, message = words.get(error.status_code, ("That cannot be done", "The request cannot be answered."))
    if error.status_code not in words:
        title, message = error.title or title, error.description or message
    await show_problem(req, resp, Problem(str(error.status), title, message))


async def handle_unexpected(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    """Log an error that nobody foresaw, and say that there was one."""
    logger.error("unexpected error", exc_info=error)
    message = f"The console failed. Its log has the request id {req.context.request_id}."
    await show_problem(req, resp, Problem(falcon.HTTP_500, "Something went wrong", message))
