"""What the MDM service does about the directory's events.

Every handler runs in the transaction that also holds the event's inbox row, so an event has its consequences once. Each
refreshes the projection of the user from the full state that the event carries, acts on the employee and the devices,
and leaves an effect for every target. Events of other portals have no consequence here.
"""

from collections.abc import Callable, Mapping

from google.protobuf.message import Message
from rollcall.directory.v1 import connection_service_pb2, directory_service_pb2, events_pb2, user_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from chassis.consumer import Event, RepairUnit
from chassis.database import Transaction
from mdm_service import closures, employees, repository
from mdm_service.consequences import record_all
from mdm_service.directory import Directory
from mdm_service.employees import Account
from mdm_service.errors import DirectoryUnavailable

PORTAL = "MDM"
"""The portal whose events have consequences here."""
SUBJECT_PORTALS = (PORTAL.lower(), "none")
"""The portals of the events that are delivered here at all; a workspace's own event is of none."""

ON_CREATE = "on_create"
ON_DEACTIVATE = "on_deactivate"
FOLLOW_USER = "follow_user"


def on_user_created(tx: Transaction, event: Event) -> None:
    """Give a new user an employee, if the rules say so."""
    message = event.message
    assert isinstance(message, events_pb2.UserCreated)
    if message.origin.portal == PORTAL:
        _appeared(tx, event, Account.of_user(message.origin, message.user))


def on_user_updated(tx: Transaction, event: Event) -> None:
    """Let the employee follow its user; give an active user an employee whom an obstacle denied one before."""
    message = event.message
    assert isinstance(message, events_pb2.UserUpdated)
    if message.origin.portal == PORTAL:
        _changed(tx, event, Account.of_user(message.origin, message.user))


def on_user_deactivated(tx: Transaction, event: Event) -> None:
    """Do what the rules say of a user who left."""
    message = event.message
    assert isinstance(message, events_pb2.UserDeactivated)
    if message.origin.portal == PORTAL:
        _left(tx, event, Account.of_user(message.origin, message.user))


def on_user_reactivated(tx: Transaction, event: Event) -> None:
    """Restore the user's employee, or give the user one as for a new user; devices keep what they have."""
    message = event.message
    assert isinstance(message, events_pb2.UserReactivated)
    if message.origin.portal == PORTAL:
        _returned(tx, event, Account.of_user(message.origin, message.user))


def on_user_deleted(tx: Transaction, event: Event) -> None:
    """Do what the rules say of a user who left; an employee who stays follows nobody any more."""
    message = event.message
    assert isinstance(message, events_pb2.UserDeleted)
    if message.origin.portal == PORTAL:
        _gone(tx, event, Account.of_user(message.origin, message.user))


def on_connection_enabled(tx: Transaction, event: Event) -> None:
    """Project an MDM connection."""
    message = event.message
    assert isinstance(message, events_pb2.ConnectionEnabled)
    if message.origin.portal == PORTAL:
        _connected(tx, message.origin, enabled=True)


def on_connection_disabled(tx: Transaction, event: Event) -> None:
    """Project that an MDM connection is disabled; people and devices keep what they have."""
    message = event.message
    assert isinstance(message, events_pb2.ConnectionDisabled)
    if message.origin.portal == PORTAL:
        _connected(tx, message.origin, enabled=False)


def on_connection_deleted(tx: Transaction, event: Event) -> None:
    """Drop the connection's rules and projection; its employees stay and follow nobody."""
    message = event.message
    assert isinstance(message, events_pb2.ConnectionDeleted)
    if message.origin.portal == PORTAL:
        repository.forget_connection(tx, message.origin.connection_id)


def on_workspace_deleted(tx: Transaction, event: Event) -> None:
    """Close the workspace: its devices leave management, with commands, then all else of it goes, in the background."""
    message = event.message
    assert isinstance(message, events_pb2.WorkspaceDeleted)
    _closed(tx, event, message.origin.workspace_id)


def no_consequence(tx: Transaction, event: Event) -> None:
    """Do nothing: groups decide nothing here, and nothing that arrives over SCIM changes a segment."""


HANDLERS: Mapping[str, tuple[type[Message], Callable[[Transaction, Event], None]]] = {
    kind.DESCRIPTOR.full_name: (kind, handler)
    for kind, handler in (
        (events_pb2.UserCreated, on_user_created),
        (events_pb2.UserUpdated, on_user_updated),
        (events_pb2.UserDeactivated, on_user_deactivated),
        (events_pb2.UserReactivated, on_user_reactivated),
        (events_pb2.UserDeleted, on_user_deleted),
        (events_pb2.GroupCreated, no_consequence),
        (events_pb2.GroupUpdated, no_consequence),
        (events_pb2.GroupMembersChanged, no_consequence),
        (events_pb2.GroupDeleted, no_consequence),
        (events_pb2.ConnectionEnabled, on_connection_enabled),
        (events_pb2.ConnectionDisabled, on_connection_disabled),
        (events_pb2.ConnectionDeleted, on_connection_deleted),
        (events_pb2.WorkspaceDeleted, on_workspace_deleted),
    )
}
"""The handlers by the full name of the event's message."""


