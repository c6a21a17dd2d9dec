"""The MDM service as a whole: database, consumer of the directory's events, relay of device commands, gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Awaitable, Callable, Sequence

import grpc
from nats.errors import Error as NatsError
from rollcall.audit.v1 import audit_service_pb2_grpc
from rollcall.delivery.v1 import delivery_service_pb2_grpc
from rollcall.mdm.v1 import mdm_service_pb2_grpc

from chassis import audit, grpc_client, grpc_server, migrations, outbox, streams
from chassis.auth import MDM, AuthInterceptor, own_secret
from chassis.consumer import Consumer, prune_inbox
from chassis.database import Database, is_transient
from chassis.delivery_metrics import consumer_questions, outbox_questions
from chassis.delivery_servicer import DeliveryServicer
from chassis.grpc_server import CALLS, ErrorInterceptor
from chassis.metrics import MetricsServer
from chassis.nats_permissions import DIRECTORY_STREAM
from chassis.reconcile import Reconciler
from chassis.relay import Relay
from chassis.streams import NatsSettings, StreamSettings
from chassis.tenancy import across_tenants
from mdm_service import access, closures, command_events, provisioning
from mdm_service.directory import Directory
from mdm_service.errors import DOMAIN
from mdm_service.reconcile import MdmView
from mdm_service.servicers.mdm import MdmServicer
from mdm_service.settings import MdmSettings
from mdm_service.tables import DELIVERY, MIGRATIONS, AuditEntry, Outbox

_log = logging.getLogger(__name__)

WORKSPACE_OF = "SELECT workspace_id FROM connections WHERE connection_id = :connection_id"

SERVICE = "mdm"
"""The name of the durable consumers, `mdm-<partition>`."""

_PRUNE_SECONDS = 3600.0
_PROVISION_SECONDS = 1.0


class MdmServer:
    """Everything of the MDM process, to be started and stopped by its owner.

    `open` and `close` hold what must be there before the first call and until the last; `background` is the work beside
    the calls, each piece of which runs until it is cancelled. `start` and `stop` do all of it, without signals.
    """

    def __init__(self, settings: MdmSettings) -> None:
        self._settings = settings
        self._server: grpc_server.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()

    @property
    def port(self) -> int:
        """The port that gRPC is served on; 0 before `start`."""
        return 0 if self._server is None else self._server.port

    @property
    def service_names(self) -> tuple[str, ...]:
        """The full names of the services."""
        return (*(service.full_name for service in access.SERVICES), audit.SERVICE_NAME)

    async def open(self) -> None:
        """Open the database and everything around it.

        Raises SchemaMismatch, CredentialsFileError, DatabaseUnavailable.
        """
        settings = self._settings
        auth = AuthInterceptor.of(settings, access.policy(), domain=DOMAIN, workspaces=True)
        secret = own_secret(settings, MDM)
        prepare = migrations.upgrade if settings.migrate else migrations.check
        await asyncio.to_thread(prepare, settings.database_url, MIGRATIONS)
        self.db = Database(settings.database_url, name="mdm", readers=settings.readers)
        await self.db.start()
        self._stack.push_async_callback(self.db.stop)
        channel = grpc_client.channel(
            settings.directory_target, credential=secret, tls=grpc_client.channel_credentials(settings)
        )
        self._stack.push_async_callback(channel.close)
        self.directory = Directory(channel)
        nats = _nats(settings)
        self.consumer = Consumer(
            self.db,
            service=SERVICE,
            servers=nats,
            stream=_replicated(DIRECTORY_STREAM, settings),
            tables=DELIVERY,
            handlers=provisioning.HANDLERS,
            repair=lambda event: provisioning.repair(self.directory, event),
            portals=provisioning.SUBJECT_PORTALS,
            lease_seconds=settings.lease_seconds,
            ack_wait=settings.ack_wait_seconds,
            provision=settings.provision_streams,
        )
        self.relay = Relay(
            self.db,
            Outbox,
            servers=nats,
            stream=_replicated(command_events.STREAM, settings),
            provision=settings.provision_streams,
        )
        questions = {
            "calls": CALLS.samples,
            **consumer_questions(self.db, SERVICE, self.consumer, DELIVERY),
            **outbox_questions(SERVICE, self.db, Outbox, self.relay),
        }
        metrics = MetricsServer(settings.metrics_address, questions)
        await metrics.start()
        self._stack.push_async_callback(metrics.stop)
        self.interceptors = (
            ErrorInterceptor(),
            audit.AuditInterceptor(audit.AuditLog(self.db, AuditEntry, workspace_of=WORKSPACE_OF)),
            auth,
        )

    async def close(self) -> None:
        """Close what `open` opened."""
        await self._stack.aclose()

    def register(self, server: grpc.aio.Server) -> None:
        """Add the services to a server."""
        mdm = MdmServicer(self.db, self.directory)
        reconciler = Reconciler(self.db, DELIVERY, self.consumer, MdmView(self.db, self.directory))
        delivery = DeliveryServicer(self.db, DELIVERY, self.consumer, reconciler)
        audits = audit.AuditServicer(self.db, AuditEntry)
        # The generated functions have no types.
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(audits, server)  # type: ignore[no-untyped-call]
        mdm_service_pb2_grpc.add_MdmServiceServicer_to_server(mdm, server)  # type: ignore[no-untyped-call]
        delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server(delivery, server)  # type: ignore[no-untyped-call]

    @property
    def background(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """The work beside the calls."""
        return (self.consumer.run, self._relay, self._prune, lambda: closures.run(self.db))

    async def start(self) -> None:
        """Open, serve, and begin the work beside the calls. Raises as `open`, and OSError for an address in use."""
        try:
            await self.open()
            server = grpc_server.Server(
                register=self.register,
                service_names=self.service_names,
                address=self._settings.address,
                interceptors=self.interceptors,
                tls=grpc_server.server_credentials(self._settings),
                health_address=self._settings.health_address,
            )
            await server.start()
        except BaseException:
            # Whatever went wrong, nothing stays open behind a server that did not start.
            await self.close()
            raise
        self._server = server
        self._tasks = [asyncio.ensure_future(across_tenants(work)) for work in self.background]
        if self._settings.port_file is not None:
            grpc_server.write_port_file(self._settings.port_file, self.port)

    async def stop(self) -> None:
        """Let running calls end, end the work beside them, and close. Raises what a piece of that work raised."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace=self._settings.grace_seconds)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await self.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _relay(self) -> None:
        """Relay device commands; agents may subscribe before the first one, so the stream does not wait for it."""
        if self._settings.provision_streams:
            await _provision(_nats(self._settings), _replicated(command_events.STREAM, self._settings))
        await self.relay.run()

    async def _prune(self) -> None:
        """Every hour, delete inbox and outbox rows that no stream can need any more."""
        while True:
            older_than = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=self._settings.outbox_days)
            try:
                await outbox.prune(self.db, Outbox, older_than)
                await prune_inbox(self.db, DELIVERY, older_than)
            # A database that is away is away for everybody: the next hour will do.
            except Exception as error:
                if not is_transient(error):
                    raise
                _log.warning("old events cannot be pruned now: %s", type(error).__name__)
            await asyncio.sleep(_PRUNE_SECONDS)


