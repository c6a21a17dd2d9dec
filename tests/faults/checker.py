"""The one checker of what must hold, over a recorded history, the databases, the streams and the logs.

It shares no code with the services: it reads tables and messages as they lie there and computes on its own what should
have come of them. DELIVERY, "Faults, and what must hold", numbers the invariants.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import nats
import nats.js.errors
import psycopg
from psycopg.rows import dict_row
from rollcall.directory.v1 import events_pb2
from rollcall.portal.v1 import portal_service_pb2

from tests.faults.workload import FAIL, MAPPED_GROUPS, OK, Operation, Workload
from tests.stack import Stack

Row = dict[str, Any]

PORTALS_OF = {"portal": ("dashboard", "store"), "mdm": ("mdm",)}
"""Whose events each consumer must take; those of the others it may."""

_ROLES = dict(
    zip(
        MAPPED_GROUPS,
        (portal_service_pb2.ROLE_ADMIN, portal_service_pb2.ROLE_EDITOR, portal_service_pb2.ROLE_VIEWER),
        strict=True,
    )
)
_REMOVED = 2
_MOST_NAMED = 4


class Violation(NamedTuple):
    """One thing that does not hold: the number of its invariant, and what was found."""

    invariant: int
    found: str


@dataclass(slots=True)
class Injected:
    """Events that a test put into the stream itself, and what they must lead to."""

    poison: dict[str, set[str]] = field(default_factory=lambda: {"portal": set(), "mdm": set()})
    """By service, the ids of events that must be parked."""
    passing: dict[str, set[str]] = field(default_factory=lambda: {"portal": set(), "mdm": set()})
    """By service, the ids of those that it need not take, and must park if it does."""
    aggregates: set[str] = field(default_factory=set)
    """The resources they claim to be of: what comes later of those may queue."""
    all: set[str] = field(default_factory=set)
    """Their ids."""

    def add(self, event_id: str, aggregate_id: str, services: Iterable[str]) -> None:
        """Note an event, and the services whose portal's it is and that must park it."""
        self.aggregates.add(aggregate_id)
        self.all.add(event_id)
        for service, poison in self.poison.items():
            (poison if service in services else self.passing[service]).add(event_id)


@dataclass(slots=True)
class Report:
    """What the checker found, and the numbers of the table."""

    violations: list[Violation]
    acknowledged: int
    lost: int
    duplicated: int
    reordered: int

    @property
    def invariants(self) -> set[int]:
        """The numbers of the invariants that do not hold."""
        return {violation.invariant for violation in self.violations}

    def __str__(self) -> str:
        shown = [f"invariant {number}: {found}" for number, found in self.violations[:20]]
        return "\n".join([f"{len(self.violations)} violations, {self.acknowledged} acknowledged writes", *shown])


@dataclass(slots=True)
class _Event:
    """A row of the directory's outbox."""

    event_id: str
    kind: str
    aggregate_id: str
    version: int
    sequence: int
    request_id: str
    portal: str
    sent: bool
    message: Any
    raw: bytes


@dataclass(slots=True)
class _Message:
    """A message of a stream."""

    stream_sequence: int
    subject: str
    headers: dict[str, str]
    data: bytes


@dataclass(slots=True)
class _User:
    user_name: str
    display_name: str
    title: str
    active: bool
    emails: list[str]
    version: int

    @property
    def address(self) -> str:
        return self.emails[0] if self.emails else self.user_name

    @classmethod
    def of(cls, user: Any) -> _User:
        emails = sorted(user.emails, key=lambda email: not email.primary)
        return cls(
            user.user_name, user.display_name, user.title, user.active, [mail.value for mail in emails], user.version
        )


@dataclass(slots=True)
class _Group:
    first_name: str
    display_name: str
    members: frozenset[str]
    version: int


