"""The use cases on attribute mapping: read, replace, preview, re-resolve (PRODUCT §3)."""

from collections.abc import Sequence
from typing import Any

from rollcall.directory.v1 import connection_service_pb2 as pb

from chassis.database import Transaction
from directory_service.directory import Access, Directory, Step, in_steps
from directory_service.domain.metadata import MappingRefused, check_mapping, resolve
from directory_service.errors import ConnectionDeleting, ConnectionNotFound, InvalidValue, UserNotFound
from directory_service.repository import connections as repository
from directory_service.repository import sightings
from directory_service.repository import users as users_repository
from directory_service.repository.events import Journal
from directory_service.users import store_change

RESOLVED_AT_ONCE = 20
"""Users that one transaction of a re-resolution reads: a SCIM request may wait behind it."""

Mapping = list[dict[str, Any]]


def to_mapping(entries: Sequence[pb.MappedAttribute]) -> Mapping:
    """Return a mapping in the form in which it is kept and resolved. Raises InvalidValue naming the field."""
    mapping: Mapping = [
        {
            "name": entry.name,
            "attributes": [{"namespace": source.namespace, "key": source.key} for source in entry.attributes],
        }
        for entry in entries
    ]
    try:
        check_mapping(mapping)
    except MappingRefused as error:
        raise InvalidValue(error.field, error.rule) from None
    return mapping


def to_entries(mapping: Mapping) -> list[pb.MappedAttribute]:
    """Return the messages of a mapping."""
    return [
        pb.MappedAttribute(
            name=entry["name"], attributes=[pb.AttributeSource(**source) for source in entry["attributes"]]
        )
        for entry in mapping
    ]


async def get_mapping(directory: Directory, connection_id: str) -> tuple[list[pb.MappedAttribute], int]:
    """Read a mapping, and how many users await re-resolution. Raises ConnectionNotFound."""

    def unit(tx: Transaction) -> tuple[list[pb.MappedAttribute], int]:
        row = repository.get_connection(tx, connection_id)
        if row is None:
            raise ConnectionNotFound(connection_id)
        pending = users_repository.count_stale_users(tx, connection_id, row.mapping_generation)
        return to_entries(row.mapping), pending

    return await directory.db.read(unit)


async def update_mapping(
    directory: Directory, connection_id: str, entries: Sequence[pb.MappedAttribute]
) -> tuple[list[pb.MappedAttribute], int]:
    """Replace a mapping, and return it with the number of users that await re-resolution; the same one changes nothing.

    Raises ConnectionNotFound, ConnectionDeleting, InvalidValue.
    """
    mapping = to_mapping(entries)

    def unit(tx: Transaction, journal: Journal) -> int:
        generation = journal.connection.mapping_generation
        if mapping != journal.connection.mapping:
            generation += 1
            repository.set_connection(tx, connection_id, {"mapping": mapping, "mapping_generation": generation})
        return users_repository.count_stale_users(tx, connection_id, generation)

    pending = await directory.write(Access(connection_id, by_token=False), unit)
    return to_entries(mapping), pending


async def preview_mapping(
    directory: Directory, connection_id: str, user: str, entries: Sequence[pb.MappedAttribute]
) -> dict[str, Any]:
    """Return the metadata that a mapping, or without entries the present one, makes of a user by id or userName.

    Raises ConnectionNotFound, UserNotFound, InvalidValue.
    """
    mapping = to_mapping(entries)

    def unit(tx: Transaction) -> dict[str, Any]:
        connection = repository.get_connection(tx, connection_id)
        if connection is None:
            raise ConnectionNotFound(connection_id)
        row = users_repository.get_user(tx, connection_id, user) or users_repository.get_user_by_user_name(
            tx, connection_id, user
        )
        if row is None:
            raise UserNotFound(user)
        return resolve(row.document, mapping or connection.mapping)

    return await directory.db.read(unit)


async def list_history(directory: Directory, connection_id: str) -> list[pb.AttributeSighting]:
    """List the attributes ever received, with their counts up to now. Raises ConnectionNotFound."""
    await directory.history.flush()

    def unit(tx: Transaction) -> list[pb.AttributeSighting]:
        if repository.get_connection(tx, connection_id) is None:
            raise ConnectionNotFound(connection_id)
        return sightings.list_sightings(tx, connection_id)

    return await directory.db.read(unit)


async def re_resolve(directory: Directory, connection_id: str) -> None:
    """Make the metadata of every user anew by the present mapping, and publish those that changed.

    In transactions of bounded size; may be interrupted and begun again. A connection that is gone is no error.
    """
    access = Access(connection_id, by_token=False)
    try:
        await in_steps(lambda: directory.write(access, _resolve_some))
    except (ConnectionNotFound, ConnectionDeleting):
        return


def _resolve_some(tx: Transaction, journal: Journal) -> bool:
    """Resolve a bounded number of users, and return whether any were left."""
    connection = journal.connection
    rows = users_repository.stale_users(tx, connection.id, connection.mapping_generation, RESOLVED_AT_ONCE)
    unchanged = []
    step, done = Step(), 0
    for row in rows:
        if done and step.over:
            break
        if resolve(row.document, connection.mapping) == row.metadata:
            unchanged.append(row.id)
        else:
            store_change(tx, journal, row, row.document)
        done += 1
    if unchanged:
        users_repository.set_mapping_generation(tx, connection.id, unchanged, connection.mapping_generation)
    return done < len(rows) or len(rows) == RESOLVED_AT_ONCE


async def unresolved_connections(directory: Directory) -> list[str]:
    """Return the connections with users that await re-resolution."""
    return await directory.db.read(repository.stale_connections)
