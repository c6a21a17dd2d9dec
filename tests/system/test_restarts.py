"""Crashes and outages: what was answered is kept, what was not is all or nothing, and every effect happens once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import nats
import pytest

from tests.stack import PROCESSES, Stack
from tests.system.administrator import Administrator
from tests.system.okta import PATCH_URN, OktaApp


class Load:
    """Creates users and pushes them into a group from several threads, and remembers what each was answered.

    `ok`: answered 201; `unknown`: no answer, or one that says the system was unavailable, so either may be true.
    """

    def __init__(self, okta: OktaApp, group_id: str, total: int) -> None:
        self.okta = okta
        self.group_id = group_id
        self.total = total
        self.ok: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.members: set[str] = set()
        self.answered = threading.Semaphore(0)
        self._pool = ThreadPoolExecutor(3)
        self._turns = [self._pool.submit(self._create, number) for number in range(total)]

    def _create(self, number: int) -> None:
        email = f"user{number:03}@example.com"
        try:
            answer = self.okta.http.post("/Users", json={"userName": email, "active": True})
        except httpx.TransportError:
            self.unknown.add(email)
            return
        finally:
            self.answered.release()
        if answer.status_code == 201:
            self.ok[email] = answer.json()["id"]
            self._join(self.ok[email])
        else:
            assert answer.status_code == 503, answer.text
            assert answer.json()["status"] == "503"
            assert int(answer.headers["retry-after"]) >= 1
            self.unknown.add(email)

    def _join(self, user_id: str) -> None:
        operation = {"op": "add", "path": "members", "value": [{"value": user_id}]}
        try:
            answer = self.okta.http.patch(
                f"/Groups/{self.group_id}", json={"schemas": [PATCH_URN], "Operations": [operation]}
            )
        except httpx.TransportError:
            return
        if answer.status_code in (200, 204):
            self.members.add(user_id)

    def wait_for(self, count: int) -> None:
        """Return when so many requests were answered or failed."""
        for _ in range(count):
            assert self.answered.acquire(timeout=30)

    def finish(self) -> None:
        """Return when all are done; raise what any of them raised."""
        for turn in self._turns:
            turn.result(60)
        self._pool.shutdown()


def listed(okta: OktaApp) -> dict[str, str]:
    """Every user of the connection, userName to id."""
    found: dict[str, str] = {}
    while True:
        page = okta.http.get("/Users", params={"startIndex": len(found) + 1, "count": 100}).json()
        found.update({user["userName"]: user["id"] for user in page["Resources"]})
        if len(found) >= page["totalResults"]:
            return found


def check_nothing_is_lost(administrator: Administrator, load: Load) -> None:
    """DELIVERY's invariants 1, 3 and 5 over what the load was answered."""
    users = listed(load.okta)
    assert load.ok.items() <= users.items()
    assert users.keys() <= load.ok.keys() | load.unknown
    members = {member["value"] for member in load.okta.group(load.group_id).get("members", [])}
    assert load.members <= members <= set(users.values())
    administrator.stack.settled(timeout=60)
    for email, user_id in users.items():
        role = administrator.role(email)
        assert role == (("EDITOR", "GROUP") if user_id in members else ("VIEWER", "DEFAULT"))
    created = Counter(effect.user_id for effect in administrator.effects(action="CREATE_COLLABORATOR"))
    assert created == Counter(users.values())
    # Who was created after the group was known, which a repair can bring about, had the role from the beginning.
    changed = Counter(effect.user_id for effect in administrator.effects(action="SET_ROLE"))
    assert changed <= Counter(members)
    assert len(administrator.effects("portal")) == len(users) + changed.total()


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


@pytest.mark.parametrize("process", ["directory", "portal", "gateway", "nats"])
def test_a_process_killed_under_load_loses_nothing_and_doubles_nothing(stack: Stack, process: str) -> None:
    """DELIVERY: "Delivery is at least once; **effects happen once**"; "every `ok` write is in the directory"."""
    administrator = Administrator(stack)
    okta = administrator.dashboard_app(role_mode="CONTINUOUS")
    load = Load(okta, okta.push_group("applivery-editor"), total=60)
    load.wait_for(15)
    stack.kill(process)
    if process != "directory":
        # Without the directory no request is answered before it gives up, which takes seconds.
        load.wait_for(5)
    stack.start_process(process)
    load.finish()
    assert load.ok
    check_nothing_is_lost(administrator, load)


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
