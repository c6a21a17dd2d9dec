"""Clients of three connections at work, and the history of what each asked and was answered.

Every request carries an id of its own, which every event names that follows from it: so the checker can tell what each
request did, whether its answer arrived or not.
"""

from __future__ import annotations

import itertools
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from google.protobuf import json_format
from rollcall.directory.v1 import connection_service_pb2
from rollcall.mdm.v1 import mdm_service_pb2
from rollcall.portal.v1 import portal_service_pb2

from tests.loopback import NO_TLS
from tests.stack import Connection, Stack
from tests.system.administrator import Administrator
from tests.system.okta import GROUP_URN, HEADERS, PATCH_URN, USER_URN, OktaApp

OK, FAIL, INFO = "ok", "fail", "info"

MAPPED_GROUPS = ("applivery-admin", "applivery-editor", "applivery-viewer")
"""The first groups of every connection; on the dashboard they give roles."""

DEVICES = 12
"""Users of the MDM connection who have a device from the start."""

_ANSWER_SECONDS = 8.0
_BREATH_SECONDS = 0.05
_IDLE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Size:
    """How much work: users and groups per connection, requests in all, clients at once."""

    users: int = 40
    groups: int = 5
    operations: int = 600
    clients: int = 8


SMALL = Size(users=16, groups=4, operations=70, clients=6)
FULL = Size()


@dataclass(slots=True)
class Operation:
    """One request: what it was to write, and what became of it.

    `wrote` names what must hold of the resource afterwards: for a user `displayName`, `title`, `active`, `email`; for
    a group `displayName`, `added`, `removed`, `members` (the whole list); `deleted` for either. `version` is the
    answer's, 0 without one.
    """

    request_id: str
    portal: str
    kind: str
    resource: str
    wrote: dict[str, Any]
    resource_id: str = ""
    outcome: str = INFO
    status: int = 0
    version: int = 0
    answer: dict[str, Any] = field(default_factory=dict)
    started: float = 0.0
    ended: float = 0.0


@dataclass(slots=True)
class Roll:
    """What the clients know of one connection."""

    app: Connection
    canary: str
    """Part of every name and address of the connection, and of nothing else."""
    users: dict[str, str] = field(default_factory=dict)
    """userName by id, deleted ones not."""
    groups: dict[str, str] = field(default_factory=dict)
    """displayName by id."""
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    awaited: list[str] = field(default_factory=list)
    """userNames that groups list already, of users still to be created."""


