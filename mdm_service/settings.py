"""The settings of the MDM process, read once from environment variables with the prefix `MDM_`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import NatsClientSettings, ProcessSettings, ServiceSettings


class DatabaseSettings(ProcessSettings):
    """What every command of the process needs."""

    model_config = SettingsConfigDict(env_prefix="MDM_")

    database_url: str = Field(min_length=1)
    """The database: `sqlite:///path` or `postgresql+psycopg://…`."""


class MdmSettings(ServiceSettings, NatsClientSettings, DatabaseSettings):
    """What serving needs. Of a credentials file, the entry `mdm` is our own."""

    address: str = Field(min_length=1)
    """Where gRPC is served, `host:port`; port 0 takes a free one, see `port_file`."""

    port_file: Path | None = None
    """Where the bound port is written once calls are taken."""

    directory_target: str = Field(min_length=1)
    """The directory service's gRPC target, `host:port` or `dns:///host:port`."""

    migrate: bool = False
    """Bring the schema up to date at start; otherwise a schema that is not current is refused."""

    provision_streams: bool = False
    """Create the streams and consumers at start; in production another identity does it."""

    stream_replicas: int = Field(default=1, ge=1, le=5)
    """The replicas of the streams, where this process creates them."""

    outbox_days: int = Field(default=35, ge=31)
    """For how many days published commands are kept in the outbox: longer than the stream keeps them."""

    lease_seconds: float = Field(default=15.0, ge=1, le=300)
    """How long, in seconds, the work of a replica that died waits for its successor."""

    ack_wait_seconds: float = Field(default=30.0, ge=1, le=600)
    """How long, in seconds, an event that was delivered and not acknowledged waits to be delivered again."""

    readers: int = Field(default=4, ge=1, le=64)
    """How many threads read the database."""
