"""Settings of a process: one frozen class, read once from the environment."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, NoReturn, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chassis.identity import NAMES

S = TypeVar("S", bound="ProcessSettings")

_PEM = re.compile(rb"-----BEGIN ")
_NKEY_USER_SEED = re.compile(rb"\A\s*SU[A-Z2-7]+\s*\Z")

Refusal = tuple[str, str]
"""The name of a field, and the rule that it breaks."""


class SettingsRefused(ValueError):
    """Settings that are well formed one by one and cannot stand together; `refusals` says which and why."""

    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__("; ".join(f"{name}: {rule}" for name, rule in refusals))
        self.refusals = refusals


class ProcessSettings(BaseSettings):
    """What every process reads. A subclass sets `model_config = SettingsConfigDict(env_prefix="DIRECTORY_")`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        # Of all these classes a process builds the one that it reads.
        defer_build=True,
    )

    environment: Literal["development", "production"] = "development"
    """`production`: the process refuses to start without TLS, identities and limits."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe log record that is written."""

    log_format: Literal["json", "plain"] = "json"
    """`json`: one object per line, for machines; `plain`: one line of text, for a terminal."""

    grace_seconds: float = 10.0
    """How long running calls may take to end when the process is told to stop."""

    @property
    def in_production(self) -> bool:
        """Whether what is unsafe is refused."""
        return self.environment == "production"

    def refusals(self) -> Iterator[Refusal]:
        """Yield what cannot stand together; a subclass adds its own to those of its bases."""
        return iter(())

    @model_validator(mode="after")
    def _stand_together(self) -> Self:
        # One line for each setting: the first rule that it breaks.
        found: dict[str, str] = {}
        for name, rule in self.refusals():
            found.setdefault(name, rule)
        if found:
            raise SettingsRefused(list(found.items()))
        return self

    @classmethod
    def load(cls: type[S]) -> S:
        """Read the environment; on a missing or wrong value print one line that names the variable, and exit 2."""
        try:
            return cls()
        except ValidationError as error:
            _refuse(cls, error)


class ObservedSettings(ProcessSettings):
    """Where a process that goes on tells how it is."""

    metrics_address: str = Field(default="", pattern=r"^(.+:[0-9]{1,5})?$")
    """`host:port` that serves Prometheus metrics on `/metrics`, over plain HTTP; empty: none."""

    otlp_endpoint: str = Field(default="", pattern=r"^(https?://[^/?#\s]+(/[^?#\s]*)?)?$")
    """Where traces are told, OTLP over HTTP, such as `http://collector:4318`; empty: nowhere."""


class TlsSettings(ProcessSettings):
    """The certificate by which a process is known to the others, when it calls and when it is called."""

    tls_certificate_file: Path | None = None
    """The process's own certificate, PEM, with the intermediate ones behind it."""

    tls_key_file: Path | None = None
    """The private key of the certificate, PEM."""

    tls_ca_file: Path | None = None
    """The authority that the certificates of callers and of called services must chain to, PEM."""

    @property
    def has_tls(self) -> bool:
        """Whether calls are made and taken over TLS with certificates on both sides."""
        return any((self.tls_certificate_file, self.tls_key_file, self.tls_ca_file))

    def refusals(self) -> Iterator[Refusal]:
        """Yield a TLS file that is missing or cannot be read."""
        yield from super().refusals()
        files = {name: getattr(self, name) for name in ("tls_certificate_file", "tls_key_file", "tls_ca_file")}
        for name, path in files.items():
            if path is not None:
                yield from _unusable(name, path, _PEM)
            elif any(files.values()):
                yield name, "is required where another file of TLS is given"
            elif self.in_production:
                yield name, "is required in production"


class ServiceSettings(ObservedSettings, TlsSettings):
    """What a process reads that others call over gRPC."""

    credentials_file: Path | None = None
    """JSON file of the secrets that callers identify themselves by, mode 0600; not needed where certificates do."""

    tls_identities: Annotated[Mapping[str, str], NoDecode] = Field(default_factory=dict)
    """Who a certificate is: `name=identity`, separated by commas; the name is a subject alternative name, the identity
    one of those that methods are allowed to. A certificate that is not named is nobody."""

    health_address: str = Field(default="", pattern=r"^(.+:[0-9]{1,5})?$")
    """`host:port` that serves gRPC health alone, without TLS, for probes that have no certificate; empty: none."""

    @field_validator("tls_identities", mode="before")
    @classmethod
    def _read_identities(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in value.split(","))):
            name, separator, identity = part.rpartition("=")
            if not separator or not name or identity not in NAMES:
                raise ValueError(f"must be name=identity, separated by commas; identities are {', '.join(NAMES)}")
            found[name] = identity
        return found

    def refusals(self) -> Iterator[Refusal]:
        """Yield an absence of everything that callers could identify themselves by."""
        yield from super().refusals()
        if self.tls_identities and not self.has_tls:
            yield "tls_certificate_file", "is required where TLS_IDENTITIES is given"
        if self.in_production and not self.tls_identities:
            yield "tls_identities", "is required in production"
        elif self.credentials_file is None and not self.tls_identities:
            yield "credentials_file", "is required, or TLS_IDENTITIES"


class NatsClientSettings(ProcessSettings):
    """How a process reaches NATS and who it is there."""

    nats_url: str = Field(min_length=1)
    """The NATS servers, URLs separated by commas; `tls://` for TLS."""

    nats_ca_file: Path | None = None
    """The authority that the servers' certificates must chain to, PEM; unset: those that the system trusts."""

    nats_nkey_seed_file: Path | None = None
    """File with the nkey seed of the process's own user, mode 0600; unset: none is presented."""

    @property
    def nats_servers(self) -> list[str]:
        """The URLs one by one."""
        return [url.strip() for url in self.nats_url.split(",") if url.strip()]

    def refusals(self) -> Iterator[Refusal]:
        """Yield a connection that anybody could listen to or make."""
        yield from super().refusals()
        for name, form in (("nats_ca_file", _PEM), ("nats_nkey_seed_file", _NKEY_USER_SEED)):
            if (path := getattr(self, name)) is not None:
                yield from _unusable(name, path, form)
        if self.in_production:
            if any(not url.startswith("tls://") for url in self.nats_servers):
                yield "nats_url", "must begin with tls:// in production"
            if self.nats_nkey_seed_file is None:
                yield "nats_nkey_seed_file", "is required in production"


def _unusable(name: str, path: Path, form: re.Pattern[bytes]) -> Iterator[Refusal]:
    try:
        content = path.read_bytes()
    except OSError as error:
        yield name, f"{path}: {error.strerror}"
        return
    # The libraries would say of it only that they cannot listen, or not connect.
    if not form.search(content):
        yield name, f"{path}: holds no {'PEM' if form is _PEM else 'seed of an nkey user'}"


def _refuse(settings: type[ProcessSettings], error: ValidationError) -> NoReturn:
    prefix = str(settings.model_config.get("env_prefix") or "")
    for problem in error.errors(include_url=False, include_input=False):
        refused = problem.get("ctx", {}).get("error")
        if isinstance(refused, SettingsRefused):
            for name, rule in refused.refusals:
                _tell(f"{prefix}{name}", rule)
            continue
        name = ".".join(str(part) for part in problem["loc"])
        # The value itself may be a secret: only the rule is told.
        what = "is required" if problem["type"] == "missing" else problem["msg"]
        _tell(f"{prefix}{name}" if name else prefix.rstrip("_"), what)
    raise SystemExit(2)


def _tell(variable: str, rule: str) -> None:
    print(f"rollcall: {variable.upper()}: {rule}", file=sys.stderr)
