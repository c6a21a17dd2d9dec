"""The use cases on groups: one function each, and the only place where their transactions open."""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rollcall.directory.v1 import directory_service_pb2, events_pb2, group_pb2

from chassis.crashpoints import crashpoint
from chassis.database import Transaction
from chassis.scim_message import document_to_message
from directory_service.directory import Access, Directory, in_steps
from directory_service.documents import (
    MAX_NAME,
    check_etag,
    check_lengths,
    merge_masked,
    read_document,
    read_operations,
)
from directory_service.domain.membership import MembershipPlan
from directory_service.domain.parking import Named, Parked, name_of
from directory_service.errors import (
    ConnectionNotFound,
    GroupNameTaken,
    GroupNotFound,
    InvalidToken,
    InvalidValue,
    refusing_as_scim,
)
from directory_service.history import AttributeHistory
from directory_service.lists import PageRequest, read_page
from directory_service.memberships import publish_delta, publish_departure, resolve_opened, resolve_parked
from directory_service.query import Scope, compile_member_filter
from directory_service.repository import connections
from directory_service.repository import groups as repository
from directory_service.repository.events import Journal
from directory_service.repository.groups import GroupState
from directory_service.repository.times import now_ms
from directory_service.repository.tombstones import insert_tombstone
from directory_service.tables import KIND_GROUP, KIND_USER
from directory_service.walks import Ended, remember
from scim.filter import matches_element
from scim.patch import (
    Member,
    MemberAdd,
    MemberChange,
    MemberClear,
    MemberRemove,
    MemberRemoveWhere,
    MemberReplace,
    apply_patch,
    plan_members,
)
from scim.schemas import GROUP, MEMBERS

SHOWN_MEMBERS = 1000
"""Members in one Group message; more are read by ListGroupMembers."""
STREAMED_MEMBERS = 500
"""Members in one chunk of a stream: larger ones would hold up other calls."""

Document = dict[str, Any]


async def create_group(
    directory: Directory,
    access: Access,
    group: group_pb2.Group,
    members: Sequence[group_pb2.Member],
    *,
    include_members: bool = True,
    promised_id: str = "",
) -> group_pb2.Group:
    """Create a group with its first members (RFC 7644 §3.3). Raises GroupNameTaken, InvalidValue, ScimRefusal.

    `promised_id` is an id that others were told of already; without one a new id is given.
    """
    document = read_document(GROUP, group)
    wanted = read_members(members)
    group_id = promised_id or str(uuid.uuid4())
    scope = directory.scope(access.connection_id)

    def unit(tx: Transaction, journal: Journal) -> group_pb2.Group | None:
        connection, now = journal.connection, now_ms()
        state = GroupState(
            id=group_id,
            connection_id=connection.id,
            document=document,
            member_count=0,
            last_member_position=0,
            version=1,
            created_ms=now,
            updated_ms=now,
        )
        plan = _plan(tx, connection.id, state.id, [MemberAdd(wanted)] if wanted else [], scope)
        if not repository.insert_group(tx, connection.id, state):
            # Told by value: an error after a write would undo the units of others in the same transaction.
            return None
        connection.group_count += 1
        AttributeHistory.record_group(tx, connection.id, document, now)
        crashpoint("directory.after_row_write")
        journal.group(events_pb2.GroupCreated, repository.group_message(state))
        moved, _ = _apply_plan(tx, journal, state, plan, now)
        if moved:
            repository.store_group(tx, connection.id, state)
        _resolve_parked(tx, journal, state, now)
        journal.write(tx)
        crashpoint("directory.after_outbox_insert")
        return _shown(tx, state, with_members=include_members)

    created = await directory.write(access, unit)
    if created is None:
        raise GroupNameTaken(document["displayName"])
    return created


async def get_group(directory: Directory, access: Access, group_id: str, *, include_members: bool) -> group_pb2.Group:
    """Read a group, with up to 1,000 members. Raises GroupNotFound."""

    def unit(tx: Transaction) -> group_pb2.Group:
        state = _found(repository.get_group(tx, access.connection_id, group_id), group_id)
        return _shown(tx, state, with_members=include_members)

    return await directory.db.read(unit)


