"""Employees of the Enterprise Store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollcall.portal.v1.portal_service_pb2 import Employee

from chassis.database import Database, Transaction
from chassis.paging import decode_page_token, encode_page_token, page_limit
from portal_service import repository
from portal_service.accounts import AccountKind, Occasion
from portal_service.domain.accounts import email_key
from portal_service.errors import DOMAIN, EmployeeNotFound
from portal_service.repository import EMPLOYEES, AnyRow
from portal_service.workspaces import Workspaces


class EmployeeKind(AccountKind):
    """Employees: no role, and nobody is held back."""

    rows = EMPLOYEES
    noun = "EMPLOYEE"

    def first_values(self, occasion: Occasion) -> dict[str, Any]:
        """Gives nothing: an employee has what every account has."""
        return {}

    def link_values(self) -> dict[str, Any]:
        """Changes nothing but the link."""
        return {}

    def removal_refused(self, tx: Transaction, account: AnyRow) -> str:
        """Lets every employee go."""
        return ""

    def shown(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Shows address and name."""
        return {"email": values["email"], "display_name": values["display_name"]}


EMPLOYEE = EmployeeKind()


async def list_employees(
    db: Database,
    workspaces: Workspaces,
    workspace_id: str,
    *,
    email_prefix: str = "",
    page_size: int,
    page_token: str,
) -> tuple[list[Employee], str]:
    """Returns a page of a workspace's employees by e-mail, and the next page's token (AIP-158).

    `email_prefix` leaves out those whose address does not begin with it. Raises WorkspaceNotFound,
    DirectoryUnavailable, and InvalidPageToken.
    """
    prefix = email_key(email_prefix)
    query = f"employees:{workspace_id}:{prefix}"
    after = str(decode_page_token(page_token, query, types=[str], domain=DOMAIN)[0]) if page_token else ""
    await workspaces.require(workspace_id)
    limit = page_limit(page_size)
    rows = await db.read(lambda tx: EMPLOYEES.page(tx, workspace_id, prefix, after, limit + 1))
    token = encode_page_token([rows[limit - 1].email_key], query) if len(rows) > limit else ""
    return [repository.employee_message(row) for row in rows[:limit]], token


async def get_employee(
    db: Database, workspaces: Workspaces, workspace_id: str, email: str, user_id: str = ""
) -> Employee:
    """Returns one employee: that of an address, else that which follows a user.

    Raises EmployeeNotFound, WorkspaceNotFound, DirectoryUnavailable.
    """
    await workspaces.require(workspace_id)
    row = await db.read(lambda tx: EMPLOYEES.find_one(tx, workspace_id, email, user_id))
    if row is None:
        raise EmployeeNotFound(email, user_id)
    return repository.employee_message(row)
