"""The directory as the gateway calls it: one channel for each worker, one call for each request.

The identity provider's token travels with every call and is checked where the data is; the connection that a call
names must be the token's own.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import directory_service_pb2_grpc, provisioning_log_service_pb2_grpc
from rollcall.directory.v1 import provisioning_log_service_pb2 as log_pb

from chassis import grpc_client
from chassis.crashpoints import crashpoint
from chassis.errors import RpcFailure, from_rpc_error
from chassis.multiplex import MultiplexedChannel
from chassis.request_context import CLIENT_DIALECT_KEY
from gateway.dialect import classify
from gateway.errors import Unavailable, from_failure
from gateway.exchange import Exchange

CONNECT_SECONDS = 5.0
"""How long a call waits for a directory that is not there, such as one that restarts."""

Answer = TypeVar("Answer", bound=Message, covariant=True)
Item = TypeVar("Item", bound=Message, covariant=True)
Metadata = tuple[tuple[str, str], ...]


class Unary(Protocol[Answer]):
    """A unary method of a stub."""

    async def __call__(self, request: Message, /, *, timeout: float, metadata: Metadata) -> Answer:
        """Call the method; `timeout` is in seconds."""


class ServerStream(Protocol[Item]):
    """A method of a stub that answers with a stream."""

    def __call__(self, request: Message, /, *, timeout: float, metadata: Metadata) -> AsyncIterator[Item]:
        """Call the method; `timeout` is in seconds and holds for the whole stream."""


class Directory:
    """A client of the directory service. Make it before a fork, start it after."""

    def __init__(
        self, target: str, credential: str | None = None, *, tls: grpc.ChannelCredentials | None = None
    ) -> None:
        self._target = target
        self._tls = tls
        # Where the gateway's certificate says who it is, there is no secret to send.
        self._identity: Metadata = () if credential is None else (("authorization", f"Bearer {credential}"),)
        self._channel: grpc.aio.Channel | None = None
        self._calls: MultiplexedChannel
        self.stub: directory_service_pb2_grpc.DirectoryServiceStub
        self._health: health_pb2_grpc.HealthStub
        self._log: provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub

    async def start(self) -> None:
        """Open the channel, which connects on its own."""
        self._channel = grpc_client.channel(self._target, tls=self._tls, intercept=False)
        self._calls = MultiplexedChannel(self._channel, metadata=self._identity)
        self.stub = directory_service_pb2_grpc.DirectoryServiceStub(self._calls)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._log = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._channel.get_state(try_to_connect=True)

    async def stop(self) -> None:
        """Close the channel; calls that are under way are cancelled."""
        if self._channel is not None:
            await self._calls.close()
            await self._channel.close()
            self._channel = None

    @property
    def is_connected(self) -> bool:
        """Whether a call could be made at once."""
        return self._channel is not None and self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def call(self, method: Unary[Answer], request: Message, exchange: Exchange, route: str) -> Answer:
        """Make one call for a request; `route` is its method and route, as effects show it ("PUT /Users/{id}").

        Raises Refusal.
        """
        answer = await self.attempt(method, request, exchange, route)
        if isinstance(answer, RpcFailure):
            raise from_failure(answer)
        return answer

    async def attempt(
        self, method: Unary[Answer], request: Message, exchange: Exchange, route: str
    ) -> Answer | RpcFailure:
        """Make one call and return its failure. Raises Unavailable when the directory cannot be reached."""
        seconds = await self._ready(exchange)
        try:
            answer = await method(request, timeout=seconds, metadata=self._metadata(exchange, route))
        except grpc.RpcError as error:
            exchange.answered = True
            return from_rpc_error(error)
        exchange.answered = True
        exchange.asked, exchange.answer = request, answer
        crashpoint("gateway.after_reply")
        return answer

    async def stream(
        self, method: ServerStream[Item], request: Message, exchange: Exchange, route: str
    ) -> AsyncIterator[Item]:
        """Make one call and yield what it streams. Raises Refusal, before the first item or after any."""
        seconds = await self._ready(exchange)
        call = method(request, timeout=seconds, metadata=self._metadata(exchange, route))
        try:
            async for item in call:
                exchange.answered = True
                yield item
        except grpc.RpcError as error:
            exchange.answered = True
            raise from_failure(from_rpc_error(error)) from None

    async def check_token(self, exchange: Exchange) -> None:
        """Ask only whether the token is good. Raises Refusal."""
        request = pb.CheckTokenRequest(connection_id=exchange.connection_id)
        await self.call(self.stub.CheckToken, request, exchange, "CheckToken")

    async def record(self, entries: Sequence[log_pb.ProvisioningLogEntry], seconds: float) -> None:
        """Tell of requests that were answered. Raises grpc.RpcError."""
        request = log_pb.RecordProvisioningLogEntriesRequest(entries=entries)
        await self._log.RecordProvisioningLogEntries(request, timeout=seconds, metadata=self._identity)

    async def is_serving(self, seconds: float) -> bool:
        """Tell whether the directory says within the time that it is serving."""
        try:
            # The channel may be pausing between two attempts to connect to a directory that is there by now.
            answer = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=seconds, wait_for_ready=True)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _metadata(self, exchange: Exchange, route: str) -> Metadata:
        metadata: Metadata = (
            *self._identity,
            ("rollcall-scim-token", exchange.token),
            ("rollcall-request-id", exchange.request_id),
            ("rollcall-request", route),
        )
        if not exchange.dialect_told:
            exchange.dialect_told = True
            exchange.dialect = classify(route, exchange.user_agent, exchange.query, exchange.body)
            metadata = (*metadata, (CLIENT_DIALECT_KEY, exchange.dialect))
        return (*metadata, ("traceparent", exchange.traceparent)) if exchange.traceparent else metadata

    async def _ready(self, exchange: Exchange) -> float:
        """Wait for a connection, if need be; return the seconds that are left to the request."""
        if self._channel is None:
            raise Unavailable
        loop = asyncio.get_running_loop()
        if self._channel.get_state() is not grpc.ChannelConnectivity.READY:
            # A call that is refused at once would lose requests in every restart; one that waits for its whole deadline
            # would pile them up in an outage.
            seconds = min(CONNECT_SECONDS, exchange.deadline - loop.time())
            try:
                await asyncio.wait_for(self._channel.channel_ready(), max(seconds, 0))
            # The library's own error: the channel was closed meanwhile, as at the end of this process.
            except (TimeoutError, grpc.aio.UsageError):
                exchange.answered = True
                raise Unavailable from None
        seconds = exchange.deadline - loop.time()
        if seconds <= 0:
            exchange.answered = True
            raise Unavailable("the request took too long; try again")
        return seconds
