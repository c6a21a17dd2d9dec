"""Who may call what inside: service credentials or client certificates, and a policy that denies by default."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

import grpc

from chassis import tenancy
from chassis.errors import DomainError
from chassis.identity import ADMIN, CONSOLE, GATEWAY, MDM, PORTAL, Identity
from chassis.request_context import NO_REQUEST, from_metadata, request_context

if TYPE_CHECKING:
    from chassis.settings import ServiceSettings

__all__ = [
    "ADMIN",
    "CONSOLE",
    "GATEWAY",
    "MDM",
    "OPEN_SERVICES",
    "PORTAL",
    "AuthInterceptor",
    "Credentials",
    "CredentialsFileError",
    "Identity",
    "InvalidCredential",
    "MethodPolicy",
    "PermissionDenied",
    "generate_credentials",
    "own_secret",
    "read_credential",
]

OPEN_SERVICES = frozenset(
    {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"}
)
"""Services that anybody may call: they tell nothing about a customer."""

_SHORTEST_SECRET = 32


class CallerSettings(Protocol):
    """Settings of a process that calls others."""

    @property
    def credentials_file(self) -> Path | None:
        """The file with its secret."""


_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class CredentialsFileError(Exception):
    """A credentials file is missing, readable by others, or not of its form."""


class InvalidCredential(DomainError):
    """The caller presented no credential, or one that nobody has."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "INVALID_CREDENTIAL"


class PermissionDenied(DomainError):
    """The caller is known but may not call the method."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class Credentials:
    """The secrets that identify callers; only their SHA-256 is kept."""

    def __init__(self, secrets_by_name: Mapping[str, str]) -> None:
        self._digests = tuple((Identity(name), _digest(secret)) for name, secret in secrets_by_name.items())

    @classmethod
    def load(cls, path: Path | str) -> Credentials:
        """Read a JSON file `{"admin": "<secret>", …}`; raise `CredentialsFileError` naming the file and the rule."""
        return cls(_read_file(Path(path)))

    def identify(self, secret: str) -> Identity | None:
        """Find who has a secret; every known one is compared, in constant time."""
        presented = _digest(secret)
        found: Identity | None = None
        for identity, digest in self._digests:
            if hmac.compare_digest(digest, presented):
                found = identity
        return found


def generate_credentials(
    path: Path | str, names: Iterable[str], *, kept: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Make a file of fresh secrets of 256 bits, mode 0600, replacing one that exists; return name → secret.

    A name that is in `kept` keeps its secret.
    """
    path = Path(path)
    made = {**(kept or {}), **{name: secrets.token_urlsafe(32) for name in names if name not in (kept or {})}}
    # The file appears whole or not at all, and is never readable by others.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            json.dump(made, file, indent=2)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    return made


def read_credential(path: Path | str, name: str) -> str:
    """Read the secret of one name from a credentials file; raise `CredentialsFileError`."""
    found = _read_file(Path(path))
    if name not in found:
        raise CredentialsFileError(f"{path}: no credential for {name!r}")
    return found[name]


def own_secret(settings: CallerSettings, name: str) -> str | None:
    """Read a process's own secret; None where its certificate says who it is. Raises `CredentialsFileError`."""
    return None if settings.credentials_file is None else read_credential(settings.credentials_file, name)


def _read_file(path: Path) -> dict[str, str]:
    try:
        mode = path.stat().st_mode
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise CredentialsFileError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise CredentialsFileError(f"{path}: not JSON") from error
    if mode & 0o007:
        raise CredentialsFileError(f"{path}: readable by every user of the machine: chmod o-rwx")
    if not isinstance(content, dict) or not content:
        raise CredentialsFileError(f"{path}: expected an object of name and secret")
    for name, secret in content.items():
        if not isinstance(secret, str) or len(secret) < _SHORTEST_SECRET:
            raise CredentialsFileError(
                f"{path}: the secret of {name!r} must be text of {_SHORTEST_SECRET} characters or more"
            )
    return content


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class MethodPolicy:
    """Which identities may call which methods; what is not listed is denied.

    Keys are full methods ("/rollcall.directory.v1.DirectoryService/CreateUser") or service names
    ("rollcall.directory.v1.DirectoryService"); a rule for a method stands in place of its service's rule.
    """

    def __init__(self, rules: Mapping[str, frozenset[str]]) -> None:
        self._rules = dict(rules)

    def allowed(self, method: str) -> frozenset[str]:
        """Give the names of the identities that may call a full method."""
        rule = self._rules.get(method)
        if rule is None:
            rule = self._rules.get(_service_of(method), frozenset())
        return rule

    def open(self, method: str) -> bool:
        """Say whether anybody may call a method: health and reflection."""
        return _service_of(method) in OPEN_SERVICES


