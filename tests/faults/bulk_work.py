"""Work over very many resources at once, killed halfway, while clients of another connection wait for their answers.

Both sizes use it: the tests with a few hundred users, the long run with ten thousand.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from rollcall.directory.v1 import connection_service_pb2

from tests.faults.checker import Database
from tests.faults.system import FaultStack
from tests.stack import POLL_INTERVAL, Connection, eventually
from tests.system.administrator import Administrator
from tests.system.okta import GROUP_URN, PATCH_URN, USER_URN, OktaApp

BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
LONGEST_STALL = 0.1
"""Seconds for which a SCIM request may wait behind bulk work."""

_MIDDLE = "database.before_commit:12"
"""Some parts of the work are committed then, and more are not."""
QUIET = "nothing, for comparison"
_QUIET_SECONDS = 5.0
_AT_ONCE = 500
_PAUSE = 0.005
_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of bulk work: how long it took, and what requests of another connection saw meanwhile (seconds)."""

    name: str
    seconds: float
    requests: int
    median: float
    percentile: float
    """What 99 of 100 requests stayed below."""
    worst: float


class Bystander:
    """A client of another connection: it changes a user and a group's members and reads both, one after the other."""

    def __init__(self, administrator: Administrator) -> None:
        app = administrator.store_app()
        self._user = app.assign("bystander@elsewhere.test")
        self._group = app.push_group("Bystanders", [self._user])
        self._app = app
        self.waits: list[float] = []
        self._errors: list[BaseException] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Send requests as long as the body runs. Raises what a request ran into."""
        done = threading.Event()
        self.waits = []
        thread = threading.Thread(target=self._work, args=(done,))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(60)
        if self._errors:
            raise self._errors[0]

    def _work(self, done: threading.Event) -> None:
        try:
            for number in itertools.count():
                if done.is_set():
                    return
                began = time.monotonic()
                self._ask(number)
                self.waits.append(time.monotonic() - began)
                time.sleep(_PAUSE)
        # Whatever it trips over is told by `at_work`, not lost with its thread.
        except BaseException as error:
            self._errors.append(error)

    def _ask(self, number: int) -> None:
        http, kind = self._app.http, number % 4
        if kind == 0:
            operations: list[dict[str, Any]] = [{"op": "replace", "value": {"title": f"Title {number}"}}]
            answer = http.patch(f"/Users/{self._user}", json={"schemas": [PATCH_URN], "Operations": operations})
        elif kind == 1:
            answer = http.get(f"/Users/{self._user}")
        elif kind == 2:
            op = "remove" if number % 8 == 2 else "add"
            path = f'members[value eq "{self._user}"]' if op == "remove" else "members"
            operation = {"op": op, "path": path} | ({} if op == "remove" else {"value": [{"value": self._user}]})
            answer = http.patch(f"/Groups/{self._group}", json={"schemas": [PATCH_URN], "Operations": [operation]})
        else:
            answer = http.get(f"/Groups/{self._group}")
        assert answer.status_code in (200, 204), answer.text


class BulkWork:
    """A connection with many users, all in one group, and what an administrator does to all of them at once.

    `kill` has the directory die once in the middle of each piece; waits are measured only without it.
    """

    def __init__(self, stack: FaultStack, users: int, *, kill: bool) -> None:
        self.stack = stack
        self.users = users
        self.kill = kill
        self.pieces: list[Piece] = []
        self.administrator = Administrator(stack)
        self.app: OktaApp = self.administrator.dashboard_app(role_mode="CONTINUOUS")
        self._bystander = Bystander(self.administrator)
        self._events = Database(stack.databases["directory"])
        self.group_id = ""

    @property
    def connection(self) -> Connection:
        """The connection with the many users."""
        return self.app.connection

    def run(self) -> list[Piece]:
        """Do every piece and check what each left. Raises AssertionError."""
        self.fill()
        if not self.kill:
            self.rest()
        self.re_resolve()
        self.delete_group()
        self.delete_connection()
        return self.pieces

    def fill(self) -> None:
        """Create the users, and a group of all of them that gives a role."""
        ids: list[str] = []
        for start in range(0, self.users, _AT_ONCE):
            operations = [
                {
                    "method": "POST",
                    "path": "/Users",
                    "bulkId": f"u{number}",
                    "data": {
                        "schemas": [USER_URN],
                        "userName": f"u{number}@many.test",
                        "displayName": f"User {number}",
                        "title": f"Title {number}",
                        "emails": [{"primary": True, "value": f"u{number}@many.test"}],
                    },
                }
                for number in range(start, min(start + _AT_ONCE, self.users))
            ]
            answer = self.app.http.post("/Bulk", json={"schemas": [BULK_URN], "Operations": operations})
            assert answer.status_code == 200, answer.text
            ids += [item["location"].rpartition("/")[2] for item in answer.json()["Operations"]]
        body = {
            "schemas": [GROUP_URN],
            "displayName": "applivery-editor",
            "members": [{"value": user_id} for user_id in ids],
        }
        answer = self.app.http.post("/Groups", params={"excludedAttributes": "members"}, json=body, timeout=120)
        assert answer.status_code == 201, answer.text
        self.group_id = answer.json()["id"]
        self.stack.settled(timeout=_PATIENCE)

    def rest(self) -> None:
        """Let the client of the other connection work alone: what it sees then is what the machine gives."""
        with self._piece(QUIET, ""):
            time.sleep(_QUIET_SECONDS)

    def re_resolve(self) -> None:
        """Change the mapping of every user: each is published once more, whatever happens meanwhile."""
        request = connection_service_pb2.UpdateAttributeMappingRequest()
        mapping = [{"name": "job", "attributes": [{"key": "title"}]}]
        json_format.ParseDict({"connection_id": self.connection.connection_id, "mapped_attributes": mapping}, request)
        with self._piece("re-resolve a mapping", _MIDDLE):
            self.stack.connections.UpdateAttributeMapping(request)
            self._await(self._is_resolved, "the re-resolution")
        assert self._count("UserUpdated") == self.users, "a user was resolved more than once, or not at all"

    def delete_group(self) -> None:
        """Delete the group of everybody."""
        with self._piece("delete a group", ""):
            began = time.monotonic()
            answer = self.app.http.delete(f"/Groups/{self.group_id}")
            took = time.monotonic() - began
            assert answer.status_code == 204, answer.text
            assert self.app.http.get(f"/Groups/{self.group_id}").status_code == 404
            self._await(lambda: not self._rows("group_members"), "the end of its memberships")
        assert self.kill or took < 10 * LONGEST_STALL, f"the deletion was answered after {took:.2f} s"
        assert self._count("GroupDeleted") == 1

    def delete_connection(self) -> None:
        """Delete the connection with all that is on it."""
        request = connection_service_pb2.DeleteConnectionRequest(connection_id=self.connection.connection_id)
        with self._piece("delete a connection", _MIDDLE):
            self.stack.connections.DeleteConnection(request)
            self._await(lambda: bool(self._count("ConnectionDeleted")), "the deletion")
        assert self._count("UserDeleted") == self.users
        assert self._count("ConnectionDeleted") == 1
        self.stack.settled(timeout=_PATIENCE)
        for service, tables in {"portal": ("users", "collaborators", "groups"), "mdm": ("users",)}.items():
            for table in tables:
                assert not self._rows(table, service), f"{table} of the {service} outlive their connection"

    @contextmanager
    def _piece(self, name: str, crashpoint: str) -> Iterator[None]:
        began = time.monotonic()
        if self.kill and crashpoint:
            # The process that dies is the one that begins the work; another one finishes it.
            self.stack.arm("directory", crashpoint)
            self.stack.restart("directory")
            self.stack.arm("directory")
            yield
            assert self._died, f"the directory never died: {name}"
            self._died = False
            return
        with self._bystander.at_work():
            yield
        waits = sorted(self._bystander.waits)
        self.pieces.append(
            Piece(
                name,
                time.monotonic() - began,
                len(waits),
                waits[len(waits) // 2],
                waits[int(len(waits) * 0.99)],
                waits[-1],
            )
        )

    _died = False

    def _await(self, done: Callable[[], bool], what: str) -> None:
        def settled() -> bool:
            if not self.stack.running("directory"):
                self._died = True
                self.stack.start_process("directory")
            return done()

        eventually(settled, timeout=_PATIENCE, what=what)
        time.sleep(POLL_INTERVAL)

    def _is_resolved(self) -> bool:
        connection_id = self.connection.connection_id
        waiting = (
            "SELECT count(*) AS n FROM users JOIN connections ON connections.id = users.connection_id "
            f"WHERE connections.id = '{connection_id}' AND users.mapping_generation < connections.mapping_generation"
        )
        return not self._events.rows(waiting)[0]["n"]

    def _rows(self, table: str, service: str = "directory") -> int:
        where = f"connection_id = '{self.connection.connection_id}'"
        database = self._events if service == "directory" else Database(self.stack.databases[service])
        return int(database.rows(f"SELECT count(*) AS n FROM {table} WHERE {where}")[0]["n"])

    def _count(self, kind: str) -> int:
        where = f"connection_id = '{self.connection.connection_id}' AND type = 'rollcall.directory.v1.{kind}'"
        return int(self._events.rows(f"SELECT count(*) AS n FROM outbox WHERE {where}")[0]["n"])
