"""Collaborators of the dashboard: what administrators do with them, and the roles that groups give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from rollcall.portal.v1.portal_service_pb2 import (
    ROLE_ADMIN,
    ROLE_EDITOR,
    ROLE_MODE_CONTINUOUS,
    ROLE_SOURCE_GROUP,
    ROLE_SOURCE_MANUAL,
    ROLE_UNASSIGNED,
    ROLE_VIEWER,
    Collaborator,
    Role,
    RoleSource,
)

from chassis.consumer import Event
from chassis.database import Database, Transaction
from chassis.identifiers import time_ordered_id
from chassis.paging import decode_page_token, encode_page_token, page_limit
from portal_service import repository
from portal_service.accounts import AccountKind, Occasion
from portal_service.domain.accounts import AccountState, email_key, is_address
from portal_service.domain.roles import Choice, Policy, choose, decide, takes_admin
from portal_service.errors import (
    DOMAIN,
    CollaboratorExists,
    CollaboratorNotFound,
    InvalidValue,
    LastAdmin,
)
from portal_service.repository import COLLABORATORS, AnyRow
from portal_service.workspaces import Workspaces

ROLES = (ROLE_ADMIN, ROLE_EDITOR, ROLE_VIEWER, ROLE_UNASSIGNED)
LAST_ADMIN = "LAST_ADMIN"
MAX_NAME_LENGTH = 200

# How many users are decided with one query; few enough for every database's limit of bound parameters.
_CHUNK = 500


def policy_of(rules: AnyRow) -> Policy:
    """Returns what a connection's rules say about roles."""
    return Policy(rules.default_role, rules.role_mode, repository.settling_period(rules))


def role_name(role: int) -> str:
    """Returns a role's name without its prefix."""
    return Role.Name(role).removeprefix("ROLE_")


def _shown_role(role: int, source: int) -> dict[str, str]:
    return {"role": role_name(role), "role_source": RoleSource.Name(source).removeprefix("ROLE_SOURCE_")}


def _is_last_admin(tx: Transaction, account: AnyRow, following: int | None) -> bool:
    if not takes_admin(account.role, following):
        return False
    return repository.lock_other_admins(tx, account.workspace_id, account.id) == 0