# Repair ---------------------------------------------------------------------------------------------------------------


async def repair(directory: Directory, event: Event) -> RepairUnit:
    """Read what the event's resource is now, for a consumer that has missed events of it or gives one up.

    The difference to the projection goes through the same decisions as the missed events would have; a deactivation
    that only the difference shows is a real one. The event's message may be unreadable. Raises ConnectionError when
    the directory does not answer.
    """
    try:
        return await _repair_unit(directory, event)
    except DirectoryUnavailable as error:
        raise ConnectionError("the directory did not answer") from error


async def _repair_unit(directory: Directory, event: Event) -> RepairUnit:
    if event.aggregate_kind == "workspace":
        if await directory.has_workspace(event.aggregate_id):
            return RepairUnit(event.version, no_consequence)
        return RepairUnit(event.version, lambda tx, event: _closed(tx, event, event.aggregate_id), deleted=True)
    kind = _SNAPSHOTS.get(event.aggregate_kind)
    if kind is None:
        return RepairUnit(event.version, no_consequence)
    origin = await _origin(directory, event)
    if origin is None:
        return RepairUnit(event.version, _reconcile_gone, deleted=True)
    if origin.portal != PORTAL:
        return RepairUnit(event.version, no_consequence)
    snapshot = await directory.snapshot(origin.connection_id, kind, event.aggregate_id)
    if snapshot is None:
        return RepairUnit(event.version, _reconcile_gone, deleted=True)
    if snapshot.HasField("tombstone"):
        return RepairUnit(snapshot.tombstone.version, _reconcile_gone, deleted=True)
    if snapshot.HasField("connection"):
        enabled = snapshot.connection.enabled
        return RepairUnit(snapshot.connection.version, lambda tx, event: _connected(tx, origin, enabled=enabled))
    account = Account.of_user(origin, snapshot.user)
    return RepairUnit(snapshot.user.version, lambda tx, event: _reconcile(tx, event, account))


_SNAPSHOTS = {
    "user": directory_service_pb2.RESOURCE_KIND_USER,
    "connection": directory_service_pb2.RESOURCE_KIND_CONNECTION,
}
"""The resources that are projected here, and so can be repaired."""


async def _origin(directory: Directory, event: Event) -> events_pb2.Origin | None:
    """Say where the event comes from; None: from a connection that is gone, and its message cannot be read."""
    origin = getattr(event.message, "origin", None)
    if isinstance(origin, events_pb2.Origin):
        return origin
    connection = await directory.connection(event.connection_id)
    if connection is None:
        return None
    portal = connection_service_pb2.Portal.Name(connection.portal).removeprefix("PORTAL_")
    return events_pb2.Origin(
        connection_id=connection.connection_id, workspace_id=connection.workspace_id, portal=portal
    )


def _reconcile(tx: Transaction, event: Event, account: Account) -> None:
    known = repository.user(tx, account.connection_id, account.user_id)
    if known is None:
        _appeared(tx, event, account)
    elif known.active and not account.active:
        _left(tx, event, account)
    elif account.active and not known.active:
        _returned(tx, event, account)
    else:
        _changed(tx, event, account)


def restore_user(tx: Transaction, event: Event, account: Account) -> None:
    """Bring a user to what the directory says it is now."""
    _reconcile(tx, event, account)


def provide_again(tx: Transaction, event: Event, account: Account) -> None:
    """Give a user, whose employee was lost, one as for a new user."""
    _appeared(tx, event, account)


def reactivate_again(tx: Transaction, event: Event, account: Account) -> None:
    """Restore the employee of an active user, whose reactivation shows that it never was."""
    _returned(tx, event, account)


def offboard_again(tx: Transaction, event: Event, account: Account) -> None:
    """Do what the rules say of an inactive user, whose employee shows that it never was done."""
    _left(tx, event, account)


def restore_connection(tx: Transaction, origin: events_pb2.Origin, *, enabled: bool) -> None:
    """Bring a connection to what the directory says it is now."""
    _connected(tx, origin, enabled=enabled)


def remove_gone(tx: Transaction, event: Event, origin: events_pb2.Origin) -> None:
    """Remove what is kept of a user or a connection that the directory has no more, be it an employee alone."""
    if event.aggregate_kind == "user" and repository.user(tx, event.connection_id, event.aggregate_id) is None:
        _gone(tx, event, Account.of_user(origin, user_pb2.User(id=event.aggregate_id)))
    else:
        _reconcile_gone(tx, event)