async def list_groups(
    directory: Directory, access: Access, request: directory_service_pb2.ListGroupsRequest
) -> directory_service_pb2.ListGroupsResponse:
    """List groups (RFC 7644 §3.4.2). Raises FilterRefused, InvalidValue, InvalidPageToken, ConnectionNotFound."""
    page_request = PageRequest.read(request, GROUP, directory, access)

    def unit(tx: Transaction) -> tuple[directory_service_pb2.ListGroupsResponse, Ended | None]:
        page = read_page(tx, access, page_request)
        groups = [repository.group_message(row) for row in page.rows]
        if request.include_members:
            repository.fill_members(tx, access.connection_id, groups, limit=SHOWN_MEMBERS)
        response = directory_service_pb2.ListGroupsResponse(
            groups=groups, next_page_token=page.next_page_token, total_size=page.total_size
        )
        return response, page.ended

    response, ended = await directory.db.read(unit)
    await remember(directory, ended)
    return response


async def update_group(
    directory: Directory,
    access: Access,
    group: group_pb2.Group,
    members: Sequence[group_pb2.Member] | None,
    *,
    mask: Sequence[str],
    etag: str,
    include_members: bool = True,
) -> group_pb2.Group:
    """Replace a group, or with a mask some of its fields; `members` None leaves the membership alone (PRODUCT §2).

    Raises GroupNotFound, GroupNameTaken, EtagMismatch, InvalidValue, ScimRefusal.
    """
    changes: list[MemberChange] = []
    if members is not None:
        wanted = read_members(members)
        changes = [MemberReplace(wanted) if wanted else MemberClear()]
    replacement = None if mask else read_document(GROUP, group)

    def unit(tx: Transaction, journal: Journal) -> group_pb2.Group:
        state = _found(repository.get_group(tx, access.connection_id, group.id), group.id)
        check_etag(etag, state.version)
        document = replacement
        if document is None:
            merged = document_to_message(state.document, group_pb2.Group())
            merge_masked(merged, group, mask)
            document = read_document(GROUP, merged)
        _change(tx, journal, state, document, changes, directory.scope(access.connection_id))
        return _shown(tx, state, with_members=include_members)

    return await directory.write(access, unit)


async def patch_group(
    directory: Directory,
    access: Access,
    group_id: str,
    operations: Sequence[directory_service_pb2.PatchOperation],
    *,
    etag: str,
    include_members: bool,
) -> group_pb2.Group:
    """Apply PATCH operations, all or none (RFC 7644 §3.5.2); cost follows the change. Raises like `update_group`."""
    parsed = read_operations(operations)
    with refusing_as_scim("operations"):
        others, changes = plan_members(parsed)

    def unit(tx: Transaction, journal: Journal) -> group_pb2.Group:
        state = _found(repository.get_group(tx, access.connection_id, group_id), group_id)
        check_etag(etag, state.version)
        document = state.document
        if others:
            with refusing_as_scim("operations"):
                document = apply_patch(GROUP, document, others)
            check_lengths(GROUP, document)
        _change(tx, journal, state, document, changes, directory.scope(access.connection_id))
        return _shown(tx, state, with_members=include_members)

    return await directory.write(access, unit)


async def delete_group(directory: Directory, access: Access, group_id: str, *, etag: str) -> None:
    """Delete a group, its memberships and parked values (RFC 7644 §3.6). Raises GroupNotFound, EtagMismatch."""

    def unit(tx: Transaction, journal: Journal) -> None:
        state = _found(repository.get_group(tx, access.connection_id, group_id), group_id)
        check_etag(etag, state.version)
        now = now_ms()
        above = remove_group(tx, journal, state, now)
        publish_departure(tx, journal, Named(state.id, KIND_GROUP, state.document["displayName"]), above, now)
        resolve_opened(tx, journal, now)
        journal.write(tx)
        crashpoint("directory.after_outbox_insert")

    await directory.write(access, unit)
    directory.rows_left.set()


