"""Settings of the console, from the environment with the prefix `CONSOLE_`."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from chassis.settings import ProcessSettings, Refusal, TlsSettings


class ConsoleSettings(TlsSettings, ProcessSettings):
    """What the console can be told; nothing has a default that is unsafe in production."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_")

    address: str = Field(pattern=r"^.+:[0-9]{1,5}$")
    """`host:port` of the HTTP listener; port 0 is any that is free."""

    port_file: Path | None = None
    """Where the port that is listened on is written, once it is; nowhere when unset."""

    directory_target: str = Field(min_length=1)
    """The directory service: `host:port`, or `dns:///host:port` to spread calls over all its addresses."""

    portal_target: str = Field(min_length=1)
    """The portal service, likewise."""

    mdm_target: str = Field(min_length=1)
    """The MDM service, likewise."""

    credentials_file: Path | None = None
    """A JSON file whose entry `console` is the credential that the services know this process by; not needed where its
    certificate does."""

    public_url: str = Field(default="", pattern=r"^(https?://[^/?#\s]+)?$")
    """Where browsers reach the console, such as `https://console.example.com`; empty: the host of the request."""

    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Networks, separated by commas, whose `X-Forwarded-For` is believed; none when empty."""

    openid_issuer: str = Field(default="", pattern=r"^(https?://[^?#\s]+)?$")
    """The OpenID provider that administrators may sign in with, by its issuer's URL; empty: none."""

    openid_client_id: str = ""
    """The client that the provider knows the console as."""

    openid_client_secret_file: Path | None = None
    """File with the secret of that client, mode 0600."""

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the console over TLS alone."""
        return self.public_url.startswith("https://")

    def refusals(self) -> Iterator[Refusal]:
        """Yield an absence of what the services could know the console by, and what is unsafe in production."""
        yield from super().refusals()
        if self.credentials_file is None and not self.has_tls:
            yield "credentials_file", "is required, or the files of TLS"
        if self.in_production and not self.is_secure:
            yield "public_url", "is required in production and must begin with https://"
        yield from self._openid_refusals()

    def _openid_refusals(self) -> Iterator[Refusal]:
        given = {
            "openid_issuer": self.openid_issuer,
            "openid_client_id": self.openid_client_id,
            "openid_client_secret_file": self.openid_client_secret_file,
        }
        if any(given.values()):
            for name, value in given.items():
                if not value:
                    yield name, "is required where another setting of OpenID Connect is given"
            if not self.public_url:
                yield "public_url", "is required where OPENID_ISSUER is given: the provider sends browsers back there"
        if self.in_production and self.openid_issuer and not self.openid_issuer.startswith("https://"):
            yield "openid_issuer", "must begin with https:// in production"
        if (path := self.openid_client_secret_file) is not None:
            try:
                empty = not path.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not text"
                yield "openid_client_secret_file", f"{path}: {reason}"
            else:
                if empty:
                    yield "openid_client_secret_file", f"{path}: is empty"

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
