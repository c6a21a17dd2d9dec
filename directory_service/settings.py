"""Settings of the directory's process, read once from the environment with the prefix `DIRECTORY_`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import NatsClientSettings, ObservedSettings, ProcessSettings, Refusal, ServiceSettings


class DatabaseSettings(ProcessSettings):
    """What every command needs; nothing has a default that is unsafe in production."""

    model_config = SettingsConfigDict(env_prefix="DIRECTORY_")

    database_url: str = Field(min_length=1)
    """`sqlite:///path` or `postgresql+psycopg://user:password@host/name`."""

    migrate: bool = False
    """Whether to bring the schema up to date at the start; else a schema that is not current is refused."""


class RelaySettings(ObservedSettings, NatsClientSettings, DatabaseSettings):
    """What publishing the outbox needs."""

    provision_streams: bool = False
    """Whether to create the JetStream stream at the start; in production another identity does so."""

    stream_replicas: int = Field(default=1, ge=1, le=5)
    """Replicas of the stream, where this process creates it."""


class DirectorySettings(ServiceSettings, RelaySettings):
    """What serving needs."""

    address: str = Field(min_length=1)
    """`host:port` to serve gRPC on; port 0: any free one, see `port_file`."""

    port_file: Path | None = None
    """File that gets the bound port as text once calls are taken."""

    public_url: str = Field(pattern=r"^https?://[^/_]+(/[^_]*[^/_])?$")
    """Base of the SCIM base URLs, `{public_url}/scim/v2/{connection_id}`; no slash at the end, no underscore."""

    relay: Literal["embedded", "none"] = "embedded"
    """`embedded`: this process publishes the outbox; `none`: `python -m directory_service relay` does."""

    outbox_days: int = Field(default=35, ge=31)
    """Days for which sent events are kept; longer than the stream keeps them, so that it can be rebuilt."""

    provisioning_log_days: int = Field(default=30, ge=1, le=3650)
    """Days for which the requests of identity providers are kept in the provisioning log."""

    readers: int = Field(default=4, ge=1, le=64)
    """Threads that read the database."""

    def refusals(self) -> Iterator[Refusal]:
        """Yield an address to which identity providers would send tokens in plain text."""
        yield from super().refusals()
        if self.in_production and not self.public_url.startswith("https://"):
            yield "public_url", "must begin with https:// in production"
