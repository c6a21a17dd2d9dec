"""Who may call what: administrators everything, the other services' identities what only reads."""

from collections.abc import Iterator

from google.protobuf.descriptor import ServiceDescriptor
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from chassis import audit
from chassis.auth import ADMIN, GATEWAY, PORTAL, MethodPolicy

SERVICES: tuple[ServiceDescriptor, ...] = (
    mdm_service_pb2.DESCRIPTOR.services_by_name["MdmService"],
    delivery_service_pb2.DESCRIPTOR.services_by_name["DeliveryService"],
)
"""The services that the process serves."""

READERS = frozenset({ADMIN, PORTAL, GATEWAY})
"""Who may call a method that only reads."""


def policy() -> MethodPolicy:
    """Make the policy; a method whose verb does not say that it reads is an administrator's (AIP-131, AIP-132)."""
    return MethodPolicy(dict(_rules()))


def _rules() -> Iterator[tuple[str, frozenset[str]]]:
    yield audit.SERVICE_NAME, frozenset({ADMIN})
    for service in SERVICES:
        yield service.full_name, frozenset({ADMIN})
        for method in service.methods:
            if method.name.startswith(("Get", "List")):
                yield f"/{service.full_name}/{method.name}", READERS
