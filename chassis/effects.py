"""Effects: the evidence of what an event changed here, written in the transaction that makes the change."""

from __future__ import annotations

import datetime
from typing import Any

import orjson
from rollcall.delivery.v1 import delivery_service_pb2 as pb

from chassis.consumer import Event
from chassis.database import Transaction
from chassis.identifiers import time_ordered_id
from chassis.outbox import TableLike, table_of
from chassis.prepared import insert_into

OUTCOMES = frozenset(name.removeprefix("OUTCOME_") for name in pb.Outcome.DESCRIPTOR.values_by_name) - {"UNSPECIFIED"}
TARGET_KINDS = frozenset(name.removeprefix("TARGET_KIND_") for name in pb.TargetKind.DESCRIPTOR.values_by_name) - {
    "UNSPECIFIED"
}


def record(
    tx: Transaction,
    table: TableLike,
    event: Event,
    *,
    workspace_id: str,
    connection_id: str,
    user_id: str,
    user_name: str,
    rule: str,
    rule_version: int,
    target_kind: str,
    target_id: str,
    target_name: str,
    action: str,
    before: Any,
    after: Any,
    outcome: str,
    reason: str = "",
) -> str:
    """Write one effect and return its id; ids rise with time.

    `target_kind` and `outcome` are names of `TargetKind` and `Outcome` without their prefixes. `before` and `after` are
    JSON values; None is none. An outcome other than APPLIED needs a `reason`. Raises ValueError for any other name; a
    second effect of the same event, target and action violates the table's unique index.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome {outcome!r}: expected one of {', '.join(sorted(OUTCOMES))}")
    if target_kind not in TARGET_KINDS:
        raise ValueError(f"target_kind {target_kind!r}: expected one of {', '.join(sorted(TARGET_KINDS))}")
    if outcome != "APPLIED" and not reason:
        raise ValueError(f"an effect that ends {outcome} needs a reason")
    effect_id = time_ordered_id()
    tx.execute(
        insert_into(table_of(table)),
        {
            "effect_id": effect_id,
            "event_id": event.id,
            "event_type": event.type,
            "request_id": event.request_id,
            "workspace_id": workspace_id,
            "connection_id": connection_id,
            "user_id": user_id,
            "user_name": user_name,
            "rule": rule,
            "rule_version": rule_version,
            "target_kind": target_kind,
            "target_id": target_id,
            "target_name": target_name,
            "action": action,
            "before": "" if before is None else orjson.dumps(before).decode(),
            "after": "" if after is None else orjson.dumps(after).decode(),
            "outcome": outcome,
            "reason": reason,
            "repair": event.repair,
            "time": datetime.datetime.now(datetime.UTC),
        },
    )
    return effect_id
