"""What is advertised is what is implemented: every attribute of every schema, by every verb, as it is declared.

The tests read `/ResourceTypes` and `/Schemas` and know nothing else of the attributes: values are made by the declared
type, and what must come of a request follows from the declared mutability and `returned` (RFC 7643 §7).
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from tests.directory_service.world import PUBLIC_URL, World
from tests.gateway.edge import GROUP_URN, USER_URN, assert_scim_error, gateway
from tests.gateway.scim_client import Scim

ACME = "urn:ietf:params:scim:schemas:extension:acme:2.0:User"
TEAMS = "http://acme.example/schemas/2.0/Team"

KEPT = {"active", "members"}
"""WIRE: "absent `members` and `active` keep their value"; all else is removed by a PUT that leaves it out."""


@dataclass(frozen=True)
class Attribute:
    """An attribute as it is advertised."""

    urn: str
    is_core: bool
    definition: dict[str, Any]

    @property
    def name(self) -> str:
        """The attribute's name."""
        return str(self.definition["name"])

    @property
    def path(self) -> str:
        """The attribute as PATCH, filters and projections write it."""
        return self.name if self.is_core else f"{self.urn}:{self.name}"

    @property
    def subs(self) -> list[dict[str, Any]]:
        """The sub-attributes."""
        return list(self.definition.get("subAttributes", ()))

    def body(self, value: Any) -> dict[str, Any]:
        """The part of a resource with this value."""
        return {self.name: value} if self.is_core else {"schemas": [self.urn], self.urn: {self.name: value}}

    def of(self, resource: dict[str, Any]) -> Any:
        """The value in a resource, None when there is none."""
        return (resource if self.is_core else resource.get(self.urn, {})).get(self.name)


@dataclass
class Advertised:
    """One resource type of a connection, with all that is advertised of it."""

    scim: Scim
    name: str
    endpoint: str
    urn: str
    attributes: list[Attribute]
    users: list[str] = field(default_factory=list)
    """Ids that a member can have."""
    made: int = 0

    def value(self, attribute: dict[str, Any], number: int) -> Any:
        """A value of the declared type; equal numbers give equal values, save of booleans which have but two."""
        if attribute["name"] == "members":
            return [{"value": self.users[number]}]
        value = self._single(attribute, number)
        return [value] if attribute["multiValued"] else value

    def _single(self, attribute: dict[str, Any], number: int) -> Any:
        if "canonicalValues" in attribute:
            values = attribute["canonicalValues"]
            return values[number % len(values)]
        match attribute["type"]:
            case "string":
                return f"{attribute['name']} {number}"
            case "boolean":
                return number % 2 == 1
            case "integer":
                return 9 * number  # 9 and 18, which stand the other way round as text
            case "decimal":
                return 9 * number + 0.25
            case "dateTime":
                return f"2026-01-0{number}T00:00:00Z"
            case "binary":
                return base64.b64encode(f"certificate {number}".encode()).decode()
            case "reference":
                return f"https://example.com/{number}"
            case "complex":
                return {
                    sub["name"]: self.value(sub, number)
                    for sub in attribute.get("subAttributes", ())
                    if sub["mutability"] != "readOnly"
                }
        raise AssertionError(attribute["type"])

    def body(self, *attributes: tuple[Attribute, Any]) -> dict[str, Any]:
        """A resource with what is required, and these values."""
        self.made += 1
        required = {"userName": f"u{self.made}@example.com"} if self.name == "User" else {"displayName": f"{self.made}"}
        body: dict[str, Any] = {"schemas": [self.urn], **required}
        for attribute, value in attributes:
            for name, part in attribute.body(value).items():
                if name == "schemas":
                    body["schemas"] = [*body["schemas"], *(urn for urn in part if urn not in body["schemas"])]
                elif isinstance(part, dict) and isinstance(body.get(name), dict):
                    body[name] |= part
                else:
                    body[name] = part
        return body

    async def create(self, *attributes: tuple[Attribute, Any], **more: Any) -> dict[str, Any]:
        """POST a resource that must be created."""
        response = await self.scim.send("POST", self.endpoint, self.body(*attributes) | more)
        assert response.status_code == 201, response.text
        created: dict[str, Any] = response.json()
        return created

    async def patched(self, path: str, *operations: dict[str, Any]) -> dict[str, Any]:
        """PATCH what must be patched, and read it."""
        response = await self.scim.patch(path, *operations)
        assert response.status_code in (200, 204), f"{operations}: {response.text}"
        read: dict[str, Any] = await self.scim.get(path)
        return read

    async def found(self, filter_text: str, **parameters: str) -> list[str]:
        """The ids of the test's own resources that a filter finds, in order."""
        text = f'externalId sw "case " and ({filter_text})' if filter_text else 'externalId sw "case "'
        query = "&".join(f"{name}={quote(value)}" for name, value in {"filter": text, **parameters}.items())
        return [resource["id"] for resource in (await self.scim.get(f"{self.endpoint}?{query}"))["Resources"]]


