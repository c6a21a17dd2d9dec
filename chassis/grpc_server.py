"""A `grpc.aio` server as every service runs it: rich errors, health, reflection, and a drain that loses no call."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health
from grpc_reflection.v1alpha import reflection

from chassis import telemetry
from chassis.auth import wrap_handler
from chassis.database import DatabaseClosed, DatabaseUnavailable
from chassis.errors import DomainError, status_metadata, to_status
from chassis.metrics import CallStatistics
from chassis.request_context import RequestContext, from_metadata, request_context
from chassis.tenancy import across_tenants

if TYPE_CHECKING:
    from chassis.settings import TlsSettings

__all__ = ["ErrorInterceptor", "RequestContext", "Server", "request_context", "serve", "server_credentials"]

_log = logging.getLogger(__name__)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # The library's 1,000 is passed by one burst of a large push, and what is above it is cancelled without a word.
    ("grpc.server.max_pending_requests", 4_000),
    ("grpc.server.max_pending_requests_hard_limit", 8_000),
    # Clients come back and spread over the servers of the day.
    ("grpc.max_connection_age_ms", 10 * 60_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)

CALLS = CallStatistics()
"""The calls that this process has answered."""

DRAIN_SECONDS = 1.0
"""How long a server that is NOT_SERVING still takes calls, so that balancers look elsewhere first."""


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Give each call its request context, and turn what it raises into a status.

    A `DomainError` becomes its rich status. `DatabaseUnavailable` becomes UNAVAILABLE. Anything else is logged with the
    request id and answered as a bare INTERNAL "internal error". Must be the first interceptor.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, _Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the method's handler, once per method."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return handler
            handler = self._handlers[method] = self._guard(method, handler)
        return handler

    def _guard(self, method: str, handler: _Handler) -> _Handler:
        def unary(inner: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
            async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                span = _enter(method, context)
                began, code = time.monotonic(), "OK"
                try:
                    return await inner(request, context)
                # The one place where an unexpected error must not reach the caller as it is.
                except Exception as error:
                    code = _code_of(error)
                    await _abort(method, error, context)
                except asyncio.CancelledError:
                    code = "CANCELLED"
                    raise
                finally:
                    CALLS.add(method, code, time.monotonic() - began)
                    if span is not None:
                        span.end(error="" if code == "OK" else code)

            return guarded

        def stream(inner: Callable[[Any, Any], AsyncIterator[Any]]) -> Callable[[Any, Any], AsyncIterator[Any]]:
            async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
                span = _enter(method, context)
                began, code = time.monotonic(), "OK"
                try:
                    async for response in inner(request, context):
                        yield response
                # As above.
                except Exception as error:
                    code = _code_of(error)
                    await _abort(method, error, context)
                except (asyncio.CancelledError, GeneratorExit):
                    code = "CANCELLED"
                    raise
                finally:
                    CALLS.add(method, code, time.monotonic() - began)
                    if span is not None:
                        span.end(error="" if code == "OK" else code)

            return guarded

        return wrap_handler(handler, unary, stream)


def _enter(method: str, context: grpc.aio.ServicerContext[Any, Any]) -> telemetry.Span | None:
    """Give the call its request context, and its span, if there are any."""
    request = from_metadata(context.invocation_metadata(), request=method)
    attributes = {"rpc.system": "grpc", "rpc.method": method, "rollcall.request_id": request.request_id}
    span = telemetry.start("SERVER", method.lstrip("/"), request.traceparent, attributes=attributes)
    request_context.set(request if span is None else dataclasses.replace(request, traceparent=span.traceparent))
    return span


def _code_of(error: Exception) -> str:
    """Give the name of the status that `_abort` answers with."""
    if isinstance(error, DomainError):
        return error.code.name
    if isinstance(error, DatabaseUnavailable | DatabaseClosed):
        return "UNAVAILABLE"
    if isinstance(error, grpc.aio.AbortError):
        return "ABORTED_BY_HANDLER"
    return "UNIMPLEMENTED" if isinstance(error, NotImplementedError) else "INTERNAL"


async def _abort(method: str, error: Exception, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error  # the handler has already said how the call ends
    request_id = request_context.get().request_id
    if isinstance(error, DomainError):
        status = to_status(error, request_id)
        await context.abort(error.code, error.message, status_metadata(status))
    if isinstance(error, DatabaseUnavailable | DatabaseClosed):
        _log.warning("%s: %s", method, error)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the database is unavailable", _bare(14, request_id))
    if isinstance(error, NotImplementedError) and context.code() == grpc.StatusCode.UNIMPLEMENTED:
        raise error  # a generated servicer's answer for a method that nobody wrote
    _log.error("%s: internal error", method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error", _bare(13, request_id))


def _bare(code: int, request_id: str) -> tuple[tuple[str, bytes], ...]:
    from google.protobuf import any_pb2
    from google.rpc import error_details_pb2

    message = "internal error" if code == 13 else "the database is unavailable"
    status = status_pb2.Status(code=code, message=message)
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.RequestInfo(request_id=request_id))
    status.details.append(packed)
    return status_metadata(status)


class Server:
    """A server that is started and stopped by its owner; `serve` adds signals and background work.

    `address` is `host:port` (port 0: a free one, see `port`) or `unix:path`. `tls` are the server's credentials;
    without them the port is plain text. `health_address` serves health alone, in plain text, for probes that have no
    certificate to show. Raises OSError when an address cannot be bound.
    """

    def __init__(
        self,
        *,
        register: Callable[[grpc.aio.Server], None],
        service_names: Sequence[str],
        address: str,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        tls: grpc.ServerCredentials | None = None,
        health_address: str = "",
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._register = register
        self._service_names = tuple(service_names)
        self._address = address
        chain = list(interceptors)
        if not chain or not isinstance(chain[0], ErrorInterceptor):
            chain.insert(0, ErrorInterceptor())
        self._interceptors = chain
        self._tls = tls
        self._health_address = health_address
        self._health_server: grpc.aio.Server | None = None
        self._options = [*OPTIONS, *options]
        self._server: grpc.aio.Server | None = None
        self._health: aio_health.HealthServicer | None = None
        self.port = 0
        self.health_port = 0

    async def start(self) -> None:
        """Bind, register everything, and serve."""
        server = grpc.aio.server(interceptors=self._interceptors, options=self._options)
        self._register(server)
        self._health = aio_health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        reflection.enable_server_reflection((*self._service_names, health_name, reflection.SERVICE_NAME), server)
        try:
            if self._tls is None:
                self.port = server.add_insecure_port(self._address)
            else:
                self.port = server.add_secure_port(self._address, self._tls)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}: {error}") from error
        if self._health_address:
            self._health_server = await self._serve_health(self._health)
        for name in ("", *self._service_names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        self._server = server

    async def _serve_health(self, health: aio_health.HealthServicer) -> grpc.aio.Server:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        try:
            self.health_port = server.add_insecure_port(self._health_address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._health_address}: {error}") from error
        await server.start()
        return server

    async def stop(self, *, grace: float | None = None, drain: float = 0.0) -> None:
        """Say NOT_SERVING, take calls for `drain` seconds more, then let running calls end within `grace` seconds."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._health is not None:
            await self._health.enter_graceful_shutdown()
        if drain:
            await asyncio.sleep(drain)
        await server.stop(grace)
        await server.wait_for_termination()
        if self._health_server is not None:
            await self._health_server.stop(None)
            self._health_server = None


