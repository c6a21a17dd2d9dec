"""The generated messages and stubs under short names, each imported when it is first used.

The stubs and gRPC cost a sixth of a second to import; `rollcall --help` and shell completion need none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc
    from rollcall.audit.v1 import audit_service_pb2 as audit
    from rollcall.audit.v1 import audit_service_pb2_grpc as audit_rpc
    from rollcall.delivery.v1 import delivery_service_pb2 as delivery
    from rollcall.delivery.v1 import delivery_service_pb2_grpc as delivery_rpc
    from rollcall.directory.v1 import administrator_service_pb2 as administrators
    from rollcall.directory.v1 import administrator_service_pb2_grpc as administrators_rpc
    from rollcall.directory.v1 import connection_service_pb2 as connections
    from rollcall.directory.v1 import connection_service_pb2_grpc as connections_rpc
    from rollcall.directory.v1 import directory_service_pb2 as directory
    from rollcall.directory.v1 import directory_service_pb2_grpc as directory_rpc
    from rollcall.directory.v1 import group_pb2 as groups
    from rollcall.directory.v1 import provisioning_log_service_pb2 as log
    from rollcall.directory.v1 import provisioning_log_service_pb2_grpc as log_rpc
    from rollcall.mdm.v1 import mdm_service_pb2 as mdm
    from rollcall.mdm.v1 import mdm_service_pb2_grpc as mdm_rpc
    from rollcall.portal.v1 import portal_service_pb2 as portal
    from rollcall.portal.v1 import portal_service_pb2_grpc as portal_rpc

_MODULES = {
    "grpc": "grpc",
    "administrators": "rollcall.directory.v1.administrator_service_pb2",
    "administrators_rpc": "rollcall.directory.v1.administrator_service_pb2_grpc",
    "audit": "rollcall.audit.v1.audit_service_pb2",
    "audit_rpc": "rollcall.audit.v1.audit_service_pb2_grpc",
    "connections": "rollcall.directory.v1.connection_service_pb2",
    "connections_rpc": "rollcall.directory.v1.connection_service_pb2_grpc",
    "directory": "rollcall.directory.v1.directory_service_pb2",
    "directory_rpc": "rollcall.directory.v1.directory_service_pb2_grpc",
    "groups": "rollcall.directory.v1.group_pb2",
    "log": "rollcall.directory.v1.provisioning_log_service_pb2",
    "log_rpc": "rollcall.directory.v1.provisioning_log_service_pb2_grpc",
    "portal": "rollcall.portal.v1.portal_service_pb2",
    "portal_rpc": "rollcall.portal.v1.portal_service_pb2_grpc",
    "mdm": "rollcall.mdm.v1.mdm_service_pb2",
    "mdm_rpc": "rollcall.mdm.v1.mdm_service_pb2_grpc",
    "delivery": "rollcall.delivery.v1.delivery_service_pb2",
    "delivery_rpc": "rollcall.delivery.v1.delivery_service_pb2_grpc",
}

__all__ = [
    "administrators",
    "administrators_rpc",
    "audit",
    "audit_rpc",
    "connections",
    "connections_rpc",
    "delivery",
    "delivery_rpc",
    "directory",
    "directory_rpc",
    "groups",
    "grpc",
    "log",
    "log_rpc",
    "mdm",
    "mdm_rpc",
    "portal",
    "portal_rpc",
]


def __getattr__(name: str) -> Any:
    """Import the module behind a short name (PEP 562). Raises AttributeError for a name that is none of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = globals()[name] = import_module(_MODULES[name])
    return module
