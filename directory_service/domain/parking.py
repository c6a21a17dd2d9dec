"""Which resource a member value names, and when a parked value names one at last (PRODUCT §2).

A value names a resource of its connection by id first, then by externalId, then, for a user, by userName without
regard to case. A value sent with type Group names groups only; any other names users first and a group by its id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Named:
    """A resource that can be a member: a user or a group of the connection."""

    id: str
    kind: int
    """One of the KIND_ constants of the tables."""
    display: str
    """The user's userName, or the group's displayName."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The resources that the values of a request may name, by what they would be named by."""

    users_by_id: Mapping[str, Named]
    groups_by_id: Mapping[str, Named]
    users_by_external_id: Mapping[str, Named]
    groups_by_external_id: Mapping[str, Named]
    users_by_user_name: Mapping[str, Named]
    """By case-folded userName."""


def name_of(value: str, *, is_group: bool, candidates: Candidates) -> Named | None:
    """Return the resource that a value names; None means that it is to be parked."""
    if is_group:
        return candidates.groups_by_id.get(value) or candidates.groups_by_external_id.get(value)
    return (
        candidates.users_by_id.get(value)
        or candidates.groups_by_id.get(value)
        or candidates.users_by_external_id.get(value)
        or candidates.users_by_user_name.get(value.casefold())
    )


def claimed(
    parked: Iterable[tuple[str, str]], *, resource_id: str, external_id: str, user_name: str | None
) -> list[tuple[str, str]]:
    """Return those of the parked (group id, value) pairs that name a resource which appeared or was renamed.

    `user_name` is None for a group, which has none.
    """
    return [
        (group_id, value)
        for group_id, value in parked
        if value == resource_id
        or (external_id and value == external_id)
        or (user_name is not None and value.casefold() == user_name.casefold())
    ]
