"""Publications of the Enterprise Store: which apps are offered, and to whom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import falcon
import grpc
import grpc.aio
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.directory.v1 import directory_service_pb2 as directory
from rollcall.portal.v1 import portal_service_pb2 as pb

from console.forms import Form, form
from console.history import found
from console.paging import PAGE_SIZE, first_page, next_page, page_token, query_text
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import PORTALS, find_workspace, trail, workspace_address, workspace_connections
from console.services import Services

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

SUGGESTED_GROUPS = 200


class Audience(NamedTuple):
    """A group of an audience, with what the directory knows of it."""

    group_id: str
    name: str
    member_count: int
    href: str
    """Its page; empty: the directory has no such group any more."""


class Publications:
    """`/workspaces/{slug}/publications`: a page of apps, and a form that offers one."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show apps by name."""
        await self._show(req, resp, slug, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str) -> None:
        """Offer an app to everybody, or to groups."""
        given = await form(req)
        name = given.required("name", "Enter the name of the app.")
        if given.is_valid:
            workspace = await find_workspace(self._services, slug)
            request = pb.CreatePublicationRequest(
                workspace_id=workspace.workspace_id, name=name, audience=lines(given.text("audience"))
            )
            try:
                made = (await self._services.portal.CreatePublication(request)).publication
            except grpc.aio.AioRpcError as error:
                _refuse(given, error)
            else:
                flash(resp, f"{made.name} is offered now.")
                redirect(resp, f"{workspace_address(workspace)}/publications/{made.publication_id}")
                return
        await self._show(req, resp, slug, given, falcon.HTTP_422)

    async def _show(self, req: Request, resp: Response, slug: str, given: Form, status: str = falcon.HTTP_200) -> None:
        workspace = await find_workspace(self._services, slug)
        request = pb.ListPublicationsRequest(
            workspace_id=workspace.workspace_id, page_size=PAGE_SIZE, page_token=page_token(req)
        )
        answer, groups = await asyncio.gather(
            self._services.portal.ListPublications(request), known_groups(self._services, workspace)
        )
        await page(
            req,
            resp,
            "publications.html",
            status=status,
            workspace=workspace,
            breadcrumbs=trail(workspace),
            publications=answer.publications,
            groups=groups,
            form=given,
            next_href=next_page(req, answer.next_page_token),
            previous_href=first_page(req),
        )


