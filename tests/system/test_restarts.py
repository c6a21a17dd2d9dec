"""Crashes and outages: what was answered is kept, what was not is all or nothing, and every effect happens once."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import nats
import pytest

from tests.stack import PROCESSES, Stack
from tests.system.administrator import Administrator


@pytest.mark.parametrize("process", PROCESSES)
def test_a_restart_of_any_process_keeps_everything(stack: Stack, process: str) -> None:
    """DELIVERY: "The directory's database is the truth. JetStream is how the truth travels"."""
    administrator = Administrator(stack)
    locked = administrator.create_policy("Locked")
    dashboard, mdm = administrator.dashboard_app(), administrator.mdm_app("change_policy", policy_id=locked)
    ada, bob = dashboard.assign("ada@example.com"), mdm.assign("bob@example.com")
    editors = dashboard.push_group("applivery-editor", [ada])
    laptop = administrator.enroll("LAPTOP", owner="bob@example.com")
    before = (
        dashboard.user(ada),
        mdm.user(bob),
        dashboard.group(editors),
        administrator.collaborator("ada@example.com"),
    )
    effects = administrator.effects()

    stack.restart(process)
    after = (
        dashboard.user(ada),
        mdm.user(bob),
        dashboard.group(editors),
        administrator.collaborator("ada@example.com"),
    )
    assert after == before
    assert administrator.effects() == effects
    assert administrator.device(laptop) == laptop

    mdm.deactivate(bob)
    dashboard.change_members(editors, add=[dashboard.assign("cyd@example.com")], remove=[ada])
    assert administrator.device(laptop).policy_id == locked
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")
    assert administrator.role("cyd@example.com") == ("EDITOR", "GROUP")


def test_the_mdm_service_killed_in_the_middle_of_an_offboarding_finishes_it_once(stack: Stack) -> None:
    """DELIVERY, invariant 7: "a user deactivated with an `ok` has no access downstream once lag is 0"."""
    administrator = Administrator(stack)
    okta = administrator.mdm_app("remove_employee_and_devices")
    users = [okta.assign(f"user{number}@example.com") for number in range(12)]
    devices = [administrator.enroll(f"SERIAL-{number}", owner=f"user{number}@example.com") for number in range(12)]
    for number, user in enumerate(users):
        okta.deactivate(user)
        if number == 5:
            stack.kill("mdm")
    stack.start_process("mdm")
    for device in devices:
        assert administrator.commands(device) == ["REMOVE"]
        assert administrator.device(device).owner_email == ""
    removed = Counter(effect.target_name for effect in administrator.effects(action="REMOVE_DEVICE"))
    assert removed == Counter(device.serial for device in devices)


def lose_event(stack: Stack, connection_id: str, action: str, which: int) -> None:
    """Delete the `which`th event of an action of a connection from the stream, as a damaged store would."""

    async def lose() -> None:
        client = await nats.connect(stack.nats_url)
        try:
            stream, sequence = client.jetstream(), 0
            for _ in range(which + 1):
                subject = f"directory.v1.*.*.*.{action}.{connection_id}.*"
                message = await stream.get_msg("DIRECTORY", seq=sequence + 1, subject=subject, next=True)
                assert message.seq is not None
                sequence = message.seq
            assert await stream.delete_msg("DIRECTORY", sequence)
        finally:
            await client.close()

    asyncio.run(lose())


def test_a_membership_that_the_stream_lost_is_repaired_from_the_directory(stack: Stack) -> None:
    """DELIVERY: "a gap is repaired by reading the aggregate from the directory, … never waited for"."""
    administrator = Administrator(stack)
    okta = administrator.dashboard_app()
    editors = okta.push_group("applivery-editor")
    users = [okta.assign(f"user{number}@example.com") for number in range(4)]
    stack.settled()
    stack.terminate("portal")
    for user in users:
        okta.change_members(editors, add=[user])
    okta.change_members(editors, remove=[users[0]])
    stack.eventually(lambda: stack.unsent() == 0)
    lose_event(stack, okta.connection.connection_id, "members_changed", 1)
    stack.start_process("portal")
    roles = [administrator.role(f"user{number}@example.com") for number in range(4)]
    assert roles == [("VIEWER", "DEFAULT")] + [("EDITOR", "GROUP")] * 3
    repairs = [effect.user_id for effect in administrator.effects(action="SET_ROLE") if effect.repair]
    assert users[1] in repairs


def test_a_deactivation_that_the_stream_lost_is_repaired_from_the_directory(stack: Stack) -> None:
    """DELIVERY: "a consumer that has a gap repairs itself from the directory"; effects are marked as repair."""
    administrator = Administrator(stack)
    okta = administrator.mdm_app("unassign_devices")
    ada = okta.assign("ada@example.com")
    laptop = administrator.enroll("LAPTOP", owner="ada@example.com")
    stack.terminate("mdm")
    okta.deactivate(ada)
    okta.update(ada, title="Countess")
    stack.eventually(lambda: stack.unsent() == 0)
    lose_event(stack, okta.connection.connection_id, "deactivated", 0)
    stack.start_process("mdm")
    assert administrator.device(laptop).owner_email == ""
    (effect,) = administrator.effects(action="UNASSIGN_DEVICE")
    assert effect.repair


def test_writes_go_on_while_nats_is_down_and_everything_arrives_afterwards(stack: Stack) -> None:
    """DELIVERY: "NATS down: SCIM writes go on; the outbox grows; nothing but latency is lost"."""
    administrator = Administrator(stack)
    okta = administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")
    stack.terminate("nats")
    try:
        others = [okta.assign(f"user{number}@example.com") for number in range(10)]
        editors = okta.push_group("applivery-editor", others[:5])
        okta.deactivate(ada)
        okta.change_members(editors, remove=others[:1])
        assert stack.unsent() >= 13
    finally:
        stack.start_process("nats")
    assert administrator.collaborator("ada@example.com") is None
    roles = [administrator.role(f"user{number}@example.com") for number in range(10)]
    assert roles == [("VIEWER", "DEFAULT")] + [("EDITOR", "GROUP")] * 4 + [("VIEWER", "DEFAULT")] * 5


def test_without_the_directory_every_answer_is_a_scim_503_that_says_when_to_retry(stack: Stack) -> None:
    """WIRE: "a body that is not SCIM JSON (also from 404, 405, 415, 500, 503) breaks the task"."""
    okta = Administrator(stack).dashboard_app()
    ada = okta.assign("ada@example.com")
    stack.kill("directory")
    try:
        requests = [
            ("GET", f"/Users/{ada}", None),
            ("GET", "/Users?count=2&startIndex=1", None),
            ("POST", "/Users", {"userName": "bob@example.com"}),
        ]
        with ThreadPoolExecutor(len(requests)) as pool:
            turns = [pool.submit(okta.http.request, method, path, json=body) for method, path, body in requests]
        for turn in turns:
            answer = turn.result()
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"].startswith("application/scim+json")
            assert answer.json()["status"] == "503"
            assert int(answer.headers["retry-after"]) >= 1
    finally:
        stack.start_process("directory")
    stack.eventually(lambda: okta.http.get(f"/Users/{ada}").status_code == 200, timeout=5)
    assert okta.find("bob@example.com") is None
