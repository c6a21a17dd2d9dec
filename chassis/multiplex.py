"""Many small calls over one stream (`rollcall.multiplex.v1`), for a caller that makes them by the hundred.

A unary call is the largest single cost of most requests; here what is ready to be sent goes in one message, and so do
the answers that are ready. Nothing else changes: the same handlers behind the same interceptors, the same metadata,
deadlines and errors. It is never needed: where a stream is not open yet, or ends, or the server is one that does not
know it, calls go one by one.

`MultiplexedChannel` stands in the place of a channel for generated stubs; `Multiplexer` is the server's side.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.rpc import status_pb2
from rollcall.multiplex.v1 import multiplex_service_pb2 as pb
from rollcall.multiplex.v1 import multiplex_service_pb2_grpc

from chassis.errors import status_metadata

_log = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str]]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

LARGEST_CALL = 64 * 1024
"""Bytes of a request that still travels with others; one that is larger would hold them up."""
LARGEST_FRAME = 256 * 1024
"""Bytes of answers after which a message is full, though one answer alone may be larger."""
LARGEST_ANSWER = 15 * 1024 * 1024
LIFETIME_SECONDS = 30.0
"""How long a stream takes calls: less than a server that ends old connections waits for what is under way on them."""
_RETRY_SECONDS = 0.25
_UNKNOWN_RETRY_SECONDS = 60.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class MultiplexedCallError(grpc.RpcError):
    """A call over a stream that failed; read like the error of any other call."""

    def __init__(self, code: grpc.StatusCode, details: str, status: bytes = b"") -> None:
        super().__init__(f"{code.name}: {details}")
        self._code = code
        self._details = details
        self._status = status

    def code(self) -> grpc.StatusCode:
        """Give the status code."""
        return self._code

    def details(self) -> str:
        """Give the message of the status."""
        return self._details

    def trailing_metadata(self) -> Any:
        """Give the metadata that carries the whole status."""
        return status_metadata(status_pb2.Status.FromString(self._status)) if self._status else ()


# The caller -----------------------------------------------------------------------------------------------------------


class MultiplexedChannel:
    """Stands for a channel with a generated stub: its unary calls share a stream, all others are the channel's own.

    `metadata` opens the stream and identifies the caller. Calls of more than `largest` bytes go by themselves. A stream
    is given up for a new one after `lifetime` seconds.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        metadata: Metadata = (),
        largest: int = LARGEST_CALL,
        lifetime: float = LIFETIME_SECONDS,
    ) -> None:
        self._channel = channel
        self._metadata = tuple(metadata)
        self._largest = largest
        self._lifetime = lifetime
        self._open = multiplex_service_pb2_grpc.MultiplexServiceStub(channel).Multiplex  # type: ignore[no-untyped-call]  # generated
        self._stream: _Stream | None = None
        self._streams: set[_Stream] = set()
        self._retry_at = 0.0

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, **options: Any
    ) -> _Method:
        """Give the callable of a unary method."""
        single = self._channel.unary_unary(method, request_serializer, response_deserializer, **options)
        return _Method(self, method, request_serializer, response_deserializer, single)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        """Give the channel's own callable."""
        return self._channel.unary_stream(*arguments, **options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """Give the channel's own callable."""
        return self._channel.stream_unary(*arguments, **options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """Give the channel's own callable."""
        return self._channel.stream_stream(*arguments, **options)

    async def close(self) -> None:
        """Give up all streams; calls under way on them fail as CANCELLED. The channel stays open."""
        self._retry_at = float("inf")
        self._stream = None
        for stream in list(self._streams):
            await stream.abandon()

    def stream(self) -> _Stream | None:
        """Give a stream that takes calls; None while there is none."""
        stream = self._stream
        now = asyncio.get_running_loop().time()
        if stream is not None and stream.takes and now < stream.until:
            return stream
        if stream is not None and stream.opening and now < stream.until:
            return None
        if stream is not None:
            stream.retire()
            self._stream = None
        if now >= self._retry_at:
            self._retry_at = now + _RETRY_SECONDS
            call = self._open(metadata=self._metadata, wait_for_ready=False)
            self._stream = stream = _Stream(call, now + self._lifetime, self._ended)
            self._streams.add(stream)
        return None

    def _ended(self, stream: _Stream, error: grpc.RpcError | None) -> None:
        self._streams.discard(stream)
        if self._stream is stream:
            self._stream = None
        if error is not None and _code_of(error) is grpc.StatusCode.UNIMPLEMENTED:
            self._retry_at = asyncio.get_running_loop().time() + _UNKNOWN_RETRY_SECONDS


class _Method:
    """One unary method: over the stream where there is one."""

    def __init__(
        self,
        channel: MultiplexedChannel,
        method: str,
        serialize: Callable[[Any], bytes],
        deserialize: Callable[[bytes], Any],
        single: Any,
    ) -> None:
        self._channel = channel
        self._method = method
        self._serialize = serialize
        self._deserialize = deserialize
        self._single = single

    async def __call__(self, request: Any, *, timeout: float, metadata: Metadata = ()) -> Any:
        """Call the method; `timeout` is in seconds. Raises grpc.RpcError."""
        stream = self._channel.stream()
        payload = self._serialize(request) if stream is not None else b""
        if stream is not None and len(payload) <= self._channel._largest:
            deadline = asyncio.get_running_loop().time() + timeout
            answer = await stream.ask(self._method, payload, timeout, metadata)
            if answer is not None:
                if answer.status:
                    status = status_pb2.Status.FromString(answer.status)
                    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
                    raise MultiplexedCallError(code, status.message, answer.status)
                return self._deserialize(answer.response)
            timeout = max(0.0, deadline - asyncio.get_running_loop().time())
        return await self._single(request, timeout=timeout, metadata=metadata)


class _Stream:
    """One stream of calls. What is not begun by its server when it closes is given back, to be made by itself."""

    def __init__(self, call: Any, until: float, ended: Callable[[_Stream, grpc.RpcError | None], None]) -> None:
        self.opening = True
        self.takes = False
        self.until = until
        self._call = call
        self._ended = ended
        self._number = 0
        self._waiting: dict[int, asyncio.Future[pb.Answer | None]] = {}
        self._outgoing: deque[pb.Call] = deque()
        self._wake = asyncio.Event()
        self._retired = False
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    async def ask(self, method: str, request: bytes, timeout: float, metadata: Metadata) -> pb.Answer | None:
        """Make a call and give its answer; None when it was not begun. Raises MultiplexedCallError."""
        self._number = number = self._number + 1
        milliseconds = max(1, int(timeout * 1000))
        future: asyncio.Future[pb.Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._outgoing.append(
            pb.Call(
                number=number,
                method=method,
                request=request,
                metadata=dict(metadata),
                timeout_milliseconds=milliseconds,
            )
        )
        self._wake.set()
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise MultiplexedCallError(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer in time") from None
        finally:
            if self._waiting.pop(number, None) is not None and not future.done():
                future.cancel()
            if self._retired:
                self._wake.set()

    def retire(self) -> None:
        """Take no more calls; end the stream once those under way are answered."""
        self.takes = False
        self._retired = True
        self._wake.set()

    async def abandon(self) -> None:
        """End at once."""
        self._call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self) -> None:
        # An error of the stream is told by its reader.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._outgoing:
                    calls, size = [], 0
                    while self._outgoing and size < LARGEST_FRAME:
                        calls.append(self._outgoing.popleft())
                        size += len(calls[-1].request)
                    await self._call.write(pb.MultiplexRequest(calls=calls))
                if self._retired and not self._waiting:
                    await self._call.done_writing()
                    return

    async def _read(self) -> None:
        error: grpc.RpcError | None = None
        try:
            while (frame := await self._call.read()) is not grpc.aio.EOF:
                if self.opening:
                    self.opening = False
                    self.takes = not self._retired
                for answer in frame.answers:
                    future = self._waiting.get(answer.number)
                    if future is not None and not future.done():
                        future.set_result(answer)
                if frame.closing:
                    self._give_back(frame.last_number)
        except grpc.RpcError as found:
            error = found
        finally:
            self.opening = self.takes = False
            self._outgoing.clear()
            failure = MultiplexedCallError(grpc.StatusCode.UNAVAILABLE, "the stream of calls broke off")
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(failure)
            self._tasks[1].cancel()
            self._ended(self, error)

    def _give_back(self, last: int) -> None:
        """Let go of the calls that the server has not taken and never will."""
        self.takes = False
        self._outgoing.clear()
        for number, future in self._waiting.items():
            if number > last and not future.done():
                future.set_result(None)
        self.retire()


# The server -----------------------------------------------------------------------------------------------------------


class Multiplexer(multiplex_service_pb2_grpc.MultiplexServiceServicer):
    """Serves `rollcall.multiplex.v1.MultiplexService` for the methods of other services of the same server.

    `register` adds those services, as to a server; `interceptors` are the server's own.
    """

    def __init__(
        self, register: Callable[[Any], None], interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
    ) -> None:
        self._methods = _collect(register)
        self._interceptors = tuple(interceptors)
        self._guarded: dict[str, _Handler] = {}
        self._sessions: set[_Session] = set()
        self._closing = False

    async def Multiplex(
        self, request_iterator: AsyncIterator[pb.MultiplexRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.MultiplexResponse]:
        """Take calls and answer them."""
        if self._closing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is about to stop")
        session = _Session(self, context)
        self._sessions.add(session)
        reading = asyncio.create_task(session.read(request_iterator))
        try:
            yield pb.MultiplexResponse()
            while (frame := await session.frame()) is not None:
                yield frame
        finally:
            self._sessions.discard(session)
            reading.cancel()
            session.cancel()

    def close(self) -> None:
        """Take no more calls; every stream ends once those that were taken are answered."""
        self._closing = True
        for session in self._sessions:
            session.close()

    async def handler(self, method: str) -> _Handler | None:
        """Give the handler of a unary method as the interceptors make it; None: there is none."""
        found = self._guarded.get(method)
        if found is None and (bare := self._methods.get(method)) is not None and bare.unary_unary is not None:
            found = self._guarded[method] = await self._guard(method, bare)
        return found

    async def _guard(self, method: str, bare: _Handler) -> _Handler:
        details = _Details(method)

        async def innermost(_: grpc.HandlerCallDetails) -> _Handler:
            return bare

        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]] = innermost
        for interceptor in reversed(self._interceptors):
            continuation = _continued(interceptor, continuation)
        return await continuation(details)


def _continued(interceptor: Any, inner: Callable[..., Awaitable[_Handler]]) -> Callable[..., Awaitable[_Handler]]:
    async def intercepted(details: grpc.HandlerCallDetails) -> _Handler:
        handler: _Handler = await interceptor.intercept_service(inner, details)
        return handler

    return intercepted


class _Details(grpc.HandlerCallDetails):
    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


class _Collector:
    """Looks like a server to generated functions, and keeps the handlers that they add."""

    def __init__(self) -> None:
        self.methods: dict[str, _Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Pass over what is added by name as well."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, _Handler]) -> None:
        """Keep the handlers of a service."""
        self.methods |= {f"/{service}/{name}": handler for name, handler in handlers.items()}


def _collect(register: Callable[[Any], None]) -> dict[str, _Handler]:
    collector = _Collector()
    register(collector)
    return collector.methods


class _Aborted(grpc.aio.AbortError):
    """A handler ended its call with a status."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__()
        self.status = status


class _CallContext:
    """What a handler and the interceptors see of a call that came over a stream."""

    def __init__(self, call: pb.Call, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._call = call
        self._context = context

    def invocation_metadata(self) -> Metadata:
        """Give the call's metadata."""
        return tuple(self._call.metadata.items())

    def auth_context(self) -> Any:
        """Give what TLS knows of the caller."""
        return self._context.auth_context()

    def code(self) -> Any:
        """Give the status code that was set: none ever is."""
        return None

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> None:
        """End the call with a status."""
        for _, value in trailing_metadata:
            if isinstance(value, bytes):
                raise _Aborted(status_pb2.Status.FromString(value))
        raise _Aborted(status_pb2.Status(code=code.value[0], message=details))


class _Session:
    """The calls of one stream."""

    def __init__(self, multiplexer: Multiplexer, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._multiplexer = multiplexer
        self._context = context
        self._running: dict[int, asyncio.Task[None]] = {}
        self._answers: deque[pb.Answer] = deque()
        self._wake = asyncio.Event()
        self._last = 0
        self._ended = False
        self._closing = False
        self._told = False

    async def read(self, requests: AsyncIterator[pb.MultiplexRequest]) -> None:
        """Take calls until the caller ends its side."""
        try:
            async for request in requests:
                if self._closing:
                    continue
                for call in request.calls:
                    self._last = call.number
                    self._running[call.number] = asyncio.create_task(self._serve(call))
        # The caller is gone; so are, in a moment, this stream and what runs on it.
        except grpc.aio.BaseError as error:
            _log.debug("a stream of calls broke off: %s", type(error).__name__)
        finally:
            self._ended = True
            self._wake.set()

    def close(self) -> None:
        """Take no more calls."""
        self._closing = True
        self._wake.set()

    def cancel(self) -> None:
        """Give up what is under way, for nobody waits for it any more."""
        for task in self._running.values():
            task.cancel()

    async def frame(self) -> pb.MultiplexResponse | None:
        """Give the next message to be sent; None when there will be none."""
        while True:
            if self._answers:
                answers, size = [], 0
                while self._answers and size < LARGEST_FRAME:
                    answers.append(self._answers.popleft())
                    size += len(answers[-1].response)
                return pb.MultiplexResponse(answers=answers)
            if self._closing and not self._told:
                self._told = True
                return pb.MultiplexResponse(closing=True, last_number=self._last)
            if (self._ended or self._closing) and not self._running:
                return None
            self._wake.clear()
            await self._wake.wait()

    async def _serve(self, call: pb.Call) -> None:
        try:
            async with asyncio.timeout(call.timeout_milliseconds / 1000 or None):
                answer = await self._answer(call)
        except _Aborted as aborted:
            answer = _failed(call, aborted.status)
        except TimeoutError:
            answer = _refused(call, grpc.StatusCode.DEADLINE_EXCEEDED, "the call took too long")
        # What the guards let through is a fault of ours; it must cost one call and not the stream.
        except Exception:
            _log.exception("%s: a call over a stream ended with an error", call.method)
            answer = _refused(call, grpc.StatusCode.INTERNAL, "internal error")
        self._answers.append(answer)
        # Not when the task is done, which is later: nobody would wake the stream's end.
        self._running.pop(call.number, None)
        self._wake.set()

    async def _answer(self, call: pb.Call) -> pb.Answer:
        handler = await self._multiplexer.handler(call.method)
        if handler is None:
            return _refused(call, grpc.StatusCode.UNIMPLEMENTED, f"{call.method} cannot be called over a stream")
        request = handler.request_deserializer(call.request)  # type: ignore[misc]  # generated handlers have one
        response = await handler.unary_unary(request, _CallContext(call, self._context))  # type: ignore[misc, arg-type]  # as above
        content: bytes = handler.response_serializer(response)  # type: ignore[misc]  # as above
        if len(content) > LARGEST_ANSWER:
            return _refused(call, grpc.StatusCode.RESOURCE_EXHAUSTED, "the answer is too large")
        return pb.Answer(number=call.number, response=content)


def _failed(call: pb.Call, status: status_pb2.Status) -> pb.Answer:
    return pb.Answer(number=call.number, status=status.SerializeToString())


def _refused(call: pb.Call, code: grpc.StatusCode, message: str) -> pb.Answer:
    return _failed(call, status_pb2.Status(code=code.value[0], message=message))


def _code_of(error: grpc.RpcError) -> grpc.StatusCode:
    code = getattr(error, "code", None)
    return code() if callable(code) else grpc.StatusCode.UNKNOWN
