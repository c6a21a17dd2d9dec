"""Consequences of events: what became of an employee or a device, and its effect row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from rollcall.delivery.v1 import delivery_service_pb2

from chassis import effects
from chassis.consumer import Event
from chassis.database import Transaction
from mdm_service import tables
from mdm_service.domain import deactivation


class Subject(Protocol):
    """Whom an effect is about; all but the workspace may be empty."""

    @property
    def workspace_id(self) -> str:
        """The workspace."""

    @property
    def connection_id(self) -> str:
        """The connection."""

    @property
    def user_id(self) -> str:
        """The directory user."""

    @property
    def user_name(self) -> str:
        """The userName that the user has."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """What became of one target."""

    action: str
    """What was to be done, such as `CREATE_EMPLOYEE`."""
    outcome: int
    """A `rollcall.delivery.v1.Outcome`."""
    reason: str = ""
    """Why it did not end as APPLIED."""
    target_kind: int = delivery_service_pb2.TARGET_KIND_EMPLOYEE
    """A `rollcall.delivery.v1.TargetKind`."""
    target_id: str = ""
    """The employee's or device's id; empty when there is none."""
    target_name: str = ""
    """The e-mail address or the serial number."""
    before: dict[str, Any] | None = None
    """The part of the state that it concerns, before; None: there was none."""
    after: dict[str, Any] | None = None
    """The same after; None: there is none."""

    @classmethod
    def of_plan(
        cls,
        planned: deactivation.PlannedEffect,
        outcome: int,
        reason: str = "",
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> Consequence:
        """Say what became of a planned effect."""
        return cls(
            action=planned.action,
            outcome=outcome,
            reason=reason,
            target_kind=planned.target_kind,
            target_id=planned.target_id,
            target_name=planned.target_name,
            before=before,
            after=after,
        )


def record_all(
    tx: Transaction,
    event: Event,
    subject: Subject,
    rule: str,
    rule_version: int,
    consequences: Iterable[Consequence],
) -> None:
    """Write an effect for each consequence of an event, about a user of a connection or about a whole workspace."""
    for consequence in consequences:
        effects.record(
            tx,
            tables.Effect,
            event,
            workspace_id=subject.workspace_id,
            connection_id=subject.connection_id,
            user_id=subject.user_id,
            user_name=subject.user_name,
            rule=rule,
            rule_version=rule_version,
            target_kind=delivery_service_pb2.TargetKind.Name(consequence.target_kind).removeprefix("TARGET_KIND_"),
            target_id=consequence.target_id,
            target_name=consequence.target_name,
            action=consequence.action,
            before=consequence.before,
            after=consequence.after,
            outcome=delivery_service_pb2.Outcome.Name(consequence.outcome).removeprefix("OUTCOME_"),
            reason=consequence.reason,
        )
