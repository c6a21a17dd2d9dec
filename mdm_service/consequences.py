"""Consequences of events: what became of an employee or a device, on the way to its effect row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rollcall.delivery.v1 import delivery_service_pb2

from mdm_service.domain import deactivation


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
