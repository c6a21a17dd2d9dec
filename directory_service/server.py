"""The directory as one object: database, services, relay and background work, started and stopped together."""

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Sequence

import grpc
from rollcall.audit.v1 import audit_service_pb2_grpc
from rollcall.directory.v1 import (
    administrator_service_pb2,
    administrator_service_pb2_grpc,
    connection_service_pb2,
    connection_service_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
    provisioning_log_service_pb2,
    provisioning_log_service_pb2_grpc,
)
from rollcall.multiplex.v1 import multiplex_service_pb2, multiplex_service_pb2_grpc

from chassis import audit, migrations, streams
from chassis.audit import AuditInterceptor, AuditLog, AuditServicer
from chassis.auth import ADMIN, CONSOLE, GATEWAY, MDM, PORTAL, AuthInterceptor, MethodPolicy
from chassis.database import Database, DatabaseClosed, DatabaseUnavailable
from chassis.delivery_metrics import outbox_questions
from chassis.grpc_server import CALLS, ErrorInterceptor, Server, server_credentials, write_port_file
from chassis.metrics import MetricsServer, Question, Sample
from chassis.multiplex import Multiplexer
from chassis.nats_permissions import DIRECTORY_RELAY, DIRECTORY_STREAM
from chassis.relay import Relay
from chassis.streams import NatsSettings, StreamSettings
from chassis.tenancy import across_tenants
from directory_service.administrators import Accounts
from directory_service.authentication import DAY_MS, WARNED_DAYS, Authenticator, TokenCache, UsageRecorder
from directory_service.background import Background
from directory_service.directory import Directory
from directory_service.errors import DOMAIN
from directory_service.history import AttributeHistory
from directory_service.page_tokens import PageTokens
from directory_service.passwords import Passwords
from directory_service.profiles import ClientProfiles
from directory_service.replay import Replayer
from directory_service.repository.connections import count_expiring_tokens
from directory_service.repository.times import now_ms
from directory_service.servicers.administrators import AdministratorServicer
from directory_service.servicers.connections import ConnectionServicer
from directory_service.servicers.directory import DirectoryServicer
from directory_service.servicers.provisioning_log import ProvisioningLogServicer
from directory_service.settings import DatabaseSettings, DirectorySettings, RelaySettings
from directory_service.tables import AUDIT_LOG, MIGRATIONS, OUTBOX

DIRECTORY_SERVICE = directory_service_pb2.DESCRIPTOR.services_by_name["DirectoryService"].full_name
MULTIPLEX_SERVICE = multiplex_service_pb2.DESCRIPTOR.services_by_name["MultiplexService"].full_name
CONNECTION_SERVICE = connection_service_pb2.DESCRIPTOR.services_by_name["ConnectionService"].full_name
ADMINISTRATOR_SERVICE = administrator_service_pb2.DESCRIPTOR.services_by_name["AdministratorService"].full_name
PROVISIONING_LOG_SERVICE = provisioning_log_service_pb2.DESCRIPTOR.services_by_name["ProvisioningLogService"].full_name

WORKSPACE_OF = "SELECT workspace_id FROM connections WHERE id = :connection_id"

_SCIM_READS = (
    "GetUser",
    "ListUsers",
    "GetGroup",
    "ListGroups",
    "ListGroupMembers",
    "ListExtensions",
    "SearchResources",
)
_SCIM_WRITES = (
    "CreateUser",
    "UpdateUser",
    "PatchUser",
    "DeleteUser",
    "CreateGroup",
    "UpdateGroup",
    "PatchGroup",
    "DeleteGroup",
    "BulkWrite",
)
_INTERNAL_READS = ("ListParkedMembers", "StreamSnapshot", "GetEvent")
_CONSOLE_READS = ("FindUsers", "ListParkedMembers", "GetEvent")
_SIGNING_IN = ("SignIn", "SignInWithOpenId", "GetSignInLink", "RedeemSignInLink", "GetSession", "SignOut")
_CONNECTION_READS = (
    "GetWorkspace",
    "ListWorkspaces",
    "GetConnection",
    "ListConnections",
    "GetAttributeMapping",
    "ListAttributeHistory",
    "PreviewAttributeMapping",
)

_log = logging.getLogger(__name__)


