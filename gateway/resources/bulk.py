"""`/Bulk`: many writes in one request (RFC 7644 §3.7).

Each operation is checked for form like the request that it stands for, all become one call of the directory, and its
results become their responses. An operation that is refused here goes along as refused, so that the directory, which
knows the order of all of them, counts it as an error in its place.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc
import orjson
from falcon.asgi import Response
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1.errors_pb2 import ErrorReason

from chassis.errors import RpcFailure
from gateway.directory import Directory
from gateway.errors import DIRECTORY_DOMAIN, Refusal, TooLarge, body_of, from_failure
from gateway.exchange import Request
from gateway.middleware import answer, json_body
from gateway.preconditions import tag_of
from gateway.render import to_group, to_members, to_user
from gateway.resources.requests import BodyReader
from gateway.settings import GatewaySettings
from scim.errors import InvalidSyntax, InvalidValue, ScimError
from scim.schemas import GROUP, USER
from scim.values import normalize

BULK_RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"

_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_STATUS = {"POST": "201", "PUT": "200", "PATCH": "200", "DELETE": "204"}
_ENDPOINTS = {"users": USER, "groups": GROUP}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_LEVELS = 3
"""How deep the data of an operation stands in the body."""
_BETWEEN_PAUSES = 100
"""Operations that are read in one go, before other requests have their turn."""
_REASON = "ERROR_REASON_"


@dataclass(slots=True)
class _Operation:
    """One operation of the request: what its response repeats, and what came of reading it."""

    method: str = ""
    bulk_id: str = ""
    resource: str = ""
    """The endpoint and, of a resource that is there, its id, as the path has them."""
    refusal: Refusal | None = None


class Bulk:
    """`/Bulk` (RFC 7644 §3.7)."""

    def __init__(self, directory: Directory, settings: GatewaySettings) -> None:
        self._directory = directory
        self._bodies = BodyReader(directory, settings)
        self._body_limit = settings.max_bulk_body_bytes
        self._max_operations = settings.max_bulk_operations
        self._public_url = settings.public_url

    async def on_post(self, request: Request, response: Response, connection_id: str) -> None:
        """Make many writes; the answer is 200 whatever each of them came to."""
        exchange = request.exchange
        try:
            body = await self._bodies.read_json(request, self._body_limit, around=_LEVELS)
        except TooLarge:
            raise Refusal(413, f"the body exceeds maxPayloadSize, which is {self._body_limit} bytes") from None
        entries, fail_on_errors = self._read(body)
        base_url = exchange.base_url(self._public_url)
        operations: list[_Operation] = []
        writes: list[pb.BulkOperation] = []
        for number, entry in enumerate(entries):
            if number % _BETWEEN_PAUSES == _BETWEEN_PAUSES - 1:
                await asyncio.sleep(0)
            operation = _Operation()
            operations.append(operation)
            writes.append(self._write(entry, operation, base_url))
        written = await self._directory.call(
            self._directory.stub.BulkWrite,
            pb.BulkWriteRequest(connection_id=connection_id, operations=writes, fail_on_errors=fail_on_errors),
            exchange,
            "POST /Bulk",
        )
        answers = [_answer(operations[result.index], result, base_url) for result in written.results]
        answer(response, 200, json_body({"schemas": [BULK_RESPONSE_URN], "Operations": answers}))

    def _read(self, body: object) -> tuple[list[Any], int]:
        """Return the operations and `failOnErrors`, 0 for none. Raises ScimError, Refusal 413."""
        if not isinstance(body, dict):
            raise InvalidSyntax("a bulk request must be a JSON object")
        values = _by_name(body)
        entries, fail_on_errors = values.get("operations"), values.get("failonerrors")
        if not isinstance(entries, list):
            raise InvalidSyntax("Operations must be a list")
        if len(entries) > self._max_operations:
            raise Refusal(413, f"the request has {len(entries)} operations; maxOperations is {self._max_operations}")
        if fail_on_errors is None:
            return entries, 0
        if type(fail_on_errors) is not int or not 0 <= fail_on_errors < 2**31:
            raise InvalidValue("failOnErrors must be an integer, 1 or more")
        return entries, fail_on_errors

    def _write(self, entry: object, operation: _Operation, base_url: str) -> pb.BulkOperation:
        """Read one operation; what is wrong with it is kept in it."""
        try:
            write = self._parse(entry, operation, base_url)
        except ScimError as error:
            operation.refusal = Refusal(error.status, error.detail, error.scim_type)
        except Refusal as refusal:
            operation.refusal = refusal
        if operation.refusal is not None:
            write = pb.BulkOperation(refused=pb.RefusedOperation())
        if operation.method == "POST":
            write.bulk_id = operation.bulk_id  # of the others it only comes back in the response
        return write

    def _parse(self, entry: object, operation: _Operation, base_url: str) -> pb.BulkOperation:
        if not isinstance(entry, dict):
            raise InvalidSyntax("an operation must be a JSON object")
        values = _by_name(entry)
        method = _text(values, "method").upper()
        operation.bulk_id = _text(values, "bulkId", required=False)
        if method not in _METHODS:
            raise InvalidValue("method must be POST, PUT, PATCH or DELETE")
        operation.method = method
        endpoint, resource_id = _target(_text(values, "path"), base_url)
        operation.resource = f"{endpoint}/{resource_id}" if resource_id else endpoint
        if (method == "POST") is bool(resource_id):
            raise Refusal(405, f"{method} is not allowed at /{endpoint}{'/{id}' if resource_id else ''}")
        if method == "POST" and not operation.bulk_id:
            raise InvalidValue("bulkId is required of a POST")
        etag = tag_of(_text(values, "version", required=False))
        if method == "DELETE":
            if endpoint == "Users":
                return pb.BulkOperation(delete_user=pb.DeleteUserRequest(id=resource_id, etag=etag))
            return pb.BulkOperation(delete_group=pb.DeleteGroupRequest(id=resource_id, etag=etag))
        data = values.get("data")
        if data is None:
            raise InvalidValue(f"data is required of a {method}")
        if method == "PATCH":
            operations = self._bodies.patch_operations(data)
            if endpoint == "Users":
                patch_user = pb.PatchUserRequest(id=resource_id, operations=operations, etag=etag)
                return pb.BulkOperation(patch_user=patch_user)
            return pb.BulkOperation(patch_group=pb.PatchGroupRequest(id=resource_id, operations=operations, etag=etag))
        document = normalize(_ENDPOINTS[endpoint.lower()], data, for_update=method == "PUT")
        if endpoint == "Users":
            user = to_user(document, resource_id)
            if method == "POST":
                return pb.BulkOperation(create_user=pb.CreateUserRequest(user=user))
            return pb.BulkOperation(update_user=pb.UpdateUserRequest(user=user, etag=etag))
        group, members = to_group(document, resource_id), to_members(document)
        if method == "POST":
            return pb.BulkOperation(create_group=pb.CreateGroupRequest(group=group, members=members))
        return pb.BulkOperation(update_group=pb.UpdateGroupRequest(group=group, members=members, etag=etag))


def _answer(operation: _Operation, result: pb.BulkResult, base_url: str) -> dict[str, Any]:
    """Return the response of one operation; of one that was done only where the resource is and its version."""
    answered: dict[str, Any] = {"method": operation.method} if operation.method else {}
    if operation.bulk_id:
        answered["bulkId"] = operation.bulk_id
    endpoint, _, resource_id = operation.resource.partition("/")
    # A creation that failed has nothing that a location could be of (RFC 7644 §3.7).
    if located := result.id or resource_id:
        answered["location"] = f"{base_url}/{endpoint}/{located}"
    if result.WhichOneof("outcome") == "etag":
        if result.etag:
            answered["version"] = result.etag
        answered["status"] = _STATUS[operation.method]
        return answered
    refusal = operation.refusal or _refusal(result.failure)
    answered["status"] = str(refusal.status)
    answered["response"] = orjson.Fragment(body_of(refusal.status, refusal.detail, refusal.scim_type))
    return answered


def _refusal(failure: pb.BulkFailure) -> Refusal:
    return from_failure(
        RpcFailure(
            _CODES.get(failure.code, grpc.StatusCode.UNKNOWN),
            reason=ErrorReason.Name(failure.reason).removeprefix(_REASON) if failure.reason else "",
            domain=DIRECTORY_DOMAIN if failure.reason else "",
            message=failure.message,
        )
    )


def _target(path: str, base_url: str) -> tuple[str, str]:
    """Return the endpoint and the id that a path names, which may be a whole URI of this connection. Raises Refusal."""
    path = path.partition("?")[0].removeprefix(base_url)
    endpoint, _, segment = path.removeprefix("/").partition("/")
    resource_id = unquote(segment)
    kind = _ENDPOINTS.get(endpoint.lower())
    if kind is None or "/" in resource_id or (segment == "" and path.endswith("/")):
        raise Refusal(404, "the path must be /Users, /Users/{id}, /Groups or /Groups/{id}")
    return kind.endpoint.removeprefix("/"), resource_id


def _by_name(values: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, value in values.items():
        if name.lower() in named:
            raise InvalidSyntax(f"{name[:40]} is given twice")
        named[name.lower()] = value
    return named


def _text(values: Mapping[str, Any], name: str, *, required: bool = True) -> str:
    value = values.get(name.lower())
    if isinstance(value, str) and (value or not required):
        return value
    if value is None and not required:
        return ""
    raise InvalidValue(f"{name} must be a string" if value is not None else f"{name} is required")
