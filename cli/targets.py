"""Where the services are, who the caller is, and how an RPC's failure becomes a line of text.

The local stack writes `stack.json` and `credentials.json` into its data directory; the environment names remote
services, and instead of a credential a certificate that says who calls.
"""

import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cli import contract
from cli.errors import NotFound, Refused

if TYPE_CHECKING:
    from google.protobuf.message import Message

DEFAULT_DATA_DIR = ".rollcall"
DATA_DIR_VARIABLE = "ROLLCALL_DATA_DIR"
CONSOLE_URL_VARIABLE = "ROLLCALL_CONSOLE_URL"
CREDENTIAL_VARIABLE = "ROLLCALL_ADMIN_CREDENTIAL_FILE"
TLS_CA_VARIABLE = "ROLLCALL_TLS_CA_FILE"
TLS_CERTIFICATE_VARIABLE = "ROLLCALL_TLS_CERTIFICATE_FILE"
TLS_KEY_VARIABLE = "ROLLCALL_TLS_KEY_FILE"
STACK_FILE = "stack.json"
CREDENTIALS_FILE = "credentials.json"

# Seconds. Every RPC of the command line is answered in a fraction of this; a person should not wait longer.
_DEADLINE = 30.0
_STREAM_DEADLINE = 300.0
_PAGE_SIZE = 200


def target_variable(service: str) -> str:
    """The environment variable that names a service's address."""
    return f"ROLLCALL_{service.upper()}_TARGET"


def data_directory(option: Path | None) -> Path:
    """The data directory: the option, else ROLLCALL_DATA_DIR, else `.rollcall`."""
    return option or Path(os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR)


