"""Signing in with an OpenID provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon
import grpc.aio
from rollcall.directory.v1 import administrator_service_pb2 as pb

from console import cookies
from console.forms import Form
from console.openid import OpenId, OpenIdRefused
from console.pages.sign_in import begin_session, local_path
from console.problems import problem_of
from console.rendering import page, redirect
from console.request import Request, Response

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

NOBODY = "No administrator here has the e-mail address that you have there, or the account is disabled."
OPENID_SECONDS = 600
"""How long somebody may take at the OpenID provider."""


class SignInWithOpenId:
    """`/sign-in/openid`: sends the browser to the OpenID provider, and takes it back at `/sign-in/openid/callback`."""

    def __init__(self, deps: Deps, openid: OpenId) -> None:
        self._deps = deps
        self._openid = openid

    async def on_get(self, req: Request, resp: Response) -> None:
        """Send the browser to the provider."""
        try:
            location, pending = await self._openid.begin(local_path(req.get_param("next") or ""))
        except OpenIdRefused as error:
            await self._refuse(req, resp, str(error), falcon.HTTP_502)
            return
        cookies.put(resp, cookies.OPENID, pending, seconds=OPENID_SECONDS)
        redirect(resp, location)

    async def on_get_callback(self, req: Request, resp: Response) -> None:
        """Open a session for whom the provider has signed in."""
        pending = cookies.get(req, resp, cookies.OPENID)
        cookies.drop(resp, cookies.OPENID)
        try:
            person = await self._openid.finish(req.query_string, pending)
        except OpenIdRefused as error:
            await self._refuse(req, resp, str(error), falcon.HTTP_403)
            return
        request = pb.SignInWithOpenIdRequest(issuer=person.issuer, subject=person.subject, email=person.email)
        try:
            answer = await self._deps.services.administrators.SignInWithOpenId(request)
        except grpc.aio.AioRpcError as error:
            if problem_of(error).reason != "INVALID_SIGN_IN":
                raise
            await self._refuse(req, resp, NOBODY, falcon.HTTP_403)
            return
        begin_session(resp, answer.session)
        redirect(resp, person.destination)

    async def _refuse(self, req: Request, resp: Response, message: str, status: str) -> None:
        sent = Form({})
        sent.fail("", message)
        await page(req, resp, "sign_in.html", status=status, form=sent, next="/", openid_href="/sign-in/openid")


def add_routes(app: App, deps: Deps) -> None:
    """Add the way to the provider and back."""
    with_openid = SignInWithOpenId(deps, OpenId(deps.settings))
    app.add_route("/sign-in/openid", with_openid)
    app.add_route("/sign-in/openid/callback", with_openid, suffix="callback")
