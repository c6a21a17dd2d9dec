"""Signing in and out, by password and by a one-time link; and one's own password."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import falcon
import grpc
import grpc.aio
from rollcall.directory.v1 import administrator_service_pb2 as pb

from console import cookies
from console.forms import Form, form
from console.problems import Problem, at_form, problem_of
from console.rendering import flash, page, plural, redirect
from console.request import Request, Response

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

WRONG = "The e-mail address or the password is wrong, or the account is disabled."
SHORTEST_PASSWORD = 12


class SignIn:
    """`/sign-in`: e-mail address and password."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._has_openid = bool(deps.settings.openid_issuer)

    async def on_get(self, req: Request, resp: Response) -> None:
        """Show the form, or go on where somebody has signed in."""
        destination = local_path(req.get_param("next") or "")
        if req.context.administrator is not None:
            redirect(resp, destination)
            return
        await self._show(req, resp, Form({}), destination)

    async def on_post(self, req: Request, resp: Response) -> None:
        """Open a session."""
        sent = await form(req)
        destination = local_path(sent.text("next"))
        email = sent.required("email", "Enter your e-mail address.")
        password = sent.verbatim("password")
        if not password:
            sent.fail("password", "Enter your password.")
        if not sent.is_valid:
            await self._show(req, resp, sent, destination, status=falcon.HTTP_422)
            return
        request = pb.SignInRequest(email=email, password=password, client_address=req.context.client_address)
        try:
            answer = await self._deps.services.administrators.SignIn(request)
        except grpc.aio.AioRpcError as error:
            problem = problem_of(error)
            if problem.reason == "INVALID_SIGN_IN" or error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                sent.fail("", WRONG)
                await self._show(req, resp, sent, destination, status=falcon.HTTP_403)
            elif problem.reason == "TOO_MANY_ATTEMPTS":
                sent.fail("", too_many(problem))
                resp.set_header("Retry-After", str(problem.retry_seconds))
                await self._show(req, resp, sent, destination, status=falcon.HTTP_429)
            else:
                raise
            return
        begin_session(resp, answer.session)
        redirect(resp, destination)

    async def _show(
        self, req: Request, resp: Response, sent: Form, destination: str, *, status: str = falcon.HTTP_200
    ) -> None:
        await page(
            req,
            resp,
            "sign_in.html",
            status=status,
            form=sent,
            next=destination,
            openid_href=f"/sign-in/openid?next={quote(destination, safe='')}" if self._has_openid else "",
        )


class SignInLink:
    """`/sign-in/link/{token}`: a one-time link, which makes an account or chooses a new password for one.

    Reading the page does not use the link, for programs that look at links read pages.
    """

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def on_get(self, req: Request, resp: Response, token: str) -> None:
        """Show what the link is for."""
        await self._show(req, resp, token, Form({}))

    async def on_post(self, req: Request, resp: Response, token: str) -> None:
        """Use the link."""
        sent = await form(req)
        password = sent.verbatim("password")
        if len(password) < SHORTEST_PASSWORD:
            sent.fail("password", f"Choose a password of at least {SHORTEST_PASSWORD} characters.")
        if sent.verbatim("password_again") != password:
            sent.fail("password_again", "This is not the same password.")
        if sent.is_valid:
            request = pb.RedeemSignInLinkRequest(
                link_token=token, email=sent.text("email"), name=sent.text("name"), password=password
            )
            try:
                answer = await self._deps.services.administrators.RedeemSignInLink(request)
            except grpc.aio.AioRpcError as error:
                if problem_of(error).reason == "TOO_MANY_ATTEMPTS":
                    sent.fail("", too_many(problem_of(error)))
                else:
                    sent.refused(at_form(error), ("email", "name", "password"))
            else:
                begin_session(resp, answer.session)
                redirect(resp, "/")
                return
        await self._show(req, resp, token, sent, status=falcon.HTTP_422)

    async def _show(
        self, req: Request, resp: Response, token: str, sent: Form, *, status: str = falcon.HTTP_200
    ) -> None:
        request = pb.GetSignInLinkRequest(link_token=token)
        answer = await self._deps.services.administrators.GetSignInLink(request)
        owner = answer.administrator if answer.HasField("administrator") else None
        await page(
            req, resp, "sign_in_by_link.html", status=status, form=sent, owner=owner, expire_time=answer.expire_time
        )


