"""`/administrators`: who may sign in to the console, links for new accounts and new passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio
from rollcall.directory.v1 import administrator_service_pb2 as pb

from console.paging import PAGE_SIZE, first_page, next_page, page_token
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps


def add_routes(app: App, deps: Deps) -> None:
    """Add the paths of administrators."""
    app.add_route("/administrators", Administrators(deps))
    app.add_route("/administrators/link", Link(deps))
    app.add_route("/administrators/{administrator_id}/link", Link(deps))
    app.add_route("/administrators/{administrator_id}/disable", Disabling(deps))
    app.add_route("/administrators/{administrator_id}/enable", Enabling(deps))


class Administrators:
    """The accounts."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response) -> None:
        """Show a page of accounts by e-mail address."""
        request = pb.ListAdministratorsRequest(page_size=PAGE_SIZE, page_token=page_token(req))
        found = await self._services.administrators.ListAdministrators(request)
        await page(
            req,
            resp,
            "administrators.html",
            accounts=[(one, one.state == pb.ADMINISTRATOR_STATE_ENABLED) for one in found.administrators],
            next_href=next_page(req, found.next_page_token),
            previous_href=first_page(req),
        )


class Link:
    """Makes a link that can be used once: for a new account, or for a new password of one; shown this once."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def on_post(self, req: Request, resp: Response, administrator_id: str = "") -> None:
        """Make it, and show it."""
        administrators = self._deps.services.administrators
        account = None
        if administrator_id:
            found = await administrators.GetAdministrator(pb.GetAdministratorRequest(administrator=administrator_id))
            account = found.administrator
        try:
            made = await administrators.CreateSignInLink(pb.CreateSignInLinkRequest(administrator_id=administrator_id))
        except grpc.aio.AioRpcError as error:
            flash(resp, at_form(error).message, "failed")
            redirect(resp, "/administrators")
            return
        own = self._deps.settings.public_url or f"{req.scheme}://{req.netloc}"
        await page(
            req,
            resp,
            "sign_in_link.html",
            account=account,
            link=f"{own}/sign-in/link/{made.link_token}",
            expires=made.expire_time,
            address="/administrators",
            breadcrumbs=[("Administrators", "/administrators")],
        )


class Disabling:
    """Ends the sessions of an account, which may not sign in any more."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, administrator_id: str) -> None:
        """Say what it means."""
        request = pb.GetAdministratorRequest(administrator=administrator_id)
        found = await self._services.administrators.GetAdministrator(request)
        await page(
            req,
            resp,
            "administrator_disable.html",
            account=found.administrator,
            breadcrumbs=[("Administrators", "/administrators")],
        )

    async def on_post(self, req: Request, resp: Response, administrator_id: str) -> None:
        """Disable it."""
        request = pb.DisableAdministratorRequest(administrator_id=administrator_id)
        try:
            changed = await self._services.administrators.DisableAdministrator(request)
        except grpc.aio.AioRpcError as error:
            flash(resp, at_form(error).message, "failed")
        else:
            flash(resp, f"{changed.administrator.email} is disabled and signed out everywhere.")
        redirect(resp, "/administrators")


class Enabling:
    """Lets an account sign in again."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_post(self, req: Request, resp: Response, administrator_id: str) -> None:
        """Enable it."""
        request = pb.EnableAdministratorRequest(administrator_id=administrator_id)
        try:
            changed = await self._services.administrators.EnableAdministrator(request)
        except grpc.aio.AioRpcError as error:
            flash(resp, at_form(error).message, "failed")
        else:
            flash(resp, f"{changed.administrator.email} may sign in again.")
        redirect(resp, "/administrators")