async def serve(
    *,
    register: Callable[[grpc.aio.Server], None],
    service_names: Sequence[str],
    address: str,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    on_started: Callable[[Server], Awaitable[None] | None] | None = None,
    background: Sequence[Callable[[], Awaitable[object]]] = (),
    grace: float = 10.0,
    port_file: Path | None = None,
    tls: grpc.ServerCredentials | None = None,
    health_address: str = "",
) -> None:
    """Serve until SIGTERM or SIGINT, or until a piece of background work ends; then drain and return.

    The drain is NOT_SERVING, one second, `stop(grace)`, and only then the end of the background work, which is
    cancelled and awaited. `port_file` gets the port as text once calls are taken. Raises what a piece of background
    work raised.
    """
    server = Server(
        register=register,
        service_names=service_names,
        address=address,
        interceptors=interceptors,
        tls=tls,
        health_address=health_address,
    )
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    tasks: list[asyncio.Future[object]] = []
    try:
        await server.start()
        tasks = [asyncio.ensure_future(across_tenants(work)) for work in background]
        if port_file is not None:
            write_port_file(port_file, server.port)
        if on_started is not None:
            result = on_started(server)
            if result is not None:
                await result
        _log.info("serving on port %d", server.port)
        signalled = asyncio.ensure_future(stopping.wait())
        waiting: list[asyncio.Future[Any]] = [signalled, *tasks]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        ended_by_itself = not stopping.is_set()
        await server.stop(grace=grace, drain=0.0 if ended_by_itself else DRAIN_SECONDS)
    finally:
        await server.stop(grace=None)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        pending: set[asyncio.Future[object]] = set(tasks)
        while pending:
            # Asked again each second: a cancellation can be lost in a library's wait_for on Python 3.11.
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=1.0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in results:
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome


def write_port_file(path: Path, port: int) -> None:
    """Write a port number to a file that appears whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(f"{port}\n")
    with contextlib.suppress(FileNotFoundError):
        os.replace(temporary, path)


def server_credentials(settings: TlsSettings) -> grpc.ServerCredentials | None:
    """Read what a process serves with, as its settings say; None: without TLS. Raises OSError."""
    certificate, key, authority = settings.tls_certificate_file, settings.tls_key_file, settings.tls_ca_file
    if certificate is None or key is None or authority is None:
        return None
    return server_tls(certificate=certificate, key=key, client_authority=authority)


def server_tls(*, certificate: Path, key: Path, client_authority: Path) -> grpc.ServerCredentials:
    """Read mutual TLS credentials for a server: every client must show a certificate of `client_authority`."""
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=client_authority.read_bytes(),
        require_client_auth=True,
    )
