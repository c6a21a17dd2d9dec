"""`rollcall policy`: named settings for devices."""

from typing import Annotated

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.output import document, documents
from cli.parameters import WorkspaceArgument

app = noun("policy", "Policies for devices.")


@command(app, "create")
def create(
    session: Session,
    workspace: WorkspaceArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")],
) -> None:
    """Create a policy."""
    request = contract.mdm.CreatePolicyRequest(workspace_id=session.services.workspace_id(workspace), name=name)
    session.show(document(session.services.mdm.call("CreatePolicy", request).policy))


@command(app, "list")
def list_policies(session: Session, workspace: WorkspaceArgument) -> None:
    """List a workspace's policies by name."""
    request = contract.mdm.ListPoliciesRequest(workspace_id=session.services.workspace_id(workspace))
    rows = documents(session.services.mdm.pages("ListPolicies", request, "policies"))
    session.table(rows, ("policy_id", "name", "created_time"), empty="No policies.")


@command(app, "delete")
def delete(
    session: Session,
    workspace: WorkspaceArgument,
    policy: Annotated[str, typer.Argument(metavar="ID", help="The policy's id.")],
) -> None:
    """Delete a policy that no rule and no device uses."""
    request = contract.mdm.DeletePolicyRequest(workspace_id=session.services.workspace_id(workspace), policy_id=policy)
    session.services.mdm.call("DeletePolicy", request)
    session.done({"policy_id": policy}, f"Policy {policy} is deleted.")