def _reconcile_gone(tx: Transaction, event: Event) -> None:
    if event.aggregate_kind == "connection":
        repository.forget_connection(tx, event.aggregate_id)
        return
    known = repository.user(tx, event.connection_id, event.aggregate_id)
    if known is not None:
        origin = events_pb2.Origin(connection_id=known.connection_id, workspace_id=known.workspace_id, portal=PORTAL)
        _gone(tx, event, Account.of_user(origin, user_pb2.User(id=known.user_id, user_name=known.user_name)))


# Decisions -----------------------------------------------------------------------------------------------------------


def _appeared(tx: Transaction, event: Event, account: Account) -> None:
    obstacle = _provide(tx, event, account, "") if account.active else ""
    _project(tx, account, obstacle)


def _changed(tx: Transaction, event: Event, account: Account) -> None:
    known = repository.user(tx, account.connection_id, account.user_id)
    if known is None:
        _appeared(tx, event, account)
        return
    employee = repository.lock_employee_of_user(tx, account.workspace_id, account.user_id)
    obstacle = known.obstacle
    if employee is not None:
        obstacle = _follow(tx, event, account, employee, known)
    elif account.active and known.obstacle:
        obstacle = _provide(tx, event, account, known.obstacle)
    _project(tx, account, obstacle)


def _left(tx: Transaction, event: Event, account: Account) -> None:
    known = repository.user(tx, account.connection_id, account.user_id)
    employee = _offboard(tx, event, account)
    obstacle = "" if employee is None else _follow(tx, event, account, employee, known)
    _project(tx, account, obstacle)


def _returned(tx: Transaction, event: Event, account: Account) -> None:
    known = repository.user(tx, account.connection_id, account.user_id)
    employee = repository.lock_employee_of_user(tx, account.workspace_id, account.user_id)
    if employee is None:
        obstacle = _provide(tx, event, account, "")
    else:
        rules = repository.rules(tx, account.connection_id)
        record_all(tx, event, account, ON_CREATE, rules.rule_version, [employees.restore(tx, employee)])
        obstacle = _follow(tx, event, account, employee, known)
    _project(tx, account, obstacle)


def _gone(tx: Transaction, event: Event, account: Account) -> None:
    employee = _offboard(tx, event, account)
    if employee is not None:
        employees.unlink(tx, employee)
    repository.delete_user(tx, account.connection_id, account.user_id)


def _provide(tx: Transaction, event: Event, account: Account, obstacle: str) -> str:
    rules = repository.rules(tx, account.connection_id)
    provided, found = employees.provide(tx, account, rules, event.time)
    # An attempt that meets the obstacle of the attempt before is no news.
    if not (found and found == obstacle):
        record_all(tx, event, account, ON_CREATE, rules.rule_version, [provided])
    return found


def _follow(
    tx: Transaction,
    event: Event,
    account: Account,
    employee: mdm_service_pb2.Employee,
    known: repository.UserProjection | None,
) -> str:
    consequences, obstacle = employees.follow(tx, account, employee)
    if known is not None and obstacle and (known.obstacle, known.email) == (obstacle, account.email):
        consequences = [consequence for consequence in consequences if consequence.reason != obstacle]
    record_all(tx, event, account, FOLLOW_USER, 0, consequences)
    return obstacle


def _offboard(tx: Transaction, event: Event, account: Account) -> mdm_service_pb2.Employee | None:
    rules = repository.rules(tx, account.connection_id)
    employee = repository.lock_employee_of_user(tx, account.workspace_id, account.user_id)
    consequences, left = employees.offboard(tx, account.workspace_id, employee, rules, event.time)
    record_all(tx, event, account, ON_DEACTIVATE, rules.rule_version, consequences)
    return left


def _project(tx: Transaction, account: Account, obstacle: str) -> None:
    repository.save_user(
        tx,
        repository.UserProjection(
            user_id=account.user_id,
            connection_id=account.connection_id,
            workspace_id=account.workspace_id,
            user_name=account.user_name,
            email=account.email,
            active=account.active,
            obstacle=obstacle,
        ),
    )


def _closed(tx: Transaction, event: Event, workspace_id: str) -> None:
    # Nothing can be created in it from now on; it is emptied in the background, for it may hold any number of devices.
    repository.close_workspace(tx, workspace_id)
    closures.begin(tx, event, workspace_id)


def _connected(tx: Transaction, origin: events_pb2.Origin, *, enabled: bool) -> None:
    repository.remember_workspace(tx, origin.workspace_id)
    # A workspace that is gone stays gone, whatever arrives late of its connections.
    if repository.workspace_is_known(tx, origin.workspace_id):
        repository.save_connection(tx, origin.connection_id, origin.workspace_id, enabled=enabled)
