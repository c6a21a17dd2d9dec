"""`/Groups`: like `/Users`, save that a group may have more members than fit one message.

The directory answers with up to 1,000 members. A larger group is streamed, chunk by chunk, from the directory through
to the client: no list of members is ever whole in memory, and other requests go on in between.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
from falcon.asgi import Response
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1.group_pb2 import Group

from chassis.errors import RpcFailure
from gateway.directory import Directory, Unary
from gateway.errors import from_failure
from gateway.exchange import Exchange, Request
from gateway.middleware import answer, json_body
from gateway.preconditions import check_creation, is_unmodified, required_etag
from gateway.query import FilterLimits, Page, Projection, page_of, projection_of
from gateway.render import (
    group_location,
    group_resource,
    list_response,
    member_values,
    to_group,
    to_members,
)
from gateway.resources.requests import BodyReader
from gateway.settings import GatewaySettings
from scim.projection import project
from scim.schemas import GROUP
from scim.values import normalize


class GroupCalls:
    """What the paths of groups have in common: the directory, the limits, the way a group is shown."""

    def __init__(self, directory: Directory, settings: GatewaySettings) -> None:
        self.directory = directory
        self.bodies = BodyReader(directory, settings)
        self.body_limit = settings.max_group_body_bytes
        self.filter_limits = FilterLimits(
            settings.max_filter_length, settings.max_filter_depth, settings.max_filter_terms
        )
        self._public_url = settings.public_url

    async def read(self, group_id: str, exchange: Exchange, route: str, *, members: bool = False) -> Group:
        """Read one group. Raises Refusal."""
        request = pb.GetGroupRequest(connection_id=exchange.connection_id, id=group_id, include_members=members)
        answered: pb.GetGroupResponse = await self.directory.call(
            self.directory.stub.GetGroup, request, exchange, route
        )
        return answered.group

    def location(self, group: Group, exchange: Exchange) -> str:
        """Return the URI of a group."""
        return group_location(group.id, exchange.base_url(self._public_url))

    async def answer_group(
        self, request: Request, response: Response, status: int, group: Group, projection: Projection, route: str
    ) -> None:
        """Answer with one group and its entity tag; streamed when the directory has not sent all members."""
        exchange = request.exchange
        response.set_header("ETag", group.etag)
        if not projection.returns(GROUP, "members") or is_complete(group):
            answer(response, status, json_body(self.show(group, exchange, projection)))
            return
        answer(response, status, None)
        chunks = self._member_chunks(group, exchange, projection, route)
        if request.method == "HEAD":
            response.stream = nothing()
            return
        # The first chunk is awaited here, so that a failure up to then is still a SCIM error. A later one breaks the
        # connection off, which no client takes for a complete list.
        response.stream = _with_members(self._show_bare(group, exchange, projection), await anext(chunks, b""), chunks)

    async def answer_list(self, request: Request, response: Response, parameters: dict[str, str], route: str) -> None:
        """Answer a query (RFC 7644 §3.4.2)."""
        exchange = request.exchange
        projection = projection_of(GROUP, parameters)
        page = page_of(parameters, self.filter_limits)
        wants_members = projection.returns(GROUP, "members")
        result = await self._list(page, exchange, route, members=wants_members)
        by_index = page.cursor is None
        frame = list_response(
            list(result.groups),
            result.total_size,
            page.start_index if by_index else None,
            "" if by_index or page.count == 0 else result.next_page_token,
        )
        if not wants_members or all(map(is_complete, result.groups)):
            frame["Resources"] = [self.show(group, exchange, projection) for group in result.groups]
            answer(response, 200, json_body(frame))
            return
        answer(response, 200, None)
        streamed = self._stream_list(frame, list(result.groups), exchange, projection, route)
        response.stream = nothing() if request.method == "HEAD" else streamed

    async def _list(self, page: Page, exchange: Exchange, route: str, *, members: bool) -> pb.ListGroupsResponse:
        request = pb.ListGroupsRequest(
            connection_id=exchange.connection_id,
            filter=page.filter,
            page_size=page.count,
            page_token=page.cursor or "",
            skip=0 if page.cursor is not None else page.start_index - 1,
            sort_by=page.sort_by,
            sort_order=pb.SORT_ORDER_DESCENDING if page.descending else pb.SORT_ORDER_ASCENDING,
            include_members=members,
            count_only=page.count == 0,
        )
        list_groups: Unary[pb.ListGroupsResponse] = self.directory.stub.ListGroups
        result = await self.directory.attempt(list_groups, request, exchange, route)
        if isinstance(result, RpcFailure) and members and result.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            # A page of many large groups is more than one message holds: have the members streamed, group by group.
            request.include_members = False
            result = await self.directory.attempt(list_groups, request, exchange, route)
        if isinstance(result, RpcFailure):
            raise from_failure(result)
        return result

    async def _stream_list(
        self, frame: dict[str, Any], groups: list[Group], exchange: Exchange, projection: Projection, route: str
    ) -> AsyncIterator[bytes]:
        frame["Resources"] = []
        yield json_body(frame)[:-2]
        for number, group in enumerate(groups):
            if number:
                yield b","
            async for part in self.parts(group, exchange, projection, route):
                yield part
        yield b"]}"

    async def parts(self, group: Group, exchange: Exchange, projection: Projection, route: str) -> AsyncIterator[bytes]:
        """Yield the JSON of a group whose members are wanted, in parts when the directory has not sent all of them."""
        if is_complete(group):
            yield json_body(self.show(group, exchange, projection))
            return
        chunks = self._member_chunks(group, exchange, projection, route)
        async for part in _with_members(self._show_bare(group, exchange, projection), b"", chunks):
            yield part

    async def _member_chunks(
        self, group: Group, exchange: Exchange, projection: Projection, route: str
    ) -> AsyncGenerator[bytes, None]:
        """Yield the members as JSON, chunk by chunk, without the brackets around all of them."""
        base_url = exchange.base_url(self._public_url)
        request = pb.ListGroupMembersRequest(connection_id=exchange.connection_id, group_id=group.id)
        async for chunk in self.directory.stream(self.directory.stub.ListGroupMembers, request, exchange, route):
            values: list[Any] = member_values(chunk.members, base_url)
            if not projection.is_default:
                part = project(GROUP, {"members": values}, projection.attributes, projection.excluded)
                values = part.get("members", [])
            if values:
                yield json_body(values)[1:-1]

    def show(self, group: Group, exchange: Exchange, projection: Projection) -> dict[str, Any]:
        """Return the resource of a group as the request wants it, with the members that the directory has sent."""
        with_members = projection.returns(GROUP, "members")
        resource = group_resource(group, exchange.base_url(self._public_url), with_members=with_members)
        if projection.is_default:
            return resource
        return project(GROUP, resource, projection.attributes, projection.excluded)

    def _show_bare(self, group: Group, exchange: Exchange, projection: Projection) -> dict[str, Any]:
        resource = group_resource(group, exchange.base_url(self._public_url), with_members=False)
        return project(GROUP, resource, projection.attributes, projection.excluded)


async def nothing() -> AsyncIterator[bytes]:
    """Yield nothing: a body of unknown length, for a HEAD that must not state one."""
    return
    yield b""


def is_complete(group: Group) -> bool:
    """Tell whether the directory has sent all members."""
    return group.member_count <= len(group.members)


async def _with_members(resource: dict[str, Any], first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a group's JSON with its members put in as they come."""
    yield json_body(resource)[:-1] + b',"members":[' + first
    separator = b"," if first else b""
    async for chunk in chunks:
        yield separator + chunk
        separator = b","
    yield b"]}"