def method_policy() -> MethodPolicy:
    """Return who may call what; what is not named is denied to all but the administrator."""
    rules: dict[str, frozenset[str]] = {
        DIRECTORY_SERVICE: frozenset({ADMIN}),
        CONNECTION_SERVICE: frozenset({ADMIN, CONSOLE}),
        ADMINISTRATOR_SERVICE: frozenset({ADMIN, CONSOLE}),
        audit.SERVICE_NAME: frozenset({ADMIN, CONSOLE}),
        f"/{DIRECTORY_SERVICE}/CheckToken": frozenset({GATEWAY}),
        PROVISIONING_LOG_SERVICE: frozenset({ADMIN, CONSOLE}),
        f"/{PROVISIONING_LOG_SERVICE}/RecordProvisioningLogEntries": frozenset({GATEWAY}),
        # What is called over the stream is judged call by call.
        MULTIPLEX_SERVICE: frozenset({GATEWAY}),
    }
    for name in _SCIM_READS:
        rules[f"/{DIRECTORY_SERVICE}/{name}"] = frozenset({ADMIN, CONSOLE, GATEWAY, PORTAL, MDM})
    for name in _SCIM_WRITES:
        rules[f"/{DIRECTORY_SERVICE}/{name}"] = frozenset({ADMIN, GATEWAY})
    for name in _INTERNAL_READS:
        rules[f"/{DIRECTORY_SERVICE}/{name}"] = frozenset({ADMIN, PORTAL, MDM})
    for name in _CONNECTION_READS:
        rules[f"/{CONNECTION_SERVICE}/{name}"] = frozenset({ADMIN, CONSOLE, PORTAL, MDM})
    for name in _CONSOLE_READS:
        rules[f"/{DIRECTORY_SERVICE}/{name}"] = rules.get(f"/{DIRECTORY_SERVICE}/{name}", frozenset({ADMIN})) | {
            CONSOLE
        }
    for name in _SIGNING_IN:
        rules[f"/{ADMINISTRATOR_SERVICE}/{name}"] = frozenset({CONSOLE})
    return MethodPolicy(rules)


def stream_settings(settings: RelaySettings) -> StreamSettings:
    """Return the stream that the directory publishes to."""
    return dataclasses.replace(DIRECTORY_STREAM, replicas=settings.stream_replicas)


def nats_settings(settings: RelaySettings) -> NatsSettings:
    """Return how the directory reaches NATS."""
    return streams.settings_of(settings, DIRECTORY_RELAY)


def make_relay(db: Database, settings: RelaySettings) -> Relay:
    """Return the relay of the directory's outbox."""
    return Relay(
        db,
        OUTBOX,
        servers=nats_settings(settings),
        stream=stream_settings(settings),
        provision=settings.provision_streams,
    )


async def prepare_schema(settings: DatabaseSettings) -> None:
    """Bring the schema up to date, or refuse one that is not. Raises SchemaMismatch."""
    step = migrations.upgrade if settings.migrate else migrations.check
    await asyncio.to_thread(step, settings.database_url, MIGRATIONS)


