"""`/Users`: each request is checked for form, becomes one call of the directory, and its answer is rendered."""

from typing import Any

from falcon.asgi import Response
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1.user_pb2 import User

from gateway.directory import Directory
from gateway.exchange import Exchange, Request
from gateway.middleware import answer, json_body
from gateway.preconditions import check_creation, is_unmodified, required_etag
from gateway.query import FilterLimits, Page, Projection, page_of, projection_of
from gateway.render import list_response, to_user, user_location, user_resource
from gateway.resources.requests import BodyReader
from gateway.settings import GatewaySettings
from scim.projection import project
from scim.schemas import USER
from scim.values import normalize


class UserCalls:
    """What the paths of users have in common: the directory, the limits, the way a user is shown."""

    def __init__(self, directory: Directory, settings: GatewaySettings) -> None:
        self.directory = directory
        self.bodies = BodyReader(directory, settings)
        self.body_limit = settings.max_user_body_bytes
        self.filter_limits = FilterLimits(
            settings.max_filter_length, settings.max_filter_depth, settings.max_filter_terms
        )
        self._public_url = settings.public_url

    def show(self, user: User, exchange: Exchange, projection: Projection) -> dict[str, Any]:
        """Return the resource of a user as the request wants it."""
        resource = user_resource(user, exchange.base_url(self._public_url))
        if projection.is_default:
            return resource
        return project(USER, resource, projection.attributes, projection.excluded)

    def answer_user(
        self, response: Response, status: int, user: User, exchange: Exchange, projection: Projection
    ) -> None:
        """Answer with one user and its entity tag."""
        response.set_header("ETag", user.etag)
        answer(response, status, json_body(self.show(user, exchange, projection)))

    def location(self, user: User, exchange: Exchange) -> str:
        """Return the URI of a user."""
        return user_location(user.id, exchange.base_url(self._public_url))

    async def answer_list(self, response: Response, parameters: dict[str, str], exchange: Exchange, route: str) -> None:
        """Answer a query (RFC 7644 §3.4.2)."""
        projection = projection_of(USER, parameters)
        page = page_of(parameters, self.filter_limits)
        result = await self.directory.call(
            self.directory.stub.ListUsers, self._list_request(page, projection, exchange), exchange, route
        )
        users = [self.show(user, exchange, projection) for user in result.users]
        by_index = page.cursor is None
        answer(
            response,
            200,
            json_body(
                list_response(
                    users,
                    result.total_size,
                    page.start_index if by_index else None,
                    "" if by_index or page.count == 0 else result.next_page_token,
                )
            ),
        )

    @staticmethod
    def _list_request(page: Page, projection: Projection, exchange: Exchange) -> pb.ListUsersRequest:
        return pb.ListUsersRequest(
            connection_id=exchange.connection_id,
            filter=page.filter,
            page_size=page.count,
            page_token=page.cursor or "",
            skip=0 if page.cursor is not None else page.start_index - 1,
            sort_by=page.sort_by,
            sort_order=pb.SORT_ORDER_DESCENDING if page.descending else pb.SORT_ORDER_ASCENDING,
            include_groups=projection.returns(USER, "groups"),
            count_only=page.count == 0,
        )


class Users:
    """`/Users` (RFC 7644 §3.3, §3.4.2)."""

    def __init__(self, calls: UserCalls) -> None:
        self._calls = calls

    async def on_get(self, request: Request, response: Response, connection_id: str) -> None:
        """List or look up users."""
        exchange = request.exchange
        await self._calls.answer_list(response, exchange.parameters(), exchange, "GET /Users")

    on_head = on_get

    async def on_post(self, request: Request, response: Response, connection_id: str) -> None:
        """Create a user."""
        calls, exchange = self._calls, request.exchange
        check_creation(request)
        projection = projection_of(USER, exchange.parameters())
        document = normalize(USER, await calls.bodies.read_json(request, calls.body_limit))
        created = await calls.directory.call(
            calls.directory.stub.CreateUser,
            pb.CreateUserRequest(
                connection_id=connection_id,
                user=to_user(document),
                include_groups=projection.returns(USER, "groups"),
            ),
            exchange,
            "POST /Users",
        )
        response.set_header("Location", calls.location(created.user, exchange))
        calls.answer_user(response, 201, created.user, exchange, projection)


