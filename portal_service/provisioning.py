"""What the events of the directory cause: projections, accounts, roles.

One handler per event, dispatched on the message's full name and run in the transaction that also holds its inbox row. A
handler acts on DASHBOARD and STORE events and passes over the rest. Events of one resource come in order; events of
different resources may come in any: a membership before its user, a group's name after its members.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf.message import Message
from rollcall.directory.v1 import events_pb2
from rollcall.directory.v1.group_pb2 import MEMBER_TYPE_GROUP, MEMBER_TYPE_USER, Group, Member
from rollcall.directory.v1.user_pb2 import User

from chassis.consumer import Event, Handler
from chassis.database import Transaction
from portal_service import closures, departures, repository
from portal_service.accounts import ON_CREATE, AccountKind, Occasion, Standing, appear, facts_of, follow, leave, offer
from portal_service.collaborators import COLLABORATOR, decide_roles
from portal_service.domain.accounts import AccountState
from portal_service.employees import EMPLOYEE
from portal_service.repository import STATE_DELETED, STATE_DISABLED, STATE_ENABLED, AnyRow
from portal_service.rules import rules_for
from portal_service.workspaces import DASHBOARD, PORTALS, STORE, see_connection

_KINDS: Mapping[str, AccountKind] = {DASHBOARD: COLLABORATOR, STORE: EMPLOYEE}


# Users


def on_user_created(tx: Transaction, event: Event) -> None:
    """Projects the user; an active one gets what `on_create` says."""
    if (rules := rules_for(tx, _origin(event))) is not None:
        # The first event of a user finds nothing to look at.
        _user_appeared(tx, event, rules, _message(event).user, is_first=event.version == 1)


def on_user_updated(tx: Transaction, event: Event) -> None:
    """Projects the user; its account follows, or is tried for again if it could not be had before."""
    if (rules := rules_for(tx, _origin(event))) is not None:
        _user_changed(tx, event, rules, _message(event).user)


def on_user_deactivated(tx: Transaction, event: Event) -> None:
    """Projects the user; its account goes or stays as `on_deactivate` says."""
    if (rules := rules_for(tx, _origin(event))) is not None:
        _user_deactivated(tx, event, rules, _message(event).user)


def on_user_reactivated(tx: Transaction, event: Event) -> None:
    """Projects the user, who gets again what `on_create` says."""
    if (rules := rules_for(tx, _origin(event))) is not None:
        _user_appeared(tx, event, rules, _message(event).user)


def on_user_deleted(tx: Transaction, event: Event) -> None:
    """Forgets the user; its account goes or stays as `on_deactivate` says, and what stays follows nobody."""
    if (rules := rules_for(tx, _origin(event))) is not None:
        _user_deleted(tx, event, rules, _message(event).user.id, _message(event).user.user_name)


def _user_appeared(tx: Transaction, event: Event, rules: AnyRow, user: User, *, is_first: bool = False) -> None:
    kind = _KINDS[rules.portal]
    facts = facts_of(user)
    previous = None if is_first else repository.find_user(tx, rules.connection_id, user.id)
    occasion = Occasion(tx, event, rules, user.id, user.user_name)
    if user.active:
        standing = appear(kind, occasion, facts, previous)
    else:
        occasion.record(
            kind, ON_CREATE, f"CREATE_{kind.noun}", "SKIPPED", reason="INACTIVE", target_name=facts["email"]
        )
        standing = Standing(AccountState.NONE)
    repository.put_user(tx, rules, user, facts, standing.state)
    offer(kind, occasion, standing.freed)


def _user_changed(tx: Transaction, event: Event, rules: AnyRow, user: User) -> None:
    kind = _KINDS[rules.portal]
    facts = facts_of(user)
    previous = repository.find_user(tx, rules.connection_id, user.id)
    standing = Standing(AccountState.NONE if previous is None else AccountState(previous.account_state))
    occasion = Occasion(tx, event, rules, user.id, user.user_name)
    if user.active and standing.state.awaited:
        standing = appear(kind, occasion, facts, previous, again=True)
    elif (account := kind.rows.lock_follower(tx, rules.connection_id, user.id)) is not None:
        standing = follow(kind, occasion, facts, previous, account)
    repository.put_user(tx, rules, user, facts, standing.state)
    offer(kind, occasion, standing.freed)


def _user_deactivated(tx: Transaction, event: Event, rules: AnyRow, user: User) -> None:
    kind = _KINDS[rules.portal]
    facts = facts_of(user)
    previous = repository.find_user(tx, rules.connection_id, user.id)
    occasion = Occasion(tx, event, rules, user.id, user.user_name)
    standing = leave(kind, occasion, facts, previous)
    repository.put_user(tx, rules, user, facts, standing.state)
    offer(kind, occasion, standing.freed)


def _user_deleted(tx: Transaction, event: Event, rules: AnyRow, user_id: str, user_name: str) -> None:
    kind = _KINDS[rules.portal]
    occasion = Occasion(tx, event, rules, user_id, user_name)
    standing = leave(kind, occasion, None, None)
    repository.delete_user(tx, rules.connection_id, user_id)
    offer(kind, occasion, standing.freed)


# Groups


def on_group_created(tx: Transaction, event: Event) -> None:
    """Projects the group and binds the role mapping of its name, if that is free."""
    if (rules := rules_for(tx, _origin(event))) is not None:
        _group_seen(tx, event, rules, _message(event).group)


def on_group_updated(tx: Transaction, event: Event) -> None:
    """Projects the group; a new name neither grants a role nor takes one."""
    if (rules := rules_for(tx, _origin(event))) is not None:
        _group_seen(tx, event, rules, _message(event).group)


def on_group_members_changed(tx: Transaction, event: Event) -> None:
    """Projects the membership and decides the roles of those whom it concerns."""
    if (rules := rules_for(tx, _origin(event))) is not None:
        _members_changed(tx, event, rules, _message(event).group, _message(event).added, _message(event).removed)


def on_group_deleted(tx: Transaction, event: Event) -> None:
    """Forgets the group, frees its role mapping and decides the roles of those who were in it."""
    if (rules := rules_for(tx, _origin(event))) is not None:
        _group_deleted(tx, event, rules, _message(event).group.id)


def _group_seen(tx: Transaction, event: Event, rules: AnyRow, group: Group) -> bool:
    """Projects a group; says whether a role mapping was bound to it, which decided its members' roles."""
    known = repository.find_group(tx, rules.connection_id, group.id)
    if known is None or known.display_name != group.display_name:
        repository.put_group(tx, rules.connection_id, rules.workspace_id, group)
    if known is not None or rules.portal != DASHBOARD:
        return False
    if not repository.bind_role_mapping(tx, rules.connection_id, group.display_name.casefold(), group.id):
        return False
    decide_roles(tx, event, rules, repository.users_beneath(tx, rules.connection_id, [group.id]))
    return True


