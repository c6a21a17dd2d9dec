"""One test for each known flaw of other SCIM servers, named after it (SECURITY, "Known SCIM flaws elsewhere").

They go through the whole edge: a gateway with a real directory behind it. Each rule has finer tests where its code is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import falcon.inspect
import pytest

from directory_service.tables import METADATA, MIGRATIONS, OUTBOX
from gateway.app import Deps, create_app
from gateway.directory import Directory
from mdm_service.tables import MdmTable
from portal_service.tables import PortalTable
from tests.conftest import Schemas
from tests.directory_service.world import World, running
from tests.directory_service.world import settings as directory_settings
from tests.gateway.edge import PATCH_URN, RAW_PATH, assert_scim_error, gateway
from tests.gateway.edge import settings as gateway_settings
from tests.gateway.scim_client import Scim
from tests.stack import Stack
from tests.system.administrator import Administrator

BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
PUBLIC = {"/healthz", "/readyz"}
FLAWS = {
    "CVE-2025-41115", "CVE-2026-92539", "CVE-2026-32130", "CVE-2025-4210", "CVE-2022-1680", "GHSA-j8v8-g9cx-5qf4",
    "CVE-2018-1322", "SCIMple PR 1126, scim2-filter-parser", "Passbolt audit",
}  # fmt: skip


@pytest.fixture
def url(schemas: Schemas) -> Iterator[str]:
    """A database with the directory's schema."""
    with schemas.database("sqlite", MIGRATIONS) as made:
        yield made