@pytest.fixture(params=["User", "Group"])
async def advertised(request: pytest.FixtureRequest, small_world: World) -> AsyncIterator[Advertised]:
    """A resource type, on SQLite, for what does not depend on the database."""
    async with connected(small_world, request.param) as made:
        yield made


@pytest.fixture(params=["User", "Group"])
async def stored(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Advertised]:
    """A resource type, on both databases."""
    async with connected(world, request.param) as made:
        yield made


@contextlib.asynccontextmanager
async def connected(world: World, name: str) -> AsyncIterator[Advertised]:
    """A resource type of a connection that has received extensions of its own."""
    target = f"127.0.0.1:{world.server.port}"
    async with gateway(target, world.secrets["gateway"], public_url=PUBLIC_URL) as client:
        connection = await world.connect()
        scim = Scim(client, connection.id, connection.token)
        acme = {
            "badge": "x",
            "remote": True,
            "floor": 3,
            "ratio": 0.5,
            "skills": ["a"],
            "desk": {"room": "r", "seat": 4, "quiet": False},
            "cards": [{"serial": "s", "number": 5, "valid": True}],
        }
        await scim.create_user("seed@example.com", **{ACME: acme})
        team = {"schemas": [GROUP_URN, TEAMS], "displayName": "Seed", TEAMS: {"lead": "x", "size": 7, "tags": ["t"]}}
        assert (await scim.send("POST", "/Groups", team)).status_code == 201
        users = [(await scim.create_user(f"member{number}@example.com"))["id"] for number in range(4)]
        found = await scim.get(f"/ResourceTypes/{name}")
        urns = [found["schema"], *(extension["schema"] for extension in found.get("schemaExtensions", ()))]
        assert (ACME if name == "User" else TEAMS) in urns
        attributes = []
        for urn in urns:
            schema = await scim.get(f"/Schemas/{quote(urn, safe='')}")
            assert schema["id"] == urn
            attributes += [Attribute(urn, urn == found["schema"], definition) for definition in schema["attributes"]]
        yield Advertised(scim, found["name"], found["endpoint"], found["schema"], attributes, users)


