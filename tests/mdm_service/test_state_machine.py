"""Users come and go, devices change hands, in any order: what must hold always."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from rollcall.directory.v1 import connection_service_pb2_grpc, user_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from chassis import grpc_client
from chassis.database import Database
from chassis.grpc_server import Server
from chassis.outbox import table_of
from mdm_service import devices, tables
from mdm_service.directory import Directory
from mdm_service.errors import DeviceRemoved, EmployeeNotFound
from tests.mdm_service.test_deactivation import ARMS
from tests.mdm_service.world import DirectoryOfTests, Tenant

T = TypeVar("T")

APPLY, REMOVE = mdm_service_pb2.DEVICE_COMMAND_KIND_APPLY_POLICY, mdm_service_pb2.DEVICE_COMMAND_KIND_REMOVE
EMAILS = ("ada@acme.test", "bob@acme.test")
# Two users for each address, so that employees are taken over.
USERS = {"ada": EMAILS[0], "bob": EMAILS[1], "ada.2": EMAILS[0], "bob.2": EMAILS[1]}
SERIALS = ("S0", "S1", "S2")


class Bench:
    """A database and a directory on an event loop of their own, for tests that are no coroutines."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        self.runner = runner
        self.db = Database(url, name="mdm")
        self.world = DirectoryOfTests()
        self._stack = contextlib.AsyncExitStack()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self.runner.run(work)

    async def open(self) -> None:
        """Open everything."""

        def register(server: grpc.aio.Server) -> None:
            connection_service_pb2_grpc.add_ConnectionServiceServicer_to_server(self.world, server)

        server = Server(register=register, service_names=(), address="127.0.0.1:0")
        await server.start()
        self._stack.push_async_callback(server.stop)
        channel = grpc_client.channel(f"127.0.0.1:{server.port}")
        self._stack.push_async_callback(channel.close)
        self.directory = Directory(channel)
        await self.db.start()
        self._stack.push_async_callback(self.db.stop)

    async def close(self) -> None:
        """Close everything."""
        await self._stack.aclose()

    def tenant(self) -> Tenant:
        """A new workspace."""
        made = Tenant(
            self.db,
            self.directory,
            self.world,
            workspace_id=str(uuid.uuid4()),
            connection_id=str(uuid.uuid4()),
        )
        made.announce()
        return made


@dataclass
class ModelEmployee:
    user_id: str
    active: bool


@dataclass
class ModelDevice:
    device_id: str
    owner: str = ""
    policy_id: str = ""
    removed: bool = False
    epoch: int = 0
    commands: list[tuple[int, str]] = field(default_factory=list)

    def give(self, owner: str) -> None:
        if self.owner != owner:
            self.owner = owner
            self.epoch += 1

    def apply(self, policy_id: str) -> None:
        if self.policy_id != policy_id:
            self.policy_id = policy_id
            self.commands.append((APPLY, policy_id))

    def remove(self) -> None:
        self.owner = ""
        self.removed = True
        self.epoch += 1
        self.commands.append((REMOVE, ""))


