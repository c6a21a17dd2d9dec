"""What an MDM connection is to do when people come and go."""

from rollcall.mdm.v1 import mdm_service_pb2

from chassis.database import Database, Transaction
from mdm_service import repository, requirements, tenants
from mdm_service.directory import Directory
from mdm_service.errors import InvalidValue, PolicyNotFound

ON_CREATE = (mdm_service_pb2.ON_CREATE_NOTHING, mdm_service_pb2.ON_CREATE_CREATE_EMPLOYEE)


async def get_rules(db: Database, directory: Directory, connection_id: str) -> mdm_service_pb2.Rules:
    """Read a connection's rules; those that nobody set do nothing and have version 0.

    Raises InvalidValue, ConnectionNotFound, WrongPortal.
    """
    requirements.identifier("connection_id", connection_id)
    await tenants.require_connection(db, directory, connection_id)
    return await db.read(lambda tx: repository.rules(tx, connection_id))


async def update_rules(
    db: Database,
    directory: Directory,
    connection_id: str,
    on_create: int,
    on_deactivate: mdm_service_pb2.OnDeactivate | None,
) -> mdm_service_pb2.Rules:
    """Change a connection's rules; what is unspecified or None stays. The version rises when something changes.

    Raises InvalidValue, ConnectionNotFound, WrongPortal, PolicyNotFound.
    """
    requirements.identifier("connection_id", connection_id)
    if on_create and on_create not in ON_CREATE:
        raise InvalidValue("on_create", "must be one of NOTHING, CREATE_EMPLOYEE")
    if on_deactivate is not None:
        _require_behaviour(on_deactivate)
    workspace_id = await tenants.require_connection(db, directory, connection_id)

    def unit(tx: Transaction) -> mdm_service_pb2.Rules:
        rules = repository.lock_rules(tx, connection_id)
        changed = mdm_service_pb2.Rules()
        changed.CopyFrom(rules)
        if on_create:
            changed.on_create = on_create  # type: ignore[assignment]
        if on_deactivate is not None:
            changed.on_deactivate.CopyFrom(on_deactivate)
            policy_id = on_deactivate.change_policy.policy_id
            # Held to the end, so that the policy cannot be deleted between this check and the rule that uses it.
            if policy_id and not repository.lock_policy(tx, workspace_id, policy_id):
                raise PolicyNotFound(policy_id, field="on_deactivate.change_policy.policy_id")
        if changed == rules:
            return rules
        changed.rule_version = rules.rule_version + 1
        repository.save_rules(tx, workspace_id, changed)
        return changed

    return await db.write(unit, key=workspace_id)


def _require_behaviour(on_deactivate: mdm_service_pb2.OnDeactivate) -> None:
    arm = on_deactivate.WhichOneof("behaviour")
    if arm is None:
        arms = mdm_service_pb2.OnDeactivate.DESCRIPTOR.oneofs_by_name["behaviour"].fields
        raise InvalidValue("on_deactivate", f"must be one of {', '.join(field.name.upper() for field in arms)}")
    if arm == "change_policy":
        requirements.identifier("on_deactivate.change_policy.policy_id", on_deactivate.change_policy.policy_id)