def _members_changed(
    tx: Transaction,
    event: Event,
    rules: AnyRow,
    group: Group,
    added: Collection[Member],
    removed: Collection[Member],
) -> None:
    is_bound = _group_seen(tx, event, rules, group)
    repository.remove_members(tx, rules.connection_id, group.id, [member.value for member in removed])
    repository.add_members(tx, rules.connection_id, group.id, added)
    if not is_bound and not _decides_roles(tx, rules, group.id):
        return
    concerned = {member.value for change in (added, removed) for member in change if member.type != MEMBER_TYPE_GROUP}
    nested = [member.value for change in (added, removed) for member in change if member.type == MEMBER_TYPE_GROUP]
    concerned.update(repository.users_beneath(tx, rules.connection_id, nested))
    decide_roles(tx, event, rules, sorted(concerned))


def _group_deleted(tx: Transaction, event: Event, rules: AnyRow, group_id: str) -> None:
    concerned: list[str] = []
    decides = _decides_roles(tx, rules, group_id)
    # A repair tells what it takes from whom, so it is made whole.
    if not event.repair and repository.is_group_larger(tx, rules.connection_id, group_id, departures.AT_ONCE):
        departures.begin(tx, event, rules, group_id, decides=decides)
    else:
        if decides:
            concerned = repository.users_beneath(tx, rules.connection_id, [group_id])
        repository.delete_group(tx, rules.connection_id, group_id)
    for name_key in repository.unbind_role_mappings(tx, rules.connection_id, group_id):
        # A new group of that name may have come before the old one went: the two are different resources.
        heir = repository.find_group_first_named(tx, rules.connection_id, name_key)
        if heir is not None:
            repository.bind_role_mapping(tx, rules.connection_id, name_key, heir.id)
            concerned += repository.users_beneath(tx, rules.connection_id, [heir.id])
    decide_roles(tx, event, rules, sorted(set(concerned)))


def _decides_roles(tx: Transaction, rules: AnyRow, group_id: str) -> bool:
    """Says whether a role may depend on who is in a group; cheap where no mapping has ever met its group."""
    return bool(rules.maps_groups) and repository.is_role_decided_by(tx, rules.connection_id, group_id)


# Connections and workspaces


def on_connection_enabled(tx: Transaction, event: Event) -> None:
    """Projects the connection; a new one gets the rules that hold until somebody sets some."""
    _connection_seen(tx, _origin(event), STATE_ENABLED)


def on_connection_disabled(tx: Transaction, event: Event) -> None:
    """Projects the connection; nobody loses anything."""
    _connection_seen(tx, _origin(event), STATE_DISABLED)


