"""Which resource a member value names, and when a parked value names one at last (PRODUCT §2).

A value names a resource of its connection by id first, then by externalId, then, for a user, by userName without
regard to case. A value sent with type Group names groups only; any other names users first and a group by its id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Named:
    """A resource that can be a member: a user or a group of the connection."""

    id: str
    kind: int
    """One of the KIND_ constants of the tables."""
    display: str
    """The user's userName, or the group's displayName; empty where it was not read."""
    stated: str = ""
    """What the identity provider calls it as a member, where that is not its `display` anyway (RFC 7643 §2.4)."""

    def called(self, display: str) -> "Named":
        """Return the resource as a member so called; its own name says nothing more, and follows when it changes."""
        return replace(self, stated=display) if display and display != self.display else self

    @property
    def shown(self) -> str:
        """The name that the group shows for it."""
        return self.stated or self.display


@dataclass(frozen=True, slots=True)
class Parked:
    """What is kept of a member that names no resource yet."""

    kind: int
    """What the value may name: one of the KIND_ constants of the tables."""
    display: str = ""
    """What the identity provider calls it; empty when it does not say."""


@dataclass(frozen=True, slots=True)
class ParkedValue:
    """A parked value of one group."""

    group_id: str
    value: str
    display: str


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
    parked: Iterable[ParkedValue], *, resource_id: str, external_id: str, user_name: str | None
) -> list[ParkedValue]:
    """Return those of the parked values that name a resource which appeared or was renamed.

    `user_name` is None for a group, which has none.
    """
    return [
        candidate
        for candidate in parked
        if candidate.value == resource_id
        or (external_id and candidate.value == external_id)
        or (user_name is not None and candidate.value.casefold() == user_name.casefold())
    ]
