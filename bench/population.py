"""A workspace of many people, written straight into the databases: what years of provisioning leave behind.

It is as the services would have left it as far as what is read goes; no event is published of it.
"""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import sqlalchemy as sa
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1.connection_service_pb2 import CLIENT_DIALECT_OKTA_OIN
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

import directory_service.tables as directory_tables
import mdm_service.tables as mdm_tables
import portal_service.tables as portal_tables
from chassis.database import create_engine
from chassis.identifiers import time_ordered_id
from chassis.outbox import table_of
from chassis.tenancy import EVERY, SETTING

ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUPS = 300
PARKED = 300
POLICIES = 150
PUBLICATIONS = 150
SEGMENTS = 50
SEGMENT_DEVICES = 200
COMMANDS = 50
ATTRIBUTES = 60
INACTIVE_EVERY = 50
FAILED_EVERY = 40
WITHOUT_EMAIL_EVERY = 200
TAKEN_EVERY = 5_000
_CHUNK = 5_000


@dataclass
class Population:
    """What was written, as far as addresses of pages name it."""

    workspace_id: str
    connections: Mapping[str, str]
    users: dict[str, list[str]] = field(default_factory=dict)
    """Ids of users by portal."""
    groups: dict[str, list[str]] = field(default_factory=dict)
    """Ids of groups by portal; the first has every user as a member, the second the parked members."""
    devices: list[str] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    publications: list[str] = field(default_factory=list)
    effects: dict[str, list[str]] = field(default_factory=dict)
    """Ids of effects by portal, oldest first."""
    requests: dict[str, list[str]] = field(default_factory=dict)
    """Ids of requests by portal, one for each user; every `FAILED_EVERY`th failed."""
    dead_letters: dict[str, str] = field(default_factory=dict)
    """The id of a dead letter by portal."""

    def email(self, number: int) -> str:
        """The e-mail address of a person."""
        return f"person{number:06}@many.example"


def fill(urls: Mapping[str, str], workspace_id: str, connections: Mapping[str, str], count: int) -> Population:
    """Write `count` users into each connection of a workspace, with all that followed from them.

    `urls` are those of the databases of `directory`, `portal` and `mdm`; `connections` the ids by portal: `dashboard`,
    `store`, `mdm`.
    """
    made = Population(workspace_id, connections)
    rng = random.Random(7)
    now = datetime.datetime.now(datetime.UTC)
    with _writing(urls["directory"]) as tx:
        for name in connections:
            _fill_connection(tx, made, name, count, rng, now)
    with _writing(urls["portal"]) as tx:
        _fill_portal(tx, made, count, rng, now)
    with _writing(urls["mdm"]) as tx:
        _fill_mdm(tx, made, count, rng, now)
    return made


