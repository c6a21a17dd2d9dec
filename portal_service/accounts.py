"""What follows a directory user: an account, which is a collaborator or an employee.

The steps are the same for both kinds; `AccountKind` says where they differ. All of it happens in the transaction of the
event that causes it, and every consequence is recorded as an effect there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from rollcall.directory.v1.user_pb2 import User
from rollcall.portal.v1.portal_service_pb2 import ON_CREATE_NOTHING, ON_DEACTIVATE_NOTHING

from chassis import effects
from chassis.consumer import Event
from chassis.database import Transaction
from chassis.identifiers import time_ordered_id
from portal_service import repository, tables
from portal_service.domain.accounts import AccountState, account_email, account_name, email_key
from portal_service.repository import Accounts, AnyRow

_EFFECTS = tables.PortalTable.metadata.tables["effects"]

# The rules that effects name.
ON_CREATE = "on_create"
ON_DEACTIVATE = "on_deactivate"
PROFILE = "profile"

_FOLLOWED: Mapping[str, str] = {
    "email": "UPDATE_EMAIL",
    "display_name": "UPDATE_DISPLAY_NAME",
    "user_metadata": "UPDATE_METADATA",
}


class Standing(NamedTuple):
    """What became of a user's account, and the key of an e-mail address that is free since; empty: none is."""

    state: AccountState
    freed: str = ""


@dataclass(frozen=True, slots=True)
class Occasion:
    """An event, and the user and the rules of a connection that it bears on."""

    tx: Transaction
    event: Event
    rules: AnyRow
    user_id: str
    user_name: str

    def record(
        self,
        kind: AccountKind,
        rule: str,
        action: str,
        outcome: str,
        *,
        reason: str = "",
        target_id: str = "",
        target_name: str = "",
        before: Any = None,
        after: Any = None,
    ) -> None:
        """Writes the effect of one action; `outcome` is a name of `Outcome`, `before` and `after` are JSON values."""
        effects.record(
            self.tx,
            _EFFECTS,
            self.event,
            workspace_id=self.rules.workspace_id,
            connection_id=self.rules.connection_id,
            user_id=self.user_id,
            user_name=self.user_name,
            rule=rule,
            rule_version=self.rules.rule_version,
            target_kind=kind.noun,
            target_id=target_id,
            target_name=target_name,
            action=action,
            before=before,
            after=after,
            outcome=outcome,
            reason=reason,
        )


