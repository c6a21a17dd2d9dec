"""Dead letters of a connection: events that could not be applied, and what waits behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon
import grpc.aio
from rollcall.delivery.v1 import delivery_service_pb2 as pb

from console import evidence
from console.evidence import State
from console.forms import Form, form
from console.paging import PAGE_SIZE, first_page, next_page, page_token
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import Scope, find_scope
from console.services import Services

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

LOOKED_THROUGH = 200
"""Dead letters of a connection that are looked through for those of one resource."""
STATES = {
    pb.DEAD_LETTER_STATE_PARKED: State("Could not be applied", "bad"),
    pb.DEAD_LETTER_STATE_QUEUED: State("Waits behind another one", "warning"),
}


class DeadLetters:
    """`…/dead-letters`: a page of them, oldest first."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show the dead letters of the connection in the service that acts on it."""
        scope = await find_scope(self._services, slug, portal_name)
        request = pb.ListDeadLettersRequest(
            connection_id=scope.connection.connection_id, page_size=PAGE_SIZE, page_token=page_token(req)
        )
        answer = await self._services.delivery(scope.delivery).ListDeadLetters(request)
        await page(
            req,
            resp,
            "dead_letters.html",
            **scope.values,
            letters=answer.dead_letters,
            states=STATES,
            words=evidence,
            next_href=next_page(req, answer.next_page_token),
            previous_href=first_page(req),
        )


class DeadLetter:
    """`…/dead-letters/{dead_letter_id}`: one dead letter, with the form that tries it again."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str, dead_letter_id: str) -> None:
        """Show what went wrong, and what waits behind it."""
        await self._show(req, resp, slug, portal_name, dead_letter_id, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str, dead_letter_id: str) -> None:
        """Apply the dead letter and what waits behind it, in order."""
        given = await form(req)
        scope = await find_scope(self._services, slug, portal_name)
        await find_dead_letter(self._services, scope, dead_letter_id)
        request = pb.RetryDeadLetterRequest(dead_letter_id=dead_letter_id)
        try:
            applied = (await self._services.delivery(scope.delivery).RetryDeadLetter(request)).applied
        except grpc.aio.AioRpcError as error:
            given.refused(at_form(error))
            await self._show(req, resp, slug, portal_name, dead_letter_id, given, falcon.HTTP_422)
            return
        flash(resp, f"Applied: {applied} {'event' if applied == 1 else 'events'}.")
        redirect(resp, f"{scope.base}/dead-letters")

    async def _show(
        self,
        req: Request,
        resp: Response,
        slug: str,
        portal_name: str,
        dead_letter_id: str,
        given: Form,
        status: str = falcon.HTTP_200,
    ) -> None:
        scope = await find_scope(self._services, slug, portal_name)
        letter = await find_dead_letter(self._services, scope, dead_letter_id)
        values = scope.values
        await page(
            req,
            resp,
            "dead_letter.html",
            status=status,
            **values | {"breadcrumbs": [*values["breadcrumbs"], ("Dead letters", f"{scope.base}/dead-letters")]},
            letter=letter,
            behind=await queued_behind(self._services, scope, letter),
            is_parked=letter.state == pb.DEAD_LETTER_STATE_PARKED,
            state=STATES.get(letter.state, State("Unknown", "neutral")),
            resource_href=resource_address(scope, letter),
            words=evidence,
            form=given,
        )


class DiscardDeadLetter:
    """`…/dead-letters/{dead_letter_id}/discard`: what giving it up means, and giving it up."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str, dead_letter_id: str) -> None:
        """Say what will happen."""
        await self._show(req, resp, slug, portal_name, dead_letter_id, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str, dead_letter_id: str) -> None:
        """Give the dead letter up whose event was typed."""
        given = await form(req)
        scope = await find_scope(self._services, slug, portal_name)
        letter = await find_dead_letter(self._services, scope, dead_letter_id)
        if given.confirms(event_name(letter)):
            request = pb.DiscardDeadLetterRequest(dead_letter_id=dead_letter_id)
            try:
                applied = (await self._services.delivery(scope.delivery).DiscardDeadLetter(request)).applied
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error))
            else:
                more = f"; {applied} behind it {'was' if applied == 1 else 'were'} applied" if applied else ""
                flash(resp, f"The event is given up{more}.")
                redirect(resp, f"{scope.base}/dead-letters")
                return
        await self._show(req, resp, slug, portal_name, dead_letter_id, given, falcon.HTTP_422)

    async def _show(
        self,
        req: Request,
        resp: Response,
        slug: str,
        portal_name: str,
        dead_letter_id: str,
        given: Form,
        status: str = falcon.HTTP_200,
    ) -> None:
        scope = await find_scope(self._services, slug, portal_name)
        letter = await find_dead_letter(self._services, scope, dead_letter_id)
        values, address = scope.values, f"{scope.base}/dead-letters"
        await page(
            req,
            resp,
            "dead_letter_discard.html",
            status=status,
            **values | {"breadcrumbs": [*values["breadcrumbs"], ("Dead letters", address)]},
            letter=letter,
            name=event_name(letter),
            behind=await queued_behind(self._services, scope, letter),
            address=f"{address}/{letter.dead_letter_id}",
            words=evidence,
            form=given,
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of dead letters."""
    base = "/workspaces/{slug}/login-providers/{portal_name}/dead-letters"
    app.add_route(base, DeadLetters(deps))
    app.add_route(f"{base}/{{dead_letter_id}}", DeadLetter(deps))
    app.add_route(f"{base}/{{dead_letter_id}}/discard", DiscardDeadLetter(deps))


async def find_dead_letter(services: Services, scope: Scope, dead_letter_id: str) -> pb.DeadLetter:
    """Return a dead letter of the connection. Raises falcon.HTTPNotFound, grpc.aio.AioRpcError: NOT_FOUND."""
    request = pb.GetDeadLetterRequest(dead_letter_id=dead_letter_id)
    letter: pb.DeadLetter = (await services.delivery(scope.delivery).GetDeadLetter(request)).dead_letter
    if letter.connection_id != scope.connection.connection_id:
        raise falcon.HTTPNotFound
    return letter


async def queued_behind(services: Services, scope: Scope, letter: pb.DeadLetter) -> list[pb.DeadLetter]:
    """Return the dead letters that wait behind one, in the order in which they would be applied."""
    request = pb.ListDeadLettersRequest(connection_id=letter.connection_id, page_size=LOOKED_THROUGH)
    answer = await services.delivery(scope.delivery).ListDeadLetters(request)
    same = (one for one in answer.dead_letters if one.resource_id == letter.resource_id)
    behind = [one for one in same if one.version > letter.version and one.dead_letter_id != letter.dead_letter_id]
    return sorted(behind, key=lambda one: one.version)


def event_name(letter: pb.DeadLetter) -> str:
    """Return the short name of an event's message, such as `UserDeactivated`."""
    return letter.event_type.rpartition(".")[2]


def resource_address(scope: Scope, letter: pb.DeadLetter) -> str:
    """Return the address of the user or group that an event was about; empty for another resource."""
    name = event_name(letter)
    for prefix, section in (("User", "users"), ("Group", "groups")):
        if name.startswith(prefix):
            return f"{scope.base}/{section}/{letter.resource_id}"
    return ""