class DirectoryServer:
    """The directory in one process.

    `start` returns when calls are taken; `port` is then the bound one. NATS may be away: events wait in the outbox.
    """

    def __init__(self, settings: DirectorySettings) -> None:
        self._settings = settings
        self.db = Database(settings.database_url, name="directory", readers=settings.readers)
        history = AttributeHistory(self.db)
        usage = UsageRecorder(self.db)
        profiles = ClientProfiles(self.db)
        self.directory = Directory(self.db, history, profiles, settings.public_url, PageTokens(self.db))
        self._token_cache = TokenCache(self.db)
        self._authenticator = Authenticator(self._token_cache, usage, profiles)
        self.accounts = Accounts(self.db, Passwords())
        self._background = Background(
            self.directory,
            self.accounts,
            usage,
            outbox_days=settings.outbox_days,
            log_days=settings.provisioning_log_days,
        )
        self._server: Server | None = None
        self._multiplexer: Multiplexer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics: MetricsServer | None = None
        self.port = 0
        self.health_port = 0

    async def start(self) -> None:
        """Open the database, start the background work and serve.

        Raises SchemaMismatch, DatabaseUnavailable, CredentialsFileError, OSError when the address is taken.
        """
        auth = AuthInterceptor.of(self._settings, method_policy(), domain=DOMAIN)
        log = AuditLog(self.db, AUDIT_LOG, workspace_of=WORKSPACE_OF)
        await prepare_schema(self._settings)
        await self.db.start()
        await self.directory.page_tokens.load()
        interceptors = (ErrorInterceptor(), AuditInterceptor(log), auth)
        server = Server(
            register=lambda made: self._register(made, interceptors),
            service_names=(
                DIRECTORY_SERVICE,
                CONNECTION_SERVICE,
                ADMINISTRATOR_SERVICE,
                PROVISIONING_LOG_SERVICE,
                MULTIPLEX_SERVICE,
                audit.SERVICE_NAME,
            ),
            address=self._settings.address,
            interceptors=interceptors,
            tls=server_credentials(self._settings),
            health_address=self._settings.health_address,
        )
        try:
            await server.start()
        except OSError:
            await self.db.stop()
            raise
        self._server, self.port, self.health_port = server, server.port, server.health_port
        self._tasks = [asyncio.create_task(self._background.run(), name="directory-background")]
        relay = None
        if self._settings.relay == "embedded":
            relay = make_relay(self.db, self._settings)
            self._tasks.append(asyncio.create_task(across_tenants(relay.run), name="directory-relay"))
        questions: dict[str, Question] = {"calls": CALLS.samples, "tokens": self._expiring_tokens}
        self._metrics = MetricsServer(
            self._settings.metrics_address, questions | outbox_questions("directory", self.db, OUTBOX, relay)
        )
        try:
            await self._metrics.start()
        except OSError:
            await self.stop(grace=0)
            raise
        if self._settings.port_file is not None:
            write_port_file(self._settings.port_file, self.port)
        _log.info("serving on port %d", self.port)

    def _register(self, server: grpc.aio.Server, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> None:
        add_directory: Callable[..., None] = directory_service_pb2_grpc.add_DirectoryServiceServicer_to_server
        add_connections: Callable[..., None] = connection_service_pb2_grpc.add_ConnectionServiceServicer_to_server
        replayer = Replayer(self.directory, nats_settings(self._settings), stream_settings(self._settings))
        add_multiplex: Callable[..., None] = multiplex_service_pb2_grpc.add_MultiplexServiceServicer_to_server
        servicer = DirectoryServicer(self.directory, self._authenticator, replayer)
        add_directory(servicer, server)
        self._multiplexer = Multiplexer(functools.partial(add_directory, servicer), interceptors)
        add_multiplex(self._multiplexer, server)
        add_audits: Callable[..., None] = audit_service_pb2_grpc.add_AuditServiceServicer_to_server
        add_audits(AuditServicer(self.db, AUDIT_LOG), server)
        add_log: Callable[..., None] = provisioning_log_service_pb2_grpc.add_ProvisioningLogServiceServicer_to_server
        add_log(ProvisioningLogServicer(self.directory), server)
        add_accounts: Callable[..., None] = administrator_service_pb2_grpc.add_AdministratorServiceServicer_to_server
        add_accounts(AdministratorServicer(self.accounts), server)
        add_connections(ConnectionServicer(self.directory, self._token_cache, self._background), server)

    @property
    def metrics_port(self) -> int:
        """The port that metrics are served on; 0: none."""
        return 0 if self._metrics is None else self._metrics.port

    async def _expiring_tokens(self) -> Iterable[Sample]:
        count = await self.db.read(lambda tx: count_expiring_tokens(tx, now_ms(), WARNED_DAYS * DAY_MS))
        return (Sample("rollcall_tokens_expiring", count),)

    async def wait_failed(self) -> None:
        """Wait until a piece of background work ends, which it does by an error only, and raise that."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self, *, grace: float | None = None, drain: float = 0.0) -> None:
        """Say NOT_SERVING, take calls for `drain` seconds, let running ones end within `grace`, then stop the rest."""
        if self._multiplexer is not None:
            # Its callers make their calls one by one from now on, so that no stream has to be waited for.
            self._multiplexer.close()
            self._multiplexer = None
        if self._server is not None:
            await self._server.stop(grace=self._settings.grace_seconds if grace is None else grace, drain=drain)
            self._server = None
        if self._metrics is not None:
            await self._metrics.stop()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(DatabaseUnavailable, DatabaseClosed):
            await self._background.flush()
        self.accounts.passwords.close()
        await self.db.stop()
