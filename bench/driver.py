"""An identity provider that pushes as Okta does, to any SCIM 2.0 server on this machine, and checks every answer.

A phase repeats one operation from several workers until a number of operations or of seconds is reached, whichever
comes first. An answer that is not what RFC 7644 and the state of the run ask for ends the phase: a rate of wrong
answers is worth nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from bench.http_client import Answer, BrokenAnswer, Connection, Endpoint
from bench.measurements import Measurement

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"

PAGE = 100
"""What Okta asks for in a page."""

_MEMBERS_IN_PATCH = 1_000
_MEMBERS_IN_PUT = 20_000
_PRELOAD_BULK = 500
_PRELOAD_WORKERS = 16

HEADERS = {
    "User-Agent": "Okta SCIM Client 1.0.0",
    "Accept": "application/scim+json",
    "Accept-Encoding": "gzip,deflate",
    "Content-Type": "application/scim+json; charset=utf-8",
}


class WrongAnswer(Exception):
    """The server answered otherwise than the protocol, or what it was told before, asks for."""


class NotOffered(Exception):
    """The server does not offer the operation, and says so."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a phase ends: after so many operations or so many seconds, whichever comes first."""

    operations: int
    seconds: float


@dataclass(frozen=True, slots=True)
class User:
    """A user that the server holds."""

    id: str
    user_name: str
    number: int


@dataclass(slots=True)
class Group:
    """A group that the server holds, and who is in it."""

    id: str
    name: str
    members: list[User]


class Client:
    """One worker's connection; notes how long each request took."""

    def __init__(self, endpoint: Endpoint, token: str, latencies: list[float]) -> None:
        self._connection = Connection(endpoint, {**HEADERS, "Authorization": f"Bearer {token}"})
        self._latencies = latencies

    async def send(self, method: str, path: str, body: Any = None) -> Answer:
        """Send one request and note its time. Raises BrokenAnswer, TimeoutError."""
        payload = None if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        begin = time.perf_counter()
        answer = await self._connection.request(method, path, payload)
        self._latencies.append(time.perf_counter() - begin)
        return answer

    async def call(self, method: str, path: str, body: Any = None, *, expect: tuple[int, ...] = (200,)) -> Any:
        """Send one request; give the parsed body, None of an empty one. Raises WrongAnswer for another status."""
        answer = await self.send(method, path, body)
        if answer.status not in expect:
            raise WrongAnswer(f"{method} {path[:80]}: {answer.status} {answer.body[:300].decode(errors='replace')}")
        if not answer.body:
            return None
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise WrongAnswer(f"{method} {path[:80]}: the body is not JSON: {error}") from None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


Operation = Callable[[Client, int], Awaitable[None]]


