"""Channels to internal services: quick to reconnect, balanced, and carrying who calls on whose behalf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from chassis.request_context import AUTHORIZATION_KEY, call_metadata

if TYPE_CHECKING:
    from chassis.settings import TlsSettings

__all__ = ["call_metadata", "channel", "channel_credentials", "channel_tls"]

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # With the library's own pace, callers saw UNAVAILABLE for two more seconds after a server was back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # In spite of its name this is how long one attempt may take; with less, a TLS handshake on a machine that is busy
    # is cut off, begun again and never done. A port where nobody listens is tried again at the pace above.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A server in another process must not be shared by accident through the library's global pool.
    ("grpc.use_local_subchannel_pool", 1),
)
_ROUND_ROBIN = '{"loadBalancingConfig":[{"round_robin":{}}]}'


def channel(
    target: str,
    *,
    credential: str | None = None,
    options: Sequence[tuple[str, Any]] = (),
    tls: grpc.ChannelCredentials | None = None,
    intercept: bool = True,
) -> grpc.aio.Channel:
    """Open a channel whose calls carry the credential and the current request context.

    `target` is `host:port`, `unix:path`, or `dns:///host:port`, which spreads calls over all addresses; so does a list
    of addresses, `ipv4:…`. Without `tls` the connection is plain text. Make it after a fork, never before.
    `intercept=False` leaves credential and context to the caller: interceptors cost each call a task, which a caller
    that makes all metadata itself can save.
    """
    all_options = [*OPTIONS, *options]
    if target.startswith(("dns:", "ipv4:", "ipv6:")):
        all_options.append(("grpc.service_config", _ROUND_ROBIN))
    fixed = ((AUTHORIZATION_KEY, f"Bearer {credential}"),) if credential else ()
    interceptors: list[Any] = (
        [] if not intercept else [_UnaryUnary(fixed), _UnaryStream(fixed), _StreamUnary(fixed), _StreamStream(fixed)]
    )
    if tls is None:
        return grpc.aio.insecure_channel(target, options=all_options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, tls, options=all_options, interceptors=interceptors)


def channel_tls(
    *, authority: Path, certificate: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """Read TLS credentials for a channel: the servers' authority, and the client's own certificate for mutual TLS."""
    return grpc.ssl_channel_credentials(
        root_certificates=authority.read_bytes(),
        private_key=key.read_bytes() if key else None,
        certificate_chain=certificate.read_bytes() if certificate else None,
    )


def channel_credentials(settings: TlsSettings) -> grpc.ChannelCredentials | None:
    """Read what a process calls others with, as its settings say; None: without TLS. Raises OSError."""
    if settings.tls_ca_file is None:
        return None
    return channel_tls(
        authority=settings.tls_ca_file, certificate=settings.tls_certificate_file, key=settings.tls_key_file
    )


class _Metadata:
    def __init__(self, fixed: tuple[tuple[str, str], ...]) -> None:
        self._fixed = fixed

    def _extended(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        # What the caller gave stands; the context fills in the rest.
        given = list(details.metadata or ())
        present = {key for key, _ in given}
        added = [pair for pair in (*self._fixed, *call_metadata()) if pair[0] not in present]
        return grpc.aio.ClientCallDetails(
            details.method,
            details.timeout,
            grpc.aio.Metadata(*given, *added),
            details.credentials,
            details.wait_for_ready,
        )


class _UnaryUnary(_Metadata, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._extended(client_call_details), request)


class _UnaryStream(_Metadata, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._extended(client_call_details), request)


class _StreamUnary(_Metadata, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(self._extended(client_call_details), request_iterator)


class _StreamStream(_Metadata, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(self._extended(client_call_details), request_iterator)
