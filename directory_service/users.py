"""The use cases on users: one function each, and the only place where their transactions open."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from rollcall.directory.v1 import directory_service_pb2, events_pb2, user_pb2
from sqlalchemy import Row

from chassis.crashpoints import crashpoint
from chassis.database import Transaction
from chassis.scim_message import document_to_message
from directory_service.directory import Access, Directory
from directory_service.documents import (
    MAX_NAME,
    check_etag,
    check_lengths,
    merge_masked,
    read_document,
    read_operations,
)
from directory_service.domain.changes import user_event, with_active
from directory_service.domain.managers import with_own_reference
from directory_service.domain.metadata import resolve
from directory_service.domain.parking import Named
from directory_service.errors import InvalidValue, UserNameTaken, UserNotFound, refusing_as_scim
from directory_service.history import Sightings
from directory_service.lists import PageRequest, read_page
from directory_service.memberships import leave_groups, resolve_parked
from directory_service.repository import users as repository
from directory_service.repository.events import Journal
from directory_service.repository.times import now_ms
from directory_service.repository.tombstones import insert_tombstone
from directory_service.tables import KIND_USER
from directory_service.walks import Ended, remember
from scim.patch import apply_patch
from scim.schemas import USER

Document = dict[str, Any]


async def create_user(
    directory: Directory, access: Access, user: user_pb2.User, *, include_groups: bool = False, promised_id: str = ""
) -> user_pb2.User:
    """Create a user (RFC 7644 §3.3). Raises UserNameTaken, also when the other user is inactive; ScimRefusal.

    `promised_id` is an id that others were told of already; without one a new id is given.
    """
    document = with_own_reference(read_document(USER, user), access.connection_id)
    keys = directory.history.keys(document)
    user_id = promised_id or str(uuid.uuid4())

    def unit(tx: Transaction, journal: Journal) -> user_pb2.User | None:
        connection, now = journal.connection, now_ms()
        metadata = resolve(document, connection.mapping)
        inserted = repository.insert_user(
            tx,
            connection.id,
            user_id=user_id,
            document=document,
            metadata=metadata,
            mapping_generation=connection.mapping_generation,
            now_ms=now,
        )
        if not inserted:
            # Told by value: an error after a write would undo the units of others in the same transaction.
            return None
        connection.user_count += 1
        directory.history.record(tx, connection.id, keys, now)
        crashpoint("directory.after_row_write")
        created = repository.compose_user(
            user_id, connection.id, document=document, metadata=metadata, version=1, created_ms=now, updated_ms=now
        )
        journal.user(events_pb2.UserCreated, created)
        parked = connection.parked_count
        _resolve_parked(tx, journal, user_id, document, now)
        journal.write(tx)
        if include_groups and connection.parked_count < parked:
            # Only a parked value can make a new user a member.
            repository.fill_groups(tx, connection.id, [created])
        # After the events were written, which tell of the user alone.
        repository.fill_managers(tx, connection.id, [created])
        crashpoint("directory.after_outbox_insert")
        return created

    created = await directory.write(access, unit)
    if created is None:
        raise UserNameTaken(document["userName"])
    directory.history.received(access.connection_id, keys)
    return created


async def get_user(directory: Directory, access: Access, user_id: str, *, include_groups: bool) -> user_pb2.User:
    """Read a user. Raises UserNotFound."""

    def unit(tx: Transaction) -> user_pb2.User:
        user = repository.user_message(_found(repository.get_user(tx, access.connection_id, user_id), user_id))
        repository.fill_managers(tx, access.connection_id, [user])
        if include_groups:
            repository.fill_groups(tx, access.connection_id, [user])
        return user

    return await directory.db.read(unit)


async def list_users(
    directory: Directory, access: Access, request: directory_service_pb2.ListUsersRequest
) -> directory_service_pb2.ListUsersResponse:
    """List users (RFC 7644 §3.4.2). Raises FilterRefused, InvalidValue, InvalidPageToken, ConnectionNotFound."""
    page_request = PageRequest.read(request, USER, directory, access)

    def unit(tx: Transaction) -> tuple[directory_service_pb2.ListUsersResponse, Ended | None]:
        page = read_page(tx, access, page_request)
        users = [repository.user_message(row) for row in page.rows]
        repository.fill_managers(tx, access.connection_id, users)
        if request.include_groups:
            repository.fill_groups(tx, access.connection_id, users)
        response = directory_service_pb2.ListUsersResponse(
            users=users, next_page_token=page.next_page_token, total_size=page.total_size
        )
        return response, page.ended

    response, ended = await directory.db.read(unit)
    await remember(directory, ended)
    return response


async def find_users(
    directory: Directory, access: Access, *, prefix: str, active: bool | None, after: str, limit: int
) -> tuple[list[user_pb2.User], str]:
    """List users by userName past the key `after`, those whose userName begins with a text, of one state unless None.

    Answers them and the key of the last. Raises InvalidValue.
    """
    if len(prefix) > MAX_NAME or "\0" in prefix:
        raise InvalidValue("user_name_prefix", f"must be at most {MAX_NAME} characters, none of them NUL")

    def unit(tx: Transaction) -> tuple[list[user_pb2.User], str]:
        rows = repository.find_users(
            tx, access.connection_id, prefix=prefix.casefold(), active=active, after=after, limit=limit
        )
        return [repository.user_message(row) for row in rows], rows[-1].user_name_key if rows else after

    return await directory.db.read(unit)


async def update_user(
    directory: Directory,
    access: Access,
    user: user_pb2.User,
    *,
    mask: Sequence[str],
    etag: str,
    include_groups: bool = False,
) -> user_pb2.User:
    """Replace a user, or with a mask some of its fields; an absent `active` stays (RFC 7644 §3.5.1, AIP-134).

    Raises UserNotFound, UserNameTaken, EtagMismatch, InvalidValue, ScimRefusal.
    """
    if mask:

        def change(before: Document) -> Document:
            merged = document_to_message(before, user_pb2.User())
            merge_masked(merged, user, mask)
            return read_document(USER, merged, for_update=True)

    else:
        document = read_document(USER, user, for_update=True)

        def change(before: Document) -> Document:
            return document

    return await _change_user(directory, access, user.id, etag, change, whole=not mask, include_groups=include_groups)


async def patch_user(
    directory: Directory,
    access: Access,
    user_id: str,
    operations: Sequence[directory_service_pb2.PatchOperation],
    *,
    etag: str,
    include_groups: bool = False,
) -> user_pb2.User:
    """Apply PATCH operations, all or none (RFC 7644 §3.5.2). Raises like `update_user`."""
    parsed = read_operations(operations)

    def change(before: Document) -> Document:
        with refusing_as_scim("operations"):
            document = apply_patch(USER, before, parsed)
        check_lengths(USER, document)
        return document

    return await _change_user(directory, access, user_id, etag, change, whole=False, include_groups=include_groups)


async def _change_user(
    directory: Directory,
    access: Access,
    user_id: str,
    etag: str,
    change: Callable[[Document], Document],
    *,
    whole: bool,
    include_groups: bool,
) -> user_pb2.User:
    """Change a user's document under the lock; `whole` says that the client sent all of it."""

    def unit(tx: Transaction, journal: Journal) -> tuple[user_pb2.User, Sightings]:
        row = _found(repository.get_user(tx, access.connection_id, user_id), user_id)
        check_etag(etag, row.version)
        document = with_own_reference(with_active(change(row.document), row.document), access.connection_id)
        keys = directory.history.keys(document, None if whole else row.document)
        changed = store_change(
            tx, journal, row, document, record=lambda now: directory.history.record(tx, access.connection_id, keys, now)
        )
        # After the event was written, which tells of the user alone.
        repository.fill_managers(tx, access.connection_id, [changed])
        if include_groups:
            repository.fill_groups(tx, access.connection_id, [changed])
        return changed, keys

    user, keys = await directory.write(access, unit)
    directory.history.received(access.connection_id, keys)
    return user


