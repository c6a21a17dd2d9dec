"""Errors, identities and request contexts across a real gRPC connection, and the drain."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rollcall.delivery.v1 import delivery_service_pb2 as pb
from rollcall.delivery.v1 import delivery_service_pb2_grpc as pb_grpc

from chassis.auth import (
    AuthInterceptor,
    Credentials,
    CredentialsFileError,
    MethodPolicy,
    generate_credentials,
    read_credential,
)
from chassis.database import DatabaseUnavailable
from chassis.errors import DomainError, RpcFailure, from_rpc_error, to_status
from chassis.grpc_client import channel
from chassis.grpc_server import ErrorInterceptor, Server, serve
from chassis.request_context import RequestContext, call_metadata, request_context

pytestmark = pytest.mark.timeout(60)

SERVICE = "rollcall.delivery.v1.DeliveryService"


class EffectMissing(DomainError):
    code = grpc.StatusCode.NOT_FOUND
    reason = "EFFECT_NOT_FOUND"
    domain = "delivery.rollcall"


class Servicer(pb_grpc.DeliveryServiceServicer):
    """Answers with what it knows of the caller, or fails in the way that the request names."""

    def __init__(self) -> None:
        self.seen: list[RequestContext] = []
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def GetEffect(self, request: pb.GetEffectRequest, context: Any) -> pb.GetEffectResponse:
        self.seen.append(request_context.get())
        if request.effect_id == "missing":
            raise EffectMissing("no effect missing, sorry – ü", metadata={"effect_id": "missing"}, field="effect_id")
        if request.effect_id == "bug":
            raise KeyError("secret detail")
        if request.effect_id == "away":
            raise DatabaseUnavailable("database x: no connection")
        if request.effect_id == "abort":
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, "by itself")
        if request.effect_id == "wait":
            self.entered.set()
            await self.go_on.wait()
        return pb.GetEffectResponse(effect=pb.Effect(effect_id=request.effect_id))

    async def stream(self, request: pb.GetEffectRequest, context: Any) -> AsyncIterator[pb.GetEffectResponse]:
        self.seen.append(request_context.get())
        yield pb.GetEffectResponse()
        if request.effect_id == "missing":
            raise EffectMissing("none")
        yield pb.GetEffectResponse()


def register(servicer: Servicer):
    def add(server: grpc.aio.Server) -> None:
        pb_grpc.add_DeliveryServiceServicer_to_server(servicer, server)
        handler = grpc.unary_stream_rpc_method_handler(
            servicer.stream,
            request_deserializer=pb.GetEffectRequest.FromString,
            response_serializer=pb.GetEffectResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Streams", {"Stream": handler}),))

    return add


SECRETS = {"admin": "a" * 40, "gateway": "g" * 40, "portal": "p" * 40}
POLICY = MethodPolicy(
    {
        SERVICE: frozenset({"admin"}),
        f"/{SERVICE}/GetEffect": frozenset({"admin", "gateway"}),
        "test.Streams": frozenset({"gateway"}),
    }
)


@pytest.fixture
async def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
async def server(servicer: Servicer) -> AsyncIterator[Server]:
    made = Server(
        register=register(servicer),
        service_names=[SERVICE],
        address="127.0.0.1:0",
        interceptors=[ErrorInterceptor(), AuthInterceptor(Credentials(SECRETS), POLICY, domain="delivery.rollcall")],
    )
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def calls(server: Server) -> AsyncIterator[pb_grpc.DeliveryServiceStub]:
    async with channel(f"127.0.0.1:{server.port}", credential=SECRETS["gateway"]) as opened:
        yield pb_grpc.DeliveryServiceStub(opened)


async def failure(call: Any) -> RpcFailure:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_a_domain_error_reaches_the_caller_with_its_reason(calls, servicer) -> None:
    """AIP-193: "all error responses must include an ErrorInfo payload"."""
    failed = await failure(
        calls.GetEffect(pb.GetEffectRequest(effect_id="missing"), metadata=[("rollcall-request-id", "r-1")])
    )
    assert failed.code is grpc.StatusCode.NOT_FOUND
    assert (failed.reason, failed.domain) == ("EFFECT_NOT_FOUND", "delivery.rollcall")
    assert failed.message == "no effect missing, sorry – ü"
    assert failed.metadata == {"effect_id": "missing"}
    assert failed.field == "effect_id"
    assert failed.request_id == "r-1"


def test_a_status_carries_the_details_that_google_rpc_names() -> None:
    """AIP-193: ErrorInfo always, RequestInfo for the id, BadRequest for a field."""
    status = to_status(EffectMissing("none", field="effect_id"), "r-2")
    kinds = [detail.type_url.rpartition("/")[2] for detail in status.details]
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.RequestInfo", "google.rpc.BadRequest"]
    bad = error_details_pb2.BadRequest()
    status.details[2].Unpack(bad)
    assert bad.field_violations[0].field == "effect_id"
    assert [d.type_url.rpartition(".")[2] for d in to_status(EffectMissing("none"), "r").details] == [
        "ErrorInfo",
        "RequestInfo",
    ]


async def test_an_unknown_exception_is_bare_for_the_caller_and_logged_with_the_request_id(calls, caplog) -> None:
    """SECURITY.md: "Unknown exceptions: logged with the request id, answered as a bare ..." INTERNAL."""
    call = calls.GetEffect(pb.GetEffectRequest(effect_id="bug"), metadata=[("rollcall-request-id", "r-3")])
    failed = await failure(call)
    assert failed.code is grpc.StatusCode.INTERNAL
    assert (failed.message, failed.reason, failed.request_id) == ("internal error", "", "r-3")
    (record,) = [record for record in caplog.records if record.name == "chassis.grpc_server" and record.exc_info]
    assert isinstance(record.exc_info[1], KeyError)


async def test_a_database_that_is_away_is_unavailable(calls) -> None:
    """A caller may try again: UNAVAILABLE, not INTERNAL."""
    failed = await failure(calls.GetEffect(pb.GetEffectRequest(effect_id="away")))
    assert failed.code is grpc.StatusCode.UNAVAILABLE


async def test_an_abort_of_the_handler_stands(calls) -> None:
    """A handler that ends the call itself is not overruled."""
    failed = await failure(calls.GetEffect(pb.GetEffectRequest(effect_id="abort")))
    assert (failed.code, failed.message) == (grpc.StatusCode.OUT_OF_RANGE, "by itself")


async def test_streams_are_guarded_too(server, servicer) -> None:
    """A domain error in the middle of a stream becomes its status."""
    async with channel(f"127.0.0.1:{server.port}", credential=SECRETS["gateway"]) as opened:
        stream = opened.unary_stream(
            "/test.Streams/Stream",
            request_serializer=pb.GetEffectRequest.SerializeToString,
            response_deserializer=pb.GetEffectResponse.FromString,
        )
        received = [response async for response in stream(pb.GetEffectRequest())]
        assert len(received) == 2
        broken = stream(pb.GetEffectRequest(effect_id="missing"))
        assert await broken.read() == pb.GetEffectResponse()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await broken.read()
        assert from_rpc_error(caught.value).reason == "EFFECT_NOT_FOUND"
    assert servicer.seen[0].identity is not None
    assert servicer.seen[0].identity.name == "gateway"


@pytest.mark.parametrize(
    ("metadata", "code", "reason"),
    [
        ([], grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIAL"),
        ([("authorization", "Bearer nonsense")], grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIAL"),
        ([("authorization", "Basic " + "g" * 40)], grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIAL"),
        ([("authorization", "Bearer ")], grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIAL"),
        ([("authorization", "Bearer " + "p" * 40)], grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
    ],
)
async def test_calls_without_a_right_are_refused(server, servicer, metadata, code, reason) -> None:
    """SECURITY.md: "default deny"; the handler never runs."""
    async with channel(f"127.0.0.1:{server.port}") as opened:
        failed = await failure(pb_grpc.DeliveryServiceStub(opened).GetEffect(pb.GetEffectRequest(), metadata=metadata))
    assert (failed.code, failed.reason, failed.domain) == (code, reason, "delivery.rollcall")
    assert servicer.seen == []


async def test_a_method_rule_stands_in_place_of_its_services_rule(server, calls) -> None:
    """A gateway may read one effect, and nothing else of the service; an admin may all."""
    assert (await calls.GetEffect(pb.GetEffectRequest(effect_id="e"))).effect.effect_id == "e"
    failed = await failure(calls.ListEffects(pb.ListEffectsRequest()))
    assert failed.code is grpc.StatusCode.PERMISSION_DENIED
    async with channel(f"127.0.0.1:{server.port}", credential=SECRETS["admin"]) as opened:
        failed = await failure(pb_grpc.DeliveryServiceStub(opened).ListEffects(pb.ListEffectsRequest()))
    assert failed.code is grpc.StatusCode.UNIMPLEMENTED


async def test_the_request_context_travels(calls, servicer) -> None:
    """Request id, operation, trace and SCIM token reach the handler; a request id is made when none came."""
    token = request_context.set(RequestContext(request_id="r-9", request="PUT /Users/{id}", traceparent="00-a-b-01"))
    try:
        await calls.GetEffect(pb.GetEffectRequest(), metadata=call_metadata(scim_token="t"))
        await calls.GetEffect(pb.GetEffectRequest())
    finally:
        request_context.reset(token)
    await calls.GetEffect(pb.GetEffectRequest())
    first, second, third = servicer.seen
    assert (first.request_id, first.request, first.traceparent, first.scim_token) == (
        "r-9",
        "PUT /Users/{id}",
        "00-a-b-01",
        "t",
    )
    assert (second.request_id, second.scim_token) == ("r-9", "")
    assert third.request_id not in ("", "r-9")
    assert third.request == f"/{SERVICE}/GetEffect"
    assert "t" not in repr(first).replace("request", "").replace("traceparent", "").split("scim_token")[-1][:3]


async def test_health_and_reflection_are_open_and_a_drain_says_not_serving(server, servicer, calls) -> None:
    """HOUSE.md: "drain is NOT_SERVING, one second, stop(grace)"; a running call ends well."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        health = health_pb2_grpc.HealthStub(opened)
        for name in ("", SERVICE):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        running = asyncio.ensure_future(_get(calls, "wait"))
        await servicer.entered.wait()
        stopping = asyncio.ensure_future(server.stop(grace=10, drain=0.5))

        async def draining() -> bool:
            answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
            return bool(answer.status == health_pb2.HealthCheckResponse.NOT_SERVING)

        while not await draining():
            await asyncio.sleep(0.01)
        # New calls are still taken while balancers look elsewhere.
        assert (await calls.GetEffect(pb.GetEffectRequest(effect_id="late"))).effect.effect_id == "late"
        servicer.go_on.set()
        assert (await running).effect.effect_id == "wait"
        await stopping