class Fleet(RuleBasedStateMachine):
    """The service beside a naive model of PRODUCT §6."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.tenant = bench.tenant()
        self.users: dict[str, user_pb2.User] = {}
        self.employees: dict[str, ModelEmployee] = {}
        self.enrolled: dict[str, ModelDevice] = {}
        self.retired: list[ModelDevice] = []
        self.behaviour = "do_nothing"

    @initialize()
    def rules(self) -> None:
        self.policies = [self.bench.run(self.tenant.policy(name)) for name in ("Standard", "Lockdown")]
        self.bench.run(self.tenant.rule("do_nothing"))

    # Users -----------------------------------------------------------------------------------------------------------

    @rule(behaviour=st.sampled_from(ARMS))
    def decide(self, behaviour: str) -> None:
        policy_id = self.policies[1] if behaviour == "change_policy" else ""
        self.bench.run(self.tenant.rule(behaviour, policy_id=policy_id))
        self.behaviour = behaviour

    @rule(name=st.sampled_from(sorted(USERS)), active=st.booleans())
    def appear(self, name: str, active: bool) -> None:
        if name in self.users:
            return
        self.users[name] = self.bench.run(self.tenant.create(name, email=USERS[name], active=active))
        if active:
            self.provide(name)

    @rule(name=st.sampled_from(sorted(USERS)))
    def leave(self, name: str) -> None:
        if name in self.users and self.users[name].active:
            self.bench.run(self.tenant.deactivate(self.users[name]))
            self.offboard(name)

    @rule(name=st.sampled_from(sorted(USERS)))
    def come_back(self, name: str) -> None:
        if name in self.users and not self.users[name].active:
            self.bench.run(self.tenant.reactivate(self.users[name]))
            employee = self.employees.get(USERS[name])
            if employee is not None and employee.user_id == self.users[name].id:
                employee.active = True
            else:
                self.provide(name)

    @rule(name=st.sampled_from(sorted(USERS)))
    def disappear(self, name: str) -> None:
        if name in self.users:
            self.bench.run(self.tenant.delete(self.users[name]))
            self.offboard(name)
            employee = self.employees.get(USERS[name])
            if employee is not None and employee.user_id == self.users[name].id:
                employee.user_id = ""
            del self.users[name]

    def provide(self, name: str) -> None:
        employee = self.employees.get(USERS[name])
        living = {user.id for user in self.users.values() if user.active and user is not self.users[name]}
        if employee is None or employee.user_id not in living:
            self.employees[USERS[name]] = ModelEmployee(self.users[name].id, active=True)

    def offboard(self, name: str) -> None:
        email = USERS[name]
        employee = self.employees.get(email)
        if employee is None or employee.user_id != self.users[name].id or self.behaviour == "do_nothing":
            return
        for serial in [serial for serial, device in self.enrolled.items() if device.owner == email]:
            device = self.enrolled[serial]
            if self.behaviour == "change_policy":
                device.apply(self.policies[1])
            elif self.behaviour == "remove_employee_and_devices":
                device.remove()
                self.retired.append(self.enrolled.pop(serial))
            else:
                device.give("")
        if self.behaviour.startswith("remove_employee"):
            del self.employees[email]
        else:
            employee.active = False

    # Devices ---------------------------------------------------------------------------------------------------------

    @rule(serial=st.sampled_from(SERIALS), owner=st.sampled_from(("", *EMAILS)), policy=st.sampled_from((-1, 0, 1)))
    def enroll(self, serial: str, owner: str, policy: int) -> None:
        if serial in self.enrolled:
            return
        policy_id = "" if policy < 0 else self.policies[policy]
        if owner and owner not in self.employees:
            with contextlib.suppress(EmployeeNotFound):
                self.bench.run(self.tenant.enroll(serial, owner=owner))
                raise AssertionError("a device was enrolled for nobody")
            return
        enrolled = self.bench.run(self.tenant.enroll(serial, owner=owner, policy_id=policy_id))
        device = ModelDevice(enrolled.device_id)
        device.give(owner)
        device.apply(policy_id)
        self.enrolled[serial] = device

    @rule(serial=st.sampled_from(SERIALS), owner=st.sampled_from(("", *EMAILS)))
    def hand_over(self, serial: str, owner: str) -> None:
        if serial not in self.enrolled or (owner and owner not in self.employees):
            return
        device = self.enrolled[serial]
        arguments = (self.bench.db, self.bench.directory, self.tenant.workspace_id, device.device_id)
        self.bench.run(devices.assign_device(*arguments, owner) if owner else devices.unassign_device(*arguments))
        device.give(owner)

    @rule(serial=st.sampled_from(SERIALS), policy=st.sampled_from((0, 1)))
    def set_policy(self, serial: str, policy: int) -> None:
        if serial not in self.enrolled:
            return
        device, policy_id = self.enrolled[serial], self.policies[policy]
        arguments = (self.bench.db, self.bench.directory, self.tenant.workspace_id, device.device_id)
        self.bench.run(devices.set_device_policy(*arguments, policy_id))
        device.apply(policy_id)

    @rule(serial=st.sampled_from(SERIALS))
    def remove(self, serial: str) -> None:
        if serial not in self.enrolled:
            return
        device = self.enrolled.pop(serial)
        arguments = (self.bench.db, self.bench.directory, self.tenant.workspace_id, device.device_id)
        self.bench.run(devices.remove_device(*arguments))
        with contextlib.suppress(DeviceRemoved):
            self.bench.run(devices.remove_device(*arguments))
            raise AssertionError("a device was removed twice")
        device.remove()
        self.retired.append(device)

    # What must hold --------------------------------------------------------------------------------------------------

    @invariant()
    def devices_are_as_the_model_says(self) -> None:
        """Owner, policy, state and epoch: so nobody's offboarding touched the next owner's device."""
        found, token = self.bench.run(
            devices.list_devices(self.bench.db, self.bench.directory, self.tenant.workspace_id, "", 200, "")
        )
        assert token == ""
        actual = {
            device.device_id: (
                device.owner_email,
                device.policy_id,
                device.state == mdm_service_pb2.DEVICE_STATE_REMOVED,
                device.assignment_epoch,
            )
            for device in found
        }
        assert actual == {
            device.device_id: (device.owner, device.policy_id, device.removed, device.epoch)
            for device in [*self.enrolled.values(), *self.retired]
        }

    @invariant()
    def employees_are_as_the_model_says(self) -> None:
        """One per address, following one user or nobody."""
        actual = {}
        for email in EMAILS:
            employee = self.bench.run(self.tenant.employee(email))
            if employee is not None:
                actual[email] = ModelEmployee(employee.user_id, employee.active)
        assert actual == self.employees

    @invariant()
    def commands_match_what_devices_are(self) -> None:
        """Each change that must reach the device is one command, and one event of the next version."""
        outbox = table_of(tables.Outbox)
        statement = outbox.select().where(outbox.c.workspace_id == self.tenant.workspace_id).order_by(outbox.c.id)
        rows = self.bench.run(self.bench.db.read(lambda tx: tx.execute(statement).mappings().all()))
        for device in [*self.enrolled.values(), *self.retired]:
            commands = self.bench.run(self.tenant.commands(device.device_id))
            assert [(command.kind, command.policy_id) for command in commands] == device.commands
            versions = [row["version"] for row in rows if row["aggregate_id"] == device.device_id]
            assert versions == list(range(1, len(commands) + 1))

    @invariant()
    def no_effect_is_without_its_reason(self) -> None:
        """PRODUCT §7: `APPLIED`, or why not."""
        for _, _, outcome, reason in self.bench.run(self.tenant.summary()):
            assert (outcome == "APPLIED") is (reason == "")


def test_whatever_happens_devices_and_people_are_as_the_rules_say(mdm_url: str) -> None:
    """PRODUCT §6: "Nobody's offboarding touches the next owner's laptop"."""
    with asyncio.Runner() as runner:
        bench = Bench(runner, mdm_url)
        bench.run(bench.open())
        try:
            run_state_machine_as_test(
                lambda: Fleet(bench),
                settings=settings(
                    max_examples=20,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    database=None,
                ),
            )
        finally:
            bench.run(bench.close())
