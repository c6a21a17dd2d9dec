"""Settings of the gateway, from the environment with the prefix `GATEWAY_`."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from chassis.settings import ObservedSettings, Refusal, TlsSettings

_MEBIBYTE = 1024 * 1024


class GatewaySettings(ObservedSettings, TlsSettings):
    """What the gateway can be told. Where nothing is said, a limit holds that suits production; rates only there."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    address: str = Field(pattern=r"^.+:[0-9]{1,5}$")
    """`host:port` of the HTTP listener; port 0 is any that is free."""

    port_file: Path | None = None
    """Where the port that is listened on is written, once it is; nowhere when unset."""

    workers: int = Field(default=2, ge=1, le=64)
    """How many processes answer requests; about one for each core."""

    directory_target: str = Field(min_length=1)
    """The directory service: `host:port`, or `dns:///host:port` to spread calls over all its addresses."""

    credentials_file: Path | None = None
    """A JSON file whose entry `gateway` is the credential that the directory knows this process by; not needed where
    its certificate does."""

    public_url: str = Field(default="", pattern=r"^(https?://[^/?#\s]+(/[^?#\s]*)?)?$")
    """What `meta.location` begins with, such as `https://scim.example.com`; empty: the host of the request."""

    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Networks, separated by commas, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; none when empty."""

    max_user_body_bytes: int = Field(default=_MEBIBYTE, ge=1024, le=16 * _MEBIBYTE)
    """How long the body of a request about users may be, in bytes; beyond it is 413."""

    max_group_body_bytes: int = Field(default=8 * _MEBIBYTE, ge=1024, le=16 * _MEBIBYTE)
    """The same for groups, whose PUT carries every member; 8 MiB hold about 60,000."""

    max_bulk_body_bytes: int = Field(default=4 * _MEBIBYTE, ge=1024, le=8 * _MEBIBYTE)
    """How long the body of a bulk request may be, in bytes: `maxPayloadSize`; beyond it is 413."""

    max_bulk_operations: int = Field(default=1000, ge=1, le=1000)
    """How many operations a bulk request may have: `maxOperations`; beyond it is 413. The directory takes 1,000."""

    max_json_depth: int = Field(default=20, ge=5, le=200)
    """How many objects and lists may stand in one another in a body."""

    max_filter_length: int = Field(default=4096, ge=64)
    """How long a filter may be, in characters; the directory has a limit of its own, of 4,096."""

    max_filter_depth: int = Field(default=20, ge=1)
    """How deep the groups and brackets of a filter may nest; at most 20 in the directory."""

    max_filter_terms: int = Field(default=50, ge=1)
    """How many comparisons a filter may have; at most 50 in the directory."""

    max_patch_operations: int = Field(default=100, ge=1)
    """How many operations a PATCH may have."""

    max_patch_member_values: int = Field(default=5000, ge=1)
    """How many member values the operations of a PATCH may carry together."""

    requests_per_second: float = Field(default=0.0, ge=0)
    """How many requests a second one token may make; 0 is no limit. Default in production: 100, and never 0."""

    burst: int = Field(default=500, ge=1)
    """How many requests a token may make at once after a pause, where there is a rate limit."""

    concurrent_requests: int = Field(default=8, ge=2, le=1000)
    """How many requests one process works on at once, of one token at most three quarters of them; others wait."""

    waiting_requests: int = Field(default=200, ge=0, le=10_000)
    """How many requests of one token may wait in one process; those beyond are refused at once with 429."""

    patience_seconds: float = Field(default=1.5, gt=0, le=30)
    """How long a request waits for its turn before it is refused with 429."""

    failed_authentications_per_minute: int = Field(default=0, ge=0)
    """How many failed authentications one address may have in a minute; 0 is no limit. Default in production: 10,
    and never 0."""

    deadline_seconds: float = Field(default=30.0, gt=0, le=55)
    """How long a request may take before it is answered with 503; below the 60 seconds that Okta waits."""

    keepalive_seconds: int = Field(default=5, ge=1, le=3600)
    """How long an idle connection is kept. Behind a load balancer: longer than the balancer keeps its own, so that it
    is the one to close. It is also how long a process that was told to stop waits for idle clients."""

    provisioning_log_capacity: int = Field(default=10_000, ge=0, le=1_000_000)
    """How many entries of the provisioning log wait in one process at most, such as while the directory is away; 0
    keeps no log. An entry takes about half a kilobyte."""

    log_requests: bool = False
    """Whether every request is logged: method, route, status, time; failures of the server always are."""

    @model_validator(mode="before")
    @classmethod
    def _limit_in_production(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("environment") == "production":
            return {"requests_per_second": 100.0, "failed_authentications_per_minute": 10, **values}
        return values

    def refusals(self) -> Iterator[Refusal]:
        """Yield an absence of what the directory could know the gateway by, and what is unsafe in production."""
        yield from super().refusals()
        if self.credentials_file is None and not self.has_tls:
            yield "credentials_file", "is required, or the files of TLS"
        if self.in_production:
            if not self.public_url.startswith("https://"):
                yield "public_url", "is required in production and must begin with https://"
            for name in ("requests_per_second", "failed_authentications_per_minute"):
                if not getattr(self, name):
                    yield name, "must be greater than 0 in production"

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")
