"""JetStream as we use it: settings of a stream, connections that never give up, streams and durable consumers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

if TYPE_CHECKING:
    from chassis.settings import NatsClientSettings

_log = logging.getLogger(__name__)

PARTITIONS = 16
"""The fixed number of partitions of a stream: part of the contract, for it decides every subject."""

EVENT_ID = "ce-id"
EVENT_TYPE = "ce-type"
EVENT_SOURCE = "ce-source"
EVENT_TIME = "ce-time"
EVENT_SUBJECT = "ce-subject"
EVENT_SPECVERSION = "ce-specversion"
MESSAGE_ID = "Nats-Msg-Id"
VERSION = "rollcall-version"
SEQUENCE = "rollcall-sequence"
REQUEST_ID = "rollcall-request-id"
TRACEPARENT = "traceparent"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """One stream: `subjects` are `<prefix>.>`, and `<prefix>.<partition>.>` is one partition's share.

    Times are seconds. `max_bytes` −1 means no limit; in production it must be below the size of the disk.
    """

    name: str
    prefix: str
    max_age: float = 30 * 24 * 3600.0
    duplicate_window: float = 600.0
    max_bytes: int = -1
    replicas: int = 1

    def partition_subject(self, partition: int) -> str:
        """Give the filter for one partition's messages."""
        return f"{self.prefix}.{partition}.>"

    def portal_subject(self, partition: int, portal: str) -> str:
        """Give the filter for one partition's messages of one portal, as subjects name it: `mdm`, `none`, …"""
        return f"{self.prefix}.{partition}.{portal}.>"


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """How to reach NATS: servers as URLs; `options` are passed to the client (TLS, nkeys)."""

    servers: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)


class NatsRefused(ConnectionError):
    """NATS does not let us in, or does not let us do what we must: no later attempt would end otherwise."""


def inbox_prefix(user: str) -> str:
    """Give the subject under which a user's answers come; nobody else may subscribe to it."""
    return f"_INBOX_{user}"