async def _get(calls: Any, effect_id: str) -> pb.GetEffectResponse:
    response: pb.GetEffectResponse = await calls.GetEffect(pb.GetEffectRequest(effect_id=effect_id))
    return response


async def test_serve_ends_on_sigterm_and_stops_its_background_work(tmp_path: Path) -> None:
    """`serve` returns after the drain; background work is stopped after the server."""
    events: list[str] = []
    port_file = tmp_path / "port"

    async def background() -> None:
        events.append("started")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("stopped")

    task = asyncio.ensure_future(
        serve(
            register=register(Servicer()),
            service_names=[SERVICE],
            address="127.0.0.1:0",
            on_started=lambda server: events.append("serving"),
            background=[background],
            grace=1.0,
            port_file=port_file,
        )
    )
    while "serving" not in events:
        await asyncio.sleep(0.01)
    assert int(port_file.read_text()) > 0
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 20)
    assert events == ["serving", "started", "stopped"] or events == ["started", "serving", "stopped"]


async def test_serve_ends_with_the_error_of_its_background_work() -> None:
    """A process whose relay or consumer is dead must not look alive."""

    async def broken() -> None:
        raise ConnectionError("gone for good")

    with pytest.raises(ConnectionError, match="gone for good"):
        await serve(
            register=register(Servicer()),
            service_names=[SERVICE],
            address="127.0.0.1:0",
            background=[broken],
        )


