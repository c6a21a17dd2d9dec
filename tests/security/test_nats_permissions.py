"""Who may do what on NATS, asked of a real nats-server (SECURITY, "Inside")."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats.errors
import nkeys
import pytest
from nats.aio.client import Client

from chassis import migrations, streams
from chassis import nats_permissions as users
from chassis.nats_permissions import CONSUMERS, STREAMS, USERS, permissions, server_users
from chassis.provision import provision
from chassis.settings import NatsClientSettings
from chassis.streams import NatsRefused, NatsSettings
from directory_service.tables import MIGRATIONS
from mdm_service.provisioning import SUBJECT_PORTALS as MDM_PORTALS
from portal_service.workspaces import SUBJECT_PORTALS as PORTAL_PORTALS
from tests.conftest import NatsServer
from tests.security.certificates import Authority, Certificate

REPOSITORY = Path(__file__).resolve().parents[2]
ANSWER_SECONDS = 5.0


class Broker:
    """A nats-server over TLS whose users are those of the product, each with a key of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory / "authority")
        own: Certificate = self.authority.issue("nats.rollcall.svc", "localhost")
        keys = {user: self._key(user) for user in (*USERS, "stranger")}
        known = {user: key for user, key in keys.items() if user in USERS}
        self.server = NatsServer(directory / "nats")
        self.server.config = (
            f'tls {{ cert_file: "{own.certificate}", key_file: "{own.key}" }}\n'
            f"authorization {{\n{server_users(known)}\n}}\n"
        )

    def seed(self, user: str) -> Path:
        """The file with a user's seed."""
        return self.directory / f"{user}.seed"

    def _key(self, user: str) -> str:
        seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        self.seed(user).write_bytes(seed)
        return str(nkeys.from_seed(bytearray(seed)).public_key.decode())

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"tls://localhost:{self.server.port}"

    def environment(self, user: str, prefix: str) -> dict[str, str]:
        """The settings by which a process reaches it as a user."""
        return {
            f"{prefix}NATS_URL": self.url,
            f"{prefix}NATS_CA_FILE": str(self.authority.certificate),
            f"{prefix}NATS_NKEY_SEED_FILE": str(self.seed(user)),
        }

    def settings(self, user: str, *, seed: str = "") -> NatsSettings:
        """The same for this process."""
        values = {name.lower(): value for name, value in self.environment(seed or user, "").items()}
        return streams.settings_of(NatsClientSettings(**values), user)  # type: ignore[arg-type]

    async def connect(self, user: str, closed: asyncio.Event) -> Client:
        """Connect as a user; `closed` is set when the connection ends for good."""
        return await streams.connect(self.settings(user), name=user, closed=closed.set)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running server on which `python -m chassis.provision` has made everything."""
    made = Broker(tmp_path_factory.mktemp("broker"))
    made.server.start()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "chassis.provision"], cwd=REPOSITORY, timeout=60, capture_output=True, text=True,
            env={**os.environ, **made.environment("provisioner", "PROVISION_"), "PROVISION_MAX_BYTES": "10000000"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        yield made
    finally:
        made.server.kill()


@pytest.fixture
async def act(broker: Broker) -> AsyncIterator[Callable[[str, Callable[[Client], Awaitable[Any]]], Awaitable[Any]]]:
    """Do something as a user: what it gives, or "refused" once NATS has ended the connection for it."""
    opened: list[Client] = []

    async def run(user: str, action: Callable[[Client], Awaitable[Any]]) -> Any:
        closed = asyncio.Event()
        client = await broker.connect(user, closed)
        opened.append(client)
        doing = asyncio.ensure_future(action(client))
        ended = asyncio.ensure_future(closed.wait())
        await asyncio.wait({doing, ended}, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if doing.done() and doing.exception() is None:
            # A refusal comes beside the answer, before that of a later question; then the connection is closed.
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await client.flush(2)
            await asyncio.wait({ended}, timeout=0.2)
            ended.cancel()
            return "refused" if closed.is_set() else doing.result()
        await asyncio.wait({ended}, timeout=ANSWER_SECONDS)
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        ended.cancel()
        return "refused" if closed.is_set() else "no answer"

    yield run
    for client in opened:
        await streams.close(client)


def publishing(subject: str) -> Callable[[Client], Awaitable[Any]]:
    """Publish to a subject of a stream, and give the stream's name."""

    async def action(client: Client) -> Any:
        return (await client.jetstream(timeout=2).publish(subject, b"x")).stream

    return action


def api(subject: str, body: bytes = b"") -> Callable[[Client], Awaitable[Any]]:
    """Ask JetStream something."""

    async def action(client: Client) -> Any:
        return (await client.request(f"$JS.API.{subject}", body, timeout=2)).data

    return action


async def test_the_relay_publishes_the_directorys_events_and_nothing_else(act: Any) -> None:
    """SECURITY: "the relay publishes `directory.v1.>` only"."""
    assert await act("directory-relay", publishing("directory.v1.3.dashboard.user.created.c.u")) == "DIRECTORY"
    assert await act("directory-relay", publishing("mdm.v1.3.device.issued.w.d")) == "refused"
    assert await act("mdm", publishing("mdm.v1.3.device.issued.w.d")) == "MDM"
    for user in ("portal", "mdm", "agents", "provisioner"):
        assert await act(user, publishing("directory.v1.3.dashboard.user.created.c.u")) == "refused", user
    for user in ("portal", "agents", "provisioner"):
        assert await act(user, publishing("mdm.v1.3.device.issued.w.d")) == "refused", user


