"""Changes of membership inside a transaction: what users and groups have in common.

Every change takes the group's next version and is one event, or several in a row when it is large.
"""

from collections import defaultdict
from collections.abc import Sequence

from rollcall.directory.v1 import events_pb2

from chassis.database import Transaction
from directory_service.domain.membership import event_chunks
from directory_service.domain.parking import Named, ParkedValue, claimed
from directory_service.repository import groups as repository
from directory_service.repository.events import Journal
from directory_service.repository.groups import GroupState
from directory_service.tables import KIND_GROUP


def publish_delta(
    journal: Journal, group: GroupState, added: Sequence[Named], removed: Sequence[Named], now_ms: int
) -> None:
    """Publish members that joined and left, who are in `member_count` already; the group's row is not written yet."""
    final = group.member_count
    count = final - len(added) + len(removed)
    for joined, left in event_chunks(added, removed):
        count += len(joined) - len(left)
        group.version += 1
        group.updated_ms = now_ms
        group.member_count = count
        journal.group(
            events_pb2.GroupMembersChanged,
            repository.group_message(group),
            added=[repository.member_message(member) for member in joined],
            removed=[repository.member_message(member) for member in left],
        )


def resolve_parked(
    tx: Transaction, journal: Journal, named: Named, *, external_id: str, user_name: str | None, now_ms: int
) -> None:
    """Turn parked values that name a resource which appeared, or was renamed, into memberships (PRODUCT §2).

    A group whose membership would close a circle stays parked.
    """
    connection = journal.connection
    if not connection.parked_count:
        return
    names = [name for name in (named.id, external_id, user_name) if name]
    found = claimed(
        repository.parked_for(tx, connection.id, named.kind, names),
        resource_id=named.id,
        external_id=external_id,
        user_name=user_name,
    )
    by_group: defaultdict[str, list[ParkedValue]] = defaultdict(list)
    for parked in found:
        by_group[parked.group_id].append(parked)
    for group in repository.get_groups(tx, connection.id, list(by_group)):
        if named.kind == KIND_GROUP and named.id in repository.groups_above(tx, connection.id, group.id):
            continue
        values = by_group[group.id]
        connection.parked_count -= repository.unpark(tx, connection.id, group.id, [parked.value for parked in values])
        member = named.called(next((parked.display for parked in values if parked.display), ""))
        added = repository.add_members(tx, connection.id, group, [member])
        if added:
            publish_delta(journal, group, added, [], now_ms)
            repository.store_group(tx, connection.id, group)


def resolve_opened(tx: Transaction, journal: Journal, now_ms: int) -> None:
    """Turn parked groups into memberships that a circle forbade, once a nesting that was part of it has ended.

    What the transaction changed of a group must be written before.
    """
    if not journal.connection.parked_count:
        return
    for named, external_id in repository.waiting_groups(tx, journal.connection.id):
        resolve_parked(tx, journal, named, external_id=external_id, user_name=None, now_ms=now_ms)


def leave_groups(tx: Transaction, journal: Journal, named: Named, now_ms: int) -> None:
    """End every membership of a resource that is deleted."""
    connection_id = journal.connection.id
    left = repository.remove_from_groups(tx, connection_id, named.id)
    publish_departure(tx, journal, named, left, now_ms)


def publish_departure(tx: Transaction, journal: Journal, named: Named, group_ids: Sequence[str], now_ms: int) -> None:
    """Publish that a resource left groups whose member rows are gone already."""
    connection_id = journal.connection.id
    if not group_ids:
        return
    for group in repository.get_groups(tx, connection_id, group_ids):
        group.member_count -= 1
        publish_delta(journal, group, [], [named], now_ms)
        repository.store_group(tx, connection_id, group)
