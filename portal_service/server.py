"""The portal service as one object: database, consumer, reviewer and gRPC server, started and stopped together."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import grpc
from rollcall.audit.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from rollcall.delivery.v1.delivery_service_pb2_grpc import add_DeliveryServiceServicer_to_server
from rollcall.portal.v1.portal_service_pb2_grpc import add_PortalServiceServicer_to_server

from chassis import audit, migrations, streams
from chassis.audit import AuditInterceptor, AuditLog, AuditServicer
from chassis.auth import PORTAL, AuthInterceptor, own_secret
from chassis.consumer import Consumer, prune_inbox
from chassis.database import Database, DatabaseUnavailable
from chassis.delivery_metrics import consumer_questions
from chassis.delivery_servicer import DeliveryServicer
from chassis.grpc_client import channel, channel_credentials
from chassis.grpc_server import CALLS, ErrorInterceptor, Server, serve, server_credentials, write_port_file
from chassis.metrics import MetricsServer
from chassis.nats_permissions import DIRECTORY_STREAM
from chassis.reconcile import Reconciler
from chassis.tenancy import across_tenants
from portal_service import closures, departures
from portal_service.access import SERVICES, method_policy
from portal_service.directory import Directory
from portal_service.errors import DOMAIN
from portal_service.provisioning import HANDLERS
from portal_service.reconcile import PortalView
from portal_service.repair import repairer
from portal_service.reviews import RoleReviewer
from portal_service.servicers.portal import PortalServicer
from portal_service.settings import PortalSettings
from portal_service.tables import DELIVERY_TABLES, MIGRATIONS
from portal_service.tables import AuditLog as AuditTable
from portal_service.workspaces import SUBJECT_PORTALS, Workspaces

_log = logging.getLogger(__name__)

_DAY_SECONDS = 24 * 3600.0
SERVICE_NAMES = (*(service.full_name for service in SERVICES), audit.SERVICE_NAME)
WORKSPACE_OF = "SELECT workspace_id FROM connections WHERE connection_id = :connection_id"


class PortalServer:
    """Everything that one process of the portal service runs.

    `start` and `stop` serve within a running event loop; `serve` adds signals and the drain of a process of its own.
    """

    def __init__(self, settings: PortalSettings) -> None:
        """Touches neither network nor database."""
        self._settings = settings
        self._db = Database(settings.database_url, name="portal", readers=settings.readers)
        self._channel: grpc.aio.Channel | None = None
        self._consumer: Consumer | None = None
        self._server: Server | None = None
        self._tasks: list[asyncio.Future[object]] = []
        self._metrics: MetricsServer | None = None

    @property
    def port(self) -> int:
        """The port that calls are taken on; 0 before the start."""
        return 0 if self._server is None else self._server.port

    @property
    def consumer(self) -> Consumer:
        """The consumer of the directory's events; raises RuntimeError before the start."""
        if self._consumer is None:
            raise RuntimeError("the portal service is not started")
        return self._consumer

    async def start(self) -> None:
        """Opens the database, serves, and consumes; raises SchemaMismatch, DatabaseUnavailable, OSError."""
        register, interceptors, background = await self._open()
        self._server = Server(
            register=register,
            service_names=SERVICE_NAMES,
            address=self._settings.address,
            interceptors=interceptors,
            tls=server_credentials(self._settings),
            health_address=self._settings.health_address,
        )
        try:
            await self._server.start()
        except OSError:
            await self._close()
            raise
        self._tasks = [asyncio.ensure_future(across_tenants(work)) for work in background]
        if self._settings.port_file is not None:
            write_port_file(self._settings.port_file, self.port)

    async def stop(self) -> None:
        """Ends running calls, gives partitions back, and closes the database."""
        if self._server is not None:
            await self._server.stop(grace=self._settings.grace_seconds)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._close()

    async def serve(self) -> None:
        """Runs until SIGTERM or SIGINT; raises what ends a piece of background work."""
        register, interceptors, background = await self._open()
        try:
            await serve(
                register=register,
                service_names=SERVICE_NAMES,
                address=self._settings.address,
                interceptors=interceptors,
                background=background,
                grace=self._settings.grace_seconds,
                port_file=self._settings.port_file,
                tls=server_credentials(self._settings),
                health_address=self._settings.health_address,
            )
        finally:
            await self._close()

    async def _open(
        self,
    ) -> tuple[
        Callable[[grpc.aio.Server], None],
        Sequence[grpc.aio.ServerInterceptor],
        Sequence[Callable[[], Awaitable[object]]],
    ]:
        settings = self._settings
        auth = AuthInterceptor.of(settings, method_policy(), domain=DOMAIN, workspaces=True)
        own_credential = own_secret(settings, PORTAL)
        if settings.migrate:
            await asyncio.to_thread(migrations.upgrade, settings.database_url, MIGRATIONS)
        await asyncio.to_thread(migrations.check, settings.database_url, MIGRATIONS)
        await self._db.start()
        self._channel = channel(settings.directory_target, credential=own_credential, tls=channel_credentials(settings))
        directory = Directory(self._channel)
        workspaces = Workspaces(self._db, directory)
        consumer = self._consumer = Consumer(
            self._db,
            service=PORTAL,
            servers=streams.settings_of(settings, PORTAL),
            stream=dataclasses.replace(DIRECTORY_STREAM, replicas=settings.stream_replicas),
            tables=DELIVERY_TABLES,
            handlers=HANDLERS,
            repair=repairer(directory),
            portals=SUBJECT_PORTALS,
            lease_seconds=settings.lease_seconds,
            ack_wait=settings.ack_wait_seconds,
            provision=settings.provision_streams,
        )
        reviewer = RoleReviewer(self._db)

        portal = PortalServicer(self._db, workspaces, directory, reviewer)
        reconciler = Reconciler(self._db, DELIVERY_TABLES, consumer, PortalView(self._db, directory))
        delivery = DeliveryServicer(self._db, DELIVERY_TABLES, consumer, reconciler)

        def register(server: grpc.aio.Server) -> None:
            add_PortalServiceServicer_to_server(portal, server)  # type: ignore[no-untyped-call]
            add_DeliveryServiceServicer_to_server(delivery, server)  # type: ignore[no-untyped-call]
            add_AuditServiceServicer_to_server(AuditServicer(self._db, AuditTable), server)  # type: ignore[no-untyped-call]

        questions = consumer_questions(self._db, PORTAL, consumer, DELIVERY_TABLES)
        self._metrics = MetricsServer(settings.metrics_address, {"calls": CALLS.samples, **questions})
        await self._metrics.start()
        audited = AuditInterceptor(AuditLog(self._db, AuditTable, workspace_of=WORKSPACE_OF))
        interceptors = (ErrorInterceptor(), audited, auth)
        return (
            register,
            interceptors,
            (
                consumer.run,
                reviewer.run,
                self._empty_workspaces,
                self._let_members_go,
                self._forget_old_events,
            ),
        )

    async def _empty_workspaces(self) -> None:
        await closures.run(self._db)

    async def _let_members_go(self) -> None:
        await departures.run(self._db)

    async def _forget_old_events(self) -> None:
        """Drops inbox rows of events that the stream holds no longer, once a day."""
        while True:
            try:
                oldest = datetime.now(UTC) - timedelta(days=self._settings.inbox_days)
                await prune_inbox(self._db, DELIVERY_TABLES, oldest)
            except DatabaseUnavailable as error:
                _log.warning("old inbox rows stay for another day: %s", error)
            await asyncio.sleep(_DAY_SECONDS)

    async def _close(self) -> None:
        if self._metrics is not None:
            await self._metrics.stop()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        await self._db.stop()