class Groups:
    """`/Groups` (RFC 7644 §3.3, §3.4.2)."""

    def __init__(self, calls: GroupCalls) -> None:
        self._calls = calls

    async def on_get(self, request: Request, response: Response, connection_id: str) -> None:
        """List or look up groups."""
        await self._calls.answer_list(request, response, request.exchange.parameters(), "GET /Groups")

    on_head = on_get

    async def on_post(self, request: Request, response: Response, connection_id: str) -> None:
        """Create a group."""
        calls, exchange = self._calls, request.exchange
        check_creation(request)
        projection = projection_of(GROUP, exchange.parameters())
        document = normalize(GROUP, await calls.bodies.read_json(request, calls.body_limit))
        created = await calls.directory.call(
            calls.directory.stub.CreateGroup,
            pb.CreateGroupRequest(
                connection_id=connection_id,
                group=to_group(document),
                members=to_members(document),
                omit_members=not projection.returns(GROUP, "members"),
            ),
            exchange,
            "POST /Groups",
        )
        response.set_header("Location", calls.location(created.group, exchange))
        await calls.answer_group(request, response, 201, created.group, projection, "POST /Groups")


class GroupSearch:
    """`/Groups/.search` (RFC 7644 §3.4.3)."""

    def __init__(self, calls: GroupCalls) -> None:
        self._calls = calls

    async def on_post(self, request: Request, response: Response, connection_id: str) -> None:
        """List or look up groups, for queries that should not stand in a URL."""
        parameters = await self._calls.bodies.read_search(request, self._calls.body_limit)
        await self._calls.answer_list(request, response, parameters, "POST /Groups/.search")


