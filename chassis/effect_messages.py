"""Effects on their way out: a row of a service's effects as `rollcall.delivery.v1.Effect`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from rollcall.delivery.v1 import delivery_service_pb2 as pb


def effect_message(row: sa.Row[Any]) -> pb.Effect:
    """Give an effect as the contract shows it."""
    effect = pb.Effect(
        effect_id=row.effect_id,
        event_id=row.event_id,
        event_type=row.event_type,
        request_id=row.request_id,
        workspace_id=row.workspace_id,
        connection_id=row.connection_id,
        user_id=row.user_id,
        user_name=row.user_name,
        rule=row.rule,
        rule_version=row.rule_version,
        target_kind=f"TARGET_KIND_{row.target_kind}",
        target_id=row.target_id,
        target_name=row.target_name,
        action=row.action,
        before=row.before,
        after=row.after,
        outcome=f"OUTCOME_{row.outcome}",
        reason=row.reason,
        repair=row.repair,
    )
    effect.time.FromDatetime(row.time)
    return effect
