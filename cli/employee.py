"""`rollcall employee`: the employees of the Enterprise Store and of device management."""

from typing import Annotated, Literal

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.output import document, documents
from cli.parameters import EmailArgument, WorkspaceArgument

app = noun("employee", "Employees of the Enterprise Store (store) and of device management (mdm).")

_PortalOption = Annotated[
    Literal["store", "mdm"], typer.Option("--portal", case_sensitive=False, help="Whose employees.")
]


@command(app, "list")
def list_employees(session: Session, workspace: WorkspaceArgument, portal: _PortalOption) -> None:
    """List a workspace's employees by e-mail."""
    workspace_id = session.services.workspace_id(workspace)
    if portal == "mdm":
        rows = documents(
            session.services.mdm.pages(
                "ListEmployees", contract.mdm.ListEmployeesRequest(workspace_id=workspace_id), "employees"
            )
        )
        session.table(rows, ("email", "active", "display_name", "metadata", "employee_id"), empty="No employees.")
        return
    rows = documents(
        session.services.portal.pages(
            "ListEmployees", contract.portal.ListEmployeesRequest(workspace_id=workspace_id), "employees"
        )
    )
    session.table(rows, ("email", "display_name", "metadata", "employee_id"), empty="No employees.")


@command(app, "show")
def show(session: Session, workspace: WorkspaceArgument, email: EmailArgument, portal: _PortalOption) -> None:
    """Show one employee."""
    workspace_id = session.services.workspace_id(workspace)
    if portal == "mdm":
        response = session.services.mdm.call(
            "GetEmployee", contract.mdm.GetEmployeeRequest(workspace_id=workspace_id, email=email)
        )
    else:
        response = session.services.portal.call(
            "GetEmployee", contract.portal.GetEmployeeRequest(workspace_id=workspace_id, email=email)
        )
    session.show(document(response.employee))