def _service_of(method: str) -> str:
    return method.strip("/").partition("/")[0]


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Let a call through when its caller is known and the policy allows it.

    A client certificate that the TLS layer verified counts first: its subject alternative names are looked up in
    `certificates` (name → identity name). Otherwise the `authorization: Bearer …` metadata must hold a credential.
    Stands behind `ErrorInterceptor`, which makes the status: UNAUTHENTICATED INVALID_CREDENTIAL or PERMISSION_DENIED in
    the error domain given. It also binds the call to whom it is for, see `tenancy`: with `workspaces` to the workspace
    that the request names.
    """

    def __init__(
        self,
        credentials: Credentials,
        policy: MethodPolicy,
        *,
        domain: str = "rollcall",
        certificates: Mapping[str, str] | None = None,
        workspaces: bool = False,
    ) -> None:
        self._credentials = credentials
        self._policy = policy
        self._certificates = dict(certificates or {})
        self._workspaces = workspaces
        self._unauthenticated = type("InvalidCredential", (InvalidCredential,), {"domain": domain})
        self._denied = type("PermissionDenied", (PermissionDenied,), {"domain": domain})
        self._handlers: dict[str, _Handler] = {}

    @classmethod
    def of(cls, settings: ServiceSettings, policy: MethodPolicy, *, domain: str, workspaces: bool = False) -> Self:
        """Make it as a service's settings say. Raises `CredentialsFileError`."""
        path = settings.credentials_file
        credentials = Credentials({}) if path is None else Credentials.load(path)
        return cls(credentials, policy, domain=domain, certificates=settings.tls_identities, workspaces=workspaces)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the method's handler; the check runs when the call is handled."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is None or self._policy.open(method):
                return handler
            handler = self._handlers[method] = self._guard(method, handler)
        return handler

    def authenticate(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Identity:
        """Identify the caller of a method; raise `InvalidCredential` or `PermissionDenied`."""
        identity = self._from_certificate(context) if self._certificates else None
        if identity is None:
            scheme, _, secret = request_context.get().authorization.partition(" ")
            if scheme.lower() != "bearer" or not secret:
                raise self._unauthenticated("the call carries no credential: send metadata `authorization: Bearer …`")
            identity = self._credentials.identify(secret.strip())
            if identity is None:
                raise self._unauthenticated("the credential is not known")
        if identity.name not in self._policy.allowed(method):
            raise self._denied(f"{identity.name} may not call {method}", metadata={"identity": identity.name})
        return identity

    def _from_certificate(self, context: grpc.aio.ServicerContext[Any, Any]) -> Identity | None:
        for name in context.auth_context().get("x509_subject_alternative_name", ()):
            text = name.decode() if isinstance(name, bytes) else str(name)
            if text in self._certificates:
                return Identity(self._certificates[text])
        return None

    def _guard(self, method: str, handler: _Handler) -> _Handler:
        def admit(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            if request_context.get() is NO_REQUEST:
                request_context.set(from_metadata(context.invocation_metadata(), request=method))
            identity = self.authenticate(method, context)
            asked = request_context.get()
            # Whom the console acts for, the console alone can say.
            administrator = asked.administrator if identity.name == CONSOLE else ""
            request_context.set(dataclasses.replace(asked, identity=identity, administrator=administrator))
            # For the gateway, only what the token says that it forwards; others name whom they work for, or span all.
            named = getattr(request, "workspace_id", "") if self._workspaces else ""
            tenancy.bind(named or ("" if identity.name == GATEWAY else tenancy.EVERY))

        def unary(inner: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
            async def checked(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                admit(request, context)
                return await inner(request, context)

            return checked

        def stream(inner: Callable[[Any, Any], AsyncIterator[Any]]) -> Callable[[Any, Any], AsyncIterator[Any]]:
            async def checked(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
                admit(request, context)
                async for response in inner(request, context):
                    yield response

            return checked

        return wrap_handler(handler, unary, stream)


def wrap_handler(handler: _Handler, unary: Callable[[Any], Any], stream: Callable[[Any], Any]) -> _Handler:
    """Make a handler like another with its behaviour wrapped: `unary` for one response, `stream` for many."""
    options = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(stream(handler.stream_stream), **options)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(unary(handler.stream_unary), **options)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(stream(handler.unary_stream), **options)
    return grpc.unary_unary_rpc_method_handler(unary(handler.unary_unary), **options)