class UserSearch:
    """`/Users/.search` (RFC 7644 §3.4.3)."""

    def __init__(self, calls: UserCalls) -> None:
        self._calls = calls

    async def on_post(self, request: Request, response: Response, connection_id: str) -> None:
        """List or look up users, for queries that should not stand in a URL."""
        parameters = await self._calls.bodies.read_search(request, self._calls.body_limit)
        await self._calls.answer_list(response, parameters, request.exchange, "POST /Users/.search")


class UserById:
    """`/Users/{id}` (RFC 7644 §3.4.1, §3.5, §3.6)."""

    def __init__(self, calls: UserCalls) -> None:
        self._calls = calls

    async def on_get(self, request: Request, response: Response, connection_id: str, user_id: str) -> None:
        """Read a user; 304 when the client has the current version."""
        calls, exchange = self._calls, request.exchange
        projection = projection_of(USER, exchange.parameters())
        user = await self._read(user_id, exchange, "GET /Users/{id}", groups=projection.returns(USER, "groups"))
        if is_unmodified(request, user.etag):
            response.set_header("ETag", user.etag)
            answer(response, 304, None)
            return
        calls.answer_user(response, 200, user, exchange, projection)

    on_head = on_get

    async def on_put(self, request: Request, response: Response, connection_id: str, user_id: str) -> None:
        """Replace a user; one that is not there is not created (RFC 7644 §3.5.1)."""
        calls, exchange = self._calls, request.exchange
        projection = projection_of(USER, exchange.parameters())
        document = normalize(USER, await calls.bodies.read_json(request, calls.body_limit), for_update=True)
        updated = await calls.directory.call(
            calls.directory.stub.UpdateUser,
            pb.UpdateUserRequest(
                connection_id=connection_id,
                user=to_user(document, user_id),
                etag=await self._etag(request, user_id, "PUT /Users/{id}"),
                include_groups=projection.returns(USER, "groups"),
            ),
            exchange,
            "PUT /Users/{id}",
        )
        calls.answer_user(response, 200, updated.user, exchange, projection)

    async def on_patch(self, request: Request, response: Response, connection_id: str, user_id: str) -> None:
        """Change a user by operations, all or none; the answer is the user, which Okta and Entra both read."""
        calls, exchange = self._calls, request.exchange
        projection = projection_of(USER, exchange.parameters())
        operations = await calls.bodies.read_patch(request, calls.body_limit)
        patched = await calls.directory.call(
            calls.directory.stub.PatchUser,
            pb.PatchUserRequest(
                connection_id=connection_id,
                id=user_id,
                operations=operations,
                etag=await self._etag(request, user_id, "PATCH /Users/{id}"),
                include_groups=projection.returns(USER, "groups"),
            ),
            exchange,
            "PATCH /Users/{id}",
        )
        calls.answer_user(response, 200, patched.user, exchange, projection)

    async def on_delete(self, request: Request, response: Response, connection_id: str, user_id: str) -> None:
        """Delete a user."""
        etag = await self._etag(request, user_id, "DELETE /Users/{id}")
        await self._calls.directory.call(
            self._calls.directory.stub.DeleteUser,
            pb.DeleteUserRequest(connection_id=connection_id, id=user_id, etag=etag),
            request.exchange,
            "DELETE /Users/{id}",
        )
        answer(response, 204, None)

    async def _read(self, user_id: str, exchange: Exchange, route: str, *, groups: bool = False) -> User:
        request = pb.GetUserRequest(connection_id=exchange.connection_id, id=user_id, include_groups=groups)
        directory = self._calls.directory
        answered: pb.GetUserResponse = await directory.call(directory.stub.GetUser, request, exchange, route)
        return answered.user

    async def _etag(self, request: Request, user_id: str, route: str) -> str:
        async def current() -> str:
            return (await self._read(user_id, request.exchange, route)).etag

        return await required_etag(request, current)
