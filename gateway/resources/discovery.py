"""What the server can do, as data: ServiceProviderConfig, ResourceTypes, Schemas (RFC 7643 §5 to §7, RFC 7644 §4)."""

from typing import Any
from urllib.parse import unquote

from falcon.asgi import Response

from gateway.errors import NotFound, Refusal
from gateway.exchange import Exchange, Request
from gateway.middleware import answer, json_body
from gateway.query import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from gateway.render import list_response
from gateway.settings import GatewaySettings
from scim.schemas import GROUP, USER, resource_type_resource, schema_resource

SERVICE_PROVIDER_CONFIG: dict[str, Any] = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
    "patch": {"supported": True},
    "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
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

_RESOURCE_TYPES = [resource_type_resource(kind) for kind in (USER, GROUP)]
_SCHEMAS = [schema_resource(schema) for kind in (USER, GROUP) for schema in (kind.schema, *kind.extensions)]


def _refuse_filter(exchange: Exchange) -> None:
    if "filter" in exchange.parameters():
        raise Refusal(403, "discovery cannot be filtered")  # RFC 7644 §4


def _located(document: dict[str, Any], location: str) -> dict[str, Any]:
    return {**document, "meta": {**document.get("meta", {}), "location": location}}


class ServiceProviderConfig:
    """`/ServiceProviderConfig` (RFC 7643 §5)."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._public_url = settings.public_url

    async def on_get(self, request: Request, response: Response, connection_id: str) -> None:
        """Say what is implemented."""
        _refuse_filter(request.exchange)
        location = f"{request.exchange.base_url(self._public_url)}/ServiceProviderConfig"
        document = {**SERVICE_PROVIDER_CONFIG, "meta": {"resourceType": "ServiceProviderConfig"}}
        answer(response, 200, json_body(_located(document, location)))

    on_head = on_get


class Documents:
    """A list of discovery documents, and each of them by its id in any case."""

    def __init__(self, settings: GatewaySettings, endpoint: str, documents: list[dict[str, Any]]) -> None:
        self._public_url = settings.public_url
        self._endpoint = endpoint
        self._documents = documents
        self._by_id = {document["id"].lower(): document for document in documents}

    async def on_get(self, request: Request, response: Response, connection_id: str) -> None:
        """List them, always all; paging means nothing here (RFC 7644 §4)."""
        _refuse_filter(request.exchange)
        found = [self._shown(document, request.exchange) for document in self._documents]
        answer(response, 200, json_body(list_response(found, len(found), 1, "")))

    on_head = on_get

    async def on_get_by_id(self, request: Request, response: Response, connection_id: str, document_id: str) -> None:
        """Return one of them; the colons of a URN may be percent-encoded."""
        _refuse_filter(request.exchange)
        document = self._by_id.get(unquote(document_id).lower())
        if document is None:
            raise NotFound(f"{self._endpoint.removeprefix('/')} has no such entry")
        answer(response, 200, json_body(self._shown(document, request.exchange)))

    on_head_by_id = on_get_by_id

    def _shown(self, document: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        return _located(document, f"{exchange.base_url(self._public_url)}{self._endpoint}/{document['id']}")


def resource_types(settings: GatewaySettings) -> Documents:
    """Return the resource of `/ResourceTypes` (RFC 7643 §6)."""
    return Documents(settings, "/ResourceTypes", _RESOURCE_TYPES)


def schemas(settings: GatewaySettings) -> Documents:
    """Return the resource of `/Schemas` (RFC 7643 §7)."""
    return Documents(settings, "/Schemas", _SCHEMAS)
