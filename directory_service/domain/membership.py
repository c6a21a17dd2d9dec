"""What an ordered series of member changes comes to, without the list of members at hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from directory_service.domain.parking import Named, Parked

MAX_EVENT_MEMBERS = 2000
"""Members in one GroupMembersChanged, joined and left together."""

T = TypeVar("T")


@dataclass(slots=True)
class MembershipPlan:
    """The membership wanted after a write, relative to the one before.

    What no entry speaks of stays as it is, or goes when `cleared`. Entries keep the order in which they came.
    """

    cleared: bool = False
    members: dict[str, Named | None] = field(default_factory=dict)
    """By resource id: the resource that is to be a member, or None for one that is not."""
    parked: dict[str, Parked | None] = field(default_factory=dict)
    """By value: what is to be kept of it when it is to be parked, or None when not."""

    def add(self, resource: Named) -> None:
        """Make a resource a member; one that is to stay keeps its place."""
        if self.members.get(resource.id) is None:
            self.members.pop(resource.id, None)
            self.members[resource.id] = resource

    def park(self, value: str, parked: Parked) -> None:
        """Park a value that names no resource yet."""
        if self.parked.get(value) is None:
            self.parked.pop(value, None)
            self.parked[value] = parked

    def remove(self, resource_id: str) -> None:
        """Make a resource not a member."""
        self.members[resource_id] = None

    def unpark(self, value: str) -> None:
        """Drop a parked value."""
        self.parked[value] = None

    def clear(self) -> None:
        """Remove every member and every parked value."""
        self.cleared = True
        self.members.clear()
        self.parked.clear()

    @property
    def wanted(self) -> list[Named]:
        """The resources that are to be members, in order."""
        return [resource for resource in self.members.values() if resource is not None]

    @property
    def unwanted(self) -> list[str]:
        """Ids of the resources that are not to be members."""
        return [resource_id for resource_id, resource in self.members.items() if resource is None]

    @property
    def wanted_parked(self) -> dict[str, Parked]:
        """The values that are to be parked, with what is to be kept of each."""
        return {value: parked for value, parked in self.parked.items() if parked is not None}

    @property
    def unwanted_parked(self) -> list[str]:
        """The values that are not to be parked."""
        return [value for value, parked in self.parked.items() if parked is None]


def event_chunks(
    added: Sequence[T], removed: Sequence[T], limit: int = MAX_EVENT_MEMBERS
) -> Iterable[tuple[Sequence[T], Sequence[T]]]:
    """Split a membership delta into pieces of at most `limit` members; those that left come first."""
    for start in range(0, len(removed) + len(added), limit):
        end = start + limit
        yield (
            added[max(start - len(removed), 0) : max(end - len(removed), 0)],
            removed[start:end],
        )