class _writing:  # a context manager that reads as a verb
    """One transaction on a database, and its statistics afterwards as a database gathers them by itself."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, "population", purpose="write")

    def __enter__(self) -> sa.Connection:
        self._connection = self._engine.connect()
        if self._engine.dialect.name == "postgresql":
            self._connection.exec_driver_sql(f"SELECT set_config('{SETTING}', '{EVERY}', false)")
        return self._connection

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._connection.commit()
        self._connection.close()
        if kind is None and self._engine.dialect.name == "postgresql":
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("ANALYZE")
        self._engine.dispose()


def _insert(tx: sa.Connection, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    iterator = iter(rows)
    statement = sa.insert(table_of(table))
    while chunk := list(islice(iterator, _CHUNK)):
        tx.execute(statement, chunk)


def _id(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _document(number: int, email: str) -> dict[str, Any]:
    return {
        "userName": email,
        "externalId": f"00u{number:017}",
        "name": {"givenName": f"Given{number}", "familyName": f"Family{number}"},
        "displayName": f"Given{number} Family{number}",
        "emails": [{"value": email, "type": "work", "primary": True}],
        "locale": "en-US",
        "title": ("Engineer", "Clerk", "Driver")[number % 3],
        "active": number % INACTIVE_EVERY != 0,
        ENTERPRISE_URN: {"department": f"Department {number % 40}", "employeeNumber": str(number)},
    }


def _fill_connection(
    tx: sa.Connection, made: Population, name: str, count: int, rng: random.Random, now: datetime.datetime
) -> None:
    connection_id, now_ms = made.connections[name], int(now.timestamp() * 1000)
    users = made.users[name] = [_id(rng) for _ in range(count)]
    groups = made.groups[name] = [_id(rng) for _ in range(GROUPS)]
    requests = made.requests[name] = [_id(rng) for _ in range(count)]
    tables = directory_tables
    _insert(tx, tables.User, (
        {
            "id": user_id, "connection_id": connection_id, "user_name": made.email(number),
            "user_name_key": made.email(number), "external_id": f"00u{number:017}",
            "active": number % INACTIVE_EVERY != 0, "document": _document(number, made.email(number)),
            "metadata": {"department": f"Department {number % 40}"}, "mapping_generation": 1, "version": 1,
            "created_ms": now_ms, "updated_ms": now_ms,
        }
        for number, user_id in enumerate(users)
    ))  # fmt: skip
    _insert(tx, tables.Group, (
        {
            "id": group_id, "connection_id": connection_id, "display_name": f"Group {number:04}",
            "display_name_key": f"group {number:04}", "external_id": None,
            "document": {"displayName": f"Group {number:04}"}, "member_count": 0 if number else count,
            "last_member_position": 0 if number else count, "version": 1, "created_ms": now_ms, "updated_ms": now_ms,
        }
        for number, group_id in enumerate(groups)
    ))  # fmt: skip
    _insert(tx, tables.GroupMember, (
        {
            "group_id": groups[0], "member_id": user_id, "connection_id": connection_id, "kind": tables.KIND_USER,
            "position": number, "display": None,
        }
        for number, user_id in enumerate(users, 1)
    ))  # fmt: skip
    _insert(tx, tables.ParkedMember, (
        {
            "group_id": groups[1], "value": f"unknown-{number}", "value_key": f"unknown-{number}",
            "connection_id": connection_id, "kind": tables.KIND_USER, "display": None, "parked_ms": now_ms,
        }
        for number in range(PARKED)
    ))  # fmt: skip
    _insert(tx, tables.AttributeSighting, (
        {
            "connection_id": connection_id, "kind": tables.KIND_USER, "namespace": "urn:example:custom",
            "key": f"attribute{number}", "forms": 1, "first_seen_ms": now_ms, "last_seen_ms": now_ms, "count": count,
        }
        for number in range(ATTRIBUTES)
    ))  # fmt: skip
    _insert(tx, tables.Outbox, (
        {
            "event_id": _event_id(user_id), "type": "rollcall.directory.v1.UserCreated", "subject": "directory.v1.many",
            "source": "bench", "portal": name.upper(), "connection_id": connection_id,
            "workspace_id": made.workspace_id, "aggregate_kind": "user", "aggregate_id": user_id, "version": 1,
            "sequence": number + 1000, "payload": b"", "request_id": request_id, "request": "POST /Users",
            "traceparent": "", "created_at": now, "sent_at": now, "stream_sequence": None,
        }
        for number, (user_id, request_id) in enumerate(zip(users, requests, strict=True))
    ))  # fmt: skip
    _insert(tx, tables.LogEntry, (
        _log_row(made, name, number, request_id, now_ms) for number, request_id in enumerate(requests)
    ))  # fmt: skip
    connections = table_of(tables.Connection)
    tx.execute(
        sa.update(connections)
        .where(connections.c.id == connection_id)
        .values(
            user_count=count, group_count=GROUPS, parked_count=PARKED, sequence=count + 1000, last_request_ms=now_ms
        )
    )


def _log_row(made: Population, name: str, number: int, request_id: str, now_ms: int) -> dict[str, Any]:
    failed = number % FAILED_EVERY == 0
    return {
        "entry_id": time_ordered_id(), "connection_id": made.connections[name], "workspace_id": made.workspace_id,
        "request_id": request_id, "time_ms": now_ms, "duration_us": 4_000,
        "client_dialect": CLIENT_DIALECT_OKTA_OIN, "method": "POST", "route": "/Users",
        "status": 409 if failed else 201, "scim_type": "uniqueness" if failed else "",
        "detail": "userName is taken" if failed else "", "resource_kind": "" if failed else "user",
        "resource_id": "" if failed else made.users[name][number], "resource_version": 0 if failed else 1,
        "resource_count": 0 if failed else 1, "omitted_count": 0, "start_index": 0, "listed_count": 0, "total_count": 0,
    }  # fmt: skip


def _event_id(user_id: str) -> str:
    return str(uuid.uuid5(uuid.UUID(user_id), "created"))


def _effects(
    made: Population, name: str, kind: str, targets: list[str], now: datetime.datetime
) -> Iterator[dict[str, Any]]:
    ids = made.effects[name] = []
    for number, (user_id, target_id) in enumerate(zip(made.users[name], targets, strict=True)):
        ids.append(time_ordered_id())
        outcome, reason = delivery.OUTCOME_APPLIED, ""
        if number % TAKEN_EVERY == 1:
            outcome, reason = delivery.OUTCOME_FAILED, "EMAIL_TAKEN"
        elif number % WITHOUT_EMAIL_EVERY == 1:
            outcome, reason = delivery.OUTCOME_SKIPPED, "NO_EMAIL"
        yield {
            "effect_id": ids[-1], "event_id": _event_id(user_id), "event_type": "rollcall.directory.v1.UserCreated",
            "request_id": made.requests[name][number], "workspace_id": made.workspace_id,
            "connection_id": made.connections[name], "user_id": user_id, "user_name": made.email(number),
            "rule": "on_create", "rule_version": 2, "target_kind": kind, "target_id": target_id,
            "target_name": made.email(number), "action": f"CREATE_{kind}", "before": "",
            "after": f'{{"email":"{made.email(number)}"}}',
            "outcome": delivery.Outcome.Name(outcome).removeprefix("OUTCOME_"), "reason": reason, "repair": False,
            "time": now,
        }  # fmt: skip


def _dead_letter(made: Population, name: str, now: datetime.datetime) -> dict[str, Any]:
    letter_id = made.dead_letters[name] = time_ordered_id()
    return {
        "id": letter_id, "event_id": f"dead-{letter_id}", "event_type": "rollcall.directory.v1.UserUpdated",
        "event_time": now, "subject": "x", "portal": name.upper(), "connection_id": made.connections[name],
        "aggregate_kind": "user", "aggregate_id": made.users[name][0], "version": 2, "sequence": 1, "request_id": "",
        "traceparent": "", "payload": b"\xff", "state": "PARKED", "error": "cannot be read", "attempts": 5,
        "created_at": now,
    }  # fmt: skip


def _account(made: Population, name: str, number: int, account_id: str, now: datetime.datetime) -> dict[str, Any]:
    return {
        "id": account_id, "workspace_id": made.workspace_id, "email": made.email(number),
        "email_key": made.email(number), "display_name": f"Given{number} Family{number}",
        "connection_id": made.connections[name], "user_id": made.users[name][number],
        "user_metadata": {"department": f"Department {number % 40}"}, "created_at": now,
    }  # fmt: skip


def _fill_portal(tx: sa.Connection, made: Population, count: int, rng: random.Random, now: datetime.datetime) -> None:
    tables = portal_tables
    for name in ("dashboard", "store"):
        _insert(tx, tables.Users, (
            {
                "id": user_id, "connection_id": made.connections[name], "workspace_id": made.workspace_id,
                "portal": name.upper(), "user_name": made.email(number), "display_name": f"Given{number}",
                "email": made.email(number), "email_key": made.email(number), "active": True, "user_metadata": {},
                "account_state": 1,
            }
            for number, user_id in enumerate(made.users[name])
        ))  # fmt: skip
        _insert(tx, tables.Groups, (
            {
                "id": group_id, "connection_id": made.connections[name], "workspace_id": made.workspace_id,
                "display_name": f"Group {number:04}", "name_key": f"group {number:04}",
                "first_name_key": f"group {number:04}",
            }
            for number, group_id in enumerate(made.groups[name])
        ))  # fmt: skip
        _insert(tx, tables.GroupMembers, (
            {
                "group_id": made.groups[name][0], "member_id": user_id, "connection_id": made.connections[name],
                "is_group": False,
            }
            for user_id in made.users[name]
        ))  # fmt: skip
        _insert(tx, tables.DeadLetters, [_dead_letter(made, name, now)])
    accounts = {name: [_id(rng) for _ in range(count)] for name in ("dashboard", "store")}
    _insert(tx, tables.Collaborators, (
        {
            **_account(made, "dashboard", number, account_id, now),
            "role": portal.ROLE_ADMIN if number < 2 else portal.ROLE_VIEWER,
            "role_source": portal.ROLE_SOURCE_DEFAULT,
        }
        for number, account_id in enumerate(accounts["dashboard"])
    ))  # fmt: skip
    _insert(tx, tables.Employees, (
        _account(made, "store", number, account_id, now) for number, account_id in enumerate(accounts["store"])
    ))  # fmt: skip
    publications = made.publications = [_id(rng) for _ in range(PUBLICATIONS)]
    _insert(tx, tables.Publications, (
        {
            "id": one, "workspace_id": made.workspace_id, "name": f"App {number:04}", "name_key": f"app {number:04}",
            "restricted": number % 2 == 0, "created_at": now,
        }
        for number, one in enumerate(publications)
    ))  # fmt: skip
    _insert(tx, tables.PublicationAudiences, (
        {
            "publication_id": one, "group_id": made.groups["store"][place],
            "connection_id": made.connections["store"], "display_name": f"Group {place:04}",
        }
        for number, one in enumerate(publications)
        for place in (0, number % (GROUPS - 1) + 1)
        if number % 2 == 0
    ))  # fmt: skip
    _insert(tx, tables.Effects, _effects(made, "dashboard", "COLLABORATOR", accounts["dashboard"], now))
    _insert(tx, tables.Effects, _effects(made, "store", "EMPLOYEE", accounts["store"], now))


def _fill_mdm(tx: sa.Connection, made: Population, count: int, rng: random.Random, now: datetime.datetime) -> None:
    tables = mdm_tables
    employees = [_id(rng) for _ in range(count)]
    devices = made.devices = [_id(rng) for _ in range(count)]
    policies = made.policies = [_id(rng) for _ in range(POLICIES)]
    segments = made.segments = [_id(rng) for _ in range(SEGMENTS)]
    workspace = {"workspace_id": made.workspace_id}
    _insert(tx, tables.User, (
        {
            "user_id": user_id, "connection_id": made.connections["mdm"], **workspace,
            "user_name": made.email(number), "email": made.email(number), "active": True, "obstacle": "",
        }
        for number, user_id in enumerate(made.users["mdm"])
    ))  # fmt: skip
    _insert(tx, tables.Employee, (
        {
            "employee_id": employee_id, **workspace, "email": made.email(number), "email_key": made.email(number),
            "display_name": f"Given{number} Family{number}", "connection_id": made.connections["mdm"],
            "user_id": made.users["mdm"][number], "metadata": {"department": f"Department {number % 40}"},
            "active": True, "created_at": now,
        }
        for number, employee_id in enumerate(employees)
    ))  # fmt: skip
    _insert(tx, tables.Policy, (
        {
            "policy_id": policy_id, **workspace, "name": f"Policy {number:04}", "name_key": f"policy {number:04}",
            "created_at": now,
        }
        for number, policy_id in enumerate(policies)
    ))  # fmt: skip
    _insert(tx, tables.Device, (
        {
            "device_id": device_id, **workspace, "serial": f"C{number:08}", "name": f"Device {number}",
            "platform": "macos", "policy_id": policies[number % POLICIES], "owner_employee_id": employees[number],
            "state": mdm.DEVICE_STATE_ENROLLED, "assignment_epoch": 1, "command_version": COMMANDS, "enrolled_at": now,
        }
        for number, device_id in enumerate(devices)
    ))  # fmt: skip
    _insert(tx, tables.DeviceCommand, (
        {
            "command_id": _id(rng), **workspace, "device_id": devices[0], "version": number + 1,
            "kind": mdm.DEVICE_COMMAND_KIND_APPLY_POLICY, "policy_id": policies[number % POLICIES],
            "state": mdm.DEVICE_COMMAND_STATE_ACKNOWLEDGED, "error": "", "created_at": now, "reported_at": now,
        }
        for number in range(COMMANDS)
    ))  # fmt: skip
    _insert(tx, tables.Segment, (
        {
            "segment_id": segment_id, **workspace, "name": f"Segment {number:04}", "name_key": f"segment {number:04}",
        }
        for number, segment_id in enumerate(segments)
    ))  # fmt: skip
    _insert(tx, tables.SegmentDevice, (
        {"segment_id": segment_id, "device_id": device_id, **workspace}
        for number, segment_id in enumerate(segments)
        for device_id in sorted(set(devices[number * SEGMENT_DEVICES : (number + 1) * SEGMENT_DEVICES]))
    ))  # fmt: skip
    _insert(tx, tables.SegmentGrant, (
        {
            "segment_id": segment_id, "email_key": made.email(0), **workspace, "email": made.email(0),
            "permission": mdm.SEGMENT_PERMISSION_VIEW,
        }
        for segment_id in segments
    ))  # fmt: skip
    _insert(tx, tables.DeadLetter, [_dead_letter(made, "mdm", now)])
    _insert(tx, tables.Effect, _effects(made, "mdm", "EMPLOYEE", employees, now))