def same(expected: Any, actual: Any) -> bool:
    """Whether a value is what was written; objects may have gained what the server adds."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(same(value, actual.get(name)) for name, value in expected.items())
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(expected) == len(actual)
            and all(same(one, other) for one, other in zip(expected, actual, strict=True))
        )
    return type(expected) is type(actual) and bool(expected == actual)


def writable(attribute: Attribute) -> bool:
    """Whether a client may write the attribute and read it again."""
    return attribute.definition["mutability"] == "readWrite" and attribute.definition["returned"] == "default"


async def test_every_attribute_is_written_by_every_verb(advertised: Advertised) -> None:
    """RFC 7643 §7: `readWrite`: "The attribute MAY be updated and read at any time"; `required`."""
    scim = advertised.scim
    exercised = 0
    for attribute in filter(writable, advertised.attributes):
        first, second = (advertised.value(attribute.definition, number) for number in (1, 2))
        if attribute.name in ("userName", "displayName") and attribute.definition["uniqueness"] == "server":
            first, second = f"{first} {advertised.made}", f"{second} {advertised.made}"
        required = attribute.definition["required"]
        created = await advertised.create((attribute, first))
        assert same(first, attribute.of(created)), f"POST {attribute.path}: {created}"
        path = f"{advertised.endpoint}/{created['id']}"
        assert same(first, attribute.of(await scim.get(path))), f"GET {attribute.path}"

        put = await scim.send("PUT", path, advertised.body((attribute, second)))
        assert put.status_code == 200, put.text
        assert same(second, attribute.of(put.json())), f"PUT {attribute.path}: {put.text}"

        replaced = await advertised.patched(path, {"op": "replace", "path": attribute.path, "value": first})
        assert same(first, attribute.of(replaced)), f"replace {attribute.path}: {replaced}"
        if required:
            refused = await scim.patch(path, {"op": "remove", "path": attribute.path})
            assert_scim_error(refused, 400, refused.json().get("scimType"))
            assert same(first, attribute.of(await scim.get(path)))
        else:
            removed = await advertised.patched(path, {"op": "remove", "path": attribute.path})
            assert attribute.of(removed) in (None, []), f"remove {attribute.path}: {removed}"
        added = await advertised.patched(path, {"op": "add", "path": attribute.path, "value": second})
        assert same(second, attribute.of(added)), f"add {attribute.path}: {added}"
        if attribute.definition["multiValued"]:
            both = await advertised.patched(path, {"op": "add", "path": attribute.path, "value": first})
            assert len(attribute.of(both)) == 2, f"add to {attribute.path}: {both}"
        pathless = await advertised.patched(path, {"op": "replace", "value": attribute.body(first)})
        assert same(first, attribute.of(pathless)), f"replace {attribute.path} without a path: {pathless}"

        bare = await scim.send("PUT", path, advertised.body())
        assert bare.status_code == 200
        if attribute.name in KEPT:
            assert same(first, attribute.of(bare.json())), f"PUT without {attribute.path}"
        elif not required:
            assert attribute.of(bare.json()) in (None, []), f"PUT without {attribute.path}: {bare.text}"
        exercised += 1
    assert exercised >= (30 if advertised.name == "User" else 5)


async def test_every_sub_attribute_is_patched_as_it_is_declared(advertised: Advertised) -> None:
    """RFC 7644 §3.5.2: `attrPath` and `valuePath [subAttr]`; a readOnly or immutable target is `mutability`."""
    scim = advertised.scim
    for attribute in advertised.attributes:
        if not writable(attribute) or not attribute.subs:
            continue
        first = advertised.value(attribute.definition, 1)
        created = await advertised.create((attribute, first))
        path = f"{advertised.endpoint}/{created['id']}"
        multi_valued = attribute.definition["multiValued"]
        for sub in attribute.subs:
            await advertised.patched(path, {"op": "replace", "path": attribute.path, "value": first})
            if multi_valued:
                name, value = next((k, v) for k, v in first[0].items() if k != sub["name"] or len(first[0]) == 1)
                target = f"{attribute.path}[{name} eq {json.dumps(value)}].{sub['name']}"
            else:
                target = f"{attribute.path}.{sub['name']}"
            new = advertised.value(sub, 2)
            if sub["mutability"] != "readWrite":
                before = await scim.get(path)
                shown = _one(attribute.of(before)).get(sub["name"])
                other = next(v for n in (1, 2) if (v := advertised.value(sub, n)) != shown)
                for op in ("add", "replace", "remove"):
                    refused = await scim.patch(path, {"op": op, "path": target, "value": other})
                    # A member's name for display is sent along by clients that mean no change of it.
                    if sub["name"] != "display" or refused.status_code != 204:
                        assert_scim_error(refused, 400, "mutability")
                assert await scim.get(path) == before
                continue
            for op in ("replace", "add"):
                changed = attribute.of(await advertised.patched(path, {"op": op, "path": target, "value": new}))
                shown = (changed[0] if multi_valued else changed)[sub["name"]]
                assert same(new, shown), f"{op} {target}: {changed}"
                await advertised.patched(path, {"op": "replace", "path": attribute.path, "value": first})
            removed = attribute.of(await advertised.patched(path, {"op": "remove", "path": target}))
            left = ((removed or [{}])[0] if multi_valued else removed) or {}
            assert sub["name"] not in left, f"remove {target}: {removed}"


async def test_what_only_the_server_writes_is_not_written_and_what_is_secret_is_not_told(
    advertised: Advertised,
) -> None:
    """RFC 7643 §7: `readOnly`: "The attribute SHALL NOT be modified"; `writeOnly`; `returned` `never`."""
    scim = advertised.scim
    for attribute in advertised.attributes:
        if writable(attribute):
            continue
        definition = attribute.definition
        value = advertised.value(definition, 1)
        created = await advertised.create((attribute, value))
        assert attribute.of(created) is None, f"POST {attribute.path}"
        path = f"{advertised.endpoint}/{created['id']}"
        put = await scim.send("PUT", path, advertised.body((attribute, value)))
        assert put.status_code == 200
        assert attribute.of(put.json()) is None, f"PUT {attribute.path}"
        for op in ("add", "replace", "remove"):
            operation = {"op": op, "path": attribute.path} | ({} if op == "remove" else {"value": value})
            patched = await scim.patch(path, operation)
            if definition["mutability"] == "readOnly":
                assert_scim_error(patched, 400, "mutability")
            else:
                assert patched.status_code in (200, 204), patched.text
        assert attribute.of(await scim.get(f"{path}?attributes={attribute.path}")) is None
        if definition["returned"] == "never":
            query = quote(f'{attribute.path} eq "x"')
            assert_scim_error(await scim.send("GET", f"{advertised.endpoint}?filter={query}"), 400, "invalidFilter")
            sorted_by = await scim.send("GET", f"{advertised.endpoint}?sortBy={attribute.path}")
            assert_scim_error(sorted_by, 400, "invalidValue")


@dataclass(frozen=True)
class Leaf:
    """A value without further structure: an attribute, or a sub-attribute."""

    path: str
    definition: dict[str, Any]
    of_first: Any
    of_second: Any


def leaves(advertised: Advertised, first: dict[str, Any], second: dict[str, Any]) -> Iterator[Leaf]:
    """Every leaf that is advertised, with its value in two resources."""
    for attribute in advertised.attributes:
        if attribute.definition["returned"] == "never":
            continue
        values = [_one(attribute.of(resource)) for resource in (first, second)]
        if not attribute.subs:
            yield Leaf(attribute.path, attribute.definition, *values)
        for sub in attribute.subs:
            within = [_one((value or {}).get(sub["name"])) for value in values]
            yield Leaf(f"{attribute.path}.{sub['name']}", sub, *within)


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


async def test_every_attribute_is_filtered_sorted_and_projected(stored: Advertised) -> None:
    """RFC 7644 §3.4.2.2, §3.4.2.3, §3.4.2.5: on every attribute, by its declared type and `caseExact`."""
    advertised = stored
    writables = [attribute for attribute in advertised.attributes if writable(attribute)]
    resources = []
    for number in (1, 2):
        values = [
            (attribute, advertised.value(attribute.definition, number))
            for attribute in writables
            if not attribute.definition["required"]
        ]
        created = await advertised.create(*values, externalId=f"case {number}")
        resources.append(created)
    bare = (await advertised.create(externalId="case bare"))["id"]
    if advertised.name == "User":
        for number, resource in enumerate(resources):
            await advertised.scim.create_group(f"Group {number}", resource["id"])
    first, second = [await advertised.scim.get(f"{advertised.endpoint}/{resource['id']}") for resource in resources]
    one, two = first["id"], second["id"]
    compared = 0
    for leaf in leaves(advertised, first, second):
        # What these resources have no value of can be filtered and sorted by all the same.
        in_order = await advertised.found("", sortBy=leaf.path)
        assert set(in_order) == {one, two, bare}, leaf.path
        if leaf.of_first is None:
            assert await advertised.found(f"{leaf.path} pr") == [], leaf.path
            continue
        compared += 1
        await _compare(advertised, leaf, one, two, bare)
        text = leaf.definition["type"] in ("string", "reference", "binary", "dateTime")
        exact = not text or leaf.definition.get("caseExact", False)
        keys = [value if exact else value.casefold() for value in (leaf.of_first, leaf.of_second)]
        if keys[0] != keys[1] and not leaf.definition["required"]:
            ascending = [one, two] if keys[0] < keys[1] else [two, one]
            if leaf.definition["name"] not in KEPT:
                ascending = [*ascending, bare]  # without a value: last
                assert in_order == ascending, leaf.path
                descending = await advertised.found("", sortBy=leaf.path, sortOrder="descending")
                assert [id_ for id_ in descending if id_ != bare] == ascending[1::-1], leaf.path
    assert compared >= (70 if advertised.name == "User" else 6)
    for attribute in writables:
        await _project(advertised, attribute, first)


async def _compare(advertised: Advertised, leaf: Leaf, one: str, two: str, bare: str) -> None:
    """Filter by a leaf with every operator that its type has."""
    value, other = json.dumps(leaf.of_first), json.dumps(leaf.of_second)
    alike = leaf.of_first == leaf.of_second
    everywhere = leaf.definition["required"] or leaf.definition["name"] in KEPT
    found = await advertised.found(f"{leaf.path} eq {value}")
    assert one in found, leaf.path
    assert (two in found) is alike, leaf.path
    if not everywhere:
        assert bare not in found, leaf.path
        assert set(await advertised.found(f"{leaf.path} pr")) == {one, two}, leaf.path
        assert set(await advertised.found(f"not ({leaf.path} pr)")) == {bare}, leaf.path
        assert set(await advertised.found(f"{leaf.path} eq {value} or {leaf.path} eq {other}")) == {one, two}, leaf.path
    assert one not in await advertised.found(f"{leaf.path} ne {value}"), leaf.path
    kind = leaf.definition["type"]
    if kind in ("boolean", "binary"):
        query = quote(f"{leaf.path} gt {value}")
        refused = await advertised.scim.send("GET", f"{advertised.endpoint}?filter={query}")
        assert_scim_error(refused, 400, "invalidFilter")
        return
    assert one in await advertised.found(f"{leaf.path} ge {value}"), leaf.path
    assert one not in await advertised.found(f"{leaf.path} gt {value}"), leaf.path
    if kind == "string":
        for operator, part in (("co", leaf.of_first[1:]), ("sw", leaf.of_first[:2]), ("ew", leaf.of_first[-2:])):
            assert one in await advertised.found(f"{leaf.path} {operator} {json.dumps(part)}"), leaf.path
        if not leaf.definition["caseExact"]:
            swapped = json.dumps(leaf.of_first.swapcase())
            assert one in await advertised.found(f"{leaf.path} eq {swapped}"), leaf.path


async def _project(advertised: Advertised, attribute: Attribute, resource: dict[str, Any]) -> None:
    """Ask for an attribute, and for all but it."""
    path = f"{advertised.endpoint}/{resource['id']}"
    chosen = await advertised.scim.get(f"{path}?attributes={quote(attribute.path)}")
    holder = attribute.name if attribute.is_core else attribute.urn
    assert set(chosen) == {"schemas", "id", holder}, attribute.path
    assert attribute.of(chosen) == attribute.of(resource), attribute.path
    if not attribute.is_core:
        assert set(chosen[attribute.urn]) == {attribute.name}, attribute.path
    rest = await advertised.scim.get(f"{path}?excludedAttributes={quote(attribute.path)}")
    assert attribute.of(rest) is None, attribute.path
    assert {"schemas", "id", "meta"} <= set(rest)
    for sub in attribute.subs:
        part = attribute.of(await advertised.scim.get(f"{path}?attributes={quote(attribute.path)}.{sub['name']}"))
        if _one(attribute.of(resource)).get(sub["name"]) is not None:
            assert set(_one(part)) == {sub["name"]}, f"{attribute.path}.{sub['name']}"


async def test_discovery_follows_what_a_connection_receives(world: World) -> None:
    """Rule: "plus every extension URN seen on the connection", and on no other; each also by its id and location."""
    async with gateway(f"127.0.0.1:{world.server.port}", world.secrets["gateway"]) as client:
        ours, theirs = [Scim(client, made.id, made.token) for made in (await world.connect(), await world.connect())]
        before = await ours.get("/Schemas")
        await ours.create_user("ada@example.com", **{TEAMS: {"lead": "x"}, ACME: {"Badge": [1, 2]}})
        enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
        await ours.create_user("bob@example.com", **{enterprise: {"department": "d", "shoeSize": 42}})
        listed = await ours.get("/Schemas")
        assert await theirs.get("/Schemas") == json.loads(
            json.dumps(before).replace(ours.connection_id, theirs.connection_id)
        )
        ids = [schema["id"] for schema in listed["Resources"]]
        assert ids == [USER_URN, GROUP_URN, enterprise, TEAMS, ACME]
        assert listed["totalResults"] == listed["itemsPerPage"] == 5
        for schema in listed["Resources"]:
            location = schema["meta"]["location"]
            by_location = await client.get(location, headers=ours.headers)
            assert by_location.json() == schema
        badge = (await ours.get(f"/Schemas/{ACME.upper()}"))["attributes"][0]
        assert (badge["name"], badge["type"], badge["multiValued"]) == ("Badge", "integer", True)
        assert (badge["mutability"], badge["returned"], badge["required"]) == ("readWrite", "default", False)
        shoe_size = (await ours.get(f"/Schemas/{enterprise}"))["attributes"][-1]
        assert (shoe_size["name"], shoe_size["type"]) == ("shoeSize", "integer")
        user, group = (await ours.get("/ResourceTypes"))["Resources"]
        assert [extension["schema"] for extension in user["schemaExtensions"]] == [enterprise, TEAMS, ACME]
        assert all(extension["required"] is False for extension in user["schemaExtensions"])
        assert "schemaExtensions" not in group
        assert await ours.get("/ResourceTypes/user") == user
