"""Whatever the order of events of different resources, what follows is a fold over the directory."""

from __future__ import annotations

from collections import deque
from typing import Any

import sqlalchemy as sa
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from rollcall.directory.v1 import events_pb2
from rollcall.directory.v1.group_pb2 import Group
from rollcall.directory.v1.user_pb2 import User
from rollcall.portal.v1 import portal_service_pb2 as pb

from chassis.database import Transaction, create_engine
from portal_service import repository
from portal_service.repository import COLLABORATORS, EMPLOYEES
from tests.portal_service.conftest import empty
from tests.portal_service.desk import MORNING, WORKSPACE, Connection, apply, envelope, table

NAMES = ["applivery-admin", "applivery-editor", "applivery-unassigned", "sales"]
MAPPED = {
    "applivery-admin": pb.ROLE_ADMIN,
    "applivery-editor": pb.ROLE_EDITOR,
    "applivery-unassigned": pb.ROLE_UNASSIGNED,
}
PRIVILEGE = [pb.ROLE_UNASSIGNED, pb.ROLE_VIEWER, pb.ROLE_EDITOR, pb.ROLE_ADMIN]
ADDRESSES = ["a@x", "b@x", "c@x", "d@x", ""]


class Roll(RuleBasedStateMachine):
    """A directory that changes, and a portal service that learns of it late and out of order.

    Events of one resource stay in order, as the consumer guarantees; whose queue is served next is anybody's guess.
    """

    def __init__(self, url: str, portal: str) -> None:
        super().__init__()
        self.url = url
        self.engine = create_engine(url, "test", purpose="write")
        self.connection = self.engine.connect()
        self.dialect = self.engine.dialect.name
        self.portal = portal
        self.roll = Connection(portal)
        self.users: dict[str, User] = {}
        self.groups: dict[str, Group] = {}
        self.members: dict[str, set[str]] = {}
        self.queues: dict[str, deque[Message]] = {}
        self.made = 0

    def teardown(self) -> None:
        try:
            self.settle_in_turn()
        finally:
            self.connection.close()
            self.engine.dispose()
            empty(self.url)

    def work(self, unit: Any) -> Any:
        with self.connection.begin():
            return unit(Transaction(self.connection, self.dialect))

    def publish(self, resource: str, message: Message) -> None:
        self.queues.setdefault(resource, deque()).append(message)

    def publish_members(self, group_id: str, added: set[str], removed: set[str]) -> None:
        users = {True: [], False: []}
        groups = {True: [], False: []}
        for is_added, changed in ((True, added), (False, removed)):
            for member in sorted(changed):
                (groups if member.startswith("g") else users)[is_added].append(member)
        message = self.roll.members(self.groups[group_id], users[True], users[False], groups[True], groups[False])
        self.publish(group_id, message)

    @initialize()
    def open(self) -> None:
        dashboard = self.portal == "DASHBOARD"

        def unit(tx: Transaction) -> None:
            apply(tx, envelope(self.roll.event(events_pb2.ConnectionEnabled)))
            values = {
                "on_create": pb.ON_CREATE_CREATE_COLLABORATOR if dashboard else pb.ON_CREATE_CREATE_EMPLOYEE,
                "on_deactivate": (
                    pb.ON_DEACTIVATE_REMOVE_COLLABORATOR if dashboard else pb.ON_DEACTIVATE_REMOVE_EMPLOYEE
                ),
            }
            if dashboard:
                values["role_mode"] = pb.ROLE_MODE_CONTINUOUS
                boss = {
                    "id": "boss", "workspace_id": WORKSPACE, "email": "boss@x", "email_key": "boss@x",
                    "display_name": "", "connection_id": "", "user_id": "", "user_metadata": {},
                    "created_at": MORNING, "role": pb.ROLE_ADMIN, "role_source": pb.ROLE_SOURCE_MANUAL,
                }  # fmt: skip
                COLLABORATORS.insert(tx, boss)
            repository.update_rules(tx, self.roll.connection_id, values)

        self.work(unit)
        # A directory that is not empty, so that most steps change something that matters.
        for email in ("a@x", "b@x", "c@x", "a@x"):
            self.add_user(email, True)
        for name in ("applivery-editor", "applivery-admin", "sales"):
            self.add_group(name)

    @rule(email=st.sampled_from(ADDRESSES), active=st.booleans())
    def create_user(self, email: str, active: bool) -> None:
        self.add_user(email, active)

    def add_user(self, email: str, active: bool) -> None:
        self.made += 1
        user = self.roll.user(f"u{self.made}", email=email, active=active)
        self.users[user.id] = user
        self.publish(user.id, self.roll.created(user))

    @precondition(lambda self: self.users)
    @rule(data=st.data(), email=st.sampled_from(ADDRESSES))
    def change_address(self, data: st.DataObject, email: str) -> None:
        before = self.users[data.draw(st.sampled_from(sorted(self.users)))]
        self.change(before, email, before.active)

    @precondition(lambda self: self.users)
    @rule(data=st.data())
    def change_state(self, data: st.DataObject) -> None:
        before = self.users[data.draw(st.sampled_from(sorted(self.users)))]
        self.change(before, self.address_of(before.id), not before.active)

    def change(self, before: User, email: str, active: bool) -> None:
        after = self.roll.user(before.id, email=email, active=active)
        self.users[after.id] = after
        if before.active and not active:
            self.publish(after.id, self.roll.deactivated(after))
        elif active and not before.active:
            self.publish(after.id, self.roll.reactivated(after))
        else:
            self.publish(after.id, self.roll.updated(after))

    @precondition(lambda self: len(self.users) > 2)
    @rule(data=st.data())
    def delete_user(self, data: st.DataObject) -> None:
        user = self.users.pop(data.draw(st.sampled_from(sorted(self.users))))
        self.publish(user.id, self.roll.deleted(user))
        self.leave_groups(user.id)

    def leave_groups(self, member: str) -> None:
        for group_id in sorted(self.members):
            if member in self.members[group_id]:
                self.members[group_id].discard(member)
                self.publish_members(group_id, set(), {member})

    @rule(data=st.data())
    def create_group(self, data: st.DataObject) -> None:
        free = sorted(set(NAMES) - {group.display_name for group in self.groups.values()})
        if free:
            self.add_group(data.draw(st.sampled_from(free)))

    def add_group(self, name: str) -> None:
        self.made += 1
        group = self.roll.group(f"g{self.made}", name)
        self.groups[group.id] = group
        self.members[group.id] = set()
        self.publish(group.id, self.roll.group_created(group))

    @precondition(lambda self: self.groups)
    @rule(data=st.data())
    def change_members(self, data: st.DataObject) -> None:
        group_id = data.draw(st.sampled_from(sorted(self.groups)))
        # Groups nest only into older ones, so that there is no cycle.
        nestable = [other for other in self.groups if int(other[1:]) > int(group_id[1:])]
        candidates = sorted([*self.users, *nestable])
        after = set(data.draw(st.lists(st.sampled_from(candidates), unique=True, min_size=1))) if candidates else set()
        before = self.members[group_id]
        self.members[group_id] = after
        self.publish_members(group_id, after - before, before - after)

    @precondition(lambda self: len(self.groups) > 2)
    @rule(data=st.data())
    def delete_group(self, data: st.DataObject) -> None:
        group = self.groups.pop(data.draw(st.sampled_from(sorted(self.groups))))
        del self.members[group.id]
        self.publish(group.id, self.roll.group_deleted(group))
        self.leave_groups(group.id)

    @precondition(lambda self: self.queues)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, 4))):
            if self.queues:
                self.deliver_one(data.draw(st.sampled_from(sorted(self.queues))))

    @precondition(lambda self: sum(map(len, self.queues.values())) > 8)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        while self.queues:
            self.deliver_one(data.draw(st.sampled_from(sorted(self.queues))))
        self.check()

    def settle_in_turn(self) -> None:
        while self.queues:
            self.deliver_one(min(self.queues))
        self.check()

    def deliver_one(self, resource: str) -> None:
        message = self.queues[resource].popleft()
        if not self.queues[resource]:
            del self.queues[resource]
        # The version says no more than "not the first": the handlers may not depend on it.
        is_created = message.DESCRIPTOR.name.endswith("Created")
        self.work(lambda tx: apply(tx, envelope(message, version=1 if is_created else 2)))

    # -- what must hold once everything has arrived -------------------------------------------------------------------

    def groups_of(self, member: str) -> set[str]:
        above = {group_id for group_id, members in self.members.items() if member in members}
        return above.union(*(self.groups_of(group_id) for group_id in above)) if above else above

    def address_of(self, user_id: str) -> str:
        user = self.users[user_id]
        return user.emails[0].value if user.emails else ""

    def check(self) -> None:
        self.work(self.check_projection)
        self.work(self.check_accounts)

    def check_projection(self, tx: Transaction) -> None:
        users = {row.id: (row.active, row.email) for row in tx.execute(sa.select(table("users")))}
        assert users == {name: (user.active, self.address_of(name)) for name, user in self.users.items()}
        members: dict[str, set[str]] = {name: set() for name in self.groups}
        for row in tx.execute(sa.select(table("group_members"))):
            members[row.group_id].add(row.member_id)
        assert members == self.members
        assert {row.id for row in tx.execute(sa.select(table("groups")))} == set(self.groups)

    def check_accounts(self, tx: Transaction) -> None:
        rows = (COLLABORATORS if self.portal == "DASHBOARD" else EMPLOYEES).table
        accounts = {row.user_id: row for row in tx.execute(sa.select(rows).where(rows.c.user_id != ""))}
        held = {row.email_key: row.user_id for row in tx.execute(sa.select(rows))}
        for user_id, account in accounts.items():
            assert self.users[user_id].active, "an account without somebody active behind it"
            address = self.address_of(user_id)
            if address and account.email != address:
                assert held.get(address, user_id) != user_id, "the address does not follow, and nothing stops it"
        for user_id, user in self.users.items():
            address = self.address_of(user_id)
            if user.active and address and user_id not in accounts:
                assert address in held, "an active user has no account, and nothing stops it"
        if self.portal == "DASHBOARD":
            for user_id, account in accounts.items():
                names = {self.groups[group_id].display_name for group_id in self.groups_of(user_id)}
                roles = [MAPPED[name] for name in names if name in MAPPED]
                expected = (
                    (max(roles, key=PRIVILEGE.index), pb.ROLE_SOURCE_GROUP)
                    if roles
                    else (pb.ROLE_VIEWER, pb.ROLE_SOURCE_DEFAULT)
                )
                assert (account.role, account.role_source) == expected, f"{user_id} in {names}"


def run(url: str, portal: str) -> None:
    run_state_machine_as_test(
        lambda: Roll(url, portal),
        settings=settings(
            max_examples=18,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            # Shrinking a sequence of events costs minutes; the sequence itself is told either way.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_collaborators_and_roles_are_a_fold_over_the_directory(schema_url: str) -> None:
    """DELIVERY, invariant 5: "downstream = fold(directory), computed independently"."""
    run(schema_url, "DASHBOARD")


def test_employees_are_a_fold_over_the_directory(schema_url: str) -> None:
    """DELIVERY, invariant 5: "downstream = fold(directory), computed independently"."""
    run(schema_url, "STORE")