async def purge_deleted_groups(directory: Directory) -> None:
    """Remove what is left of the rows of deleted groups, in transactions of bounded size.

    May be interrupted and begun again.
    """

    async def step() -> bool:
        found = await directory.db.read(repository.first_deleted_group)
        if found is not None:
            connection_id, group_id = found
            await directory.db.write(lambda tx: purge_some(tx, connection_id, group_id), key=connection_id)
        return found is not None

    await in_steps(step)


def purge_some(tx: Transaction, connection_id: str, group_id: str) -> None:
    """Remove a bounded number of rows of a deleted group."""
    connection = connections.lock_connection(tx, connection_id)
    parked = repository.purge_deleted_group(tx, connection_id, group_id)
    if connection is not None and parked:
        connection.parked_count -= parked
        connections.store_connection(tx, connection)


def remove_group(tx: Transaction, journal: Journal, state: GroupState, now: int) -> list[str]:
    """Delete a group with its members, publish that it is gone, and return the ids of the groups it was a member of."""
    connection = journal.connection
    state.version += 1
    state.updated_ms = now
    parked, above = repository.delete_group(tx, connection.id, state.id)
    insert_tombstone(tx, connection.id, state.id, kind=KIND_GROUP, version=state.version, now_ms=now)
    connection.group_count -= 1
    connection.parked_count -= parked
    crashpoint("directory.after_row_write")
    journal.group(events_pb2.GroupDeleted, repository.group_message(state))
    return above


async def stream_members(directory: Directory, access: Access, group_id: str) -> AsyncIterator[list[group_pb2.Member]]:
    """Yield a group's members in chunks, in the order of joining. Raises GroupNotFound.

    Each chunk is read on its own, so that a long stream holds no snapshot; members who join meanwhile come last.
    """

    def chunk(tx: Transaction, after: int) -> tuple[list[group_pb2.Member], int]:
        return repository.members_after(tx, access.connection_id, group_id, after=after, limit=STREAMED_MEMBERS)

    members, position = await page_members(directory, access, group_id, after=0, limit=STREAMED_MEMBERS)
    while members:
        yield members
        if len(members) < STREAMED_MEMBERS:
            return
        after = position
        members, position = await directory.db.read(lambda tx, after=after: chunk(tx, after))  # type: ignore[misc]


async def page_members(
    directory: Directory, access: Access, group_id: str, *, after: int, limit: int
) -> tuple[list[group_pb2.Member], int]:
    """List a group's members past a position, in the order of joining, and the position of the last.

    Raises GroupNotFound.
    """

    def unit(tx: Transaction) -> tuple[list[group_pb2.Member], int]:
        _found(repository.get_group(tx, access.connection_id, group_id), group_id)
        return repository.members_after(tx, access.connection_id, group_id, after=after, limit=limit)

    return await directory.db.read(unit)


def read_members(members: Sequence[group_pb2.Member]) -> tuple[Member, ...]:
    """Return the members of a request, each value once. Raises InvalidValue."""
    distinct: dict[str, Member] = {}
    for number, member in enumerate(members):
        if not member.value:
            raise InvalidValue(f"members.members[{number}].value", "is required")
        kind = "Group" if member.type == group_pb2.MEMBER_TYPE_GROUP else None
        distinct.setdefault(member.value, Member(member.value, member.display or None, kind))
    return tuple(distinct.values())


def _change(
    tx: Transaction,
    journal: Journal,
    state: GroupState,
    document: Document,
    changes: Sequence[MemberChange],
    scope: Scope,
) -> None:
    """Write what a request makes of a group, with its events; a request that changes nothing writes nothing."""
    connection, now = journal.connection, now_ms()
    updated = document != state.document
    before = state.document
    if updated and repository.group_name_taken(tx, connection.id, document["displayName"], state.id):
        raise GroupNameTaken(document["displayName"])
    plan = _plan(tx, connection.id, state.id, changes, scope)
    # Nothing is written above, so that a refusal costs no other unit its transaction.
    parked_before = connection.parked_count
    if updated:
        state.document = document
        state.version += 1
        state.updated_ms = now
        journal.group(events_pb2.GroupUpdated, repository.group_message(state))
    moved, is_opened = _apply_plan(tx, journal, state, plan, now)
    if updated or moved:
        repository.store_group(tx, connection.id, state)
        crashpoint("directory.after_row_write")
    if is_opened:
        resolve_opened(tx, journal, now)
    if updated:
        AttributeHistory.record_group(tx, connection.id, document, now)
    if updated and document.get("externalId") != before.get("externalId"):
        _resolve_parked(tx, journal, state, now)
    if updated or moved or connection.parked_count != parked_before:
        journal.write(tx)
        crashpoint("directory.after_outbox_insert")