class SignOut:
    """`/sign-out`: ends the session."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def on_post(self, req: Request, resp: Response) -> None:
        """End it here and in the directory."""
        request = pb.SignOutRequest(session_token=req.context.session_token)
        await self._deps.services.administrators.SignOut(request)
        cookies.drop(resp, cookies.SESSION)
        redirect(resp, "/sign-in")


class Account:
    """`/account`: who has signed in, and a new password."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def on_get(self, req: Request, resp: Response) -> None:
        """Show the account."""
        await self._show(req, resp, Form({}))

    async def on_post(self, req: Request, resp: Response) -> None:
        """Set the password; the account's other sessions end."""
        sent = await form(req)
        assert req.context.administrator is not None  # the edge has let nobody else through
        password = sent.verbatim("password")
        if len(password) < SHORTEST_PASSWORD:
            sent.fail("password", f"Choose a password of at least {SHORTEST_PASSWORD} characters.")
        if sent.verbatim("password_again") != password:
            sent.fail("password_again", "This is not the same password.")
        if sent.is_valid:
            request = pb.SetPasswordRequest(
                administrator_id=req.context.administrator.id,
                password=password,
                current_password=sent.verbatim("current_password"),
                session_token=req.context.session_token,
            )
            try:
                await self._deps.services.administrators.SetPassword(request)
            except grpc.aio.AioRpcError as error:
                problem = problem_of(error)
                if problem.reason == "TOO_MANY_ATTEMPTS":
                    sent.fail("", too_many(problem))
                elif problem.field == "current_password":
                    sent.fail("current_password", "This is not your password.")
                else:
                    sent.refused(at_form(error), ("password",))
            else:
                flash(resp, "Your password is changed. Your sessions in other browsers have ended.")
                redirect(resp, "/account")
                return
        await self._show(req, resp, sent, status=falcon.HTTP_422)

    async def _show(self, req: Request, resp: Response, sent: Form, *, status: str = falcon.HTTP_200) -> None:
        assert req.context.administrator is not None  # as above
        request = pb.GetAdministratorRequest(administrator=req.context.administrator.id)
        answer = await self._deps.services.administrators.GetAdministrator(request)
        await page(req, resp, "account.html", status=status, form=sent, account=answer.administrator)


def add_routes(app: App, deps: Deps) -> None:
    """Add what belongs to signing in."""
    app.add_route("/sign-in", SignIn(deps))
    app.add_route("/sign-in/link/{token}", SignInLink(deps))
    app.add_route("/sign-out", SignOut(deps))
    app.add_route("/account", Account(deps))
    if deps.settings.openid_issuer:
        # Its libraries cost a third of the console's start and memory: only a console that has a provider loads them.
        from console.pages import sign_in_with_openid

        sign_in_with_openid.add_routes(app, deps)


def local_path(text: str) -> str:
    """Return a path of the console that a browser may be sent to: the text, or `/` for one that leads elsewhere."""
    # Browsers take a backslash for a slash, and pass over tabs and line ends.
    if not text.startswith("/") or text.startswith(("//", "/\\")) or not text.isprintable() or "\\" in text:
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    return text if not parts.scheme and not parts.netloc else "/"


def begin_session(resp: Response, session: pb.Session) -> None:
    """Give the browser the session that the directory has opened; what it had before counts no more."""
    left = session.expire_time.ToDatetime(datetime.UTC) - datetime.datetime.now(datetime.UTC)
    cookies.put(resp, cookies.SESSION, session.session_token, seconds=max(1, int(left.total_seconds())))
    cookies.drop(resp, cookies.VISITOR)


def too_many(problem: Problem) -> str:
    """Say when it is worth another try."""
    minutes = -(-problem.retry_seconds // 60)
    wait = plural(problem.retry_seconds, "second") if problem.retry_seconds < 120 else plural(minutes, "minute")
    return f"Too many attempts to sign in. Try again in {wait}."
