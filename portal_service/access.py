"""Who may call what: an administrator everything, the console all but repair, the other services only what reads."""

from __future__ import annotations

from google.protobuf.descriptor import ServiceDescriptor
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.portal.v1 import portal_service_pb2

from chassis import audit
from chassis.auth import ADMIN, CONSOLE, GATEWAY, MDM, MethodPolicy

SERVICES: tuple[ServiceDescriptor, ...] = (
    portal_service_pb2.DESCRIPTOR.services_by_name["PortalService"],
    delivery_service_pb2.DESCRIPTOR.services_by_name["DeliveryService"],
)

# AIP-131 and AIP-132 methods, and the question that CheckPublicationAccess is.
_READING = ("Get", "List", "Check")
_ADMINISTRATOR = frozenset({ADMIN, CONSOLE})
_READERS = frozenset({ADMIN, CONSOLE, GATEWAY, MDM})
# What goes through everything there is: for an operator at a terminal.
_OPERATOR = {method: frozenset({ADMIN}) for method in ("Reconcile", "Verify")}


def method_policy() -> MethodPolicy:
    """Returns the policy for every method of both services; a new method that does not read is an administrator's."""
    return MethodPolicy(
        {audit.SERVICE_NAME: _ADMINISTRATOR}
        | {
            f"/{service.full_name}/{method.name}": _OPERATOR.get(
                method.name, _READERS if method.name.startswith(_READING) else _ADMINISTRATOR
            )
            for service in SERVICES
            for method in service.methods
        }
    )