class CollaboratorKind(AccountKind):
    """Collaborators: they have a role, and the last ADMIN stays."""

    rows = COLLABORATORS
    noun = "COLLABORATOR"

    def first_values(self, occasion: Occasion) -> dict[str, Any]:
        """Gives the role that the groups projected so far decide, else the default role."""
        roles: list[int] = []
        if occasion.rules.maps_groups:
            roles = repository.group_roles(occasion.tx, occasion.rules.connection_id, occasion.user_id)
        choice = choose(policy_of(occasion.rules), roles)
        return {"role": choice.role, "role_source": choice.source}

    def link_values(self) -> dict[str, Any]:
        """Keeps the role for good: the collaborator had it before the connection knew of them."""
        return {"role_source": ROLE_SOURCE_MANUAL}

    def removal_refused(self, tx: Transaction, account: AnyRow) -> str:
        """Refuses to remove the last ADMIN of a workspace."""
        return LAST_ADMIN if _is_last_admin(tx, account, None) else ""

    def shown(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Shows address, name and role."""
        role = _shown_role(values["role"], values["role_source"])
        return {"email": values["email"], "display_name": values["display_name"], **role}


COLLABORATOR = CollaboratorKind()


def decide_roles(tx: Transaction, event: Event, rules: AnyRow, user_ids: Iterable[str]) -> None:
    """Decides the roles of users' collaborators again, as the groups are now; one effect for each that changes.

    Whoever is past the settling period, or has a role by a person's choice, is not even read. The last ADMIN keeps the
    role, and the effect is HELD.
    """
    policy = policy_of(rules)
    continuous = policy.role_mode == ROLE_MODE_CONTINUOUS
    created_after = None if continuous else event.time - policy.settling_period
    remaining = iter(user_ids)
    while chunk := list(islice(remaining, _CHUNK)):
        accounts = repository.lock_deciding_collaborators(tx, rules.connection_id, chunk, created_after)
        users = [account.user_id for account in accounts]
        roles = repository.group_roles_of(tx, rules.connection_id, users)
        changed = []
        for account in accounts:
            standing = Choice(account.role, account.role_source)
            choice = decide(standing, policy, roles.get(account.user_id, ()), created=account.created_at, at=event.time)
            if choice != standing:
                changed.append((account, choice))
        for account, choice in changed:
            _give_role(Occasion(tx, event, rules, account.user_id, account.user_name), account, choice)


def evident_choice(tx: Transaction, account: AnyRow) -> Choice | None:
    """Returns the role that a collaborator was given last, as the effects tell; None: they tell nothing."""
    shown = repository.last_role(tx, account.workspace_id, account.id)
    if shown is None:
        return None
    role, source = shown
    return Choice(Role.Value(f"ROLE_{role}"), RoleSource.Value(f"ROLE_SOURCE_{source}"))


def restore_role(tx: Transaction, event: Event, rules: AnyRow, user_id: str) -> None:
    """Gives a user's collaborator the role back that it was given last; the last ADMIN keeps the role."""
    for account in repository.lock_deciding_collaborators(tx, rules.connection_id, [user_id], None):
        choice = evident_choice(tx, account)
        if choice is not None and choice != Choice(account.role, account.role_source):
            _give_role(Occasion(tx, event, rules, account.user_id, account.user_name), account, choice)


def _give_role(occasion: Occasion, account: AnyRow, choice: Choice) -> None:
    rule = "role_mapping" if choice.source == ROLE_SOURCE_GROUP else "default_role"
    before = _shown_role(account.role, account.role_source)
    if _is_last_admin(occasion.tx, account, choice.role):
        occasion.record(
            COLLABORATOR, rule, "SET_ROLE", "HELD",
            reason=LAST_ADMIN, target_id=account.id, target_name=account.email, before=before, after=before,
        )  # fmt: skip
        return
    repository.set_role(occasion.tx, account.workspace_id, account.id, choice.role, choice.source)
    occasion.record(
        COLLABORATOR, rule, "SET_ROLE", "APPLIED",
        target_id=account.id, target_name=account.email, before=before, after=_shown_role(choice.role, choice.source),
    )  # fmt: skip


async def list_collaborators(
    db: Database,
    workspaces: Workspaces,
    workspace_id: str,
    *,
    email_prefix: str = "",
    page_size: int,
    page_token: str,
) -> tuple[list[Collaborator], str]:
    """Returns a page of a workspace's collaborators by e-mail, and the next page's token (AIP-158).

    `email_prefix` leaves out those whose address does not begin with it. Raises WorkspaceNotFound,
    DirectoryUnavailable, and InvalidPageToken.
    """
    prefix = email_key(email_prefix)
    query = f"collaborators:{workspace_id}:{prefix}"
    after = str(decode_page_token(page_token, query, types=[str], domain=DOMAIN)[0]) if page_token else ""
    await workspaces.require(workspace_id)
    limit = page_limit(page_size)
    rows = await db.read(lambda tx: COLLABORATORS.page(tx, workspace_id, prefix, after, limit + 1))
    token = encode_page_token([rows[limit - 1].email_key], query) if len(rows) > limit else ""
    return [repository.collaborator_message(row) for row in rows[:limit]], token


async def get_collaborator(
    db: Database, workspaces: Workspaces, workspace_id: str, email: str, user_id: str = ""
) -> Collaborator:
    """Returns one collaborator: that of an address, else that which follows a user.

    Raises CollaboratorNotFound, WorkspaceNotFound, DirectoryUnavailable.
    """
    await workspaces.require(workspace_id)
    row = await db.read(lambda tx: COLLABORATORS.find_one(tx, workspace_id, email, user_id))
    if row is None:
        raise CollaboratorNotFound(email, user_id)
    return repository.collaborator_message(row)


async def create_collaborator(
    db: Database, workspaces: Workspaces, workspace_id: str, *, email: str, role: int, display_name: str
) -> Collaborator:
    """Adds a collaborator by hand; the role's source is MANUAL.

    Raises InvalidValue, CollaboratorExists, WorkspaceNotFound, DirectoryUnavailable.
    """
    email = email.strip()
    if not is_address(email):
        raise InvalidValue("email", "must be an e-mail address")
    _check_role(role)
    if len(display_name) > MAX_NAME_LENGTH:
        raise InvalidValue("display_name", f"must be at most {MAX_NAME_LENGTH} characters")
    if not repository.is_storable(display_name):
        raise InvalidValue("display_name", "must not hold NUL")
    await workspaces.require(workspace_id)
    values = {
        "id": time_ordered_id(),
        "workspace_id": workspace_id,
        "email": email,
        "email_key": email_key(email),
        "display_name": display_name,
        "connection_id": "",
        "user_id": "",
        "user_metadata": {},
        "created_at": datetime.now(UTC),
        "role": role,
        "role_source": ROLE_SOURCE_MANUAL,
    }

    def unit(tx: Transaction) -> Collaborator:
        workspaces.require_living(tx, workspace_id)
        if not COLLABORATORS.insert(tx, values):
            raise CollaboratorExists(email)
        return _read(tx, workspace_id, email)

    return await db.write(unit)


async def set_role(db: Database, workspaces: Workspaces, workspace_id: str, *, email: str, role: int) -> Collaborator:
    """Gives a collaborator a role by hand, which provisioning never overwrites.

    Raises InvalidValue, CollaboratorNotFound, LastAdmin, WorkspaceNotFound, DirectoryUnavailable.
    """
    _check_role(role)
    await workspaces.require(workspace_id)

    def unit(tx: Transaction) -> Collaborator:
        account = COLLABORATORS.lock(tx, workspace_id, email_key(email))
        if account is None:
            raise CollaboratorNotFound(email)
        if _is_last_admin(tx, account, role):
            raise LastAdmin(account.email)
        repository.set_role(tx, workspace_id, account.id, role, ROLE_SOURCE_MANUAL)
        return _read(tx, workspace_id, email)

    return await db.write(unit)


async def delete_collaborator(db: Database, workspaces: Workspaces, workspace_id: str, email: str) -> None:
    """Removes a collaborator by hand; no update of the directory user brings it back.

    Raises CollaboratorNotFound, LastAdmin, WorkspaceNotFound, DirectoryUnavailable.
    """
    await workspaces.require(workspace_id)

    def unit(tx: Transaction) -> None:
        account = COLLABORATORS.lock(tx, workspace_id, email_key(email))
        if account is None:
            raise CollaboratorNotFound(email)
        if _is_last_admin(tx, account, None):
            raise LastAdmin(account.email)
        COLLABORATORS.delete(tx, workspace_id, account.id)
        if account.user_id:
            repository.set_account_state(tx, workspace_id, account.user_id, AccountState.NONE)

    await db.write(unit)


def _check_role(role: int) -> None:
    if role not in ROLES:
        raise InvalidValue("role", f"must be one of {', '.join(role_name(allowed) for allowed in ROLES)}")


def _read(tx: Transaction, workspace_id: str, email: str) -> Collaborator:
    row = COLLABORATORS.find(tx, workspace_id, email_key(email))
    if row is None:
        raise CollaboratorNotFound(email)
    return repository.collaborator_message(row)