class GroupById:
    """`/Groups/{id}` (RFC 7644 §3.4.1, §3.5, §3.6)."""

    def __init__(self, calls: GroupCalls) -> None:
        self._calls = calls

    async def on_get(self, request: Request, response: Response, connection_id: str, group_id: str) -> None:
        """Read a group; 304 when the client has the current version."""
        calls, exchange, route = self._calls, request.exchange, "GET /Groups/{id}"
        projection = projection_of(GROUP, exchange.parameters())
        group = await calls.read(group_id, exchange, route, members=projection.returns(GROUP, "members"))
        if is_unmodified(request, group.etag):
            response.set_header("ETag", group.etag)
            answer(response, 304, None)
            return
        await calls.answer_group(request, response, 200, group, projection, route)

    on_head = on_get

    async def on_put(self, request: Request, response: Response, connection_id: str, group_id: str) -> None:
        """Replace a group; its members only where the body lists them, be it as an empty list."""
        calls, exchange, route = self._calls, request.exchange, "PUT /Groups/{id}"
        projection = projection_of(GROUP, exchange.parameters())
        body = await calls.bodies.read_json(request, calls.body_limit)
        document = normalize(GROUP, body, for_update=True)
        updated = await calls.directory.call(
            calls.directory.stub.UpdateGroup,
            pb.UpdateGroupRequest(
                connection_id=connection_id,
                group=to_group(document, group_id),
                members=to_members(document),
                etag=await self._etag(request, group_id, route),
                omit_members=not projection.returns(GROUP, "members"),
            ),
            exchange,
            route,
        )
        await calls.answer_group(request, response, 200, updated.group, projection, route)

    async def on_patch(self, request: Request, response: Response, connection_id: str, group_id: str) -> None:
        """Change a group by operations, all or none.

        The answer is 204 with the entity tag, unless the query asks for attributes, when RFC 7644 §3.5.2 wants the
        resource. A membership change must not cost what the whole membership costs, Entra prefers 204 here, and Okta
        takes either.
        """
        calls, exchange, route = self._calls, request.exchange, "PATCH /Groups/{id}"
        projection = projection_of(GROUP, exchange.parameters())
        operations = await calls.bodies.read_patch(request, calls.body_limit)
        patched = await calls.directory.call(
            calls.directory.stub.PatchGroup,
            pb.PatchGroupRequest(
                connection_id=connection_id,
                id=group_id,
                operations=operations,
                etag=await self._etag(request, group_id, route),
                include_members=not projection.is_default and projection.returns(GROUP, "members"),
            ),
            exchange,
            route,
        )
        if projection.is_default:
            response.set_header("ETag", patched.group.etag)
            answer(response, 204, None)
            return
        await calls.answer_group(request, response, 200, patched.group, projection, route)

    async def on_delete(self, request: Request, response: Response, connection_id: str, group_id: str) -> None:
        """Delete a group; its members stay."""
        etag = await self._etag(request, group_id, "DELETE /Groups/{id}")
        await self._calls.directory.call(
            self._calls.directory.stub.DeleteGroup,
            pb.DeleteGroupRequest(connection_id=connection_id, id=group_id, etag=etag),
            request.exchange,
            "DELETE /Groups/{id}",
        )
        answer(response, 204, None)

    async def _etag(self, request: Request, group_id: str, route: str) -> str:
        async def current() -> str:
            return (await self._calls.read(group_id, request.exchange, route)).etag

        return await required_etag(request, current)