async def test_an_address_in_use_is_an_error(server) -> None:
    """Two servers never share a port by accident."""
    second = Server(register=register(Servicer()), service_names=[SERVICE], address=f"127.0.0.1:{server.port}")
    with pytest.raises(OSError, match="cannot listen"):
        await second.start()


async def test_callers_go_on_soon_after_a_server_is_back(servicer) -> None:
    """TRAPS.md: with the reconnect backoff set, a server that is back is found again soon."""
    first = Server(register=register(servicer), service_names=[SERVICE], address="127.0.0.1:0")
    await first.start()
    async with channel(f"127.0.0.1:{first.port}") as opened:
        stub = pb_grpc.DeliveryServiceStub(opened)
        await stub.GetEffect(pb.GetEffectRequest())
        await first.stop()
        failed = await failure(stub.GetEffect(pb.GetEffectRequest()))
        assert failed.code is grpc.StatusCode.UNAVAILABLE
        again = Server(register=register(servicer), service_names=[SERVICE], address=f"127.0.0.1:{first.port}")
        await again.start()
        try:
            await stub.GetEffect(pb.GetEffectRequest(), wait_for_ready=True, timeout=1.5)
        finally:
            await again.stop()


def test_credentials_are_private_and_complete(tmp_path: Path) -> None:
    """SECURITY.md: an administrator's credential is kept with mode 0600; a wrong file is told by name and rule."""
    path = tmp_path / "credentials.json"
    made = generate_credentials(path, ["admin", "gateway"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(made["admin"]) >= 43
    credentials = Credentials.load(path)
    for name, secret in made.items():
        identity = credentials.identify(secret)
        assert identity is not None
        assert identity.name == name
        assert read_credential(path, name) == secret
    assert credentials.identify("") is None
    assert credentials.identify(made["admin"] + "x") is None
    with pytest.raises(CredentialsFileError, match="mdm"):
        read_credential(path, "mdm")
    for content, rule in [("[]", "object"), ("{", "JSON"), ('{"admin": "short"}', "32 characters"), ("{}", "object")]:
        path.write_text(content)
        with pytest.raises(CredentialsFileError, match=rule):
            Credentials.load(path)
    path.chmod(0o644)
    with pytest.raises(CredentialsFileError, match="readable"):
        Credentials.load(path)
    with pytest.raises(CredentialsFileError, match=r"nowhere\.json"):
        Credentials.load(tmp_path / "nowhere.json")


def test_a_status_without_details_is_a_failure_too() -> None:
    """What a proxy or the library itself answers carries no ErrorInfo."""
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "no route")
    failed = from_rpc_error(error)
    assert (failed.code, failed.reason, failed.message) == (grpc.StatusCode.UNAVAILABLE, "", "no route")
