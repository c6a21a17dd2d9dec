"""Named sets of settings that devices are given."""

import uuid
from datetime import UTC, datetime

from rollcall.mdm.v1 import mdm_service_pb2

from chassis.database import Database, Transaction
from mdm_service import pages, repository, requirements, tenants
from mdm_service.directory import Directory
from mdm_service.errors import PolicyExists, PolicyInUse, PolicyNotFound, WorkspaceNotFound

_NAMED_USERS = 5
"""How many users of a policy an error names."""


async def create_policy(db: Database, directory: Directory, workspace_id: str, name: str) -> mdm_service_pb2.Policy:
    """Create a policy. Raises InvalidValue, WorkspaceNotFound, PolicyExists."""
    requirements.identifier("workspace_id", workspace_id)
    name = requirements.name("name", name)
    await tenants.require_workspace(db, directory, workspace_id)
    policy = mdm_service_pb2.Policy(policy_id=str(uuid.uuid4()), workspace_id=workspace_id, name=name)
    policy.created_time.FromDatetime(datetime.now(UTC))

    def unit(tx: Transaction) -> None:
        if not repository.lock_workspace(tx, workspace_id):
            raise WorkspaceNotFound(workspace_id)
        if not repository.insert_policy(tx, policy, requirements.name_key(name)):
            raise PolicyExists(name)

    await db.write(unit, key=workspace_id)
    return policy


async def list_policies(
    db: Database, directory: Directory, workspace_id: str, page_size: int, page_token: str
) -> tuple[list[mdm_service_pb2.Policy], str]:
    """List policies by name, a page and the token of the next.

    Raises InvalidValue, WorkspaceNotFound, InvalidPageToken.
    """
    requirements.identifier("workspace_id", workspace_id)
    page = pages.page(page_size, page_token, "policies", workspace_id)
    await tenants.require_workspace(db, directory, workspace_id)
    found = await db.read(lambda tx: repository.policies(tx, workspace_id, page.text, page.size + 1))
    kept, token = page.cut(found, lambda pair: [pair[0]])
    return [policy for _, policy in kept], token


async def delete_policy(db: Database, directory: Directory, workspace_id: str, policy_id: str) -> None:
    """Delete a policy that no rule and no enrolled device uses.

    Raises InvalidValue, WorkspaceNotFound, PolicyNotFound, PolicyInUse.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("policy_id", policy_id)
    await tenants.require_workspace(db, directory, workspace_id)

    def unit(tx: Transaction) -> None:
        # Whoever is about to use the policy holds its row too: so no use can appear after these two looks.
        if not repository.lock_policy(tx, workspace_id, policy_id):
            raise PolicyNotFound(policy_id)
        connections = repository.connections_ruled_by(tx, workspace_id, policy_id, _NAMED_USERS + 1)
        serials = repository.devices_with_policy(tx, workspace_id, policy_id, _NAMED_USERS + 1)
        if connections or serials:
            raise PolicyInUse(policy_id, _named("the rules of connection", connections), _named("device", serials))
        repository.delete_policy(tx, workspace_id, policy_id)

    await db.write(unit, key=workspace_id)


def _named(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = " and others" if len(names) > _NAMED_USERS else ""
    return f"{what} {', '.join(names[:_NAMED_USERS])}{more}"
