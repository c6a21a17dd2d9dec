"""Two processes on one database: what must hold however they interleave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from rollcall.directory.v1 import events_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from chassis.database import Database
from mdm_service import devices
from mdm_service.errors import DeviceExists, DeviceRemoved, EmployeeNotFound
from tests.mdm_service.world import Tenant

ROUNDS = 12


@pytest.fixture
async def elsewhere(mdm_url: str) -> AsyncIterator[Database]:
    """The same database, as another process has it open."""
    database = Database(mdm_url, name="mdm-elsewhere")
    await database.start()
    yield database
    await database.stop()


async def test_passing_a_device_on_never_races_its_owners_offboarding(tenant: Tenant, elsewhere: Database) -> None:
    """PRODUCT §6: "Nobody's offboarding touches the next owner's laptop"."""
    await tenant.rule("remove_employee_and_devices")
    await tenant.create("bob")
    for number in range(ROUNDS):
        ada = await tenant.create(f"ada{number}")
        device = await tenant.enroll(f"S{number}", owner=f"ada{number}@acme.test")
        passing = devices.assign_device(
            elsewhere, tenant.directory, tenant.workspace_id, device.device_id, "bob@acme.test"
        )
        passed, left = await asyncio.gather(passing, tenant.deactivate(ada), return_exceptions=True)
        assert not isinstance(left, BaseException)
        now = await tenant.device(device.device_id)
        outcome = {action: (result, reason) for action, _, result, reason in await tenant.summary(left)}
        if isinstance(passed, BaseException):
            assert isinstance(passed, DeviceRemoved)
            assert (now.state, now.owner_email) == (mdm_service_pb2.DEVICE_STATE_REMOVED, "")
            assert outcome["REMOVE_DEVICE"] == ("APPLIED", "")
        else:
            assert (now.state, now.owner_email) == (mdm_service_pb2.DEVICE_STATE_ENROLLED, "bob@acme.test")
            assert outcome.get("REMOVE_DEVICE", ("SKIPPED", "CHANGED_HANDS")) == ("SKIPPED", "CHANGED_HANDS")


async def test_no_device_is_given_to_an_employee_who_is_gone(tenant: Tenant, elsewhere: Database) -> None:
    """PRODUCT §6: "employee gone, devices unassigned": no device is left with an owner that does not exist."""
    await tenant.rule("remove_employee")
    for number in range(ROUNDS):
        email = f"ada{number}@acme.test"
        ada = await tenant.create(f"ada{number}")
        device = await tenant.enroll(f"S{number}")
        giving = devices.assign_device(elsewhere, tenant.directory, tenant.workspace_id, device.device_id, email)
        given, left = await asyncio.gather(giving, tenant.deactivate(ada), return_exceptions=True)
        assert not isinstance(left, BaseException)
        now = await tenant.device(device.device_id)
        assert (now.owner_email, now.owner_employee_id) == ("", "")
        assert await tenant.employee(email) is None
        if isinstance(given, BaseException):
            assert isinstance(given, EmployeeNotFound)
            assert now.assignment_epoch == 0
        else:
            assert now.assignment_epoch == 2


async def test_two_users_with_one_address_become_one_employee(tenant: Tenant, elsewhere: Database) -> None:
    """PRODUCT §2: "if another account has it, the effect is `FAILED` with that reason and nothing is merged"."""
    await tenant.rule()
    second = tenant.second_connection()
    await second.rule()
    second.db = elsewhere
    for number in range(ROUNDS):
        email = f"ada{number}@acme.test"
        users = [each.new_user(f"ada{number}", email=email) for each in (tenant, second)]
        events = [
            each.user_event(events_pb2.UserCreated, user) for each, user in zip((tenant, second), users, strict=True)
        ]
        await asyncio.gather(tenant.handle(events[0]), second.handle(events[1]))
        outcomes = [await tenant.summary(event) for event in events]
        assert sorted(outcomes) == [
            [("CREATE_EMPLOYEE", email, "APPLIED", "")],
            [("CREATE_EMPLOYEE", email, "FAILED", "EMAIL_TAKEN")],
        ]
        employee = await tenant.employee(email)
        assert employee is not None
        assert employee.user_id == users[outcomes.index([("CREATE_EMPLOYEE", email, "APPLIED", "")])].id


async def test_a_serial_is_enrolled_by_one_of_many(tenant: Tenant, elsewhere: Database) -> None:
    """errors.proto: "The serial number is enrolled in the workspace. ALREADY_EXISTS"."""
    await tenant.enroll("FIRST")

    async def enroll(db: Database) -> str:
        enrolled = await devices.enroll_device(
            db,
            tenant.directory,
            tenant.workspace_id,
            serial="C02",
            name="",
            platform="ios",
            policy_id="",
            owner_email="",
        )
        return enrolled.device_id

    attempts = [enroll(db) for _ in range(10) for db in (tenant.db, elsewhere)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    enrolled = [result for result in results if isinstance(result, str)]
    assert len(enrolled) == 1
    assert all(isinstance(result, DeviceExists) for result in results if not isinstance(result, str))
    assert (await tenant.device("C02")).device_id == enrolled[0]
