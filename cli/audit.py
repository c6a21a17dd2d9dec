"""`rollcall audit`: who did what in administration, and how it ended."""

from typing import Annotated

import typer

from cli import contract
from cli.command import Session, command
from cli.output import documents

_SERVICES = ("directory", "portal", "mdm")
_COLUMNS = ("time", "identity", "action", "outcome", "about", "request_id")


def register(app: typer.Typer) -> None:
    """Add `audit` to the application."""
    command(app, "audit")(audit)


def audit(
    session: Session,
    workspace: Annotated[
        str, typer.Argument(metavar="[W]", help="The workspace: its id or its slug; without it, everything.")
    ] = "",
) -> None:
    """List administrative actions, newest first: who, what, to what, and how it ended."""
    workspace_id = session.services.workspace_id(workspace) if workspace else ""
    found = []
    for service in _SERVICES:
        request = contract.audit.ListAuditEntriesRequest(workspace_id=workspace_id)
        found += documents(session.services.audits(service).pages("ListAuditEntries", request, "audit_entries"))
    found.sort(key=lambda entry: (entry["time"], entry["audit_id"]), reverse=True)
    if session.json:
        session.table(found, (), empty="")
        return
    rows = [
        {
            **entry,
            "action": entry["method"].rpartition("/")[2],
            "about": " ".join(f"{name}={value}" for name, value in sorted(entry["targets"].items())),
        }
        for entry in found
    ]
    session.table(rows, _COLUMNS, empty="No administrative actions.")