class Workload:
    """A workspace with its three connections, rules and devices; `run` sends requests from several threads.

    `behaviour` is what the MDM rule does about leavers: "change_policy" or "remove_employee_and_devices".
    """

    def __init__(self, stack: Stack, size: Size, seed: int, *, behaviour: str = "change_policy") -> None:
        self.stack = stack
        self.size = size
        self.seed = seed
        self.behaviour = behaviour
        self.history: list[Operation] = []
        self.errors: list[BaseException] = []
        self.rolls: dict[str, Roll] = {}
        self.devices: dict[str, str] = {}
        """The owner's user id by device id."""
        self.locked_policy = ""
        self._lock = threading.Lock()
        self._marks = stack.log_sizes()
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._dice = random.Random(seed)

    # -- before the fault ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the connections, their rules, the first users and groups, and the devices; wait until all is applied."""
        administrator = Administrator(self.stack)
        self.workspace_id = administrator.workspace_id
        administrator.add_collaborator("owner@elsewhere.test", "ADMIN")
        self.locked_policy = administrator.create_policy("Locked")
        parameters = {"policy_id": self.locked_policy} if self.behaviour == "change_policy" else {}
        apps: dict[str, OktaApp] = {
            "dashboard": administrator.dashboard_app(role_mode="CONTINUOUS"),
            "store": administrator.store_app(),
            "mdm": administrator.mdm_app(self.behaviour, **parameters),
        }
        for portal, app in apps.items():
            self._map_title(app.connection)
            self.rolls[portal] = Roll(app.connection, f"q{secrets.token_hex(5)}{portal[0]}")
        with httpx.Client(timeout=30, verify=NO_TLS) as http:
            for portal, roll in self.rolls.items():
                for _ in range(DEVICES if portal == "mdm" else 3):
                    self._do_now(http, self._create_user(roll, self._dice))
                for number in range(self.size.groups):
                    name = MAPPED_GROUPS[number] if number < len(MAPPED_GROUPS) else ""
                    self._do_now(http, self._create_group(roll, name))
        self.stack.settled(timeout=60)
        audience = [next(iter(self.rolls["store"].groups.values()))]
        self.stack.portal.CreatePublication(
            portal_service_pb2.CreatePublicationRequest(
                workspace_id=self.workspace_id, name=f"App {self._run}", audience=audience
            )
        )
        for number, (user_id, user_name) in enumerate(list(self.rolls["mdm"].users.items())[:DEVICES]):
            request = mdm_service_pb2.EnrollDeviceRequest(
                workspace_id=self.workspace_id,
                serial=f"{self._run}-{number}",
                name="Laptop",
                platform="macos",
                owner_email=user_name,
            )
            self.devices[self.stack.mdm.EnrollDevice(request).device.device_id] = user_id

    def _map_title(self, connection: Connection) -> None:
        request = connection_service_pb2.UpdateAttributeMappingRequest()
        mapping = [{"name": "job", "attributes": [{"key": "title"}]}]
        json_format.ParseDict({"connection_id": connection.connection_id, "mapped_attributes": mapping}, request)
        self.stack.connections.UpdateAttributeMapping(request)

    def create_untouched(self, portal: str) -> str:
        """Create a user whom no client will choose, and return its id."""
        roll = self.rolls[portal]
        with httpx.Client(timeout=30, verify=NO_TLS) as http:
            self._do_now(http, self._create_user(roll, self._dice))
        user_id = self.history[-1].resource_id
        del roll.users[user_id]
        return user_id

    def touch(self, portal: str, user_id: str) -> None:
        """Change a user's title and displayName."""
        with httpx.Client(timeout=30, verify=NO_TLS) as http:
            self._do_now(http, self._patch_user(self.rolls[portal], user_id, self._dice))

    def invite_strangers(self) -> None:
        """List a user of another connection as a member of a group, on every connection."""
        with httpx.Client(timeout=30, verify=NO_TLS) as http:
            for roll in self.rolls.values():
                request = self._add_stranger(roll, next(iter(roll.groups)), self._dice)
                self._do_now(http, request)

    def log_marks(self) -> dict[str, int]:
        """How long each log was before this workload."""
        return dict(self._marks)

    # -- under the fault ----------------------------------------------------------------------------------------------

    def run(
        self, operations: int | None = None, *, until: Callable[[], bool] | None = None, limit: int = 100_000
    ) -> None:
        """Send requests until there were `operations` more, and `until` holds; at most `limit`."""
        self.start(operations, until=until, limit=limit)
        self.finish()

    def start(
        self, operations: int | None = None, *, until: Callable[[], bool] | None = None, limit: int = 100_000
    ) -> None:
        """Begin what `run` does and return at once."""
        self._sent = itertools.count()
        wanted = self.size.operations if operations is None else operations

        def more() -> bool:
            number = next(self._sent)
            if number < wanted:
                return True
            # What only fills the time until something else is over need not hurry.
            time.sleep(_IDLE_SECONDS)
            return number < limit and not (until is None or until())

        round_ = next(self._numbers)
        self._threads = [
            threading.Thread(target=self._client, args=(random.Random(f"{self.seed}/{round_}/{number}"), more))
            for number in range(self.size.clients)
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Wait for the clients. Raises what any of them raised."""
        for thread in self._threads:
            thread.join(180)
        if self.errors:
            raise self.errors[0]

    @property
    def acknowledged(self) -> int:
        """How many requests were answered that they are done."""
        return sum(operation.outcome == OK for operation in self.history)

    def _client(self, dice: random.Random, more: Callable[[], bool]) -> None:
        try:
            with httpx.Client(timeout=_ANSWER_SECONDS, verify=NO_TLS) as http:
                while more():
                    roll = dice.choice(list(self.rolls.values()))
                    request = self._choose(roll, dice)
                    if request is not None:
                        self._do(http, request)
        # Whatever a client trips over is told by `finish`, not lost with its thread.
        except BaseException as error:
            self.errors.append(error)

    def _do_now(self, http: httpx.Client, request: _Request) -> None:
        operation = self._do(http, request)
        assert operation.outcome == OK, f"{operation.kind}: {operation.status} {operation.answer}"

    def _do(self, http: httpx.Client, request: _Request) -> Operation:
        operation, roll = request.operation, request.roll
        headers = {**HEADERS, "Authorization": f"Bearer {roll.app.token}", "X-Request-Id": operation.request_id}
        operation.started = time.monotonic()
        try:
            answer = http.request(
                request.method, f"{roll.app.base_url}{request.path}", json=request.body, headers=headers
            )
        except httpx.TransportError:
            time.sleep(_BREATH_SECONDS)
        else:
            operation.status = answer.status_code
            if answer.is_success:
                operation.outcome = OK
                operation.answer = answer.json() if answer.content else {}
                operation.version = _version(answer, operation.answer)
            elif answer.status_code < 500:
                operation.outcome = FAIL
                operation.answer = answer.json()
            else:
                # The system says that it could not tell: either is right.
                time.sleep(_BREATH_SECONDS)
        operation.ended = time.monotonic()
        with self._lock:
            self._learn(roll, operation, request)
            self.history.append(operation)
        return operation

    def _learn(self, roll: Roll, operation: Operation, request: _Request) -> None:
        if operation.outcome == OK and operation.kind.startswith("create"):
            operation.resource_id = operation.answer["id"]
            known = roll.users if operation.resource == "user" else roll.groups
            known[operation.resource_id] = request.name
        if operation.outcome != FAIL and "deleted" in operation.wrote:
            (roll.users if operation.resource == "user" else roll.groups).pop(operation.resource_id, None)

    # -- what to ask --------------------------------------------------------------------------------------------------

    def _choose(self, roll: Roll, dice: random.Random) -> _Request | None:
        with self._lock:
            users, groups = list(roll.users), list(roll.groups)
            if len(users) < 3 or (len(users) < self.size.users and dice.random() < 0.22):
                return self._create_user(roll, dice)
            user, group = dice.choice(users), dice.choice(groups)
            (kind,) = dice.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))
            chosen: dict[str, Callable[[], _Request | None]] = {
                "put_user": lambda: self._put_user(roll, user, dice),
                "patch_user": lambda: self._patch_user(roll, user, dice),
                "deactivate": lambda: self._set_active(roll, user, False),
                "reactivate": lambda: self._set_active(roll, user, True),
                "delete_user": lambda: self._delete(roll, "user", user, dice),
                "join": lambda: self._change_members(roll, group, users, dice),
                "replace_members": lambda: self._replace_group(roll, group, users, dice),
                "rename": lambda: self._rename(roll, groups, users, dice),
                "create_group": lambda: self._create_group(roll, ""),
                "delete_group": lambda: self._delete(roll, "group", dice.choice(groups), dice),
                "stranger": lambda: self._add_stranger(roll, group, dice),
                "awaited": lambda: self._await_member(roll, group),
            }
            return chosen[kind]()

    def _operation(self, roll: Roll, kind: str, resource: str, resource_id: str, **wrote: Any) -> Operation:
        return Operation(
            request_id=f"{self._run}-{next(self._numbers)}",
            portal=roll.app.portal,
            kind=kind,
            resource=resource,
            resource_id=resource_id,
            wrote=wrote,
        )

    def _token(self, roll: Roll) -> str:
        return f"{roll.canary}-{next(roll.numbers)}"

    def _create_user(self, roll: Roll, dice: random.Random) -> _Request:
        token = self._token(roll)
        name = roll.awaited.pop() if roll.awaited else f"{token}@example.test"
        body = {
            "schemas": [USER_URN],
            "userName": name,
            "externalId": f"x{token}",
            "displayName": token,
            "title": token,
            "name": {"givenName": token, "familyName": token},
            "emails": [{"primary": True, "value": name, "type": "work"}],
            "active": True,
            "password": token,
        }
        operation = self._operation(
            roll, "create_user", "user", "", displayName=token, title=token, active=True, email=name
        )
        return _Request(operation, roll, "POST", "/Users", body, name)

    def _put_user(self, roll: Roll, user_id: str, dice: random.Random) -> _Request:
        token, user_name = self._token(roll), roll.users[user_id]
        email = f"{token}@example.test" if dice.random() < 0.4 else user_name
        wrote: dict[str, Any] = {"displayName": token, "title": token, "email": email}
        body: dict[str, Any] = {
            "schemas": [USER_URN],
            "id": user_id,
            "userName": user_name,
            "displayName": token,
            "title": token,
            "emails": [{"primary": True, "value": email, "type": "work"}],
        }
        if dice.random() < 0.4:
            wrote["active"] = body["active"] = dice.random() < 0.5
        operation = self._operation(roll, "put_user", "user", user_id, **wrote)
        return _Request(operation, roll, "PUT", f"/Users/{user_id}", body)

    def _patch_user(self, roll: Roll, user_id: str, dice: random.Random) -> _Request:
        token = self._token(roll)
        operations: list[dict[str, Any]] = [
            {"op": "replace", "path": "title", "value": token},
            {"op": "replace", "value": {"displayName": token}},
        ]
        operation = self._operation(roll, "patch_user", "user", user_id, displayName=token, title=token)
        return _patch(operation, roll, f"/Users/{user_id}", operations)

    def _set_active(self, roll: Roll, user_id: str, active: bool) -> _Request:
        kind = "reactivate" if active else "deactivate"
        operation = self._operation(roll, kind, "user", user_id, active=active)
        return _patch(operation, roll, f"/Users/{user_id}", [{"op": "replace", "value": {"active": active}}])

    def _delete(self, roll: Roll, resource: str, resource_id: str, dice: random.Random) -> _Request | None:
        if resource == "group" and (roll.groups[resource_id] in MAPPED_GROUPS or len(roll.groups) <= 4):
            return None
        operation = self._operation(roll, f"delete_{resource}", resource, resource_id, deleted=True)
        return _Request(operation, roll, "DELETE", f"/{resource.capitalize()}s/{resource_id}", None)

    def _change_members(self, roll: Roll, group_id: str, users: list[str], dice: random.Random) -> _Request:
        chosen = dice.sample(users, min(len(users), dice.randint(1, 5)))
        cut = dice.randint(0, len(chosen))
        added, removed = chosen[:cut], chosen[cut:]
        operations: list[dict[str, Any]] = [{"op": "remove", "path": f'members[value eq "{user}"]'} for user in removed]
        if added:
            operations.append({"op": "add", "path": "members", "value": [{"value": user} for user in added]})
        operation = self._operation(roll, "join", "group", group_id, added=added, removed=removed)
        return _patch(operation, roll, f"/Groups/{group_id}", operations)

    def _replace_group(self, roll: Roll, group_id: str, users: list[str], dice: random.Random) -> _Request:
        name = roll.groups[group_id]
        members = dice.sample(users, dice.randint(0, min(len(users), 8)))
        body = {
            "schemas": [GROUP_URN],
            "id": group_id,
            "displayName": name,
            "members": [{"value": user} for user in members],
        }
        operation = self._operation(roll, "replace_members", "group", group_id, displayName=name, members=members)
        return _Request(operation, roll, "PUT", f"/Groups/{group_id}", body)

    def _rename(self, roll: Roll, groups: list[str], users: list[str], dice: random.Random) -> _Request | None:
        """A new name and new members in one request: both or neither. A group that gives a role keeps its name."""
        plain = [group for group in groups if roll.groups[group] not in MAPPED_GROUPS]
        if not plain:
            return None
        group_id, token, added = dice.choice(plain), self._token(roll), [dice.choice(users)]
        roll.groups[group_id] = token
        operations: list[dict[str, Any]] = [
            {"op": "replace", "value": {"id": group_id, "displayName": token}},
            {"op": "add", "path": "members", "value": [{"value": user} for user in added]},
        ]
        operation = self._operation(roll, "rename", "group", group_id, displayName=token, added=added)
        return _patch(operation, roll, f"/Groups/{group_id}", operations)

    def _create_group(self, roll: Roll, name: str) -> _Request:
        name = name or self._token(roll)
        body = {"schemas": [GROUP_URN], "displayName": name, "members": []}
        operation = self._operation(roll, "create_group", "group", "", displayName=name, members=[])
        return _Request(operation, roll, "POST", "/Groups", body, name)

    def _add_stranger(self, roll: Roll, group_id: str, dice: random.Random) -> _Request:
        """List a user of another connection as a member, which must come to nothing."""
        others = [user for other in self.rolls.values() if other is not roll for user in other.users]
        value = dice.choice(others)
        operation = self._operation(roll, "stranger", "group", group_id, strangers=[value])
        operations: list[dict[str, Any]] = [{"op": "add", "path": "members", "value": [{"value": value}]}]
        return _patch(operation, roll, f"/Groups/{group_id}", operations)

    def _await_member(self, roll: Roll, group_id: str) -> _Request:
        """List a userName of somebody who is created later."""
        name = f"{self._token(roll)}@example.test"
        roll.awaited.append(name)
        operation = self._operation(roll, "awaited", "group", group_id)
        operations: list[dict[str, Any]] = [{"op": "add", "path": "members", "value": [{"value": name}]}]
        return _patch(operation, roll, f"/Groups/{group_id}", operations)


_WEIGHTS = {
    "put_user": 15, "patch_user": 12, "deactivate": 11, "reactivate": 8, "delete_user": 4, "join": 26,
    "replace_members": 6, "rename": 6, "create_group": 3, "delete_group": 3, "stranger": 3, "awaited": 3,
}  # fmt: skip


@dataclass(slots=True)
class _Request:
    operation: Operation
    roll: Roll
    method: str
    path: str
    body: Any
    name: str = ""


def _patch(operation: Operation, roll: Roll, path: str, operations: list[dict[str, Any]]) -> _Request:
    return _Request(operation, roll, "PATCH", path, {"schemas": [PATCH_URN], "Operations": operations})


def _version(answer: httpx.Response, body: dict[str, Any]) -> int:
    etag = answer.headers.get("ETag") or body.get("meta", {}).get("version", "")
    digits = etag.removeprefix("W/").strip('"')
    return int(digits) if digits.isdecimal() else 0
