"""What the server can do, as data: ServiceProviderConfig, ResourceTypes, Schemas (RFC 7643 §5 to §7, RFC 7644 §4)."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, unquote

from falcon.asgi import Response
from rollcall.directory.v1 import directory_service_pb2 as pb

from chassis.paging import PAGE_TOKEN_SECONDS
from gateway.directory import Directory
from gateway.errors import NotFound, Refusal
from gateway.exchange import Exchange, Request
from gateway.extensions import resource_type_documents, schema_documents
from gateway.middleware import answer, json_body
from gateway.query import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from gateway.render import list_response
from gateway.settings import GatewaySettings

SERVICE_PROVIDER_CONFIG: dict[str, Any] = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
    "patch": {"supported": True},
    "filter": {"supported": True, "maxResults": MAX_PAGE_SIZE},
    "changePassword": {"supported": False},
    "sort": {"supported": True},
    "etag": {"supported": True},
    # RFC 9865 §4. Paging by index stays the default: it is what Okta does.
    "pagination": {
        "cursor": True,
        "index": True,
        "defaultPaginationMethod": "index",
        "defaultPageSize": DEFAULT_PAGE_SIZE,
        "maxPageSize": MAX_PAGE_SIZE,
        "cursorTimeout": PAGE_TOKEN_SECONDS,
    },
    "authenticationSchemes": [
        {
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A token of the connection in the Authorization header.",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": True,
        }
    ],
}


def _refuse_filter(exchange: Exchange) -> None:
    if "filter" in exchange.parameters():
        raise Refusal(403, "discovery cannot be filtered")  # RFC 7644 §4


def _located(document: dict[str, Any], location: str) -> dict[str, Any]:
    return {**document, "meta": {**document.get("meta", {}), "location": location}}


class ServiceProviderConfig:
    """`/ServiceProviderConfig` (RFC 7643 §5)."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._public_url = settings.public_url
        self._document = SERVICE_PROVIDER_CONFIG | {
            "bulk": {
                "supported": True,
                "maxOperations": settings.max_bulk_operations,
                "maxPayloadSize": settings.max_bulk_body_bytes,
            }
        }

    async def on_get(self, request: Request, response: Response, connection_id: str) -> None:
        """Say what is implemented."""
        _refuse_filter(request.exchange)
        location = f"{request.exchange.base_url(self._public_url)}/ServiceProviderConfig"
        document = {**self._document, "meta": {"resourceType": "ServiceProviderConfig"}}
        answer(response, 200, json_body(_located(document, location)))

    on_head = on_get


class Documents:
    """A list of discovery documents, and each of them by its id in any case.

    They are made anew for each request, of the extensions that the connection has received by then.
    """

    def __init__(
        self,
        directory: Directory,
        settings: GatewaySettings,
        endpoint: str,
        make: Callable[[Sequence[pb.Extension]], list[dict[str, Any]]],
    ) -> None:
        self._directory = directory
        self._public_url = settings.public_url
        self._endpoint = endpoint
        self._make = make

    async def on_get(self, request: Request, response: Response, connection_id: str) -> None:
        """List them, always all; paging means nothing here (RFC 7644 §4)."""
        _refuse_filter(request.exchange)
        documents = await self._documents(request.exchange, f"GET {self._endpoint}")
        found = [self._shown(document, request.exchange) for document in documents]
        answer(response, 200, json_body(list_response(found, len(found), 1, "")))

    on_head = on_get

    async def on_get_by_id(self, request: Request, response: Response, connection_id: str, document_id: str) -> None:
        """Return one of them; the colons of a URN may be percent-encoded."""
        _refuse_filter(request.exchange)
        wanted = unquote(document_id).lower()
        for document in await self._documents(request.exchange, f"GET {self._endpoint}/{{id}}"):
            if document["id"].lower() == wanted:
                answer(response, 200, json_body(self._shown(document, request.exchange)))
                return
        raise NotFound(f"{self._endpoint.removeprefix('/')} has no such entry")

    on_head_by_id = on_get_by_id

    async def _documents(self, exchange: Exchange, route: str) -> list[dict[str, Any]]:
        request = pb.ListExtensionsRequest(connection_id=exchange.connection_id)
        listed = await self._directory.call(self._directory.stub.ListExtensions, request, exchange, route)
        return self._make(listed.extensions)

    def _shown(self, document: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        # The URN of an extension may be any URI, with slashes too; a colon may stand in a path as it is.
        segment = quote(document["id"], safe=":")
        return _located(document, f"{exchange.base_url(self._public_url)}{self._endpoint}/{segment}")


def resource_types(directory: Directory, settings: GatewaySettings) -> Documents:
    """Return the resource of `/ResourceTypes` (RFC 7643 §6)."""
    return Documents(directory, settings, "/ResourceTypes", resource_type_documents)


def schemas(directory: Directory, settings: GatewaySettings) -> Documents:
    """Return the resource of `/Schemas` (RFC 7643 §7)."""
    return Documents(directory, settings, "/Schemas", schema_documents)