class AccountKind(ABC):
    """Where collaborators and employees differ."""

    rows: ClassVar[Accounts]
    noun: ClassVar[str]
    """The kind in the names of actions, and the effect's `TargetKind`: COLLABORATOR or EMPLOYEE."""

    @abstractmethod
    def first_values(self, occasion: Occasion) -> dict[str, Any]:
        """Returns the columns of a new account that only this kind has."""

    @abstractmethod
    def link_values(self) -> dict[str, Any]:
        """Returns the columns that change when an account that exists begins to follow a user."""

    @abstractmethod
    def removal_refused(self, tx: Transaction, account: AnyRow) -> str:
        """Returns the reason why an account must stay; empty: it may go."""

    @abstractmethod
    def shown(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what an effect shows of an account."""


def facts_of(user: User) -> dict[str, Any]:
    """Returns the columns of a user that an account takes over."""
    return {
        "email": account_email(user),
        "display_name": account_name(user),
        "user_metadata": repository.metadata_of(user.metadata),
    }


def appear(
    kind: AccountKind, occasion: Occasion, facts: Mapping[str, Any], previous: AnyRow | None, *, again: bool = False
) -> Standing:
    """Applies the rule `on_create` to an active user.

    `again` marks a renewed attempt, which is recorded only where it ends otherwise than the attempt before.
    """
    tx, rules = occasion.tx, occasion.rules
    standing = AccountState(previous.account_state) if previous is not None else AccountState.NONE
    action = f"CREATE_{kind.noun}"
    if rules.on_create == ON_CREATE_NOTHING:
        if not again:
            occasion.record(kind, ON_CREATE, action, "SKIPPED", reason="RULE_NOTHING", target_name=facts["email"])
        # An account that was never taken away goes on following its user.
        account = None if previous is None else kind.rows.lock_follower(tx, rules.connection_id, occasion.user_id)
        return Standing(standing) if account is None else follow(kind, occasion, facts, previous, account)
    if previous is not None:
        account = kind.rows.lock_follower(tx, rules.connection_id, occasion.user_id)
        if account is not None:
            occasion.record(
                kind, ON_CREATE, action, "SKIPPED",
                reason="UNCHANGED", target_id=account.id, target_name=account.email,
            )  # fmt: skip
            return follow(kind, occasion, facts, previous, account)
    email = facts["email"]
    if not email:
        if standing != AccountState.NO_EMAIL or not again:
            occasion.record(kind, ON_CREATE, action, "SKIPPED", reason="NO_EMAIL")
        return Standing(AccountState.NO_EMAIL)
    account = _create(kind, occasion, facts)
    if account is None:
        return Standing(AccountState.LINKED)
    if account.user_id and repository.is_user_living(tx, rules.workspace_id, account.user_id):
        if standing != AccountState.EMAIL_TAKEN or not again or (previous is not None and previous.email != email):
            occasion.record(kind, ON_CREATE, action, "FAILED", reason="EMAIL_TAKEN", target_name=email)
        return Standing(AccountState.EMAIL_TAKEN)
    return _link(kind, occasion, facts, account)


def _create(kind: AccountKind, occasion: Occasion, facts: Mapping[str, Any]) -> AnyRow | None:
    """Creates the account, or returns, locked, the one that has the e-mail address already."""
    tx, rules = occasion.tx, occasion.rules
    values = {
        "id": time_ordered_id(),
        "workspace_id": rules.workspace_id,
        "email_key": email_key(facts["email"]),
        "connection_id": rules.connection_id,
        "user_id": occasion.user_id,
        "created_at": occasion.event.time,
        **facts,
        **kind.first_values(occasion),
    }
    while not kind.rows.insert(tx, values):
        account = kind.rows.lock(tx, rules.workspace_id, values["email_key"])
        if account is not None:
            return account
        # It went between the two statements, so the address is free after all.
    occasion.record(
        kind, ON_CREATE, f"CREATE_{kind.noun}", "APPLIED",
        target_id=values["id"], target_name=values["email"], after=kind.shown(values),
    )  # fmt: skip
    return None


def _link(kind: AccountKind, occasion: Occasion, facts: Mapping[str, Any], account: AnyRow) -> Standing:
    """Makes an account that follows nobody alive follow the user."""
    tx, rules = occasion.tx, occasion.rules
    if account.user_id:
        repository.set_account_state(tx, rules.workspace_id, account.user_id, AccountState.NONE)
    values = {"connection_id": rules.connection_id, "user_id": occasion.user_id, **kind.link_values()}
    kind.rows.update(tx, rules.workspace_id, account.id, values)
    before = dict(account._mapping)
    occasion.record(
        kind, ON_CREATE, f"LINK_{kind.noun}", "APPLIED",
        target_id=account.id, target_name=account.email,
        before={**kind.shown(before), "user_id": account.user_id},
        after={**kind.shown(before | values), "user_id": occasion.user_id},
    )  # fmt: skip
    return follow(kind, occasion, facts, None, account)


def follow(
    kind: AccountKind, occasion: Occasion, facts: Mapping[str, Any], previous: AnyRow | None, account: AnyRow
) -> Standing:
    """Takes e-mail address, name and metadata of a user over to its account; one effect for each that changes.

    An address that another account has is not taken, and neither account changes for it. A user without an address or
    a name leaves those of the account as they are.
    """
    changes: dict[str, Any] = {}
    state, freed = AccountState.LINKED, ""
    email = facts["email"]
    announced = previous is None or previous.email != email
    if email and email != account.email:
        key = email_key(email)
        if key == account.email_key:
            changes["email"] = email
        elif kind.rows.lock(occasion.tx, occasion.rules.workspace_id, key) is None:
            changes |= {"email": email, "email_key": key}
            freed = account.email_key
        else:
            state = AccountState.NEW_EMAIL_TAKEN
            if announced:
                occasion.record(
                    kind, PROFILE, "UPDATE_EMAIL", "FAILED",
                    reason="EMAIL_TAKEN", target_id=account.id, target_name=account.email,
                    before=account.email, after=email,
                )  # fmt: skip
    elif not email and announced:
        occasion.record(
            kind, PROFILE, "UPDATE_EMAIL", "SKIPPED",
            reason="NO_EMAIL", target_id=account.id, target_name=account.email, before=account.email,
        )  # fmt: skip
    if facts["display_name"] and facts["display_name"] != account.display_name:
        changes["display_name"] = facts["display_name"]
    if facts["user_metadata"] != account.user_metadata:
        changes["user_metadata"] = facts["user_metadata"]
    if changes:
        kind.rows.update(occasion.tx, occasion.rules.workspace_id, account.id, changes)
    name = changes.get("email", account.email)
    for column, action in _FOLLOWED.items():
        if column in changes:
            occasion.record(
                kind, PROFILE, action, "APPLIED",
                target_id=account.id, target_name=name, before=getattr(account, column), after=changes[column],
            )  # fmt: skip
    return Standing(state, freed)


def leave(kind: AccountKind, occasion: Occasion, facts: Mapping[str, Any] | None, previous: AnyRow | None) -> Standing:
    """Applies the rule `on_deactivate` to a user that was deactivated or deleted.

    An account that stays goes on following a deactivated user, of whom `facts` tell. Without facts the user is deleted:
    the account then follows nobody, and its address may be taken up by the next user who has it.
    """
    tx, rules = occasion.tx, occasion.rules
    account = kind.rows.lock_follower(tx, rules.connection_id, occasion.user_id)
    target_id, target_name = ("", "") if account is None else (account.id, account.email)
    action = f"REMOVE_{kind.noun}"
    if rules.on_deactivate == ON_DEACTIVATE_NOTHING:
        occasion.record(
            kind, ON_DEACTIVATE, action, "SKIPPED",
            reason="RULE_NOTHING", target_id=target_id, target_name=target_name,
        )  # fmt: skip
    elif account is None:
        occasion.record(kind, ON_DEACTIVATE, action, "SKIPPED", reason=f"NO_{kind.noun}")
    else:
        shown = kind.shown(dict(account._mapping))
        refusal = kind.removal_refused(tx, account)
        if not refusal:
            kind.rows.delete(tx, rules.workspace_id, account.id)
            occasion.record(
                kind, ON_DEACTIVATE, action, "APPLIED",
                target_id=target_id, target_name=target_name, before=shown,
            )  # fmt: skip
            return Standing(AccountState.NONE, account.email_key)
        occasion.record(
            kind, ON_DEACTIVATE, action, "HELD",
            reason=refusal, target_id=target_id, target_name=target_name, before=shown, after=shown,
        )  # fmt: skip
    if account is None:
        return Standing(AccountState.NONE)
    if facts is not None:
        return follow(kind, occasion, facts, previous, account)
    kind.rows.update(tx, rules.workspace_id, account.id, {"connection_id": "", "user_id": ""})
    return Standing(AccountState.NONE, account.email_key)


def offer(kind: AccountKind, cause: Occasion, freed: str) -> None:
    """Gives an e-mail address that has become free to a user who waits for it, as if that user had just changed.

    What that user's account leaves behind is offered on. Each step ends one user's wait, so the chain ends.
    """
    while freed:
        waiting = repository.find_waiting_users(cause.tx, cause.rules.workspace_id, cause.rules.portal, freed)
        freed = ""
        for user in waiting:
            here = user.connection_id == cause.rules.connection_id
            rules = cause.rules if here else repository.hold_rules(cause.tx, user.connection_id)
            if rules is None:
                continue
            occasion = Occasion(cause.tx, cause.event, rules, user.id, user.user_name)
            facts = {column: getattr(user, column) for column in _FOLLOWED}
            account = kind.rows.lock_follower(cause.tx, user.connection_id, user.id)
            if account is not None:
                standing = follow(kind, occasion, facts, user, account)
            elif user.active:
                standing = appear(kind, occasion, facts, user, again=True)
            else:
                continue
            if standing.state != user.account_state:
                repository.set_account_state(cause.tx, rules.workspace_id, user.id, standing.state)
                freed = standing.freed
                break