class Driver:
    """The identity provider's side of one connection to one server: what it pushed, and the phases that push more."""

    def __init__(self, base_url: str, token: str, *, concurrency: int = 8, domain: str = "example.com") -> None:
        self._endpoint = Endpoint.of(base_url)
        self._token = token
        self._domain = domain
        self.concurrency = concurrency
        self.users: list[User] = []
        """Everybody that the server holds, in the order of their creation."""
        self._next_number = 0
        self._next_group = 0
        self._writes = 0

    # -- how phases run -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of its own, for what is not measured."""
        client = Client(self._endpoint, self._token, [])
        try:
            yield client
        finally:
            client.close()

    async def run(
        self, phase: str, operation: Operation, bounds: Bounds, *, concurrency: int | None = None
    ) -> Measurement:
        """Repeat an operation; its second argument counts the operations from 0. Failures are in the measurement."""
        latencies: list[float] = []
        workers = min(concurrency or self.concurrency, max(1, bounds.operations))
        clients = [Client(self._endpoint, self._token, latencies) for _ in range(workers)]
        started = done = 0
        begin = time.perf_counter()
        deadline = begin + bounds.seconds
        failures: list[str] = []

        async def work(client: Client) -> None:
            nonlocal started, done
            while started < bounds.operations and not failures and time.perf_counter() < deadline:
                number = started
                started += 1
                try:
                    await operation(client, number)
                except (WrongAnswer, NotOffered, BrokenAnswer, OSError, LookupError, TypeError) as error:
                    # A body of another shape than SCIM's shows as a missing key or a wrong type.
                    failures.append(f"{type(error).__name__}: {error}")
                    return
                done += 1

        try:
            await asyncio.gather(*map(work, clients))
            seconds = time.perf_counter() - begin
        finally:
            for client in clients:
                client.close()
        if failures:
            return Measurement(phase, failure=failures[0])
        return Measurement.of(phase, done, seconds, latencies)

    # -- preparation, not measured ------------------------------------------------------------------------------------

    async def preload(self, total: int, progress: Callable[[int], None] = lambda count: None) -> None:
        """Create users until the server holds `total`: by /Bulk where it is offered, else one by one."""
        missing = total - len(self.users)
        if missing <= 0:
            return
        async with self.client() as client:
            size = min(_PRELOAD_BULK, await _bulk_limit(client))
        if size > 1:
            await self._preload_in_bulk(missing, size, progress)
            return

        async def create(client: Client, number: int) -> None:
            self.users.append(await self._create(client, self._number()))
            progress(1)

        bounds = Bounds(missing, 3600)
        self._raise(await self.run("preload", create, bounds, concurrency=_PRELOAD_WORKERS))

    async def _preload_in_bulk(self, missing: int, size: int, progress: Callable[[int], None]) -> None:
        async with self.client() as client:
            while missing:
                count = min(size, missing)
                self.users.extend(await self._create_in_bulk(client, count))
                missing -= count
                progress(count)

    async def forget_users(self, down_to: int) -> None:
        """Delete the newest users until `down_to` are left, so that the next run begins at the same size."""
        extra = self.users[down_to:]
        del self.users[down_to:]

        async def delete(client: Client, number: int) -> None:
            await client.call("DELETE", f"/Users/{extra[number].id}", expect=(204,))

        if extra:
            self._raise(await self.run("delete", delete, Bounds(len(extra), 3600)))

    async def make_group(self, members: Sequence[User], progress: Callable[[int], None] = lambda count: None) -> Group:
        """Create a group with members: by PUT up to 20,000, the rest by PATCH in pieces."""
        async with self.client() as client:
            name = self._group_name()
            created = await client.call("POST", "/Groups", _group_body(name, ()), expect=(201,))
            group = Group(created["id"], name, list(members))
            first = members[:_MEMBERS_IN_PUT]
            if first:
                await client.call("PUT", f"/Groups/{group.id}", _group_body(name, first, group.id), expect=(200, 204))
                progress(len(first))
            for begin in range(len(first), len(members), _MEMBERS_IN_PATCH):
                piece = members[begin : begin + _MEMBERS_IN_PATCH]
                await client.call("PATCH", f"/Groups/{group.id}", _add_members(piece), expect=(200, 204))
                progress(len(piece))
            return group

    async def delete_group(self, group: Group) -> None:
        """Delete a group; its members stay."""
        async with self.client() as client:
            await client.call("DELETE", f"/Groups/{group.id}", expect=(204,))

    async def check_members(self, group: Group) -> None:
        """Read the group and compare its members with those that it was given. Raises WrongAnswer."""
        async with self.client() as client:
            answer = await client.call("GET", f"/Groups/{group.id}")
            found = {member["value"] for member in answer.get("members") or ()}
            expected = {member.id for member in group.members}
            if found != expected:
                raise WrongAnswer(
                    f"group of {len(expected)}: {len(expected - found)} members are missing, "
                    f"{len(found - expected)} are too many"
                )

    # -- phases -------------------------------------------------------------------------------------------------------

    async def provision(self, bounds: Bounds) -> Measurement:
        """Assign new people: look each up, find nobody, create."""

        async def operation(client: Client, number: int) -> None:
            own = self._number()
            found = await client.call("GET", _lookup("Users", "userName", self._user_name(own)))
            _check(found["totalResults"] == 0, "the lookup of a new person finds somebody")
            self.users.append(await self._create(client, own))

        return await self.run("provision", operation, bounds)

    async def lookup(self, bounds: Bounds) -> Measurement:
        """Find people by `userName eq`."""

        async def operation(client: Client, number: int) -> None:
            user = self._pick(number)
            found = await client.call("GET", _lookup("Users", "userName", user.user_name))
            _check(found["totalResults"] == 1, f"userName eq finds {found['totalResults']} of 1")
            _check(found["Resources"][0]["id"] == user.id, "userName eq finds somebody else")

        return await self.run("lookup", operation, bounds)

    async def get(self, bounds: Bounds) -> Measurement:
        """Read people by id."""

        async def operation(client: Client, number: int) -> None:
            user = self._pick(number)
            _check_user(await client.call("GET", f"/Users/{user.id}"), user)

        return await self.run("get", operation, bounds)

    async def update(self, bounds: Bounds) -> Measurement:
        """Replace people by PUT, each with a display name that it does not have yet."""

        async def operation(client: Client, number: int) -> None:
            user = self._pick(number)
            title = self._fresh("Title")
            body = {**_user_body(user.user_name, user.number), "id": user.id, "title": title}
            answer = await client.call("PUT", f"/Users/{user.id}", body)
            _check_user(answer, user)
            _check(answer["title"] == title, "PUT answers without the new value")

        return await self.run("update", operation, bounds)

    async def profile_update(self, bounds: Bounds) -> Measurement:
        """Update people as Okta does: read, merge, send our own body back."""

        async def operation(client: Client, number: int) -> None:
            user = self._pick(number)
            current = await client.call("GET", f"/Users/{user.id}")
            _check_user(current, user)
            title = self._fresh("Title")
            answer = await client.call("PUT", f"/Users/{user.id}", {**current, "title": title})
            _check_user(answer, user)
            _check(answer["title"] == title, "PUT answers without the new value")

        return await self.run("profile update (GET, PUT)", operation, bounds)

    async def deactivate(self, bounds: Bounds) -> Measurement:
        """Switch people off by a PATCH without a path, and on again once all are off; every call is a change."""
        people = list(self.users)
        now_active = [True] * len(people)
        # Two calls for one person at a time would not know what to expect.
        concurrency = min(self.concurrency, len(people))

        async def operation(client: Client, number: int) -> None:
            user = people[number % len(people)]
            active = now_active[number % len(people)] = number // len(people) % 2 == 1
            body = {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "value": {"active": active}}]}
            answer = await client.call("PATCH", f"/Users/{user.id}", body, expect=(200, 204))
            if answer is not None:
                _check(answer["active"] is active, f"PATCH of active to {active} answers {answer['active']}")

        measured = await self.run("deactivate", operation, bounds, concurrency=concurrency)
        if not measured.failure:
            await self._restore(people, now_active)
        return measured

    async def _restore(self, people: Sequence[User], active: Sequence[bool]) -> None:
        """Verify a sample of the inactive by GET, then activate everybody again."""
        inactive = [user for user, is_active in zip(people, active, strict=True) if not is_active]
        body = {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "value": {"active": True}}]}

        async def operation(client: Client, number: int) -> None:
            user = inactive[number]
            if number < 20:
                found = await client.call("GET", f"/Users/{user.id}")
                _check(found["active"] is False, "a deactivated user is shown as active")
            await client.call("PATCH", f"/Users/{user.id}", body, expect=(200, 204))

        if inactive:
            self._raise(await self.run("reactivate", operation, Bounds(len(inactive), 3600)))

    async def member_add(
        self, group: Group, outsiders: Sequence[User], bounds: Bounds, *, concurrency: int | None = None
    ) -> Measurement:
        """Add people one by one to one group; at most all outsiders."""
        added: list[User] = []

        async def operation(client: Client, number: int) -> None:
            user = outsiders[number]
            await client.call("PATCH", f"/Groups/{group.id}", _add_members([user]), expect=(200, 204))
            added.append(user)

        bounds = Bounds(min(bounds.operations, len(outsiders)), bounds.seconds)
        measured = await self.run(f"member add, {_size(group)}", operation, bounds, concurrency=concurrency)
        group.members.extend(added)
        return await self._verified(measured, group)

    async def member_remove(
        self, group: Group, bounds: Bounds, *, down_to: int, concurrency: int | None = None
    ) -> Measurement:
        """Remove members one by one, the last added first, until `down_to` are left."""
        leaving = group.members[down_to:][::-1]
        removed: set[str] = set()

        async def operation(client: Client, number: int) -> None:
            user = leaving[number]
            operations = [{"op": "remove", "path": f'members[value eq "{user.id}"]'}]
            body = {"schemas": [PATCH_URN], "Operations": operations}
            await client.call("PATCH", f"/Groups/{group.id}", body, expect=(200, 204))
            removed.add(user.id)

        bounds = Bounds(min(bounds.operations, len(leaving)), bounds.seconds)
        phase = f"member remove, {_size(group, down_to)}"
        measured = await self.run(phase, operation, bounds, concurrency=concurrency)
        group.members = [member for member in group.members if member.id not in removed]
        return await self._verified(measured, group)

    async def group_push(self, size: int, bounds: Bounds, *, concurrency: int | None = None) -> Measurement:
        """Push groups as Okta does: look up, create empty, read, replace with all members."""
        members = self.users[:size]
        pushed: list[Group] = []

        async def operation(client: Client, number: int) -> None:
            name = self._group_name()
            found = await client.call("GET", _lookup("Groups", "displayName", name))
            _check(found["totalResults"] == 0, "the lookup of a new group finds one")
            created = await client.call("POST", "/Groups", _group_body(name, ()), expect=(201,))
            _check(created["displayName"] == name, "the created group has another name")
            read = await client.call("GET", f"/Groups/{created['id']}")
            _check(not read.get("members"), "the new group has members")
            body = _group_body(name, members, created["id"])
            answer = await client.call("PUT", f"/Groups/{created['id']}", body, expect=(200, 204))
            _check(answer is None or len(answer.get("members") or ()) == size, "the pushed group lacks members")
            pushed.append(Group(created["id"], name, list(members)))

        measured = await self.run(f"group push, {size:,} members", operation, bounds, concurrency=concurrency)
        if pushed:
            measured = await self._verified(measured, pushed[-1])
        for group in pushed:
            await self.delete_group(group)
        return measured

    async def group_put(self, group: Group, user: User, bounds: Bounds) -> Measurement:
        """Replace a group's whole list over and over, with one person more or less than before; one worker."""
        without, with_user = group.members, [*group.members, user]

        async def operation(client: Client, number: int) -> None:
            members = without if number % 2 else with_user
            body = _group_body(group.name, members, group.id)
            answer = await client.call("PUT", f"/Groups/{group.id}", body, expect=(200, 204))
            if answer is not None:
                _check(len(answer.get("members") or ()) == len(members), "PUT answers with other members")
            group.members = members

        phase = f"group PUT with one change, {len(without):,} members"
        measured = await self._verified(await self.run(phase, operation, bounds, concurrency=1), group)
        group.members = without
        return measured

    async def list_page(self, which: str, bounds: Bounds) -> Measurement:
        """Read the first or the last page of 100 users, by startIndex."""
        total = len(self.users)
        start = 1 if which == "first" else max(1, total - PAGE + 1)
        expected = min(PAGE, total)

        async def operation(client: Client, number: int) -> None:
            page = await client.call("GET", f"/Users?startIndex={start}&count={PAGE}")
            _check(page["totalResults"] == total, f"totalResults is {page['totalResults']} of {total}")
            _check(len(page["Resources"]) == expected, f"a page holds {len(page['Resources'])} of {expected}")
            _check(page.get("itemsPerPage", expected) == expected, "itemsPerPage is not the number of resources")

        return await self.run(f"list page, {which}", operation, bounds)

    async def crawl(self, seconds: float) -> Measurement:
        """Import everybody once, page by page until `totalResults`, each person seen once; users per second."""
        latencies: list[float] = []
        client = Client(self._endpoint, self._token, latencies)
        seen: set[str] = set()
        received, total = 0, 1
        begin = time.perf_counter()
        try:
            while received < total and time.perf_counter() - begin < seconds:
                page = await client.call("GET", f"/Users?startIndex={received + 1}&count={PAGE}")
                total = page["totalResults"]
                ids = [resource["id"] for resource in page.get("Resources") or ()]
                _check(bool(ids), f"an empty page at {received + 1} of {total}")
                received += len(ids)
                seen.update(ids)
            elapsed = time.perf_counter() - begin
            _check(len(seen) == received, f"{received - len(seen)} users came twice")
            if received == total:
                _check(seen == {user.id for user in self.users}, "the import differs from what was pushed")
        except (WrongAnswer, BrokenAnswer, OSError, LookupError, TypeError) as error:
            return Measurement("import crawl", failure=f"{type(error).__name__}: {error}")
        finally:
            client.close()
        return Measurement.of("import crawl", received, elapsed, latencies)

    async def bulk(self, size: int, bounds: Bounds) -> Measurement:
        """Create people by /Bulk, `size` in a request, one request at a time; users per second."""
        phase = f"bulk create, {size:,} operations"
        async with self.client() as client:
            try:
                limit = await _bulk_limit(client)
            except (WrongAnswer, BrokenAnswer, OSError) as error:
                return Measurement(phase, failure=f"{type(error).__name__}: {error}")
        if limit < size:
            return Measurement(phase, failure=f"NotOffered: at most {limit} operations" if limit else "NotOffered")

        async def operation(client: Client, number: int) -> None:
            self.users.extend(await self._create_in_bulk(client, size))

        measured = await self.run(phase, operation, bounds, concurrency=1)
        measured.operations *= size
        measured.rate *= size
        return measured

    # -- requests -----------------------------------------------------------------------------------------------------

    async def create(self, client: Client) -> User:
        """Create one more person."""
        user = await self._create(client, self._number())
        self.users.append(user)
        return user

    async def _create(self, client: Client, number: int) -> User:
        name = self._user_name(number)
        created = await client.call("POST", "/Users", _user_body(name, number), expect=(201,))
        user = User(created["id"], name, number)
        _check_user(created, user)
        _check(created["active"] is True, "a created user is not active")
        return user

    async def _create_in_bulk(self, client: Client, count: int) -> list[User]:
        numbers = [self._number() for _ in range(count)]
        operations = [
            {
                "method": "POST",
                "path": "/Users",
                "bulkId": f"u{number}",
                "data": _user_body(self._user_name(number), number),
            }
            for number in numbers
        ]
        answer = await client.call("POST", "/Bulk", {"schemas": [BULK_URN], "Operations": operations})
        results = {result["bulkId"]: result for result in answer["Operations"]}
        users = []
        for number in numbers:
            result = results[f"u{number}"]
            _check(str(result["status"]) == "201", f"an operation of the bulk request ends with {result}")
            users.append(User(result["location"].rpartition("/")[2], self._user_name(number), number))
        return users

    def _pick(self, number: int) -> User:
        # A stride that shares no factor with round numbers visits everybody, and not in the order of their creation.
        return self.users[number * 7919 % len(self.users)]

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number

    def _fresh(self, word: str) -> str:
        self._writes += 1
        return f"{word} {self._writes}"

    def _group_name(self) -> str:
        self._next_group += 1
        return f"Group {self._next_group} of {self._domain}"

    def _user_name(self, number: int) -> str:
        return f"user{number:07d}@{self._domain}"

    async def _verified(self, measured: Measurement, group: Group) -> Measurement:
        if measured.failure:
            return measured
        try:
            await self.check_members(group)
        except (WrongAnswer, BrokenAnswer, OSError, LookupError, TypeError) as error:
            return Measurement(measured.phase, failure=f"{type(error).__name__}: {error}")
        return measured

    @staticmethod
    def _raise(measured: Measurement) -> None:
        if measured.failure:
            raise WrongAnswer(f"{measured.phase}: {measured.failure}")