@pytest.mark.parametrize("consumer", [c.service for c in CONSUMERS])
async def test_a_consumer_fetches_and_acks_its_own_durables_only(broker: Broker, act: Any, consumer: str) -> None:
    """SECURITY: "each consumer fetches and acks its own durables only"."""
    await act("directory-relay", publishing("directory.v1.7.none.workspace.deleted.none.w"))
    await act("mdm", publishing("mdm.v1.7.device.issued.w.d"))
    own = next(c for c in CONSUMERS if c.service == consumer)

    async def fetches(client: Client) -> Any:
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{own.stream.name}.{consumer}-7"
        await client.publish(subject, b'{"batch": 1, "expires": 2000000000}', reply=inbox)
        message = await subscription.next_msg(timeout=3)
        await message.ack()
        return message.subject

    assert str(await act(consumer, fetches)).startswith(f"{own.stream.prefix}.7.")
    for other in CONSUMERS:
        if other.service != consumer:
            name = f"{other.stream.name}.{other.service}-7"
            assert await act(consumer, api(f"CONSUMER.MSG.NEXT.{name}", b'{"batch": 1}')) == "refused", name

            async def acks(client: Client, name: str = name) -> Any:
                await client.publish(f"$JS.ACK.{name}.1.1.1.1.1", b"+ACK")

            assert await act(consumer, acks) == "refused", name


@pytest.mark.parametrize("user", USERS)
async def test_streams_and_consumers_are_made_by_one_identity_and_deleted_by_none(act: Any, user: str) -> None:
    """SECURITY: "streams and consumers are created by a separate provisioning identity"."""
    for question in ("STREAM.CREATE.OTHER", "STREAM.DELETE.DIRECTORY", "STREAM.PURGE.DIRECTORY",
                     "CONSUMER.DELETE.DIRECTORY.portal-0", "CONSUMER.CREATE.DIRECTORY.spy"):  # fmt: skip
        assert await act(user, api(question, b"{}")) == "refused", question
    update = await act(user, api("STREAM.UPDATE.DIRECTORY", b"{}"))
    assert (update == "refused") is (user != "provisioner")


@pytest.mark.parametrize("user", USERS)
async def test_nobody_listens_to_events_or_to_what_others_are_answered(act: Any, user: str) -> None:
    """An inbox is its owner's: with a common one, every user would see the events that another is given."""
    for subject in (">", "directory.v1.>", "_INBOX.>", *(f"_INBOX_{other}.>" for other in USERS if other != user)):

        async def listens(client: Client, subject: str = subject) -> Any:
            await client.subscribe(subject)

        assert await act(user, listens) == "refused", subject


async def test_somebody_unknown_is_refused_at_once(broker: Broker) -> None:
    """SECURITY: "fail loudly": a key that nobody knows would be tried for ever by the client library."""
    async with asyncio.timeout(ANSWER_SECONDS):
        with pytest.raises(NatsRefused, match="Authorization Violation"):
            await streams.connect(broker.settings("portal", seed="stranger"), name="portal")


async def test_a_server_of_another_authority_or_without_tls_is_told_nothing(broker: Broker, tmp_path: Path) -> None:
    """SECURITY: "NATS with TLS": whoever stands in the way can neither read nor talk a client out of it."""
    plain = NatsServer(tmp_path / "plain")
    plain.start()
    stranger = Authority(tmp_path / "stranger")
    try:
        settings = broker.settings("portal")
        trusting = streams.ssl.create_default_context(cafile=str(stranger.certificate))
        for servers, options in (
            ([f"tls://localhost:{plain.port}"], settings.options),
            (settings.servers, {**settings.options, "tls": trusting}),
        ):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await streams.connect(NatsSettings(servers, options), name="portal")
    finally:
        plain.kill()


async def test_a_permission_that_lacks_ends_the_process(broker: Broker, tmp_path: Path) -> None:
    """SECURITY: "A permission violation looks like a timeout in nats-py: catch it in `error_cb` and fail loudly"."""
    url = f"sqlite:///{tmp_path / 'directory.db'}"
    await asyncio.to_thread(migrations.upgrade, url, MIGRATIONS)
    environment = {
        **os.environ,
        **broker.environment("portal", "DIRECTORY_"),
        "DIRECTORY_DATABASE_URL": url,
    }
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "directory_service", "relay"], cwd=REPOSITORY, env=environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "nats refuses relay-outbox" in ended.stderr
    assert "permissions violation" in ended.stderr.lower()
    assert "Traceback" not in ended.stderr


async def test_provisioning_again_changes_nothing(broker: Broker) -> None:
    """The Job runs at every upgrade."""
    await provision(broker.settings("provisioner"), max_bytes=10_000_000)


def test_permissions_are_exact() -> None:
    """SECURITY: "a `portal-*` in a permission is a literal, not a wildcard: enumerate": a `>` only ends what is one's
    own, and a `*` is nowhere."""
    own = {f"{stream.prefix}.>" for stream in STREAMS}
    for user in USERS:
        allowed = permissions(user)
        for subject in (*allowed.publish, *allowed.subscribe):
            assert "*" not in subject
            if subject.endswith(">"):
                mine = (f"_INBOX_{user}.", "$JS.ACK.", "$JS.API.CONSUMER.CREATE.")
                assert subject in own or subject.startswith(mine), subject
    assert permissions(users.OBSERVER).publish
    with pytest.raises(KeyError):
        permissions("somebody")


def test_the_durables_are_those_that_the_services_work_with() -> None:
    """What is provisioned filters as each service expects."""
    assert {each.service: set(each.portals) for each in CONSUMERS} == {
        "portal": set(PORTAL_PORTALS),
        "mdm": set(MDM_PORTALS),
        "agents": set(),
    }