async def serve(settings: MdmSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises what the background work raised, and as `MdmServer.open`."""
    server = MdmServer(settings)
    try:
        await server.open()
        await grpc_server.serve(
            register=server.register,
            service_names=server.service_names,
            address=settings.address,
            interceptors=server.interceptors,
            background=server.background,
            grace=settings.grace_seconds,
            port_file=settings.port_file,
            tls=grpc_server.server_credentials(settings),
            health_address=settings.health_address,
        )
    finally:
        await server.close()


async def _provision(nats: NatsSettings, stream: StreamSettings) -> None:
    """Create a stream, trying until JetStream answers."""
    client = await streams.connect(nats, name=f"{SERVICE}-provision")
    try:
        while True:
            try:
                await streams.ensure_stream(client.jetstream(), stream)
                return
            except (NatsError, TimeoutError, OSError) as error:
                _log.warning("the stream %s cannot be created yet: %s", stream.name, error)
                await asyncio.sleep(_PROVISION_SECONDS)
    finally:
        await streams.close(client)


def _nats(settings: MdmSettings) -> NatsSettings:
    return streams.settings_of(settings, MDM)


def _replicated(stream: StreamSettings, settings: MdmSettings) -> StreamSettings:
    return StreamSettings(name=stream.name, prefix=stream.prefix, replicas=settings.stream_replicas)
