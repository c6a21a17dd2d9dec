"""How a resource reads the body of a request."""

from collections.abc import Mapping
from typing import Any

import orjson
from rollcall.directory.v1.directory_service_pb2 import PatchOperation

from gateway.directory import Directory
from gateway.exchange import Request
from gateway.limits import check_content_type, parse_json, read_body
from gateway.render import PATCH_OPS
from gateway.settings import GatewaySettings
from scim.errors import InvalidSyntax, InvalidValue
from scim.patch import Operation, parse_patch

AUTHENTICATE_FIRST_BYTES = 65_536
"""Bodies beyond this are read only once the token has been found good; smaller ones cost less than asking."""

_LIST_PARAMETERS = ("attributes", "excludedAttributes")
_TEXT_PARAMETERS = ("filter", "sortBy", "sortOrder", "cursor")
_NUMBER_PARAMETERS = ("startIndex", "count")


class BodyReader:
    """Reads JSON bodies within the limits of the settings."""

    def __init__(self, directory: Directory, settings: GatewaySettings) -> None:
        self._directory = directory
        self._max_depth = settings.max_json_depth
        self._max_operations = settings.max_patch_operations
        self._max_member_values = settings.max_patch_member_values

    async def read_json(self, request: Request, limit: int, *, around: int = 0) -> Any:
        """Return the parsed body, of at most `limit` bytes. Raises Refusal, ScimError.

        `around` is how many levels of the body are there only to hold the bodies of other requests.
        """
        check_content_type(request.content_type)
        exchange, length = request.exchange, request.content_length
        if length is None or length > AUTHENTICATE_FIRST_BYTES:
            # The dialect is told with the call that follows, as it shows in the body above all.
            exchange.dialect_told = True
            await self._directory.check_token(exchange)
            exchange.dialect_told = False
        exchange.body = parse_json(await read_body(request, limit), self._max_depth + around)
        return exchange.body

    async def read_patch(self, request: Request, limit: int) -> list[PatchOperation]:
        """Return the operations of a PATCH body, checked for form (RFC 7644 §3.5.2). Raises Refusal, ScimError."""
        return self.patch_operations(await self.read_json(request, limit))

    def patch_operations(self, body: object) -> list[PatchOperation]:
        """Return the operations of a PATCH message, checked for form (RFC 7644 §3.5.2). Raises ScimError."""
        operations = parse_patch(
            body,
            max_operations=self._max_operations,
            max_member_values=self._max_member_values,
        )
        return [
            PatchOperation(
                op=PATCH_OPS[operation.op],
                path=operation.path,
                value=_value_text(operation),
            )
            for operation in operations
        ]

    async def read_search(self, request: Request, limit: int) -> dict[str, str]:
        """Return the parameters of a query by POST, as those of a query string (RFC 7644 §3.4.3)."""
        body = await self.read_json(request, limit)
        if not isinstance(body, dict):
            raise InvalidSyntax("a search must be a JSON object")
        return search_parameters(body)


def _value_text(operation: Operation) -> str | None:
    # Only a remove may lack its value; an add or a replace that holds None was sent null, which unassigns.
    if operation.op == "remove" and operation.value is None:
        return None
    return orjson.dumps(operation.value).decode()


def search_parameters(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a SearchRequest by lower-case name. Raises InvalidValue, InvalidSyntax."""
    values: dict[str, Any] = {}
    for name, value in body.items():
        if name.lower() in values:
            raise InvalidSyntax(f"{name[:40]} is given twice")
        values[name.lower()] = value
    parameters: dict[str, str] = {}
    for name in _LIST_PARAMETERS:
        value = values.get(name.lower())
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            parameters[name.lower()] = ",".join(value)
        elif value is not None:
            raise InvalidValue(f"{name} must be a list of strings")
    for name in _TEXT_PARAMETERS:
        value = values.get(name.lower())
        if isinstance(value, str):
            parameters[name.lower()] = value
        elif value is not None:
            raise InvalidValue(f"{name} must be a string")
    for name in _NUMBER_PARAMETERS:
        value = values.get(name.lower())
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidValue(f"{name} must be an integer")
        parameters[name.lower()] = str(value)
    return parameters
