"""Device commands as events: their stream, their subjects, and their way into the outbox."""

from datetime import UTC

from rollcall.mdm.v1 import events_pb2, mdm_service_pb2

from chassis import outbox
from chassis.database import Transaction
from chassis.streams import StreamSettings
from mdm_service import tables

STREAM = StreamSettings(name="MDM", prefix="mdm.v1")
"""The stream of device commands, from which device agents consume."""

SOURCE = "/rollcall/mdm"
"""The `ce-source` of the events."""

_ACTIONS = {
    mdm_service_pb2.DEVICE_COMMAND_KIND_APPLY_POLICY: "apply_policy",
    mdm_service_pb2.DEVICE_COMMAND_KIND_REMOVE: "remove",
}


def subject(command: mdm_service_pb2.DeviceCommand) -> str:
    """Make the subject of a command: `mdm.v1.<partition>.device.<action>.<workspace_id>.<device_id>`.

    The partition is the workspace's, so that a workspace's commands stay in order.
    """
    partition = outbox.partition_of(command.workspace_id)
    action = _ACTIONS[command.kind]
    return f"{STREAM.prefix}.{partition}.device.{action}.{command.workspace_id}.{command.device_id}"


def publish(tx: Transaction, event: events_pb2.DeviceCommandIssued, version: int) -> None:
    """Append a command to the outbox; `version` is its position among the device's commands, 1..n without gaps."""
    command = event.command
    outbox.append(
        tx,
        tables.Outbox,
        message=event,
        subject=subject(command),
        source=SOURCE,
        connection_id="",
        workspace_id=command.workspace_id,
        aggregate_kind="device",
        aggregate_id=command.device_id,
        version=version,
        sequence=version,
        now=command.created_time.ToDatetime(UTC),
    )
