"""Which role a collaborator has: precedence of groups, settling period, role mode."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollcall.portal.v1.portal_service_pb2 import (
    ROLE_ADMIN,
    ROLE_MODE_CONTINUOUS,
    ROLE_SOURCE_DEFAULT,
    ROLE_SOURCE_GROUP,
    ROLE_SOURCE_MANUAL,
)

# Lowest privilege first. The contract numbers its roles in this order, and `highest` depends on that alone.
DEFAULT_ROLE_GROUPS: tuple[str, ...] = (
    "applivery-unassigned",
    "applivery-viewer",
    "applivery-editor",
    "applivery-admin",
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a connection's rules say about roles: `Role`, `RoleMode`, and the settling period (0 to 30 days)."""

    default_role: int
    role_mode: int
    settling_period: timedelta


@dataclass(frozen=True, slots=True)
class Choice:
    """A role and where it came from: `Role` and `RoleSource`."""

    role: int
    source: int


def highest(roles: Iterable[int]) -> int | None:
    """Returns the role of the highest privilege, ADMIN > EDITOR > VIEWER > UNASSIGNED; None when there is none."""
    return max(roles, default=None)


def choose(policy: Policy, group_roles: Iterable[int]) -> Choice:
    """Returns what the groups say: the highest mapped role, else the default role.

    It is the decision at a collaborator's creation, where even a settling period of 0 lets the groups speak.
    """
    role = highest(group_roles)
    return Choice(policy.default_role, ROLE_SOURCE_DEFAULT) if role is None else Choice(role, ROLE_SOURCE_GROUP)


def is_settling(policy: Policy, created: datetime, at: datetime) -> bool:
    """Says whether `at` lies before the end of the settling period, which the end itself does not belong to.

    Both are times of events, never of the clock, so that late delivery decides as punctual delivery would have.
    """
    return at - created < policy.settling_period


def decide(standing: Choice, policy: Policy, group_roles: Iterable[int], *, created: datetime, at: datetime) -> Choice:
    """Returns what a collaborator of `standing` is to have after a change of groups at `at`.

    A person's choice stands; under FIRST_PROVISIONING every role stands once the settling period is over.
    """
    if standing.source == ROLE_SOURCE_MANUAL:
        return standing
    if policy.role_mode != ROLE_MODE_CONTINUOUS and not is_settling(policy, created, at):
        return standing
    return choose(policy, group_roles)


def takes_admin(standing: int, following: int | None) -> bool:
    """Says whether going from role `standing` to `following` (None: removal) costs the workspace an ADMIN."""
    return standing == ROLE_ADMIN and following != ROLE_ADMIN