class Publication:
    """`…/publications/{publication_id}`: one app and its audience."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, publication_id: str) -> None:
        """Show who sees the app; with `?email=` whether one employee does."""
        await self._show(req, resp, slug, publication_id, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, publication_id: str) -> None:
        """Offer the app to another audience: the groups that stay ticked, and those whose names were added."""
        given = await form(req)
        workspace = await find_workspace(self._services, slug)
        # Everybody and groups are two answers to one question, so that an empty list opens nothing by accident.
        seen_by = given.choice("seen_by", ("everybody", "groups"))
        audience = [*given.list("group"), *lines(given.text("audience"))] if seen_by == "groups" else []
        if seen_by == "groups" and not audience:
            given.fail("audience", "Name at least one group, or let every employee see the app.")
        if given.is_valid:
            request = pb.UpdatePublicationRequest(
                workspace_id=workspace.workspace_id, publication_id=publication_id, audience=audience
            )
            try:
                changed = (await self._services.portal.UpdatePublication(request)).publication
            except grpc.aio.AioRpcError as error:
                _refuse(given, error)
            else:
                flash(resp, f"Who sees {changed.name} is changed.")
                redirect(resp, req.path)
                return
        await self._show(req, resp, slug, publication_id, given, falcon.HTTP_422)

    async def _show(
        self,
        req: Request,
        resp: Response,
        slug: str,
        publication_id: str,
        given: Form,
        status: str = falcon.HTTP_200,
    ) -> None:
        services = self._services
        workspace = await find_workspace(services, slug)
        one = await find_publication(services, workspace, publication_id)
        email = query_text(req, "email")
        audience, groups, allowed = await asyncio.gather(
            audience_of(services, workspace, one),
            known_groups(services, workspace),
            self._allowed(workspace, one, email),
        )
        await page(
            req,
            resp,
            "publication.html",
            status=status,
            workspace=workspace,
            breadcrumbs=[*trail(workspace), ("Publications", f"{workspace_address(workspace)}/publications")],
            one=one,
            audience=audience,
            groups=groups,
            asked=email,
            allowed=allowed,
            form=given,
        )

    async def _allowed(self, workspace: connections.Workspace, one: pb.Publication, email: str) -> bool | None:
        if not email:
            return None
        request = pb.CheckPublicationAccessRequest(
            workspace_id=workspace.workspace_id, publication_id=one.publication_id, email=email
        )
        return bool((await self._services.portal.CheckPublicationAccess(request)).allowed)


class DeletePublication:
    """`…/publications/{publication_id}/delete`: what a deletion means, and the deletion."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, publication_id: str) -> None:
        """Say what will happen."""
        await self._show(req, resp, slug, publication_id, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, publication_id: str) -> None:
        """Take the app whose name was typed from the store."""
        given = await form(req)
        workspace = await find_workspace(self._services, slug)
        one = await find_publication(self._services, workspace, publication_id)
        if not given.confirms(one.name):
            await self._show(req, resp, slug, publication_id, given, falcon.HTTP_422)
            return
        request = pb.DeletePublicationRequest(workspace_id=workspace.workspace_id, publication_id=publication_id)
        await self._services.portal.DeletePublication(request)
        flash(resp, f"{one.name} is not offered any more.")
        redirect(resp, f"{workspace_address(workspace)}/publications")

    async def _show(
        self,
        req: Request,
        resp: Response,
        slug: str,
        publication_id: str,
        given: Form,
        status: str = falcon.HTTP_200,
    ) -> None:
        workspace = await find_workspace(self._services, slug)
        one = await find_publication(self._services, workspace, publication_id)
        audience = await audience_of(self._services, workspace, one)
        address = f"{workspace_address(workspace)}/publications"
        await page(
            req,
            resp,
            "publication_delete.html",
            status=status,
            workspace=workspace,
            breadcrumbs=[*trail(workspace), ("Publications", address), (one.name, f"{address}/{one.publication_id}")],
            one=one,
            audience=audience,
            address=f"{address}/{one.publication_id}",
            form=given,
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of publications."""
    base = "/workspaces/{slug}/publications"
    app.add_route(base, Publications(deps))
    app.add_route(f"{base}/{{publication_id}}", Publication(deps))
    app.add_route(f"{base}/{{publication_id}}/delete", DeletePublication(deps))


def lines(text: str) -> list[str]:
    """Return the lines of a text area that hold something."""
    return [line.strip() for line in text.splitlines() if line.strip()]


async def find_publication(services: Services, workspace: connections.Workspace, publication_id: str) -> pb.Publication:
    """Return a publication of the workspace. Raises grpc.aio.AioRpcError: NOT_FOUND."""
    request = pb.GetPublicationRequest(workspace_id=workspace.workspace_id, publication_id=publication_id)
    found_one: pb.Publication = (await services.portal.GetPublication(request)).publication
    return found_one


async def known_groups(services: Services, workspace: connections.Workspace) -> list[str]:
    """Return display names of groups of the workspace's STORE connection, to be offered while one is typed."""
    store = await _store(services, workspace)
    if store is None:
        return []
    request = directory.ListGroupsRequest(
        connection_id=store.connection_id, page_size=SUGGESTED_GROUPS, omit_total_size=True
    )
    return [group.display_name for group in (await services.directory.ListGroups(request)).groups]


async def audience_of(services: Services, workspace: connections.Workspace, one: pb.Publication) -> list[Audience]:
    """Return the groups that see an app, with how many members each has."""
    store = await _store(services, workspace) if one.audience else None
    if store is None:
        return [Audience(group.group_id, group.display_name, 0, "") for group in one.audience]
    calls = (
        found(
            services.directory.GetGroup(directory.GetGroupRequest(connection_id=store.connection_id, id=group.group_id))
        )
        for group in one.audience
    )
    answers = await asyncio.gather(*calls)
    base = f"{workspace_address(workspace)}/login-providers/store/groups"
    return [
        Audience(group.group_id, group.display_name, 0, "")
        if answer is None
        else Audience(group.group_id, answer.group.display_name, answer.group.member_count, f"{base}/{group.group_id}")
        for group, answer in zip(one.audience, answers, strict=True)
    ]


async def _store(services: Services, workspace: connections.Workspace) -> connections.Connection | None:
    wanted = PORTALS["store"]
    return next((one for one in await workspace_connections(services, workspace) if one.portal == wanted), None)


def _refuse(given: Form, error: grpc.aio.AioRpcError) -> None:
    """Note what was refused; a group that does not exist is a mistake in the list of names, not a missing page."""
    if error.code() is grpc.StatusCode.NOT_FOUND and "audience" in (error.details() or ""):
        given.fail("audience", f"There is no such group on the STORE connection: {error.details()}.")
        return
    problem = at_form(error)
    given.fail("audience" if problem.field.startswith("audience") else problem.field, problem.message)
