"""Who may call what: an administrator everything, the console all but repair, the other services what only reads."""

from collections.abc import Iterator

from google.protobuf.descriptor import ServiceDescriptor
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from chassis import audit
from chassis.auth import ADMIN, CONSOLE, GATEWAY, PORTAL, MethodPolicy

SERVICES: tuple[ServiceDescriptor, ...] = (
    mdm_service_pb2.DESCRIPTOR.services_by_name["MdmService"],
    delivery_service_pb2.DESCRIPTOR.services_by_name["DeliveryService"],
)
"""The services that the process serves."""

READERS = frozenset({ADMIN, CONSOLE, PORTAL, GATEWAY})
"""Who may call a method that only reads."""


# What goes through everything there is, and what a device's agent reports: not for a person in a browser.
_OPERATOR = frozenset({"Reconcile", "Verify", "ReportDeviceCommand"})


def policy() -> MethodPolicy:
    """Make the policy; a method whose verb does not say that it reads is an administrator's (AIP-131, AIP-132)."""
    return MethodPolicy(dict(_rules()))


def _rules() -> Iterator[tuple[str, frozenset[str]]]:
    yield audit.SERVICE_NAME, frozenset({ADMIN, CONSOLE})
    for service in SERVICES:
        yield service.full_name, frozenset({ADMIN, CONSOLE})
        for method in service.methods:
            if method.name in _OPERATOR:
                yield f"/{service.full_name}/{method.name}", frozenset({ADMIN})
            if method.name.startswith(("Get", "List")):
                yield f"/{service.full_name}/{method.name}", READERS
