"""Calls over one stream: the same answers, errors, deadlines and guards as of calls one by one, and none lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rollcall.multiplex.v1 import multiplex_service_pb2, multiplex_service_pb2_grpc

from chassis.auth import AuthInterceptor, Credentials, MethodPolicy
from chassis.errors import DomainError, from_rpc_error
from chassis.grpc_server import ErrorInterceptor, Server
from chassis.multiplex import MultiplexedChannel, Multiplexer
from chassis.request_context import request_context
from tests.chassis.delivery_world import eventually

pytestmark = pytest.mark.timeout(60)

SECRET = "s" * 43
MULTIPLEX = multiplex_service_pb2.DESCRIPTOR.services_by_name["MultiplexService"].full_name
IDENTITY = (("authorization", f"Bearer {SECRET}"),)
Answers = Callable[[str], Awaitable[Any]]


class Refused(DomainError):
    """What the tests' service refuses."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "REFUSED"
    domain = "tests.rollcall"


class Health(health_pb2_grpc.HealthServicer):
    """A small service that does as its requests say; each is remembered with the way that it came."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.over_stream: list[bool] = []
        self.gate = asyncio.Event()
        self.cancelled: list[str] = []

    async def Check(self, request: Any, context: Any) -> Any:
        """Answer, refuse, fail or wait."""
        self.began.append(request.service)
        self.over_stream.append(type(context).__module__ == "chassis.multiplex")
        word = request.service.partition(" ")[0]
        if word == "refuse":
            raise Refused("it is refused", metadata={"id": "7"}, field="service")
        if word == "fail":
            raise ZeroDivisionError
        if word == "who":
            context_ = request_context.get()
            assert context_.identity is not None
            raise Refused(f"{context_.request_id} {context_.request} {context_.identity.name}")
        if word == "wait":
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.append(request.service)
                raise
        if word == "large":
            return health_pb2.HealthCheckResponse(status=len(request.service))  # type: ignore[arg-type]
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class Stack:
    """A server whose service can be called both ways, and a channel for calls over a stream."""

    def __init__(self) -> None:
        self.service = Health()
        self.multiplexer: Multiplexer
        self.server: Server
        self.channel: grpc.aio.Channel
        self.calls: MultiplexedChannel
        self.check: Any

    async def ask(self, word: str, *, timeout: float = 10, metadata: Any = IDENTITY) -> Any:
        """Call the service."""
        request = health_pb2.HealthCheckRequest(service=word)
        return await self.check(request, timeout=timeout, metadata=metadata)

    async def streaming(self) -> None:
        """Wait until calls go over a stream."""
        while self.calls.stream() is None:
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(*, known: bool = True, allowed: bool = True, **options: Any) -> AsyncIterator[Stack]:
    """A stack; `known`: its server has the multiplex service; `allowed`: the caller may call the method."""
    stack = Stack()
    rules = {MULTIPLEX: frozenset({"gateway"}), "tests.Calls": frozenset({"gateway"} if allowed else {"admin"})}
    interceptors = (ErrorInterceptor(), AuthInterceptor(Credentials({"gateway": SECRET}), MethodPolicy(rules)))

    def add(server: Any) -> None:
        handler = grpc.unary_unary_rpc_method_handler(
            stack.service.Check,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Calls", {"Check": handler}),))
        server.add_registered_method_handlers("tests.Calls", {"Check": handler})

    def register(server: Any) -> None:
        add(server)
        stack.multiplexer = Multiplexer(add, interceptors)
        if known:
            multiplex_service_pb2_grpc.add_MultiplexServiceServicer_to_server(stack.multiplexer, server)  # type: ignore[no-untyped-call]

    stack.server = Server(register=register, service_names=(), address="127.0.0.1:0", interceptors=interceptors)
    await stack.server.start()
    stack.channel = grpc.aio.insecure_channel(f"127.0.0.1:{stack.server.port}")
    stack.calls = MultiplexedChannel(stack.channel, metadata=IDENTITY, **options)
    stack.check = stack.calls.unary_unary(
        "/tests.Calls/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    try:
        yield stack
    finally:
        await stack.calls.close()
        await stack.channel.close()
        stack.service.gate.set()
        stack.multiplexer.close()
        await stack.server.stop(grace=1)


async def failure(call: Awaitable[Any]) -> Any:
    """What a call that fails says."""
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_calls_are_answered_before_there_is_a_stream_and_over_it() -> None:
    """multiplex_service.proto: "a caller sends none before"; nobody waits for a stream to open."""
    async with running() as stack:
        assert (await stack.ask("first")).status == 1
        assert stack.service.over_stream == [False]
        await stack.streaming()
        answers = await asyncio.gather(*(stack.ask(f"n {number}") for number in range(200)))
        assert [answer.status for answer in answers] == [1] * 200
        assert stack.service.over_stream[1:] == [True] * 200


async def test_a_call_sees_the_same_request_behind_the_same_guards() -> None:
    """ "the same handlers behind the same interceptors, the same metadata": request id, operation and identity."""
    async with running() as stack:
        metadata = (*IDENTITY, ("rollcall-request-id", "r-1"), ("rollcall-request", "GET /Users"))
        one_by_one = await failure(stack.ask("who", metadata=metadata))
        await stack.streaming()
        over_stream = await failure(stack.ask("who", metadata=metadata))
        assert stack.service.over_stream == [False, True]
        assert one_by_one.message == over_stream.message == "r-1 GET /Users gateway"


async def test_errors_are_the_same_both_ways() -> None:
    """A refusal keeps its code, reason, metadata and field; an error nobody expected is a bare INTERNAL."""
    async with running() as stack:
        metadata = (*IDENTITY, ("rollcall-request-id", "r-2"))
        found = [[vars(await failure(stack.ask(word, metadata=metadata))) for word in ("refuse", "fail")]]
        await stack.streaming()
        found.append([vars(await failure(stack.ask(word, metadata=metadata))) for word in ("refuse", "fail")])
        assert found[0] == found[1]
        refused, failed = found[1]
        assert (refused["reason"], refused["metadata"], refused["field"]) == ("REFUSED", {"id": "7"}, "service")
        assert (failed["code"], failed["message"]) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_each_call_over_a_stream_is_judged_by_the_policy() -> None:
    """Who may open a stream may not therefore call whatever there is: default deny, call by call."""
    async with running(allowed=False) as stack:
        await stack.streaming()
        assert (await failure(stack.ask("n"))).code is grpc.StatusCode.PERMISSION_DENIED
        assert (await failure(stack.ask("n", metadata=()))).code is grpc.StatusCode.UNAUTHENTICATED
        assert stack.service.began == []


async def test_a_stream_needs_a_known_caller() -> None:
    """Without a credential no stream opens, and calls go on one by one, each with its own."""
    async with running() as stack:
        stack.calls._metadata = ()
        for number in range(5):
            assert (await stack.ask(f"n {number}")).status == 1
        assert stack.service.over_stream == [False] * 5


async def test_a_server_that_does_not_know_streams_is_called_one_by_one() -> None:
    """ "It is never needed": a server of an earlier release answers UNIMPLEMENTED and is not asked again soon."""
    async with running(known=False) as stack:
        for number in range(5):
            assert (await stack.ask(f"n {number}")).status == 1
        await eventually(lambda: not stack.calls._streams)
        assert stack.calls.stream() is None
        assert not stack.calls._streams
        assert stack.service.over_stream == [False] * 5


async def test_a_slow_call_holds_nobody_up() -> None:
    """Answers come as soon as they are there, in any order."""
    async with running() as stack:
        await stack.streaming()
        slow = asyncio.ensure_future(stack.ask("wait"))
        assert (await stack.ask("quick")).status == 1
        assert not slow.done()
        stack.service.gate.set()
        assert (await slow).status == 1


async def test_a_deadline_ends_the_call_on_both_sides() -> None:
    """The caller sees DEADLINE_EXCEEDED, the work is cancelled, and the stream goes on."""
    async with running() as stack:
        await stack.streaming()
        assert (await failure(stack.ask("wait", timeout=0.05))).code is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: stack.service.cancelled == ["wait"])
        assert (await stack.ask("after")).status == 1
        assert stack.service.over_stream == [True, True]


async def test_a_large_request_goes_by_itself() -> None:
    """A message that would hold the others up is a call of its own."""
    async with running(largest=100) as stack:
        await stack.streaming()
        await stack.ask("large " + "x" * 200)
        await stack.ask("small")
        assert stack.service.over_stream == [False, True]


async def test_a_stream_is_replaced_after_its_lifetime_and_loses_nothing() -> None:
    """A stream that is given up answers what is under way on it, while new calls go elsewhere."""
    async with running(lifetime=0.05) as stack:
        await stack.streaming()
        slow = asyncio.ensure_future(stack.ask("wait"))
        await eventually(lambda: stack.service.began == ["wait"])
        first = next(iter(stack.calls._streams))
        await eventually(lambda: asyncio.get_running_loop().time() > first.until)
        assert (await stack.ask("next")).status == 1
        assert not first.takes
        stack.service.gate.set()
        assert (await slow).status == 1
        await eventually(lambda: first not in stack.calls._streams)


async def test_a_server_that_stops_answers_what_it_took_and_gives_the_rest_back() -> None:
    """ "those with a number above `last_number` were not begun": they are made one by one, each once."""
    async with running() as stack:
        await stack.streaming()
        taken = asyncio.ensure_future(stack.ask("wait taken"))
        await eventually(lambda: stack.service.began == ["wait taken"])
        stack.multiplexer.close()
        rest = [asyncio.ensure_future(stack.ask(f"n {number}")) for number in range(20)]
        assert [answer.status for answer in await asyncio.gather(*rest)] == [1] * 20
        assert sorted(stack.service.began) == sorted(["wait taken", *(f"n {number}" for number in range(20))])
        assert not taken.done()
        stack.service.gate.set()
        assert (await taken).status == 1
        await eventually(lambda: not stack.calls._streams)
        await stack.server.stop(grace=None)


async def test_what_is_under_way_when_the_connection_breaks_is_unavailable() -> None:
    """Nobody knows what became of it, so it fails like any call; a new stream serves those that follow."""
    async with running() as stack:
        await stack.streaming()
        lost = asyncio.ensure_future(stack.ask("wait"))
        await eventually(lambda: stack.service.began == ["wait"])
        next(iter(stack.calls._streams))._call.cancel()
        with pytest.raises((grpc.RpcError, asyncio.CancelledError)):
            await lost
        await eventually(lambda: stack.service.cancelled == ["wait"])
        assert (await stack.ask("after")).status == 1
        await stack.streaming()
        assert (await stack.ask("and again")).status == 1
        assert stack.service.over_stream[-1]
