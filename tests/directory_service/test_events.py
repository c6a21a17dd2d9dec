"""Snapshots, the way from an event to its request, and the relay (DELIVERY)."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from rollcall.directory.v1 import connection_service_pb2 as connections_pb
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import group_pb2

from chassis import migrations
from chassis.auth import read_credential
from chassis.database import create_engine
from chassis.errors import RpcFailure
from chassis.grpc_client import channel
from directory_service.tables import METADATA, OUTBOX
from tests.conftest import NatsServer, eventually
from tests.directory_service.world import Caller, Connected, World, as_request, running, settings, user
from tests.nursery import Child, nursery


async def snapshot(world: World, connected: Connected, kind: int = 0, resource_id: str = "") -> list[Any]:
    request = pb.StreamSnapshotRequest(connection_id=connected.id, kind=kind, id=resource_id)
    return await world.admin.stream("StreamSnapshot", request)


async def test_a_snapshot_is_the_connection_its_users_and_its_groups(world: World, connected: Connected) -> None:
    """Proto: "unspecified: the connection, then users, then groups"."""
    users = [await connected.scim.create(f"u{n}") for n in range(3)]
    inner = await connected.scim.create_group("Inner", *(found.id for found in users))
    outer = await connected.scim.create_group("Outer", inner.id)
    items = await snapshot(world, connected)
    assert [item.WhichOneof("item") for item in items] == ["connection", "user", "user", "user", "group", "group"]
    assert (items[0].connection.portal, items[0].connection.enabled, items[0].connection.version) == (
        "DASHBOARD",
        True,
        1,
    )
    assert [item.user for item in items[1:4]] == users
    assert [m.value for m in items[4].group.members] == [found.id for found in users]
    assert items[5].group.members[0].type == group_pb2.MEMBER_TYPE_GROUP
    assert items[4].group.group.version == inner.version
    assert [item.group.group.id for item in await snapshot(world, connected, pb.RESOURCE_KIND_GROUP)] == [
        inner.id,
        outer.id,
    ]
    assert len(await snapshot(world, connected, pb.RESOURCE_KIND_USER)) == 3


async def test_one_resource_is_read_and_what_is_gone_is_a_tombstone(world: World, connected: Connected) -> None:
    """Proto: "A resource that is gone is answered as a tombstone."."""
    found = await connected.scim.create("a@b")
    group = await connected.scim.create_group("Staff", found.id)
    (item,) = await snapshot(world, connected, pb.RESOURCE_KIND_USER, found.id)
    assert item.user == found
    await connected.scim.delete(found.id)
    await connected.scim.call("DeleteGroup", pb.DeleteGroupRequest(id=group.id))
    (item,) = await snapshot(world, connected, pb.RESOURCE_KIND_USER, found.id)
    assert (item.tombstone.kind, item.tombstone.id, item.tombstone.version) == (pb.RESOURCE_KIND_USER, found.id, 2)
    (item,) = await snapshot(world, connected, pb.RESOURCE_KIND_GROUP, group.id)
    assert (item.tombstone.kind, item.tombstone.version) == (pb.RESOURCE_KIND_GROUP, 4)
    for kind, resource_id, reason in (
        (pb.RESOURCE_KIND_USER, group.id, "USER_NOT_FOUND"),
        (pb.RESOURCE_KIND_GROUP, found.id, "GROUP_NOT_FOUND"),
        (pb.RESOURCE_KIND_CONNECTION, found.id, "CONNECTION_NOT_FOUND"),
        (0, found.id, "INVALID_VALUE"),
    ):
        request = pb.StreamSnapshotRequest(connection_id=connected.id, kind=kind, id=resource_id)
        assert (await world.admin.refused("StreamSnapshot", request)).reason == reason


async def test_a_snapshot_of_many_is_read_in_pieces(
    world: World, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRAPS: one large call "blocks every other RPC"."""
    monkeypatch.setattr("directory_service.snapshots.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("directory_service.snapshots.STREAMED_MEMBERS", 2)
    users = [await connected.scim.create(f"u{n}") for n in range(4)]
    for n in range(4):
        await connected.scim.create_group(f"g{n}", *(found.id for found in users[:n]))
    items = await snapshot(world, connected)
    assert [item.user.id for item in items if item.HasField("user")] == [found.id for found in users]
    groups = [item.group for item in items if item.HasField("group")]
    assert [(g.group.display_name, len(g.members), g.more) for g in groups] == [
        ("g0", 0, False), ("g1", 1, False), ("g2", 2, False), ("g3", 2, True), ("g3", 1, False)
    ]  # fmt: skip


async def test_an_event_leads_back_to_its_request(world: World, connected: Connected) -> None:
    """PRODUCT §7: "effect → event → SCIM request"."""
    async with as_request("req-7", "PUT /Users/{id}"):
        found = await connected.scim.create("a@b")
    (row,) = await world.rows(sa.select(OUTBOX.c.event_id).where(OUTBOX.c.aggregate_id == found.id))
    record = (await world.identity("portal").call("GetEvent", pb.GetEventRequest(event_id=row.event_id))).event
    assert (record.request_id, record.request) == ("req-7", "PUT /Users/{id}")
    assert (record.type, record.resource_id) == ("rollcall.directory.v1.UserCreated", found.id)
    assert (record.connection_id, record.version, record.sequence) == (connected.id, 1, 2)
    assert not record.HasField("published_time")
    assert (await world.admin.refused("GetEvent", pb.GetEventRequest(event_id="x"))).reason == "EVENT_NOT_FOUND"


async def test_the_migrated_schema_is_that_of_the_tables(shared_url: str) -> None:
    """HOUSE: "SQLModel declares tables": the migrations make exactly those."""
    engine = create_engine(shared_url, "test", purpose="read")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


async def test_a_schema_that_is_not_current_is_refused(database_url: str, tmp_path: Path) -> None:
    """Wiring: "else refuse a schema that is not current"."""
    with pytest.raises(migrations.SchemaMismatch):
        async with running(settings(database_url, tmp_path, migrate=False)):
            pass


async def test_events_reach_the_stream_in_order(fresh_world: World, nats_server: NatsServer, tmp_path: Path) -> None:
    """DELIVERY: "`rollcall-sequence` (position on the connection, 1..n)"; NATS may come later than the events."""
    connected = await fresh_world.connect(connections_pb.PORTAL_STORE)
    names = [f"u{n}" for n in range(20)]
    await asyncio.gather(*(connected.scim.create(name) for name in names))
    url = str(fresh_world.server.db.url.render_as_string(hide_password=False))
    configuration = settings(
        url,
        tmp_path,
        relay="embedded",
        provision_streams=True,
        nats_url=nats_server.url,
        public_url="https://x.example",
    )
    async with running(configuration) as world:
        scim = world.scim(connected.token)
        found = await scim.create("last")
        await scim.update(user("last", id=found.id, active=False))

        async def all_sent() -> bool:
            return not await world.rows(sa.select(OUTBOX.c.id).where(OUTBOX.c.sent_at.is_(None)))

        await eventually(all_sent)
        client = await nats.connect(nats_server.url)
        subscription = await client.jetstream().subscribe("directory.v1.>", ordered_consumer=True)
        messages = [await subscription.next_msg(timeout=5) for _ in range(23)]
        await client.close()
    assert [message.headers["rollcall-sequence"] for message in messages] == [str(n) for n in range(1, 24)]
    assert messages[-1].headers["ce-type"] == "rollcall.directory.v1.UserDeactivated"
    assert messages[-1].subject.split(".")[3:] == ["store", "user", "deactivated", connected.id, found.id]


class Process:
    """`python -m directory_service serve` in a process of its own."""

    def __init__(self, database_url: str, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("DIRECTORY_", "ROLLCALL_"))},
            "DIRECTORY_DATABASE_URL": database_url,
            "DIRECTORY_ADDRESS": "127.0.0.1:0",
            "DIRECTORY_NATS_URL": "nats://127.0.0.1:1",
            "DIRECTORY_CREDENTIALS_FILE": str(directory / "credentials.json"),
            "DIRECTORY_PUBLIC_URL": "https://scim.example.com",
            "DIRECTORY_PORT_FILE": str(directory / "port"),
            "DIRECTORY_MIGRATE": "true",
            "DIRECTORY_RELAY": "none",
        }
        settings(database_url, directory)
        self.process: Child | None = None

    async def start(self, crashpoint: str = "") -> Caller:
        """Start, wait until it serves, and return the administrator's calls."""
        port_file = self.directory / "port"
        port_file.unlink(missing_ok=True)
        environment = {**self.environment, **({"ROLLCALL_CRASHPOINT": crashpoint} if crashpoint else {})}
        self.process = nursery().spawn(
            ["-m", "directory_service", "serve"],
            environment,
            str(self.directory / "log"),
            str(Path(__file__).parents[2]),
        )
        await eventually(lambda: port_file.exists() or self.ended, timeout=30)
        assert not self.ended
        secret = read_credential(self.directory / "credentials.json", "admin")
        return Caller(channel(f"127.0.0.1:{port_file.read_text().strip()}", credential=secret))

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return the exit status."""
        assert self.process is not None
        if not self.ended:
            self.process.send_signal(number)
        return self.process.wait(timeout=30)


@pytest.fixture
def process(database_url: str, tmp_path: Path) -> Iterator[Process]:
    """A directory in a process of its own, killed at the end."""
    made = Process(database_url, tmp_path)
    yield made
    if not made.ended:
        made.stop(signal.SIGKILL)


@pytest.mark.parametrize(
    ("point", "kept"),
    [
        ("directory.after_row_lock", False),
        ("directory.after_row_write", False),
        ("directory.after_outbox_insert", False),
        ("directory.after_commit", True),
    ],
)
async def test_a_killed_directory_has_kept_all_or_nothing(
    process: Process, database_url: str, tmp_path: Path, point: str, kept: bool
) -> None:
    """DELIVERY, invariants: "every `info` all or nothing"; "versions per aggregate are 1..n and there is an outbox row
    for each".
    """
    async with running(settings(database_url, tmp_path)) as world:
        connected = await world.connect()
    admin = await process.start(f"{point}:1")
    with pytest.raises(RpcFailure) as lost:
        await admin.call("CreateUser", pb.CreateUserRequest(connection_id=connected.id, user=user("a@b")))
    assert lost.value.reason == ""
    assert process.stop() == -signal.SIGKILL
    async with running(settings(database_url, tmp_path)) as world:
        response = await world.admin.call("ListUsers", pb.ListUsersRequest(connection_id=connected.id))
        assert (response.total_size, len(response.users)) == ((1, 1) if kept else (0, 0))
        assert await world.kinds(connected.id) == (["UserCreated"] if kept else [])


async def test_a_signal_ends_a_server_cleanly(process: Process) -> None:
    """HOUSE: "drain is NOT_SERVING, one second, `stop(grace)`"."""
    admin = await process.start()
    await admin.call("ListWorkspaces", connections_pb.ListWorkspacesRequest())
    assert process.stop(signal.SIGTERM) == 0


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "directory_service", *arguments],
        env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_commands_refuse_with_one_line(sqlite_url: str, tmp_path: Path) -> None:
    """SECURITY: "without a secret a production process refuses to start"; wiring: settings name their variable."""
    environment = Process(sqlite_url, tmp_path).environment
    assert run(environment).returncode == 2
    missing = {key: value for key, value in environment.items() if key != "DIRECTORY_CREDENTIALS_FILE"}
    refused = run(missing, "serve")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "DIRECTORY_CREDENTIALS_FILE" in refused.stderr
    stale = run({**environment, "DIRECTORY_MIGRATE": "false"}, "serve")
    assert (stale.returncode, "migrate" in stale.stderr) == (1, True)
    assert run(environment, "migrate").returncode == 0
    (tmp_path / "credentials.json").unlink()
    refused = run(environment, "serve")
    assert (refused.returncode, "credentials.json" in refused.stderr) == (1, True)
    wrong = run({**environment, "DIRECTORY_PUBLIC_URL": "https://x_y.example/"}, "serve")
    assert (wrong.returncode, "DIRECTORY_PUBLIC_URL" in wrong.stderr) == (2, True)


async def test_a_relay_of_its_own_publishes_what_a_server_left(
    fresh_world: World, nats_server: NatsServer, tmp_path: Path
) -> None:
    """Settings: "`none`: `python -m directory_service relay` does"."""
    connected = await fresh_world.connect()
    await connected.scim.create("a@b")
    environment = {
        **Process(fresh_world.server.db.url.render_as_string(hide_password=False), tmp_path).environment,
        "DIRECTORY_NATS_URL": nats_server.url,
        "DIRECTORY_PROVISION_STREAMS": "true",
    }
    relay = subprocess.Popen(
        [sys.executable, "-m", "directory_service", "relay"], env=environment, cwd=Path(__file__).parents[2]
    )
    try:
        await eventually(nothing_unsent(fresh_world), timeout=30)
    finally:
        relay.terminate()
        assert relay.wait(timeout=30) == 0


def nothing_unsent(world: World) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return not await world.rows(sa.select(OUTBOX.c.id).where(OUTBOX.c.sent_at.is_(None)))

    return check
