"""The use case on extensions: what SCIM discovery shows of a connection beyond the schemas of the RFC."""

from rollcall.directory.v1 import directory_service_pb2 as pb

from chassis.database import Transaction
from directory_service.directory import Access, Directory
from directory_service.domain.extensions import ExtensionSighting, extensions_of
from directory_service.errors import ConnectionNotFound, InvalidToken
from directory_service.repository import connections, sightings
from scim.schemas import USER_URN

MAX_ATTRIBUTES = 1_000
"""Attributes that are listed at most, so that no connection can make its discovery endless."""


async def list_extensions(directory: Directory, access: Access) -> list[pb.Extension]:
    """List the extensions that were ever received on a connection. Raises ConnectionNotFound, InvalidToken."""

    def unit(tx: Transaction) -> list[ExtensionSighting]:
        if connections.get_connection(tx, access.connection_id) is None:
            raise InvalidToken if access.by_token else ConnectionNotFound(access.connection_id)
        rows = sightings.list_extension_sightings(tx, access.connection_id, core_urn=USER_URN, limit=MAX_ATTRIBUTES)
        return [ExtensionSighting(row.namespace, row.key, row.forms, bool(row.of_group)) for row in rows]

    return extensions_of(await directory.db.read(unit))
