"""JetStream as we use it: settings of a stream, connections that never give up, streams and durable consumers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

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


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """How to reach NATS: servers as URLs; `options` are passed to the client (TLS, nkeys)."""

    servers: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)


async def connect(
    servers: str | Sequence[str] | NatsSettings,
    *,
    name: str,
    disconnected: Callable[[], None] | None = None,
    reconnected: Callable[[], None] | None = None,
    closed: Callable[[], None] | None = None,
) -> Client:
    """Connect to NATS, waiting as long as it takes; afterwards reconnect for ever.

    Nothing is buffered while the connection is down: a publish then fails at once, so that its caller decides. A
    permission violation is logged as an error, for the operation that it stopped sees a mere timeout.
    """
    settings = (
        servers
        if isinstance(servers, NatsSettings)
        else NatsSettings([servers] if isinstance(servers, str) else servers)
    )
    outage = False

    async def on_error(error: Exception) -> None:
        nonlocal outage
        if "permissions violation" in str(error).lower() or "authorization" in str(error).lower():
            _log.error("nats refuses %s: %s", name, error)
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
    return await nats.connect(
        servers=list(settings.servers),
        name=name,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
        closed_cb=on_close,
        **options,
    )


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
    ack_wait: float = 30.0,
    max_ack_pending: int = 1000,
) -> None:
    """Create or update the durable pull consumers `<service>-<partition>`, explicit ack; safe to repeat."""
    for partition in range(partitions):
        await js.add_consumer(
            settings.name,
            api.ConsumerConfig(
                durable_name=durable_name(service, partition),
                name=durable_name(service, partition),
                filter_subject=settings.partition_subject(partition),
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
