"""Groups of a connection: who is in them, who is parked, and what they grant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import group_pb2
from rollcall.portal.v1 import portal_service_pb2 as portal_pb

from console.attributes import attributes
from console.paging import PAGE_SIZE, first_page, next_page, page_token, query_text
from console.problems import at_form
from console.rendering import page
from console.request import Request, Response
from console.scope import Scope, find_scope
from console.services import Services
from console.words import ROLES
from scim.errors import ScimError
from scim.filter import parse_filter

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

PARKED = 20
"""Parked members that a group's page shows; the rest is on the page of the connection's."""
PUBLICATIONS = 200
"""Publications that are looked through for a group."""


class Groups:
    """`…/groups`: a page of groups, searched by display name or by a SCIM filter."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show groups in the order of their creation."""
        scope = await find_scope(self._services, slug, portal_name)
        text, expert = query_text(req, "q"), query_text(req, "filter")
        groups: list[group_pb2.Group] = []
        token, error = "", ""
        try:
            (groups, token), total = await asyncio.gather(
                self._list(scope, text, expert, page_token(req)), self._total(scope)
            )
        except ScimError as refusal:
            error, total = refusal.detail, await self._total(scope)
        except grpc.aio.AioRpcError as refusal:
            problem = at_form(refusal)
            if problem.field != "filter":
                raise
            error, total = problem.message, await self._total(scope)
        await page(
            req,
            resp,
            "groups.html",
            **scope.values,
            groups=groups,
            total=total,
            query=text,
            filter=expert,
            filter_error=error,
            is_search=bool(text or expert),
            next_href=next_page(req, token),
            previous_href=first_page(req),
        )

    async def _total(self, scope: Scope) -> int:
        request = pb.ListGroupsRequest(connection_id=scope.connection.connection_id, count_only=True)
        return int((await self._services.directory.ListGroups(request)).total_size)

    async def _list(self, scope: Scope, text: str, expert: str, token: str) -> tuple[list[group_pb2.Group], str]:
        terms = []
        if expert:
            parse_filter(expert)  # on its own, so that an error is told of what was typed
            terms.append(f"({expert})" if text else expert)
        if text:
            escaped = text.replace("\\", "\\\\").replace('"', '\\"')
            terms.append(f'displayName sw "{escaped}"')
        request = pb.ListGroupsRequest(
            connection_id=scope.connection.connection_id,
            filter=" and ".join(terms),
            page_size=PAGE_SIZE,
            page_token=token,
            omit_total_size=True,
        )
        answer = await self._services.directory.ListGroups(request)
        return list(answer.groups), answer.next_page_token


class Group:
    """`…/groups/{group_id}`: one group."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str, group_id: str) -> None:
        """Show members, a page at a time, parked members, and what membership grants."""
        services = self._services
        scope = await find_scope(services, slug, portal_name)
        connection_id = scope.connection.connection_id
        answer, (members, token), parked, grants = await asyncio.gather(
            services.directory.GetGroup(pb.GetGroupRequest(connection_id=connection_id, id=group_id)),
            self._members(connection_id, group_id, page_token(req)),
            services.directory.ListParkedMembers(
                pb.ListParkedMembersRequest(connection_id=connection_id, group_id=group_id, page_size=PARKED)
            ),
            grants_of(services, scope, group_id),
        )
        values = scope.values
        await page(
            req,
            resp,
            "group.html",
            **values | {"breadcrumbs": [*values["breadcrumbs"], ("Groups", f"{scope.base}/groups")]},
            group=answer.group,
            attributes=attributes(answer.group),
            members=members,
            parked=parked.parked_members,
            parked_total=parked.total_size,
            grants=grants,
            next_href=next_page(req, token),
            previous_href=first_page(req),
        )

    async def _members(self, connection_id: str, group_id: str, token: str) -> tuple[list[group_pb2.Member], str]:
        request = pb.ListGroupMembersRequest(
            connection_id=connection_id, group_id=group_id, page_size=PAGE_SIZE, page_token=token
        )
        found: list[group_pb2.Member] = []
        following = ""
        async for answer in self._services.directory.ListGroupMembers(request):
            found += answer.members
            following = answer.next_page_token
        return found, following


class ParkedMembers:
    """`…/parked`: member values of all groups that name no user yet."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show a page of them, and what to do about them."""
        scope = await find_scope(self._services, slug, portal_name)
        request = pb.ListParkedMembersRequest(
            connection_id=scope.connection.connection_id, page_size=PAGE_SIZE, page_token=page_token(req)
        )
        answer = await self._services.directory.ListParkedMembers(request)
        await page(
            req,
            resp,
            "parked.html",
            **scope.values,
            parked=answer.parked_members,
            total=answer.total_size,
            next_href=next_page(req, answer.next_page_token),
            previous_href=first_page(req),
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of groups."""
    base = "/workspaces/{slug}/login-providers/{portal_name}"
    app.add_route(f"{base}/groups", Groups(deps))
    app.add_route(f"{base}/groups/{{group_id}}", Group(deps))
    app.add_route(f"{base}/parked", ParkedMembers(deps))


async def grants_of(services: Services, scope: Scope, group_id: str) -> list[tuple[str, str]]:
    """Return what members of a group are given, as pairs of text and address: a role, or apps of the store."""
    if scope.slug == "dashboard":
        rules = await services.portal.GetRules(portal_pb.GetRulesRequest(connection_id=scope.connection.connection_id))
        return [
            (f"Role {ROLES[mapping.role]}, by the role mapping of {mapping.group}", f"{scope.base}/roles")
            for mapping in rules.rules.role_mappings
            if mapping.group_id == group_id
        ]
    if scope.slug == "store":
        answer = await services.portal.ListPublications(
            portal_pb.ListPublicationsRequest(workspace_id=scope.workspace.workspace_id, page_size=PUBLICATIONS)
        )
        return [
            (f"App {one.name}", f"/workspaces/{scope.workspace.slug}/publications/{one.publication_id}")
            for one in answer.publications
            if any(group.group_id == group_id for group in one.audience)
        ]
    return []
