"""Users and groups in one list: a query on the base URL itself, and `/.search` (RFC 7644 §3.4.2.1, §3.4.3)."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from falcon.asgi import Response
from rollcall.directory.v1 import directory_service_pb2 as pb

from chassis.errors import RpcFailure
from gateway.directory import Unary
from gateway.errors import from_failure
from gateway.exchange import Exchange, Request
from gateway.middleware import answer, json_body
from gateway.query import Page, Projection, page_of, projection_of
from gateway.render import list_response
from gateway.resources.groups import GroupCalls, is_complete, nothing
from gateway.resources.users import UserCalls
from scim.schemas import GROUP, USER


class SearchCalls:
    """What the two ways to ask have in common: users and groups are shown as on their own paths."""

    def __init__(self, users: UserCalls, groups: GroupCalls) -> None:
        self.users = users
        self._groups = groups
        self._directory = users.directory

    async def answer_list(self, request: Request, response: Response, parameters: dict[str, str], route: str) -> None:
        """Answer a query over users and groups."""
        exchange = request.exchange
        projection = projection_of(USER, parameters)
        page = page_of(parameters, self.users.filter_limits)
        wants_members = projection.returns(GROUP, "members")
        found = await self._search(page, projection, exchange, route, members=wants_members)
        by_index = page.cursor is None
        frame = list_response(
            list(found.resources),
            found.total_size,
            page.start_index if by_index else None,
            "" if by_index or page.count == 0 else found.next_page_token,
        )
        large = wants_members and not all(
            is_complete(resource.group) for resource in found.resources if resource.HasField("group")
        )
        if not large:
            frame["Resources"] = [self._show(resource, exchange, projection) for resource in found.resources]
            answer(response, 200, json_body(frame))
            return
        answer(response, 200, None)
        streamed = self._stream(frame, list(found.resources), exchange, projection, route)
        response.stream = nothing() if request.method == "HEAD" else streamed

    async def _search(
        self, page: Page, projection: Projection, exchange: Exchange, route: str, *, members: bool
    ) -> pb.SearchResourcesResponse:
        request = pb.SearchResourcesRequest(
            connection_id=exchange.connection_id,
            filter=page.filter,
            page_size=page.count,
            page_token=page.cursor or "",
            skip=0 if page.cursor is not None else page.start_index - 1,
            sort_by=page.sort_by,
            sort_order=pb.SORT_ORDER_DESCENDING if page.descending else pb.SORT_ORDER_ASCENDING,
            include_groups=projection.returns(USER, "groups"),
            include_members=members,
            count_only=page.count == 0,
        )
        search: Unary[pb.SearchResourcesResponse] = self._directory.stub.SearchResources
        result = await self._directory.attempt(search, request, exchange, route)
        if isinstance(result, RpcFailure) and members and result.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            # As with a page of groups: more members than one message holds are streamed, group by group.
            request.include_members = False
            result = await self._directory.attempt(search, request, exchange, route)
        if isinstance(result, RpcFailure):
            raise from_failure(result)
        return result

    def _show(self, resource: pb.Resource, exchange: Exchange, projection: Projection) -> dict[str, Any]:
        if resource.HasField("user"):
            return self.users.show(resource.user, exchange, projection)
        return self._groups.show(resource.group, exchange, projection)

    async def _stream(
        self,
        frame: dict[str, Any],
        resources: list[pb.Resource],
        exchange: Exchange,
        projection: Projection,
        route: str,
    ) -> AsyncIterator[bytes]:
        frame["Resources"] = []
        yield json_body(frame)[:-2]
        for number, resource in enumerate(resources):
            if number:
                yield b","
            if resource.HasField("user"):
                yield json_body(self._show(resource, exchange, projection))
                continue
            async for part in self._groups.parts(resource.group, exchange, projection, route):
                yield part
        yield b"]}"


class Everything:
    """The base URL of a connection, as a query endpoint (RFC 7644 §3.4.2.1)."""

    def __init__(self, calls: SearchCalls) -> None:
        self._calls = calls

    async def on_get(self, request: Request, response: Response, connection_id: str) -> None:
        """List users and groups."""
        await self._calls.answer_list(request, response, request.exchange.parameters(), "GET /")

    on_head = on_get


class Search:
    """`/.search` (RFC 7644 §3.4.3)."""

    def __init__(self, calls: SearchCalls) -> None:
        self._calls = calls

    async def on_post(self, request: Request, response: Response, connection_id: str) -> None:
        """List users and groups, for queries that should not stand in a URL."""
        users = self._calls.users
        parameters = await users.bodies.read_search(request, users.body_limit)
        await self._calls.answer_list(request, response, parameters, "POST /.search")
