"""What the RFCs ask of a server as a whole and no other test states: one test for each such section, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.fuzz.server import InProcess, check_answer
from tests.gateway.edge import ENTERPRISE_URN, GROUP_URN, LIST_URN, SCIM, USER_URN

SEARCH_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


class Client:
    """A SCIM client of a connection of its own."""

    def __init__(self, server: InProcess) -> None:
        self._server = server
        server.connect()
        self.connection, self.token = server.connection, server.token

    def send(
        self, method: str, target: str, body: Any = None, raw: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Send a request; every answer is looked at for what holds of any. `headers` have underscores for dashes."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        named = {"authorization": f"Bearer {self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        self._server.connection = self.connection
        pairs = [(name.encode(), value.encode()) for name, value in named.items()]
        status, answered, content = self._server.exchange(method, target, pairs, content)
        check_answer(method, status, answered, content)
        return status, answered, json.loads(content) if content else None

    def get(self, target: str) -> Any:
        """GET what must be there."""
        status, _, body = self.send("GET", target)
        assert status == 200, body
        return body

    def create(self, path: str = "/Users", **attributes: Any) -> Any:
        """POST what must be created."""
        schema, name = (USER_URN, "userName") if path == "/Users" else (GROUP_URN, "displayName")
        status, _, body = self.send("POST", path, {"schemas": [schema], name: "ada@x.example", **attributes})
        assert status == 201, body
        return body


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    started = InProcess(tmp_path_factory.mktemp("conformance"))
    yield started
    started.close()


@pytest.fixture
def client(server: InProcess) -> Client:
    return Client(server)


def test_there_are_two_resource_types_each_with_an_endpoint_and_a_schema(client: Client) -> None:
    """RFC 7643 §3.2, §6: a resource type has a "name", an "endpoint" and a "schema", and the endpoint serves it."""
    types = client.get("/ResourceTypes")["Resources"]
    assert {(one["name"], one["endpoint"], one["schema"]) for one in types} == {
        ("User", "/Users", USER_URN),
        ("Group", "/Groups", GROUP_URN),
    }
    for one in types:
        assert client.get(one["endpoint"])["schemas"] == [LIST_URN]
        assert client.get(f"/Schemas/{one['schema']}")["name"] == one["name"]


def test_the_service_provider_configuration_has_what_the_schema_requires(client: Client) -> None:
    """RFC 7643 §5 and RFC 9865 §4: which attributes are required, and how `pagination` tells the methods there are."""
    config = client.get("/ServiceProviderConfig")
    for name in ("patch", "bulk", "filter", "changePassword", "sort", "etag"):
        assert type(config[name]["supported"]) is bool, name
    assert type(config["bulk"]["maxOperations"]) is type(config["bulk"]["maxPayloadSize"]) is int
    assert type(config["filter"]["maxResults"]) is int
    assert config["pagination"]["cursor"] is config["pagination"]["index"] is True
    assert config["pagination"]["defaultPaginationMethod"] == "index"
    assert config["authenticationSchemes"]
    for scheme in config["authenticationSchemes"]:
        assert {"type", "name", "description"} <= set(scheme)


@pytest.mark.parametrize("path", ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas"])
def test_discovery_is_for_reading(client: Client, path: str) -> None:
    """RFC 7644 §3.2, §4: the endpoints of discovery are for GET, and a filter on them is 403."""
    assert client.get(path)["schemas"]
    assert client.send("GET", f"{path}?filter={quote('id pr')}")[0] == 403
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.send(method, path, {})[0] == 405


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic YTpi", "Bearer rollcall_scim_a_b"])
def test_a_request_without_a_good_token_is_challenged(client: Client, authorization: str) -> None:
    """RFC 7644 §2: a server MUST say by WWW-Authenticate which schemes it has."""
    status, headers, body = client.send("GET", "/Users", authorization=authorization)
    assert status == 401
    assert headers["www-authenticate"].startswith("Bearer")
    assert body["status"] == "401"


def test_a_known_resource_is_read_at_its_location(client: Client) -> None:
    """RFC 7644 §3.4.1: GET of the resource's endpoint with its id; what is not there is 404."""
    user = client.create(externalId="e")
    assert client.get(f"/Users/{user['id']}") == user
    assert client.get(user["meta"]["location"].removeprefix("http://gateway.test")) == user
    for missing in ("/Users/e", "/Users/00000000-0000-4000-8000-000000000000", f"/Groups/{user['id']}"):
        assert client.send("GET", missing)[0] == 404


