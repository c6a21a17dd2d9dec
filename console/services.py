"""The services as the console calls them: channels of this process, every call bounded in time and told who acts."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rollcall.audit.v1 import audit_service_pb2_grpc
from rollcall.delivery.v1 import delivery_service_pb2_grpc
from rollcall.directory.v1 import (
    administrator_service_pb2_grpc,
    connection_service_pb2_grpc,
    directory_service_pb2_grpc,
    provisioning_log_service_pb2_grpc,
)
from rollcall.mdm.v1 import mdm_service_pb2_grpc
from rollcall.portal.v1 import portal_service_pb2_grpc

from chassis import grpc_client
from chassis.request_context import ADMINISTRATOR_KEY, call_metadata

NAMES = ("directory", "portal", "mdm")
"""The services that there are."""

DEADLINE_SECONDS = 10.0
"""How long a call may take at most; a person should not wait longer for a page."""

Metadata = tuple[tuple[str, str], ...]

acting: contextvars.ContextVar[str] = contextvars.ContextVar("acting", default="")
"""The id of the administrator for whom the current request is; empty: nobody has signed in."""


class _Caller:
    """A channel as a stub sees it, whose calls end in time and carry the identity, the request and who acts."""

    def __init__(self, channel: grpc.aio.Channel, identity: Metadata) -> None:
        self._channel = channel
        self._identity = identity

    # An interceptor would cost each call a task of its own.
    def _call(self, made: Any) -> Callable[..., Any]:
        def call(request: Any, *, timeout: float | None = DEADLINE_SECONDS, metadata: Metadata = ()) -> Any:
            administrator: Metadata = ((ADMINISTRATOR_KEY, acting.get()),) if acting.get() else ()
            return made(
                request, timeout=timeout, metadata=(*self._identity, *call_metadata(), *administrator, *metadata)
            )

        return call

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Make a method that is awaited for its one answer."""
        return self._call(self._channel.unary_unary(*arguments, **options))

    def unary_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Make a method whose call is iterated over."""
        return self._call(self._channel.unary_stream(*arguments, **options))

    def stream_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Make a method that takes an iterator of requests."""
        return self._call(self._channel.stream_unary(*arguments, **options))

    def stream_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Make a method with an iterator on both sides."""
        return self._call(self._channel.stream_stream(*arguments, **options))


class Services:
    """The stubs of the three services; `targets` names each by its address.

    A method of a stub takes a request and, if need be, `timeout` in seconds (10 unless told otherwise; None: none). It
    raises grpc.aio.AioRpcError. Make it anywhere, start it in the loop that uses it, after any fork.
    """

    def __init__(
        self, targets: Mapping[str, str], credential: str | None = None, *, tls: grpc.ChannelCredentials | None = None
    ) -> None:
        self._targets = {name: targets[name] for name in NAMES}
        self._tls = tls
        # Where the console's certificate says who it is, there is no secret to send.
        self._identity: Metadata = () if credential is None else (("authorization", f"Bearer {credential}"),)
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def start(self) -> None:
        """Open the channels, which connect on their own."""
        for name, target in self._targets.items():
            self._channels[name] = grpc_client.channel(target, tls=self._tls, intercept=False)

    async def stop(self) -> None:
        """Close the channels; calls that are under way end."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close(None)

    def _stub(self, service: str, stub_class: Callable[[Any], Any]) -> Any:
        return stub_class(_Caller(self._channels[service], self._identity))

    @cached_property
    def connections(self) -> connection_service_pb2_grpc.ConnectionServiceStub:
        """Workspaces, connections, tokens and mappings: the directory's ConnectionService."""
        stub: connection_service_pb2_grpc.ConnectionServiceStub = self._stub(
            "directory", connection_service_pb2_grpc.ConnectionServiceStub
        )
        return stub

    @cached_property
    def directory(self) -> directory_service_pb2_grpc.DirectoryServiceStub:
        """Users, groups and events: the directory's DirectoryService."""
        stub: directory_service_pb2_grpc.DirectoryServiceStub = self._stub(
            "directory", directory_service_pb2_grpc.DirectoryServiceStub
        )
        return stub

    @cached_property
    def log(self) -> provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub:
        """Requests of identity providers: the directory's ProvisioningLogService."""
        stub: provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub = self._stub(
            "directory", provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub
        )
        return stub

    @cached_property
    def administrators(self) -> administrator_service_pb2_grpc.AdministratorServiceStub:
        """Accounts and sessions of the console: the directory's AdministratorService."""
        stub: administrator_service_pb2_grpc.AdministratorServiceStub = self._stub(
            "directory", administrator_service_pb2_grpc.AdministratorServiceStub
        )
        return stub

    @cached_property
    def portal(self) -> portal_service_pb2_grpc.PortalServiceStub:
        """Collaborators, the store's employees, publications: PortalService."""
        stub: portal_service_pb2_grpc.PortalServiceStub = self._stub(
            "portal", portal_service_pb2_grpc.PortalServiceStub
        )
        return stub

    @cached_property
    def mdm(self) -> mdm_service_pb2_grpc.MdmServiceStub:
        """Devices, policies, segments: MdmService."""
        stub: mdm_service_pb2_grpc.MdmServiceStub = self._stub("mdm", mdm_service_pb2_grpc.MdmServiceStub)
        return stub

    @cached_property
    def _deliveries(self) -> dict[str, delivery_service_pb2_grpc.DeliveryServiceStub]:
        return {name: self._stub(name, delivery_service_pb2_grpc.DeliveryServiceStub) for name in ("portal", "mdm")}

    def delivery(self, service: str) -> delivery_service_pb2_grpc.DeliveryServiceStub:
        """Effects and dead letters of `portal` or `mdm`: that service's DeliveryService."""
        return self._deliveries[service]

    @cached_property
    def _audits(self) -> dict[str, audit_service_pb2_grpc.AuditServiceStub]:
        return {name: self._stub(name, audit_service_pb2_grpc.AuditServiceStub) for name in NAMES}

    def audits(self, service: str) -> audit_service_pb2_grpc.AuditServiceStub:
        """Administrative actions in one of the three services: that service's AuditService."""
        return self._audits[service]

    async def is_serving(self, service: str, seconds: float) -> bool:
        """Tell whether a service says within the time that it is serving."""
        health = health_pb2_grpc.HealthStub(self._channels[service])
        try:
            # The channel may be pausing between two attempts to connect to a service that is there by now.
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=seconds, wait_for_ready=True)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