class Database:
    """Reads a database as it lies there."""

    def __init__(self, url: str) -> None:
        self._sqlite = url.startswith("sqlite")
        self._url = url.removeprefix("sqlite:///") if self._sqlite else url.replace("+psycopg", "")

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        if self._sqlite:
            connection = sqlite3.connect(f"file:{self._url}?mode=ro", uri=True, timeout=30)
            connection.row_factory = sqlite3.Row
            try:
                yield connection
            finally:
                connection.close()
        else:
            # Tests look across tenants.
            with psycopg.connect(self._url, row_factory=dict_row, options="-c rollcall.tenant=*") as database:
                yield database

    def rows(self, statement: str) -> list[Row]:
        """The rows of a statement."""
        with self._open() as connection:
            return [dict(row) for row in connection.execute(statement).fetchall()]

    def tables(self) -> dict[str, list[str]]:
        """The columns of every table of the service."""
        if self._sqlite:
            names = [row["name"] for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: [row["name"] for row in self.rows(f"PRAGMA table_info({name})")] for name in names}
        found: dict[str, list[str]] = defaultdict(list)
        for row in self.rows(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        ):
            found[row["table_name"]].append(row["column_name"])
        return found


class Checker:
    """Checks one workload once everything has arrived everywhere."""

    def __init__(self, stack: Stack, workload: Workload, injected: Injected | None = None) -> None:
        self.stack = stack
        self.workload = workload
        self.injected = injected or Injected()
        self.databases = {name: Database(url) for name, url in stack.databases.items()}
        self.connections = {roll.app.connection_id: portal for portal, roll in workload.rolls.items()}
        self.ids = ", ".join(f"'{connection_id}'" for connection_id in self.connections)
        self.violations: list[Violation] = []
        self.lost = self.duplicated = self.reordered = 0

    def check(self) -> Report:
        """Check every invariant."""
        self._read()
        self._check_writes()
        self._check_versions()
        self._check_inboxes()
        self._check_order()
        self._check_downstream()
        self._check_isolation()
        self._check_leavers()
        self._check_parked()
        self._check_privacy()
        return Report(self.violations, self.workload.acknowledged, self.lost, self.duplicated, self.reordered)

    def _violate(self, invariant: int, found: str) -> None:
        self.violations.append(Violation(invariant, found))

    # -- reading ------------------------------------------------------------------------------------------------------

    def _rows(self, service: str, table: str, columns: str = "*", order: str = "") -> list[Row]:
        statement = f"SELECT {columns} FROM {table} WHERE connection_id IN ({self.ids})"
        return self.databases[service].rows(statement + (f" ORDER BY {order}" if order else ""))

    def _read(self) -> None:
        self.events = [self._event(row) for row in self._rows("directory", "outbox", order="id")]
        self.by_aggregate: dict[str, list[_Event]] = defaultdict(list)
        for event in self.events:
            self.by_aggregate[event.aggregate_id].append(event)
        self.by_request: dict[str, list[_Event]] = defaultdict(list)
        for event in self.events:
            self.by_request[event.request_id].append(event)
        self._fold()
        filters = [f"directory.v1.*.*.*.*.{connection_id}.>" for connection_id in self.connections]
        self.messages = asyncio.run(_messages(self.stack.nats_url, "DIRECTORY", filters))
        commands = f"mdm.v1.*.device.*.{self.workload.workspace_id}.>"
        self.commands = asyncio.run(_messages(self.stack.nats_url, "MDM", [commands]))
        self.inbox = {service: self._rows(service, "inbox") for service in PORTALS_OF}
        self.dead = {service: self._rows(service, "dead_letters") for service in PORTALS_OF}
        self.effects = {service: self._rows(service, "effects") for service in PORTALS_OF}
        self.parked = {service: {row["aggregate_id"] for row in rows} for service, rows in self.dead.items()}

    @staticmethod
    def _event(row: Row) -> _Event:
        kind = row["type"].rpartition(".")[2]
        raw = bytes(row["payload"])
        return _Event(
            event_id=row["event_id"], kind=kind, aggregate_id=row["aggregate_id"], version=row["version"],
            sequence=row["sequence"], request_id=row["request_id"], portal=row["portal"].lower(),
            sent=row["sent_at"] is not None, message=getattr(events_pb2, kind).FromString(raw), raw=raw,
        )  # fmt: skip

    def _fold(self) -> None:
        """The state of every resource after each of its events, and what is left at the end."""
        self.user_at: dict[tuple[str, int], _User] = {}
        self.group_at: dict[tuple[str, int], _Group] = {}
        self.users: dict[str, dict[str, _User]] = {portal: {} for portal in self.connections.values()}
        self.groups: dict[str, dict[str, _Group]] = {portal: {} for portal in self.connections.values()}
        self.deleted: dict[str, int] = {}
        self.ever_inactive: dict[str, list[_Event]] = defaultdict(list)
        for event in sorted(self.events, key=lambda event: (event.portal, event.sequence)):
            if event.kind.startswith("User"):
                self._fold_user(event)
            elif event.kind.startswith("Group"):
                self._fold_group(event)

    def _fold_user(self, event: _Event) -> None:
        user = _User.of(event.message.user)
        if event.kind in ("UserDeactivated", "UserDeleted"):
            self.ever_inactive[event.aggregate_id].append(event)
        if event.kind == "UserDeleted":
            self.users[event.portal].pop(event.aggregate_id, None)
            self.deleted[event.aggregate_id] = event.version
            return
        self.users[event.portal][event.aggregate_id] = user
        self.user_at[event.aggregate_id, event.version] = user

    def _fold_group(self, event: _Event) -> None:
        before = self.groups[event.portal].get(event.aggregate_id)
        name = event.message.group.display_name
        if event.kind == "GroupDeleted":
            self.groups[event.portal].pop(event.aggregate_id, None)
            self.deleted[event.aggregate_id] = event.version
            return
        members = before.members if before else frozenset()
        if event.kind == "GroupMembersChanged":
            added = {member.value for member in event.message.added}
            removed = {member.value for member in event.message.removed}
            members = frozenset((members - removed) | added)
        group = _Group(before.first_name if before else name, name, members, event.version)
        self.groups[event.portal][event.aggregate_id] = group
        self.group_at[event.aggregate_id, event.version] = group

    # -- 1: every `ok` write is in the directory, every `info` all or nothing -----------------------------------------

    def _check_writes(self) -> None:
        known = {operation.request_id for operation in self.workload.history}
        for operation in self.workload.history:
            events = self.by_request.get(operation.request_id, [])
            if operation.outcome == OK:
                if problem := self._missing(operation, events):
                    self.lost += 1
                    self._violate(1, f"{_named(operation)} was acknowledged, but {problem}")
            elif operation.outcome == FAIL:
                if events:
                    self._violate(1, f"{_named(operation)} was refused, but caused {events[0].kind}")
            elif events and (problem := self._incomplete(operation, events)):
                self._violate(1, f"{_named(operation)} was not answered and happened in part: {problem}")
        for event in self.events:
            if event.request_id not in known and not event.kind.startswith("Connection") and event.request_id:
                self._violate(1, f"{event.kind} {event.event_id} follows from no request of the history")
        self._check_succession()
        self._check_tables()

    def _missing(self, operation: Operation, events: list[_Event]) -> str:
        if operation.wrote.get("deleted"):
            ends = [event for event in events if event.kind in ("UserDeleted", "GroupDeleted")]
            return "" if len(ends) == 1 else "its deletion is not there"
        return self._differs(operation, operation.resource_id, operation.version)

    def _incomplete(self, operation: Operation, events: list[_Event]) -> str:
        own = [event for event in events if event.kind.lower().startswith(operation.resource)]
        if operation.resource_id:
            own = [event for event in own if event.aggregate_id == operation.resource_id]
        if not own:
            return f"only {events[0].kind} of it is there"
        if operation.wrote.get("deleted"):
            return "" if own[-1].kind.endswith("Deleted") else "its deletion is not there"
        return self._differs(operation, own[-1].aggregate_id, own[-1].version)

    def _differs(self, operation: Operation, resource_id: str, version: int) -> str:
        """Say what of a write does not hold of its resource at a version."""
        wrote = operation.wrote
        if operation.resource == "user":
            user = self.user_at.get((resource_id, version))
            if user is None:
                return f"there is no version {version} of it"
            wanted = {key: wrote[key] for key in ("displayName", "title", "active") if key in wrote}
            found: dict[str, Any] = {"displayName": user.display_name, "title": user.title, "active": user.active}
            wrong = {key: found[key] for key, value in wanted.items() if found[key] != value}
            if "email" in wrote and user.emails[:1] != [wrote["email"]]:
                wrong["email"] = user.emails
            return f"version {version} has {sorted(wrong)} otherwise" if wrong else ""
        group = self.group_at.get((resource_id, version))
        if group is None:
            return f"there is no version {version} of it"
        if "displayName" in wrote and group.display_name != wrote["displayName"]:
            return f"version {version} has another displayName"
        alive = self.users[operation.portal]
        wanted_members = {user for user in (*wrote.get("added", ()), *wrote.get("members", ())) if user in alive}
        unwanted = set(wrote.get("removed", ())) | set(wrote.get("strangers", ()))
        if "members" in wrote:
            unwanted |= group.members - set(wrote["members"])
            unwanted -= set(wrote["members"])
        if missing := wanted_members - group.members:
            return f"version {version} lacks members {_some(missing)}"
        if surplus := unwanted & group.members:
            return f"version {version} still has members {_some(surplus)}"
        return ""

    def _check_succession(self) -> None:
        """A write that began after another was acknowledged is not before it."""
        of_resource: dict[str, list[Operation]] = defaultdict(list)
        for operation in self.workload.history:
            if operation.outcome == OK and operation.version:
                of_resource[operation.resource_id].append(operation)
        for operations in of_resource.values():
            operations.sort(key=lambda operation: operation.ended)
            newest = 0
            ended: list[tuple[float, int]] = []
            for operation in operations:
                newest = max(newest, operation.version)
                ended.append((operation.ended, newest))
            for operation in operations:
                before = max((version for at, version in ended if at < operation.started), default=0)
                if operation.version < before:
                    self._violate(
                        1, f"{_named(operation)} has version {operation.version}, after {before} was answered"
                    )

    def _check_tables(self) -> None:
        """The tables hold what the last event of each resource says."""
        users = {row["id"]: row for row in self._rows("directory", "users")}
        expected = {user_id: user for portal in self.users.values() for user_id, user in portal.items()}
        self._same_keys(1, "users of the directory", expected, users)
        for user_id in users.keys() & expected.keys():
            row, user = users[user_id], expected[user_id]
            document = _json(row["document"])
            found = (row["user_name"], document.get("displayName"), document.get("title"), bool(row["active"]))
            wanted = (user.user_name, user.display_name, user.title, user.active)
            if (*found, row["version"]) != (*wanted, user.version):
                self._violate(1, f"the row of user {user_id} is not what its last event says")
        groups = {row["id"]: row for row in self._rows("directory", "groups")}
        members: dict[str, set[str]] = defaultdict(set)
        for row in self._rows("directory", "group_members"):
            members[row["group_id"]].add(row["member_id"])
        wanted_groups = {group_id: group for portal in self.groups.values() for group_id, group in portal.items()}
        self._same_keys(1, "groups of the directory", wanted_groups, groups)
        for group_id in groups.keys() & wanted_groups.keys():
            row, group = groups[group_id], wanted_groups[group_id]
            same = (row["display_name"], row["version"]) == (group.display_name, group.version)
            if not same or members[group_id] != group.members or row["member_count"] != len(group.members):
                self._violate(1, f"the row of group {group_id} is not what its events say")
        tombstones = {row["id"]: row["version"] for row in self._rows("directory", "tombstones")}
        if tombstones != self.deleted:
            self._violate(1, f"tombstones: {_some(tombstones.keys() ^ self.deleted.keys())} differ")

    def _same_keys(self, invariant: int, what: str, expected: Iterable[str], found: Iterable[str]) -> None:
        wanted, there = set(expected), set(found)
        if missing := wanted - there:
            self._violate(invariant, f"{what}: missing {_some(missing)}")
        if surplus := there - wanted:
            self._violate(invariant, f"{what}: surplus {_some(surplus)}")

    # -- 2: versions per aggregate are 1..n and there is an outbox row for each ---------------------------------------

    def _check_versions(self) -> None:
        for aggregate_id, events in self.by_aggregate.items():
            versions = [event.version for event in events]
            if versions != list(range(1, len(versions) + 1)):
                self._violate(2, f"{events[0].kind} {aggregate_id} has versions {versions[:20]}")
        for portal in self.users:
            sequences = sorted(event.sequence for event in self.events if event.portal == portal)
            if sequences != list(range(1, len(sequences) + 1)):
                self._violate(2, f"the {portal} connection's sequence has gaps or repeats")
        for table in ("users", "groups"):
            for row in self._rows("directory", table, "id, version"):
                last = self.by_aggregate.get(row["id"])
                if not last or last[-1].version != row["version"]:
                    self._violate(2, f"version {row['version']} of a row of {table} has no event")
        published = {message.headers.get("ce-id") for message in self.messages}
        missing = {event.event_id for event in self.events if not event.sent or event.event_id not in published}
        if missing:
            self.lost += len(missing)
            self._violate(2, f"{len(missing)} events were never published: {_some(missing)}")

    # -- 3: each inbox has each event once and each (event, target, action) has one effect ----------------------------

    def _check_inboxes(self) -> None:
        for service, rows in self.inbox.items():
            times = Counter(row["event_id"] for row in rows)
            waiting = {row["event_id"] for row in self.dead[service]}
            for event in self.events:
                count = times.pop(event.event_id, 0)
                if count > 1:
                    self.duplicated += 1
                    self._violate(3, f"{service}: event {event.event_id} ({event.kind}) is {count} times in the inbox")
                elif not count and event.portal in PORTALS_OF[service] and event.event_id not in waiting:
                    self.lost += 1
                    self._violate(3, f"{service}: event {event.event_id} ({event.kind}) never arrived")
            if unknown := set(times) - self.injected.all:
                self._violate(3, f"{service}: events that never were in the outbox: {_some(unknown)}")
            effects = Counter(
                (row["event_id"], row["target_id"] or row["user_id"], row["action"]) for row in self.effects[service]
            )
            for (event_id, _, action), count in effects.items():
                if count > 1:
                    self.duplicated += 1
                    self._violate(3, f"{service}: {action} has {count} effects of event {event_id}")
        self._check_commands()

    def _check_commands(self) -> None:
        rows = self.databases["mdm"].rows(
            f"SELECT * FROM outbox WHERE workspace_id = '{self.workload.workspace_id}' ORDER BY id"
        )
        versions: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            versions[row["aggregate_id"]].append(row["version"])
        for device_id, found in versions.items():
            if found != list(range(1, len(found) + 1)):
                self._violate(2, f"device {device_id} has commands {found}")
            if len(found) > 1:
                # One policy, or one removal: a second command is the same effect again.
                self.duplicated += len(found) - 1
                self._violate(3, f"device {device_id} got {len(found)} commands")
        published = {message.headers.get("ce-id") for message in self.commands}
        if missing := {row["event_id"] for row in rows} - published:
            self._violate(2, f"{len(missing)} device commands were never published")

    # -- 4: applied versions rise -------------------------------------------------------------------------------------

    def _check_order(self) -> None:
        last = {aggregate_id: events[-1].version for aggregate_id, events in self.by_aggregate.items()}
        portals = {aggregate_id: events[-1].portal for aggregate_id, events in self.by_aggregate.items()}
        for service, own in PORTALS_OF.items():
            applied: dict[str, int] = {}
            kept: dict[str, int] = {}
            for row in self.databases[service].rows("SELECT * FROM fault_audit ORDER BY position"):
                aggregate_id, version = row["aggregate_id"], row["version"]
                if aggregate_id not in last:
                    continue
                if row["what"] == "applied":
                    if version <= applied.get(aggregate_id, 0):
                        self.reordered += 1
                        self._violate(
                            4, f"{service}: version {version} of {aggregate_id} after {applied[aggregate_id]}"
                        )
                    applied[aggregate_id] = max(version, applied.get(aggregate_id, 0))
                elif version < kept.get(aggregate_id, 0):
                    self.reordered += 1
                    self._violate(4, f"{service}: the kept version of {aggregate_id} fell to {version}")
                else:
                    kept[aggregate_id] = version
            for aggregate_id, version in last.items():
                is_due = portals[aggregate_id] in own and aggregate_id not in self.injected.aggregates
                if is_due and kept.get(aggregate_id) != version:
                    self._violate(
                        4, f"{service}: {aggregate_id} is at version {kept.get(aggregate_id)} instead of {version}"
                    )

    # -- 5: downstream = fold(directory) ------------------------------------------------------------------------------

    def _check_downstream(self) -> None:
        self._check_projection()
        self._check_accounts("dashboard", "collaborators")
        self._check_accounts("store", "employees")
        self._check_employees()
        self._check_devices()

    def _check_projection(self) -> None:
        parked = self.parked["portal"]
        users = {row["id"]: row for row in self._rows("portal", "users")}
        groups = {row["id"]: row for row in self._rows("portal", "groups")}
        members: dict[str, set[str]] = defaultdict(set)
        for row in self._rows("portal", "group_members"):
            members[row["group_id"]].add(row["member_id"])
        expected = {user_id: user for portal in PORTALS_OF["portal"] for user_id, user in self.users[portal].items()}
        self._same_keys(5, "users of the portal", expected.keys() - parked, users.keys() - parked)
        for user_id in users.keys() & expected.keys() - parked:
            row, user = users[user_id], expected[user_id]
            found = (row["user_name"], row["display_name"], bool(row["active"]), row["email"])
            if found != (user.user_name, user.display_name, user.active, user.address):
                self._violate(5, f"the portal's projection of user {user_id} is not the directory's user")
        wanted = {group_id: group for portal in PORTALS_OF["portal"] for group_id, group in self.groups[portal].items()}
        self._same_keys(5, "groups of the portal", wanted.keys() - parked, groups.keys() - parked)
        for group_id in groups.keys() & wanted.keys() - parked:
            if groups[group_id]["display_name"] != wanted[group_id].display_name:
                self._violate(5, f"the portal knows group {group_id} by another name")
            if members[group_id] != wanted[group_id].members:
                self._violate(5, f"the portal's members of group {group_id} are not the directory's")

    def _check_accounts(self, portal: str, table: str) -> None:
        parked = self.parked["portal"]
        rows = {row["user_id"]: row for row in self._rows("portal", table) if row["user_id"] not in parked}
        expected = {
            user_id: user for user_id, user in self.users[portal].items() if user.active and user_id not in parked
        }
        self._same_keys(5, f"{table} of {portal}", expected, rows)
        for user_id in rows.keys() & expected.keys():
            row, user = rows[user_id], expected[user_id]
            job = {"job": user.title} if user.title else {}
            if (row["email"], row["display_name"]) != (user.address, user.display_name):
                self._violate(5, f"{table}: address or name of user {user_id} did not follow")
            if _json(row["user_metadata"]) != job:
                self._violate(5, f"{table}: metadata of user {user_id} did not follow")
            if portal == "dashboard" and (row["role"], row["role_source"]) != self._role(user_id):
                self._violate(5, f"the role of user {user_id} is not what its groups say")

    def _role(self, user_id: str) -> tuple[int, int]:
        roles = [
            _ROLES[group.first_name]
            for group in self.groups["dashboard"].values()
            if group.first_name in _ROLES and user_id in group.members
        ]
        if roles:
            return max(roles), portal_service_pb2.ROLE_SOURCE_GROUP
        return portal_service_pb2.ROLE_VIEWER, portal_service_pb2.ROLE_SOURCE_DEFAULT

    def _check_employees(self) -> None:
        """A leaver's employee is inactive or gone; whoever was repaired past all of it may never have been one."""
        parked = self.parked["mdm"]
        applied = {row["event_id"] for row in self.inbox["mdm"] if row["disposition"] == "APPLIED"}
        rows = {row["user_id"]: row for row in self._rows("mdm", "employees") if row["user_id"] not in parked}
        keeps = self.workload.behaviour == "change_policy"
        for user_id, user in self.users["mdm"].items():
            if user_id in parked:
                continue
            row = rows.pop(user_id, None)
            if row is None:
                all_applied = all(event.event_id in applied for event in self.by_aggregate[user_id])
                if user.active or (keeps and all_applied):
                    self._violate(5, f"employees of MDM: user {user_id} has none")
                continue
            if bool(row["active"]) != user.active or (not keeps and not user.active):
                self._violate(5, f"employees of MDM: user {user_id} is {user.active}, its employee {row['active']}")
            if (row["email"], row["display_name"]) != (user.address, user.display_name):
                self._violate(5, f"employees of MDM: address or name of user {user_id} did not follow")
            if _json(row["metadata"]) != ({"job": user.title} if user.title else {}):
                self._violate(5, f"employees of MDM: metadata of user {user_id} did not follow")
        if rows:
            self._violate(5, f"employees of MDM follow users that are gone: {_some(rows)}")

    def _devices(self) -> dict[str, Row]:
        rows = self.databases["mdm"].rows(f"SELECT * FROM devices WHERE workspace_id = '{self.workload.workspace_id}'")
        return {row["device_id"]: row for row in rows}

    def _check_devices(self) -> None:
        applied = {row["event_id"] for row in self.inbox["mdm"] if row["disposition"] == "APPLIED"}
        devices = self._devices()
        for device_id, owner in self.workload.devices.items():
            if owner in self.parked["mdm"]:
                continue
            user = self.users["mdm"].get(owner)
            departures = self.ever_inactive.get(owner, [])
            left = user is None or not user.active
            must = left or any(event.event_id in applied for event in departures)
            if self._is_taken(devices[device_id]) != must and (must or not departures):
                state = "was" if must else "was not"
                self._violate(5, f"device {device_id}: its owner {state} offboarded, the device says otherwise")

    def _is_taken(self, device: Row) -> bool:
        """Whether the rule for leavers has reached a device."""
        if self.workload.behaviour == "change_policy":
            return bool(device["policy_id"] == self.workload.locked_policy)
        return bool(device["state"] == _REMOVED)

    # -- 6: no connection's canary string appears in another's rows, events, logs or dead letters ---------------------

    def _check_isolation(self) -> None:
        canaries = {roll.app.connection_id: roll.canary for roll in self.workload.rolls.values()}
        for service, database in self.databases.items():
            for table, columns in database.tables().items():
                if "connection_id" in columns:
                    for row in self._rows(service, table):
                        self._look_for_strangers(canaries, row["connection_id"], row.values(), f"{service}.{table}")
        for message in self.messages:
            connection_id = message.subject.split(".")[-2]
            values = [message.data, *message.headers.values()]
            self._look_for_strangers(canaries, connection_id, values, f"event {message.headers.get('ce-id')}")
        for name, line in self._log_lines():
            for connection_id in canaries:
                if connection_id in line:
                    self._look_for_strangers(canaries, connection_id, [line], f"the log of {name}")

    def _look_for_strangers(
        self, canaries: Mapping[str, str], connection_id: str, values: Iterable[object], where: str
    ) -> None:
        text = "\0".join(
            bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value)
            for value in values
        ).lower()
        for other, canary in canaries.items():
            if other != connection_id and canary in text:
                self._violate(6, f"{where} of connection {connection_id} holds data of connection {other}")

    # -- 7: a user deactivated with an `ok` has no access downstream once lag is 0 ------------------------------------

    def _check_leavers(self) -> None:
        left = self._left_for_good()
        accounts = {row["user_id"] for table in ("collaborators", "employees") for row in self._rows("portal", table)}
        active = {row["user_id"] for row in self._rows("mdm", "employees") if row["active"]}
        for user_id in sorted(left - self.parked["portal"] - self.parked["mdm"]):
            if user_id in accounts:
                self._violate(7, f"user {user_id} was deactivated and still has an account")
            if user_id in active:
                self._violate(7, f"user {user_id} was deactivated and is still an active employee")
        devices = self._devices()
        for device_id, owner in self.workload.devices.items():
            if owner in left and owner not in self.parked["mdm"] and not self._is_taken(devices[device_id]):
                self._violate(7, f"user {owner} was deactivated and device {device_id} is as it was")

    def _left_for_good(self) -> set[str]:
        """Users with an acknowledged end of access after which nothing could have given it back."""
        ends: dict[str, float] = {}
        returns: dict[str, float] = {}
        for operation in self.workload.history:
            if operation.resource != "user" or operation.outcome == FAIL:
                continue
            wrote = operation.wrote
            if operation.outcome == OK and (wrote.get("deleted") or wrote.get("active") is False):
                ends[operation.resource_id] = max(operation.started, ends.get(operation.resource_id, 0.0))
            elif wrote.get("active") is True:
                # One that was not answered may still happen at any time.
                until = operation.ended if operation.outcome == OK else float("inf")
                returns[operation.resource_id] = max(until, returns.get(operation.resource_id, 0.0))
        return {user_id for user_id, at in ends.items() if returns.get(user_id, 0.0) < at}

    # -- 8: the parked set equals the injected poison -----------------------------------------------------------------

    def _check_parked(self) -> None:
        for service, rows in self.dead.items():
            parked = {row["event_id"] for row in rows if row["state"] == "PARKED"}
            if missing := self.injected.poison[service] - parked:
                self._violate(8, f"{service}: poison is not parked: {_some(missing)}")
            if surplus := parked - self.injected.poison[service] - self.injected.passing[service]:
                self._violate(8, f"{service}: parked and no poison: {_some(surplus)}")
            queued = {row["aggregate_id"] for row in rows if row["state"] != "PARKED"}
            if strangers := queued - self.injected.aggregates:
                self._violate(8, f"{service}: queues behind nothing: {_some(strangers)}")

    # -- 9: no personal data in subjects or logs ----------------------------------------------------------------------

    def _check_privacy(self) -> None:
        personal = [roll.canary for roll in self.workload.rolls.values()]
        for message in (*self.messages, *self.commands):
            told = "\0".join([message.subject, *message.headers, *message.headers.values()]).lower()
            if any(canary in told for canary in personal):
                self._violate(9, f"subject or headers of {message.headers.get('ce-id')} hold personal data")
        for name, line in self._log_lines():
            lower = line.lower()
            if any(canary in lower for canary in personal):
                self._violate(9, f"the log of {name} holds personal data: {line[:160]}")

    def _log_lines(self) -> Iterator[tuple[str, str]]:
        marks = self.workload.log_marks()
        for path in sorted(Path(self.stack.directory, "logs").glob("*.log")):
            with path.open("rb") as file:
                file.seek(marks.get(path.stem, 0))
                for line in file:
                    yield path.stem, line.decode(errors="replace")