def test_pages_by_index_cover_every_resource_once(client: Client) -> None:
    """RFC 7644 §3.4.2.4: startIndex is 1-based, less than 1 means 1; a negative count means 0; counts are truthful."""
    made = {client.create(userName=f"{number}@x.example")["id"] for number in range(7)}
    seen = []
    for start in range(1, 9, 3):
        page = client.get(f"/Users?startIndex={start}&count=3")
        assert (page["totalResults"], page["startIndex"]) == (7, start)
        assert page["itemsPerPage"] == len(page["Resources"]) <= 3
        seen += [user["id"] for user in page["Resources"]]
    assert len(seen) == 7
    assert set(seen) == made
    for start in (0, -5):
        assert client.get(f"/Users?startIndex={start}&count=1") == client.get("/Users?startIndex=1&count=1")
    for count in (0, -1):
        page = client.get(f"/Users?count={count}")
        assert (page["totalResults"], page["itemsPerPage"], page["Resources"]) == (7, 0, [])


@pytest.mark.parametrize("path", ["/Users", "/Groups"])
def test_a_query_by_post_is_the_query_by_get(client: Client, path: str) -> None:
    """RFC 7644 §3.4.3: "executing queries … without passing parameters on the URL"; the answer is that of GET."""
    name = "userName" if path == "/Users" else "displayName"
    for number in range(3):
        client.create(path, **{name: f"team {number}"})
    query = {"filter": f'{name} gt "team 0"', "sortBy": name, "sortOrder": "descending", "count": 1}
    by_get = client.get(f"{path}?" + "&".join(f"{key}={quote(str(value))}" for key, value in query.items()))
    status, _, by_post = client.send("POST", f"{path}/.search", {"schemas": [SEARCH_URN], **query})
    assert status == 200
    assert by_post == by_get
    assert by_get["totalResults"] == 2


def test_what_is_deleted_is_gone_for_every_method(client: Client) -> None:
    """RFC 7644 §3.6: 204; afterwards 404 "for all operations", and it is left out of queries and of uniqueness."""
    user = client.create()
    path = f"/Users/{user['id']}"
    status, _, body = client.send("DELETE", path)
    assert (status, body) == (204, None)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        patch = {"Operations": [{"op": "remove", "path": "title"}], "userName": "ada@x.example"}
        assert client.send(method, path, patch)[0] == 404, method
    assert client.get(f"/Users?filter={quote('userName pr')}")["totalResults"] == 0
    assert client.create()["id"] != user["id"]


def test_bodies_are_json_in_utf_8(client: Client) -> None:
    """RFC 7644 §3.8: a server MUST take JSON, encoded in UTF-8, and MUST answer in it; another type is 415."""
    user = client.create(displayName="Ærøskøbing 🚲")
    status, headers, body = client.send("GET", f"/Users/{user['id']}", accept="application/json")
    assert (status, headers["content-type"], body["displayName"]) == (200, SCIM, "Ærøskøbing 🚲")
    raw = '{"userName": "grüße@x.example"}'
    for media_type, encoding, expected in (
        ("application/json", "utf-8", 201),
        ("application/scim+json; charset=latin-1", "latin-1", 415),
        ("text/xml", "utf-8", 415),
    ):
        sent = client.send("POST", "/Users", raw=raw.encode(encoding), content_type=media_type)
        assert sent[0] == expected, media_type
    assert client.send("POST", "/Users", raw=raw.encode("latin-1"))[0] == 400


