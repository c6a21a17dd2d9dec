"""Settings of the portal service's process, read once from the environment with the prefix `PORTAL_`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import NatsClientSettings, ProcessSettings, ServiceSettings


class DatabaseSettings(ProcessSettings):
    """What every command needs; nothing has a default that is unsafe in production."""

    model_config = SettingsConfigDict(env_prefix="PORTAL_")

    database_url: str = Field(min_length=1)
    """`sqlite:///path` or `postgresql+psycopg://user:password@host/name`."""


class PortalSettings(ServiceSettings, NatsClientSettings, DatabaseSettings):
    """What serving needs. Of a credentials file, the entry `portal` is our own."""

    address: str = Field(min_length=1)
    """`host:port` to serve gRPC on; port 0: any free one, see `port_file`."""

    port_file: Path | None = None
    """File that gets the bound port as text once calls are taken."""

    directory_target: str = Field(min_length=1)
    """gRPC target of the directory: `host:port`, or `dns:///host:port` to spread calls over all its addresses."""

    migrate: bool = False
    """Whether to bring the schema up to date at the start; else a schema that is not current is refused."""

    provision_streams: bool = False
    """Whether to create the stream and the durable consumers at the start; in production another identity does so."""

    stream_replicas: int = Field(default=1, ge=1, le=5)
    """Replicas of the stream, where this process creates it; the same as the directory's, or one undoes the other."""

    inbox_days: int = Field(default=35, ge=31)
    """Days for which applied events are remembered: longer than the stream keeps them, so none is applied twice."""

    lease_seconds: float = Field(default=15.0, ge=1, le=300)
    """How long, in seconds, the work of a replica that died waits for its successor."""

    ack_wait_seconds: float = Field(default=30.0, ge=1, le=600)
    """How long, in seconds, an event that was delivered and not acknowledged waits to be delivered again."""

    readers: int = Field(default=4, ge=1, le=64)
    """Threads that read the database."""