async def _bulk_limit(client: Client) -> int:
    """How many operations a bulk request may have: 0 where it is not offered."""
    config = await client.call("GET", "/ServiceProviderConfig")
    bulk = config.get("bulk") or {}
    return int(bulk.get("maxOperations") or 0) if bulk.get("supported") else 0


def _user_body(user_name: str, number: int) -> dict[str, Any]:
    """What Okta posts for a person."""
    return {
        "schemas": [USER_URN],
        "userName": user_name,
        "name": {"givenName": f"Given{number}", "familyName": f"Family{number}"},
        "emails": [{"primary": True, "value": user_name, "type": "work"}],
        "displayName": f"Given{number} Family{number}",
        "locale": "en-US",
        "externalId": f"00u{number:017d}",
        "groups": [],
        "password": "8YtKqzP1",
        "active": True,
    }


def _group_body(name: str, members: Iterable[User], group_id: str = "") -> dict[str, Any]:
    body: dict[str, Any] = {
        "schemas": [GROUP_URN],
        "displayName": name,
        "members": [{"value": member.id, "display": member.user_name} for member in members],
    }
    return {**body, "id": group_id} if group_id else body


def _add_members(members: Iterable[User]) -> dict[str, Any]:
    value = [{"value": member.id, "display": member.user_name} for member in members]
    return {"schemas": [PATCH_URN], "Operations": [{"op": "add", "path": "members", "value": value}]}


def _lookup(endpoint: str, attribute: str, value: str) -> str:
    expression = quote(f'{attribute} eq "{value}"', safe="")
    return f"/{endpoint}?filter={expression}&startIndex=1&count={PAGE}"


def _size(group: Group, size: int | None = None) -> str:
    return f"group of {len(group.members) if size is None else size:,}"


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise WrongAnswer(otherwise)


def _check_user(answer: Any, user: User) -> None:
    _check(answer["id"] == user.id, "the answer is about somebody else")
    _check(answer["userName"] == user.user_name, f"userName is {answer['userName']!r} for {user.user_name!r}")