async def _quietly(error: Exception) -> None:
    """Of three servers one that is away is passed over; what matters is raised by the calls."""


async def _messages(url: str, stream: str, filters: list[str]) -> list[_Message]:
    """Read every message of a stream on some subjects, in the stream's order."""
    client = await nats.connect(url.split(","), connect_timeout=5, error_cb=_quietly)
    found: list[_Message] = []
    try:
        js = client.jetstream()
        for subject in filters:
            try:
                last = await js.get_last_msg(stream, subject)
            except nats.js.errors.NotFoundError:
                continue
            assert last.seq is not None
            subscription = await js.subscribe(subject, stream=stream, ordered_consumer=True)
            try:
                while True:
                    message = _read(await subscription.next_msg(timeout=10))
                    found.append(message)
                    if message.stream_sequence >= last.seq:
                        break
            finally:
                await subscription.unsubscribe()
    finally:
        await client.close()
    return sorted(found, key=lambda message: message.stream_sequence)


def _read(message: Any) -> _Message:
    return _Message(message.metadata.sequence.stream, message.subject, dict(message.headers or {}), bytes(message.data))


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _named(operation: Operation) -> str:
    return f"{operation.kind} {operation.request_id} of {operation.portal} {operation.resource} {operation.resource_id}"


def _some(values: Iterable[object]) -> str:
    names = sorted(map(str, values))
    return ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    )