def settings_of(settings: NatsClientSettings, user: str) -> NatsSettings:
    """Give how a process reaches NATS as one of the users of `nats_permissions`. Raises OSError for a bad CA file."""
    options: dict[str, Any] = {"inbox_prefix": inbox_prefix(user)}
    if settings.nats_ca_file is not None or any(url.startswith("tls://") for url in settings.nats_servers):
        context = ssl.create_default_context(cafile=settings.nats_ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        options["tls"] = context
    if settings.nats_nkey_seed_file is not None:
        options["nkeys_seed"] = str(settings.nats_nkey_seed_file)
    return NatsSettings(settings.nats_servers, options)


class _Client(Client):
    """The library's client, save that the server does not decide whether there is TLS."""

    def _connect_command(self) -> bytes:
        if "tls" in self.options and not self._server_info.get("tls_required"):
            raise nats.errors.Error("nats: the server offers no TLS")
        return super()._connect_command()


async def connect(
    servers: str | Sequence[str] | NatsSettings,
    *,
    name: str,
    disconnected: Callable[[], None] | None = None,
    reconnected: Callable[[], None] | None = None,
    closed: Callable[[], None] | None = None,
) -> Client:
    """Connect to NATS, waiting as long as it takes; afterwards reconnect for ever.

    Nothing is buffered while the connection is down: a publish then fails at once, so that its caller decides. An
    operation that NATS does not permit would see a mere timeout, again and again; instead the connection is closed for
    good, which ends whoever uses it. Raises `NatsRefused` when NATS does not know us.
    """
    settings = (
        servers
        if isinstance(servers, NatsSettings)
        else NatsSettings([servers] if isinstance(servers, str) else servers)
    )
    client = _Client()
    outage = False
    refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    closing: list[asyncio.Task[None]] = []

    async def on_error(error: Exception) -> None:
        nonlocal outage
        text = str(error).lower()
        if "permissions violation" in text or "authorization violation" in text or "authorization failed" in text:
            if not refused.done():
                _log.critical("nats refuses %s: %s", name, error)
                refused.set_result(str(error))
                if client.is_connected:
                    # Not from within the client's own reading of this error, which closing would cancel.
                    closing.append(asyncio.create_task(close(client)))
        elif not outage:
            outage = True
            _log.warning("nats connection of %s: %s", name, type(error).__name__)

    async def on_disconnect() -> None:
        if disconnected is not None:
            disconnected()

    async def on_reconnect() -> None:
        nonlocal outage
        outage = False
        _log.warning("nats connection of %s is back", name)
        if reconnected is not None:
            reconnected()

    async def on_close() -> None:
        if closed is not None:
            closed()

    options: dict[str, Any] = {
        "max_reconnect_attempts": -1,
        "pending_size": -1,
        "reconnect_time_wait": 0.25,
        "connect_timeout": 5,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
    }
    options.update(settings.options)
    connecting = asyncio.ensure_future(
        client.connect(
            servers=list(settings.servers),
            name=name,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            reconnected_cb=on_reconnect,
            closed_cb=on_close,
            **options,
        )
    )
    try:
        # By itself the library would try for ever with credentials that will never do.
        waiting: set[asyncio.Future[Any]] = {connecting, refused}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            raise NatsRefused(f"nats refuses {name}: {refused.result()}")
        connecting.result()
    except BaseException:
        connecting.cancel()
        # How the attempt ends does not matter any more.
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await connecting
        await close(client)
        raise
    return client


async def ensure_stream(js: JetStreamContext, settings: StreamSettings) -> None:
    """Create the stream or bring it to these settings; safe to repeat. In production a separate identity does it."""
    config = api.StreamConfig(
        name=settings.name,
        subjects=[f"{settings.prefix}.>"],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.OLD,
        max_age=settings.max_age,
        max_bytes=settings.max_bytes,
        max_msgs=-1,
        duplicate_window=min(settings.duplicate_window, settings.max_age),
        num_replicas=settings.replicas,
        allow_direct=True,
    )
    try:
        await js.stream_info(settings.name)
    except NotFoundError:
        try:
            await js.add_stream(config)
        except APIError as error:
            # Another process created it between our two calls.
            if error.err_code != 10058:
                raise
        return
    await js.update_stream(config)


def durable_name(service: str, partition: int) -> str:
    """Give the name of a service's durable consumer of one partition."""
    return f"{service}-{partition}"


async def ensure_consumers(
    js: JetStreamContext,
    settings: StreamSettings,
    service: str,
    *,
    partitions: int = PARTITIONS,
    portals: Sequence[str] = (),
    ack_wait: float = 30.0,
    max_ack_pending: int = 1000,
) -> None:
    """Create or update the durable pull consumers `<service>-<partition>`, explicit ack; safe to repeat.

    With `portals` they are given the events of those alone.
    """
    for partition in range(partitions):
        await js.add_consumer(
            settings.name,
            api.ConsumerConfig(
                durable_name=durable_name(service, partition),
                name=durable_name(service, partition),
                filter_subject=None if portals else settings.partition_subject(partition),
                filter_subjects=[settings.portal_subject(partition, portal) for portal in portals] or None,
                deliver_policy=api.DeliverPolicy.ALL,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=ack_wait,
                max_deliver=-1,
                max_ack_pending=max_ack_pending,
                max_waiting=64,
            ),
        )


def raise_if_cancelled() -> None:
    """Raise CancelledError when the current task was asked to end.

    The client library awaits with `asyncio.wait_for`, which on Python 3.11 loses a cancellation that comes together
    with the answer; a loop that runs until it is cancelled calls this in each round.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def close(client: Client | None) -> None:
    """Close a connection, whatever state it is in."""
    if client is None or client.is_closed:
        return
    closing: Awaitable[None] = client.close()
    try:
        await closing
    except (nats.errors.Error, OSError):
        # It was broken before.
        return