def store_change(
    tx: Transaction,
    journal: Journal,
    row: Row[Any],
    document: Document,
    *,
    record: Callable[[int], None] | None = None,
) -> user_pb2.User:
    """Write a user's new document, with the event that it causes; one that changes nothing writes nothing.

    `record` notes the attributes received. Raises UserNameTaken before anything is written.
    """
    connection, now = journal.connection, now_ms()
    metadata = resolve(document, connection.mapping)
    event = user_event(row.document, document, metadata_changed=metadata != row.metadata)
    if event is None:
        return repository.user_message(row)
    user_name: str = document["userName"]
    renamed = user_name.casefold() != row.user_name.casefold()
    if renamed and repository.get_user_by_user_name(tx, connection.id, user_name) is not None:
        raise UserNameTaken(user_name)
    version = row.version + 1
    repository.update_user(
        tx,
        connection.id,
        row.id,
        document=document,
        metadata=metadata,
        mapping_generation=connection.mapping_generation,
        version=version,
        now_ms=now,
    )
    if record is not None:
        record(now)
    crashpoint("directory.after_row_write")
    user = repository.compose_user(
        row.id,
        connection.id,
        document=document,
        metadata=metadata,
        version=version,
        created_ms=row.created_ms,
        updated_ms=now,
    )
    journal.user(event, user)
    if renamed or document.get("externalId") != row.document.get("externalId"):
        _resolve_parked(tx, journal, row.id, document, now)
    journal.write(tx)
    crashpoint("directory.after_outbox_insert")
    return user


async def delete_user(directory: Directory, access: Access, user_id: str, *, etag: str) -> None:
    """Delete a user and its memberships (RFC 7644 §3.6). Raises UserNotFound, EtagMismatch."""

    def unit(tx: Transaction, journal: Journal) -> None:
        row = _found(repository.get_user(tx, access.connection_id, user_id), user_id)
        check_etag(etag, row.version)
        now = now_ms()
        journal.user(events_pb2.UserDeleted, remove_user(tx, journal, row, now))
        leave_groups(tx, journal, Named(row.id, KIND_USER, row.user_name), now)
        journal.write(tx)
        crashpoint("directory.after_outbox_insert")

    await directory.write(access, unit)


def remove_user(tx: Transaction, journal: Journal, row: Row[Any], now: int) -> user_pb2.User:
    """Delete a user's row, leave its tombstone, and return the user as it was last, with the version of its end."""
    connection = journal.connection
    version = row.version + 1
    repository.delete_user(tx, connection.id, row.id)
    insert_tombstone(tx, connection.id, row.id, kind=KIND_USER, version=version, now_ms=now)
    connection.user_count -= 1
    crashpoint("directory.after_row_write")
    return repository.compose_user(
        row.id,
        connection.id,
        document=row.document,
        metadata=row.metadata,
        version=version,
        created_ms=row.created_ms,
        updated_ms=now,
    )


def _found(row: Row[Any] | None, user_id: str) -> Row[Any]:
    if row is None:
        raise UserNotFound(user_id)
    return row


def _resolve_parked(tx: Transaction, journal: Journal, user_id: str, document: Document, now: int) -> None:
    resolve_parked(
        tx,
        journal,
        Named(user_id, KIND_USER, document["userName"]),
        external_id=document.get("externalId", ""),
        user_name=document["userName"],
        now_ms=now,
    )