def test_the_version_of_the_protocol_is_in_the_base_url(client: Client) -> None:
    """RFC 7644 §3.13: "service providers MUST perform the operation using the desired version or reject the request",
    by §3.12 with `invalidVers`: "The specified SCIM protocol version is not supported".
    """
    user = client.create()
    assert f"/scim/v2/{client.connection}/" in user["meta"]["location"]
    for version in ("v1", "v3", "v20"):
        path = f"/scim/{version}/{client.connection}/Users"
        status, _, body = client.send("GET", path)
        assert (status, body["scimType"]) == (400, "invalidVers")
        assert client.send("GET", path, authorization="")[0] == 401, "nothing is told to a stranger"
    assert client.send("GET", f"/scim/V2/{client.connection}/Users")[0] == 404


def test_one_tenant_does_not_see_another(server: InProcess) -> None:
    """RFC 7644 §6: a client of one tenant reaches nothing of another, and names are unique within a tenant only."""
    one, other = Client(server), Client(server)
    user = one.create(externalId="e")
    assert other.get("/Users")["totalResults"] == 0
    assert other.send("GET", f"/Users/{user['id']}")[0] == 404
    assert other.create(externalId="e")["id"] != user["id"]
    one.token = other.token
    assert one.send("GET", f"/Users/{user['id']}")[0] == 401


def test_secrets_are_neither_returned_nor_searched(client: Client) -> None:
    """RFC 7644 §7: sensitive information is kept out of answers and of URLs; a password can be asked for by nobody."""
    user = client.create(password="pa55-w0rd")
    for query in ("", "?attributes=password", "?excludedAttributes=userName"):
        assert "password" not in client.get(f"/Users/{user['id']}{query}")
    for text in ('password eq "pa55-w0rd"', "password pr"):
        status, _, body = client.send("GET", f"/Users?filter={quote(text)}")
        assert (status, body["scimType"]) == (400, "invalidFilter")
        assert "pa55" not in json.dumps(body)
    assert client.send("GET", "/Users?sortBy=password")[0] == 400


def test_an_extension_lives_beside_the_core_attributes(client: Client) -> None:
    """RFC 7643 §3.3: extension attributes stand in an object under the URI of the extension, which `schemas` lists."""
    own = "urn:acme:params:scim:schemas:extension:badge:2.0:User"
    user = client.create(**{ENTERPRISE_URN: {"department": "Tools"}, own: {"badge": "7", "Colour": "red"}})
    assert sorted(user["schemas"]) == sorted([USER_URN, ENTERPRISE_URN, own])
    assert user[own] == {"badge": "7", "Colour": "red"}
    text = f'{own}:colour eq "RED" and {ENTERPRISE_URN}:department eq "tools"'
    found = client.get(f"/Users?filter={quote(text)}")
    assert [one["id"] for one in found["Resources"]] == [user["id"]]


def test_cursors_work_in_a_query_by_post(client: Client) -> None:
    """RFC 9865 §3: a SearchRequest has "cursor" and "count" too, and leads through every resource once."""
    made = {client.create(userName=f"{number}@x.example")["id"] for number in range(5)}
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        body = {"schemas": [SEARCH_URN], "cursor": cursor, "count": 2}
        status, _, page = client.send("POST", "/Users/.search", body)
        assert status == 200, page
        seen += [user["id"] for user in page["Resources"]]
        cursor = page.get("nextCursor")
        assert len(seen) <= 5
    assert len(seen) == 5
    assert set(seen) == made
    status, _, body = client.send("POST", "/Users/.search", {"schemas": [SEARCH_URN], "cursor": "forged"})
    assert (status, body["scimType"]) == (400, "invalidCursor")