def on_connection_deleted(tx: Transaction, event: Event) -> None:
    """Forgets the connection and its rules; a tombstone stays.

    Its users were deleted before. Should one of them still be known, because its last event is parked, it counts as
    deleted now: nobody keeps an account through a connection that is gone.
    """
    _connection_gone(tx, event, _origin(event))


def on_workspace_deleted(tx: Transaction, event: Event) -> None:
    """Removes what the workspace holds; it had no connections any more."""
    closures.close(tx, _origin(event).workspace_id)


def _connection_seen(tx: Transaction, origin: events_pb2.Origin, state: int) -> None:
    if origin.portal not in PORTALS:
        return
    known = repository.find_connection(tx, origin.connection_id)
    if known is None:
        see_connection(tx, origin.connection_id, origin.workspace_id, origin.portal, state)
    elif known.state not in (STATE_DELETED, state):
        repository.put_connection(tx, origin.connection_id, origin.workspace_id, origin.portal, state)


def _connection_gone(tx: Transaction, event: Event, origin: events_pb2.Origin) -> None:
    if (rules := rules_for(tx, origin)) is not None:
        for user in repository.list_users(tx, rules.connection_id):
            _user_deleted(tx, event, rules, user.id, user.user_name)
    if origin.portal in PORTALS:
        repository.put_connection(tx, origin.connection_id, origin.workspace_id, origin.portal, STATE_DELETED)
        repository.delete_connection(tx, origin.connection_id)


def _message(event: Event) -> Any:
    """The message, of the type that the event's handler is registered for."""
    return event.message


def _origin(event: Event) -> events_pb2.Origin:
    origin: events_pb2.Origin = _message(event).origin
    return origin


# Repair


def restore_user(tx: Transaction, event: Event, origin: events_pb2.Origin, user: User | None) -> None:
    """Brings a user to what the directory says it is now; None: it is gone."""
    if (rules := rules_for(tx, origin)) is None:
        return
    previous = repository.find_user(tx, rules.connection_id, event.aggregate_id)
    if user is None:
        _user_deleted(tx, event, rules, event.aggregate_id, "" if previous is None else previous.user_name)
    elif previous is None or (user.active and not previous.active):
        _user_appeared(tx, event, rules, user)
    elif previous.active and not user.active:
        _user_deactivated(tx, event, rules, user)
    else:
        _user_changed(tx, event, rules, user)


def repeat_deactivation(tx: Transaction, event: Event, origin: events_pb2.Origin, user: User) -> None:
    """Applies the rule `on_deactivate` to an inactive user whose account shows that it never was."""
    if (rules := rules_for(tx, origin)) is not None:
        _user_deactivated(tx, event, rules, user)


def restore_group(
    tx: Transaction, event: Event, origin: events_pb2.Origin, group: Group | None, members: Collection[Member]
) -> None:
    """Brings a group and its whole membership to what the directory says they are now; None: it is gone."""
    if (rules := rules_for(tx, origin)) is None:
        return
    if group is None:
        _group_deleted(tx, event, rules, event.aggregate_id)
        return
    standing = repository.list_members(tx, rules.connection_id, group.id)
    present = {member.value for member in members}
    added = [member for member in members if member.value not in standing]
    removed = [
        Member(value=member_id, type=MEMBER_TYPE_GROUP if is_group else MEMBER_TYPE_USER)
        for member_id, is_group in standing.items()
        if member_id not in present
    ]
    _members_changed(tx, event, rules, group, added, removed)


def restore_connection(tx: Transaction, event: Event, origin: events_pb2.Origin, enabled: bool | None) -> None:
    """Brings a connection to what the directory says it is now; None: it is gone."""
    if enabled is None:
        _connection_gone(tx, event, origin)
    else:
        _connection_seen(tx, origin, STATE_ENABLED if enabled else STATE_DISABLED)


HANDLERS: Mapping[str, tuple[type[Message], Handler]] = {
    message.DESCRIPTOR.full_name: (message, handler)
    for message, handler in (
        (events_pb2.UserCreated, on_user_created),
        (events_pb2.UserUpdated, on_user_updated),
        (events_pb2.UserDeactivated, on_user_deactivated),
        (events_pb2.UserReactivated, on_user_reactivated),
        (events_pb2.UserDeleted, on_user_deleted),
        (events_pb2.GroupCreated, on_group_created),
        (events_pb2.GroupUpdated, on_group_updated),
        (events_pb2.GroupMembersChanged, on_group_members_changed),
        (events_pb2.GroupDeleted, on_group_deleted),
        (events_pb2.ConnectionEnabled, on_connection_enabled),
        (events_pb2.ConnectionDisabled, on_connection_disabled),
        (events_pb2.ConnectionDeleted, on_connection_deleted),
        (events_pb2.WorkspaceDeleted, on_workspace_deleted),
    )
}