@pytest.fixture
async def world(url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory."""
    async with running(directory_settings(url, tmp_path)) as started:
        yield started


@pytest.fixture
async def two(world: World) -> AsyncIterator[tuple[Scim, Scim]]:
    """Two organisations, each with a connection of its own, on one server."""
    async with gateway(f"127.0.0.1:{world.server.port}", world.secrets["gateway"]) as client:
        made = [await world.connect() for _ in range(2)]
        victim, attacker = (Scim(client, connected.id, connected.token) for connected in made)
        yield victim, attacker


def routes() -> list[str]:
    """Every path that the application's router knows."""
    app = create_app(Deps(gateway_settings("127.0.0.1:1"), Directory("127.0.0.1:1", "x")))
    return [route.path for route in falcon.inspect.inspect_routes(app) if route.path not in PUBLIC]


async def test_cve_2025_41115_a_numeric_external_id_is_read_as_a_users_id(two: tuple[Scim, Scim]) -> None:
    """Rule: "POST externalId `1`, `0`, another user's id: a new random id, nothing merges"."""
    scim, _ = two
    first = await scim.create_user("first@example.com")
    seen = {first["id"]}
    for external_id in ("1", "0", "-1", first["id"]):
        user = await scim.create_user(f"{external_id}@example.com", externalId=external_id)
        assert user["id"] not in seen
        assert user["externalId"] == external_id
        seen.add(user["id"])
    assert await scim.get(f"/Users/{first['id']}") == first
    assert (await scim.send("GET", "/Users/1")).status_code == 404


async def test_cve_2026_92539_ids_reach_across_organisations(two: tuple[Scim, Scim], world: World) -> None:
    """Rule: "two connections × every route × every id, members, manager, Bulk paths: 404, no event"."""
    victim, attacker = two
    user = await victim.create_user("victim@example.com")
    group = await victim.create_group("Victims", user["id"])
    events = len(await world.rows(OUTBOX.select().where(OUTBOX.c.connection_id == victim.connection_id)))
    patch = {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "path": "displayName", "value": "Mine"}]}
    put = {"userName": "mine@example.com", "displayName": "Mine"}
    for route in routes():
        if "{user_id}" not in route and "{group_id}" not in route:
            continue
        for identifier in (user["id"], group["id"]):
            path = route.removeprefix("/scim/v2/{connection_id}").format(user_id=identifier, group_id=identifier)
            for method, body in (("GET", None), ("PUT", put), ("PATCH", patch), ("DELETE", None)):
                assert_scim_error(await attacker.send(method, path, body), 404)
    manager = {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": user["id"]}}}
    mine = await attacker.create_user("attacker@example.com", **manager)
    mine_group = await attacker.create_group("Mine", user["id"], group["id"], mine["id"])
    assert await attacker.members(mine_group["id"]) == [mine["id"]]
    assert "victim" not in json.dumps(await attacker.get(f"/Users/{mine['id']}"))
    operations = [
        {"method": method, "path": f"/{kind}/{identifier}", "data": body}
        for kind, identifier in (("Users", user["id"]), ("Groups", group["id"]))
        for method, body in (("PUT", put), ("PATCH", patch), ("DELETE", None))
    ]
    bulk = await attacker.send("POST", "/Bulk", {"schemas": [BULK_URN], "Operations": operations})
    assert {operation["status"] for operation in bulk.json()["Operations"]} == {"404"}
    # By the other connection's own address, the token opens nothing either.
    response = await attacker.http.get(f"{victim.base}/Users/{user['id']}", headers=attacker.headers)
    assert_scim_error(response, 401)
    assert len(await world.rows(OUTBOX.select().where(OUTBOX.c.connection_id == victim.connection_id))) == events
    kept = await victim.get(f"/Users/{user['id']}")
    assert (kept["userName"], kept["meta"]) == (user["userName"], user["meta"])


def mutants(path: str) -> list[str]:
    """Ways to write a path that a careless parser takes for the path itself, or for one that needs no token."""
    head, _, tail = path.rpartition("/")
    return [
        f"{head}%2F{tail}", f"{head}%2f{tail}", path.replace("/scim", "/%73cim", 1), path.replace("/v2", "//v2", 1),
        path.replace("/scim", "/SCIM", 1), f"{head}/./{tail}", f"{head}/x/../{tail}", f"{head}/%2e%2e/{tail}",
        f"/healthz/..{path}", f"/healthz%2F..{path}", f"{path}/", f"{path}%00", f"{path};a=b", f"{path}%20",
    ]  # fmt: skip


async def test_cve_2026_32130_an_encoded_path_skips_authentication(two: tuple[Scim, Scim]) -> None:
    """Rule: "path mutants without a token: 401"; with one they reach no other route."""
    scim, _ = two
    user = await scim.create_user("victim@example.com")
    for path in (f"{scim.base}/Users", f"{scim.base}/Users/{user['id']}", f"{scim.base}/Schemas"):
        for mutant in mutants(path):
            headers = {RAW_PATH: mutant}
            assert_scim_error(await scim.http.get("/", headers=headers), 401)
            answered = await scim.http.get("/", headers={**headers, **scim.headers})
            assert "victim@example.com" not in answered.text, mutant
            assert answered.status_code in (401, 404), (mutant, answered.status_code)


async def test_cve_2025_4210_routes_are_served_without_authentication(two: tuple[Scim, Scim]) -> None:
    """Rule: "enumerate the router; anonymous is 401 everywhere"."""
    scim, _ = two
    user = await scim.create_user("victim@example.com")
    for route in routes():
        path = route.format(
            connection_id=scim.connection_id, user_id=user["id"], group_id=user["id"], document_id="User"
        )
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
            for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic eDp5"}):
                response = await scim.http.request(method, path, content=b"{}", headers=headers)
                assert response.status_code == 401, (method, path, headers)
    assert (await scim.get(f"/Users/{user['id']}"))["userName"] == "victim@example.com"


@pytest.mark.parametrize("session_stack", ["sqlite"], indirect=True)
def test_cve_2022_1680_an_existing_account_is_adopted_and_its_email_changed(stack: Stack) -> None:
    """Rule: "an e-mail clash outside the workspace never links"."""
    theirs, mine = Administrator(stack), Administrator(stack)
    theirs.add_collaborator("eve@example.com", "ADMIN")
    app = mine.dashboard_app()
    user_id = app.assign("eve@example.com")
    stack.settled()
    assert mine.role("eve@example.com") == ("VIEWER", "DEFAULT")
    app.http.patch(
        f"/Users/{user_id}",
        json={
            "schemas": [PATCH_URN],
            "Operations": [
                {"op": "replace", "path": "userName", "value": "mallory@example.com"},
                {"op": "replace", "path": "emails", "value": [{"value": "mallory@example.com"}]},
            ],
        },
    ).raise_for_status()
    stack.settled()
    assert theirs.role("eve@example.com") == ("ADMIN", "MANUAL")
    assert theirs.role("mallory@example.com") is None
    assert mine.role("mallory@example.com") == ("VIEWER", "DEFAULT")


def test_ghsa_j8v8_g9cx_5qf4_a_row_without_an_owner_is_everybodys() -> None:
    """Rule: "tenant columns NOT NULL; fail closed"."""
    checked = 0
    for metadata in (METADATA, PortalTable.metadata, MdmTable.metadata):
        for table in metadata.sorted_tables:
            for name in ("connection_id", "workspace_id"):
                if name in table.columns:
                    assert not table.columns[name].nullable, f"{table.name}.{name}"
                    checked += 1
    assert checked > 30


@pytest.mark.parametrize("name", ["password", "PASSWORD", "urn:ietf:params:scim:schemas:core:2.0:User:password"])
async def test_cve_2018_1322_a_filter_or_sort_leaks_a_secret(two: tuple[Scim, Scim], name: str) -> None:
    """Rule: "filtering or sorting by a never-returned attribute is refused"."""
    scim, _ = two
    await scim.create_user("ada@example.com", password="correct horse")
    for operator in ('eq "correct horse"', 'sw "c"', "pr"):
        asked = quote(f"{name} {operator}")
        assert_scim_error(await scim.send("GET", f"/Users?filter={asked}"), 400, "invalidFilter")
        negated = quote(f"not ({name} {operator})")
        assert_scim_error(await scim.send("GET", f"/Users?filter={negated}"), 400, "invalidFilter")
    assert (await scim.send("GET", f"/Users?sortBy={quote(name)}")).status_code == 400
    assert "correct horse" not in json.dumps(await scim.get("/Users"))


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1000 + "active eq true" + ")" * 1000,
        "not (" * 1000 + "active eq true" + ")" * 1000,
        "emails[" * 1000 + "value pr" + "]" * 1000,
        " or ".join(["active eq true"] * 2000),
    ],
    ids=["parentheses", "not", "brackets", "or"],
)
async def test_scimple_1126_and_scim2_filter_parser_deep_nesting_overflows_the_stack(
    two: tuple[Scim, Scim], text: str
) -> None:
    """Rule: "depth 1,000 and 2,000 `or` terms: 400, in under 50 ms"."""
    scim, _ = two
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": text}
    await scim.send("POST", "/Users/.search", {**body, "filter": "active eq true"})
    spent: list[float] = []
    for _ in range(3):
        began = time.process_time()
        assert_scim_error(await scim.send("POST", "/Users/.search", body), 400, "invalidFilter")
        spent.append(time.process_time() - began)
    # Of processor time: how long a loaded machine takes says nothing about the parser.
    assert min(spent) < 0.05


async def test_passbolt_audit_a_race_creates_a_user_twice(two: tuple[Scim, Scim], world: World) -> None:
    """Rule: "50 parallel POSTs of one userName: one 201, 49 × 409, one row, one event"."""
    scim, _ = two
    sent = (scim.send("POST", "/Users", {"userName": "ada@example.com"}) for _ in range(50))
    assert sorted([response.status_code for response in await asyncio.gather(*sent)]) == [201] + [409] * 49
    assert (await scim.get("/Users?count=0"))["totalResults"] == 1
    assert await world.kinds(scim.connection_id) == ["UserCreated"]


def test_every_known_flaw_has_a_test_named_after_it() -> None:
    """SECURITY: "Known SCIM flaws elsewhere, each a test here"."""
    names = [name for name in globals() if name.startswith("test_")]
    for flaw in FLAWS:
        wanted = flaw.lower().partition(",")[0].replace("-", "_").replace(" pr ", "_").replace(" ", "_")
        assert any(name.startswith(f"test_{wanted}_") for name in names), flaw
