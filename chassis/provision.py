"""`python -m chassis.provision`: create the streams and durable consumers, with an identity that may do nothing else.

Safe to repeat: what is there is brought to these settings. Configured by `PROVISION_*`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
from collections.abc import Iterator

import nats.errors
from nats.js.errors import APIError
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis import logging as process_logging
from chassis import streams
from chassis.nats_permissions import CONSUMERS, PROVISIONER, STREAMS
from chassis.settings import NatsClientSettings, Refusal
from chassis.streams import NatsSettings

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.2


class ProvisionSettings(NatsClientSettings):
    """What provisioning needs to know."""

    model_config = SettingsConfigDict(env_prefix="PROVISION_")

    stream_replicas: int = Field(default=1, ge=1, le=5)
    """Replicas of each stream; 3 in production."""

    max_bytes: int = Field(default=-1, ge=-1)
    """How large each stream may grow, in bytes, before its oldest messages go; -1 is no limit. Together the streams
    must stay below the size of the disk."""

    ack_wait_seconds: float = Field(default=30.0, ge=1, le=600)
    """How long, in seconds, an event that was delivered and not acknowledged waits to be delivered again."""

    deadline_seconds: float = Field(default=120.0, ge=1)
    """How long, in seconds, JetStream may take to be there."""

    def refusals(self) -> Iterator[Refusal]:
        """Yield a stream that could fill its disk."""
        yield from super().refusals()
        if self.in_production and self.max_bytes < 1:
            yield "max_bytes", "is required in production: together the streams must stay below the size of the disk"


async def provision(servers: NatsSettings, *, replicas: int = 1, max_bytes: int = -1, ack_wait: float = 30.0) -> None:
    """Create or update every stream and every durable consumer, trying until JetStream answers.

    Raises `APIError` for settings that JetStream refuses, such as more replicas than there are servers, and
    `streams.NatsRefused` when the identity may not do it.
    """
    closed = asyncio.Event()
    client = await streams.connect(servers, name=PROVISIONER, closed=closed.set)
    try:
        js = client.jetstream(timeout=5)
        while True:
            try:
                for stream in STREAMS:
                    await streams.ensure_stream(js, dataclasses.replace(stream, replicas=replicas, max_bytes=max_bytes))
                for each in CONSUMERS:
                    await streams.ensure_consumers(
                        js, each.stream, each.service, portals=each.portals, ack_wait=ack_wait
                    )
                return
            except APIError as error:
                # 503: JetStream is starting, or has no leader yet. Everything else is about what was asked for.
                if error.code != 503:
                    raise
            except (nats.errors.Error, TimeoutError, OSError) as error:
                if closed.is_set():
                    raise streams.NatsRefused("NATS does not let this identity create streams and consumers") from error
                _log.info("JetStream does not answer yet: %s", type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)
    finally:
        await streams.close(client)


async def _provision(settings: ProvisionSettings) -> None:
    async with asyncio.timeout(settings.deadline_seconds):
        await provision(
            streams.settings_of(settings, PROVISIONER),
            replicas=settings.stream_replicas,
            max_bytes=settings.max_bytes,
            ack_wait=settings.ack_wait_seconds,
        )


def main() -> int:
    """Provision; exit 0 when everything is there, 1 with one line on stderr, 2 for wrong settings."""
    settings = ProvisionSettings.load()
    process_logging.configure("provision", level=settings.log_level, format=settings.log_format)
    try:
        asyncio.run(_provision(settings))
    except TimeoutError:
        print(f"rollcall: provision: JetStream did not answer within {settings.deadline_seconds:g} s", file=sys.stderr)
        return 1
    except (APIError, streams.NatsRefused) as error:
        print(f"rollcall: provision: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