def read_json(path: Path) -> Any:
    """What a JSON file of the data directory holds; None when there is no such file. Raises Refused when unreadable."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error


class Stub:
    """The RPCs of one gRPC service, called as the administrator.

    A call returns the response. A refusal raises Refused (NotFound for NOT_FOUND) with the service's own message.
    """

    def __init__(self, stub: Any, *, service: str, target: str, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = stub
        self._service = service
        self._target = target
        self._metadata = metadata

    def call(self, rpc: str, request: "Message") -> Any:
        """Call a unary RPC. Deadline 30 s."""
        try:
            return getattr(self._stub, rpc)(request, metadata=self._metadata, timeout=_DEADLINE)
        except contract.grpc.RpcError as error:
            raise self._refusal(error) from error

    def stream(self, rpc: str, request: "Message", *, deadline: float | None = _STREAM_DEADLINE) -> Iterator[Any]:
        """Call a server-streaming RPC and yield its responses. Deadline 300 s, unless told otherwise; None: none."""
        try:
            yield from getattr(self._stub, rpc)(request, metadata=self._metadata, timeout=deadline)
        except contract.grpc.RpcError as error:
            raise self._refusal(error) from error

    def pages(self, rpc: str, request: Any, field: str) -> Iterator[Any]:
        """Call a List RPC until its last page and yield the items of `field` (AIP-158)."""
        request.page_size = _PAGE_SIZE
        while True:
            response = self.call(rpc, request)
            yield from getattr(response, field)
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def _refusal(self, error: Any) -> Refused:
        from chassis.errors import from_rpc_error

        failure = from_rpc_error(error)
        code, status = contract.grpc.StatusCode, failure.code
        if status is code.UNAVAILABLE and not failure.reason and not failure.request_id:
            return Refused(
                f"the {self._service} service does not answer at {self._target}; start the stack with `rollcall up`, "
                f"or set {target_variable(self._service)}"
            )
        if status is code.DEADLINE_EXCEEDED:
            return Refused(f"the {self._service} service at {self._target} did not answer in time")
        if status is code.UNAUTHENTICATED:
            return Refused(
                f"the {self._service} service does not accept the administrator's credential: {failure.message}; "
                f"set {CREDENTIAL_VARIABLE} or use the data directory of that stack"
            )
        message = failure.message or status.name
        if status is code.INTERNAL and failure.request_id:
            message = f"{message} in the {self._service} service; its log has request id {failure.request_id}"
        if failure.field and failure.field not in message:
            message = f"{failure.field}: {message}"
        return NotFound(message) if status is code.NOT_FOUND else Refused(message)


class Services:
    """The three services as one data directory and the environment name them; connections open when first used.

    `request` names the command in the services' records. With `targets` the environment is not asked: the services are
    there, and the credential is that of the data directory.
    Raises Refused when a service that a command needs has no address, or when there is no credential.
    """

    def __init__(self, data_dir: Path, *, request: str, targets: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir
        self._request = request
        self._targets = targets
        self._channels: dict[str, Any] = {}

    def __enter__(self) -> "Services":
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels.values():
            channel.close()

    def target(self, service: str) -> str:
        """The address of a service: ROLLCALL_<SERVICE>_TARGET, else that of the stack in the data directory."""
        if self._targets is not None:
            return self._targets[service]
        if address := os.environ.get(target_variable(service)):
            return address
        stack = read_json(self._data_dir / STACK_FILE)
        if stack is None:
            raise Refused(
                f"no stack runs in {self._data_dir}; start one with `rollcall up --data-dir {self._data_dir}`, "
                f"or set {target_variable(service)}"
            )
        try:
            return str(stack["targets"][service])
        except (KeyError, TypeError):
            raise Refused(f"{self._data_dir / STACK_FILE} names no address of the {service} service") from None

    @cached_property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        # One id for all calls of one command, so that logs and effects can be traced to it.
        request = (("rollcall-request-id", str(uuid4())), ("rollcall-request", self._request))
        if self._tls is not None and not os.environ.get(CREDENTIAL_VARIABLE):
            return request  # the certificate says who calls
        return (("authorization", f"Bearer {self._credential()}"), *request)

    @cached_property
    def _tls(self) -> Any:
        """What remote services are called with over TLS; None: a local stack, in plain text on the loopback."""
        if self._targets is not None:
            return None
        variables = (TLS_CA_VARIABLE, TLS_CERTIFICATE_VARIABLE, TLS_KEY_VARIABLE)
        paths = {name: os.environ.get(name) for name in variables}
        if not any(paths.values()):
            return None
        if missing := [name for name, path in paths.items() if not path]:
            raise Refused(f"{missing[0]} is required where {next(filter(paths.get, paths))} is set")
        files: list[bytes] = []
        for name, path in paths.items():
            try:
                files.append(Path(str(path)).read_bytes())
            except OSError as error:
                raise Refused(f"{name}: {path}: {error.strerror}") from None
        authority, certificate, key = files
        return contract.grpc.ssl_channel_credentials(authority, key, certificate)

    def _credential(self) -> str:
        named = os.environ.get(CREDENTIAL_VARIABLE) if self._targets is None else None
        path = Path(named) if named else self._data_dir / CREDENTIALS_FILE
        try:
            text = path.read_text().strip()
        except FileNotFoundError:
            raise Refused(
                f"no administrator's credential: {path} does not exist; `rollcall up` makes one, "
                f"or set {CREDENTIAL_VARIABLE} to the file that holds it"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"the administrator's credential cannot be read from {path}: {error}") from error
        try:
            secret = str(json.loads(text)["admin"]) if text.startswith("{") else text
        except (ValueError, KeyError):
            secret = ""
        # What gRPC can carry as metadata.
        if not secret or not secret.isascii() or not secret.isprintable():
            raise Refused(f'{path} is not a credential file: expected a secret, or {{"admin": "…"}}')
        return secret

    def _stub(self, service: str, stub_class: Any) -> Stub:
        target = self.target(service)
        if target not in self._channels:
            # A snapshot of a large workspace is more than the default of 4 MiB.
            options = [("grpc.max_receive_message_length", 16 * 1024 * 1024), ("grpc.enable_http_proxy", 0)]
            if self._tls is None:
                self._channels[target] = contract.grpc.insecure_channel(target, options=options)
            else:
                self._channels[target] = contract.grpc.secure_channel(target, self._tls, options=options)
        return Stub(stub_class(self._channels[target]), service=service, target=target, metadata=self._metadata)

    @cached_property
    def connections(self) -> Stub:
        """Workspaces, connections, tokens and mappings: the directory's ConnectionService."""
        return self._stub("directory", contract.connections_rpc.ConnectionServiceStub)

    @cached_property
    def directory(self) -> Stub:
        """Users, groups and events: the directory's DirectoryService."""
        return self._stub("directory", contract.directory_rpc.DirectoryServiceStub)

    @cached_property
    def log(self) -> Stub:
        """Requests of identity providers: the directory's ProvisioningLogService."""
        return self._stub("directory", contract.log_rpc.ProvisioningLogServiceStub)

    @cached_property
    def administrators(self) -> Stub:
        """Accounts of the console: the directory's AdministratorService."""
        return self._stub("directory", contract.administrators_rpc.AdministratorServiceStub)

    @property
    def console_url(self) -> str:
        """Where browsers reach the console: ROLLCALL_CONSOLE_URL, else that of the stack in the data directory."""
        if address := os.environ.get(CONSOLE_URL_VARIABLE):
            return address.rstrip("/")
        stack = read_json(self._data_dir / STACK_FILE)
        try:
            return str(stack["console_url"])
        except (KeyError, TypeError):
            raise Refused(
                f"no console runs in {self._data_dir}; start the stack with `rollcall up --data-dir {self._data_dir}`, "
                f"or set {CONSOLE_URL_VARIABLE} to the console's address"
            ) from None

    @cached_property
    def portal(self) -> Stub:
        """Collaborators, the store's employees, publications: PortalService."""
        return self._stub("portal", contract.portal_rpc.PortalServiceStub)

    @cached_property
    def mdm(self) -> Stub:
        """Devices, policies, segments: MdmService."""
        return self._stub("mdm", contract.mdm_rpc.MdmServiceStub)

    def delivery(self, service: str) -> Stub:
        """Effects and dead letters of `portal` or `mdm`: that service's DeliveryService."""
        return self._stub(service, contract.delivery_rpc.DeliveryServiceStub)

    def audits(self, service: str) -> Stub:
        """Administrative actions in one of the three services: that service's AuditService."""
        return self._stub(service, contract.audit_rpc.AuditServiceStub)

    def workspace_id(self, workspace: str) -> str:
        """The id of a workspace named by id or slug. Raises NotFound."""
        response = self.connections.call("GetWorkspace", contract.connections.GetWorkspaceRequest(workspace=workspace))
        return str(response.workspace.workspace_id)

    def connection(self, connection_id: str) -> Any:
        """A connection by id. Raises NotFound."""
        request = contract.connections.GetConnectionRequest(connection_id=connection_id)
        return self.connections.call("GetConnection", request).connection