def _plan(
    tx: Transaction, connection_id: str, group_id: str, changes: Sequence[MemberChange], scope: Scope
) -> MembershipPlan:
    """Work out what ordered member changes come to. Raises InvalidValue for a group that would contain itself."""
    plan = MembershipPlan()
    for change in changes:
        if isinstance(change, MemberClear | MemberReplace):
            plan.clear()
        if isinstance(change, MemberAdd | MemberReplace):
            _plan_additions(tx, connection_id, group_id, change.members, plan)
        elif isinstance(change, MemberRemove):
            _plan_removals(tx, connection_id, group_id, change.values, plan)
        elif isinstance(change, MemberRemoveWhere):
            _plan_removal_where(tx, connection_id, group_id, change, plan, scope)
    nested = [resource for resource in plan.wanted if resource.kind == KIND_GROUP]
    if nested:
        above = repository.groups_above(tx, connection_id, group_id)
        for resource in nested:
            if resource.id in above:
                relation = "is" if resource.id == group_id else "contains"
                rule = f"group {resource.id} {relation} this group: a group cannot contain itself"
                raise InvalidValue("members", rule)
    return plan


def _plan_additions(
    tx: Transaction, connection_id: str, group_id: str, members: Sequence[Member], plan: MembershipPlan
) -> None:
    for member in members:
        if len(member.value) > MAX_NAME or "\0" in member.value:
            raise InvalidValue("members.value", f"must be at most {MAX_NAME} characters, without NUL")
        if member.display is not None and (len(member.display) > MAX_NAME or "\0" in member.display):
            raise InvalidValue("members.display", f"must be at most {MAX_NAME} characters, without NUL")
    # Those who are members by id need no look-up: of a whole list sent again, that is nearly all.
    present = repository.members_among(tx, connection_id, group_id, [member.value for member in members])
    groups = [m.value for m in members if m.value not in present and _is_group(m)]
    others = [m.value for m in members if m.value not in present and not _is_group(m)]
    candidates = repository.find_named(tx, connection_id, others, groups) if groups or others else None
    for member in members:
        named = present.get(member.value)
        if named is None and candidates is not None:
            named = name_of(member.value, is_group=_is_group(member), candidates=candidates)
        display = member.display if member.display is not None and not member.display.isspace() else ""
        if named is not None:
            # One who is a member already keeps the display that it has: it is immutable (RFC 7643 §2.4).
            plan.add(named.called(display))
            plan.unpark(member.value)
        else:
            plan.park(member.value, Parked(KIND_GROUP if _is_group(member) else KIND_USER, display))


def _is_group(member: Member) -> bool:
    return member.type is not None and member.type.casefold() == "group"


def _plan_removals(
    tx: Transaction, connection_id: str, group_id: str, values: Sequence[str], plan: MembershipPlan
) -> None:
    present = repository.members_among(tx, connection_id, group_id, values)
    unknown = [value for value in values if value not in present and len(value) <= MAX_NAME and "\0" not in value]
    candidates = repository.find_named(tx, connection_id, unknown, unknown) if unknown else None
    for value in values:
        plan.unpark(value)
        named = present.get(value)
        if named is None and candidates is not None:
            named = name_of(value, is_group=False, candidates=candidates) or name_of(
                value, is_group=True, candidates=candidates
            )
        if named is not None:
            plan.remove(named.id)


def _plan_removal_where(
    tx: Transaction,
    connection_id: str,
    group_id: str,
    change: MemberRemoveWhere,
    plan: MembershipPlan,
    scope: Scope,
) -> None:
    with refusing_as_scim("operations"):
        condition = compile_member_filter(change.filter, scope)
    selected = set(repository.members_where(tx, connection_id, group_id, condition))
    if not plan.cleared:
        for member_id in selected:
            plan.members.setdefault(member_id, None)
        for value, parked in repository.parked_of_group(tx, connection_id, group_id).items():
            if value not in plan.parked and _matches(change, value, parked.kind, parked.display, scope):
                plan.unpark(value)
    # Of those who are members now the database knows what they are called; of those to come the plan does.
    present = repository.members_among(tx, connection_id, group_id, [resource.id for resource in plan.wanted])
    for resource in plan.wanted:
        if resource.id in present:
            is_selected = resource.id in selected
        else:
            is_selected = _matches(change, resource.id, resource.kind, resource.shown, scope)
        if is_selected:
            plan.remove(resource.id)
    for value, parked in plan.wanted_parked.items():
        if _matches(change, value, parked.kind, parked.display, scope):
            plan.unpark(value)


def _matches(change: MemberRemoveWhere, value: str, kind: int, display: str, scope: Scope) -> bool:
    collection = "Groups" if kind == KIND_GROUP else "Users"
    element = {
        "value": value,
        "type": "Group" if kind == KIND_GROUP else "User",
        "$ref": f"{scope.location}/{collection}/{value}",
        "display": display,
    }
    return matches_element(change.filter, MEMBERS, element)


def _apply_plan(
    tx: Transaction, journal: Journal, state: GroupState, plan: MembershipPlan, now: int
) -> tuple[bool, bool]:
    """Write a plan's effective difference and publish it; return whether anybody joined or left, and any group left."""
    connection = journal.connection
    wanted, parked = plan.wanted, plan.wanted_parked
    removed: list[Named] = []
    if plan.cleared:
        if state.member_count:
            removed = repository.keep_members(tx, connection.id, state, [resource.id for resource in wanted])
        if connection.parked_count:
            connection.parked_count -= repository.keep_parked(tx, connection.id, state.id, list(parked))
    else:
        unwanted = plan.unwanted
        if unwanted and state.member_count:
            removed = repository.remove_members(tx, connection.id, state, unwanted)
        unparked = plan.unwanted_parked
        if unparked and connection.parked_count:
            connection.parked_count -= repository.unpark(tx, connection.id, state.id, unparked)
    added = repository.add_members(tx, connection.id, state, wanted) if wanted else []
    if parked:
        connection.parked_count += repository.park(tx, connection.id, state.id, parked, now)
    if not added and not removed:
        return False, False
    publish_delta(journal, state, added, removed, now)
    return True, any(member.kind == KIND_GROUP for member in removed)


def _shown(tx: Transaction, state: GroupState, *, with_members: bool) -> group_pb2.Group:
    group = repository.group_message(state)
    if with_members:
        repository.fill_members(tx, state.connection_id, [group], limit=SHOWN_MEMBERS)
    return group


def _found(state: GroupState | None, group_id: str) -> GroupState:
    if state is None:
        raise GroupNotFound(group_id)
    return state


def _resolve_parked(tx: Transaction, journal: Journal, state: GroupState, now: int) -> None:
    resolve_parked(
        tx,
        journal,
        Named(state.id, KIND_GROUP, state.document["displayName"]),
        external_id=state.document.get("externalId", ""),
        user_name=None,
        now_ms=now,
    )


async def list_parked_members(
    directory: Directory, access: Access, group_id: str, *, after: int, limit: int
) -> tuple[list[group_pb2.ParkedMember], int, int]:
    """Return parked members after a position, the position of the last, and how many there are in all.

    Raises GroupNotFound, ConnectionNotFound.
    """

    def unit(tx: Transaction) -> tuple[list[group_pb2.ParkedMember], int, int]:
        if connections.get_connection(tx, access.connection_id) is None:
            raise InvalidToken if access.by_token else ConnectionNotFound(access.connection_id)
        if group_id:
            _found(repository.get_group(tx, access.connection_id, group_id), group_id)
        parked, last = repository.list_parked(tx, access.connection_id, group_id or None, after=after, limit=limit)
        return parked, last, repository.count_parked(tx, access.connection_id, group_id or None)

    return await directory.db.read(unit)
