"""`rollcall verify`: does every service hold what follows from the directory?"""

from collections.abc import Iterator
from typing import Any

import typer

from cli import contract
from cli.command import Session, command
from cli.errors import Refused
from cli.output import print_json, write
from cli.reconcile import ConnectionOption, ServiceOption, compare, show


def register(app: typer.Typer) -> None:
    """Add `verify` to the application."""
    command(app, "verify")(verify)


def verify(session: Session, service: ServiceOption = None, connection: ConnectionOption = "") -> None:
    """Compute anew what follows from the directory and compare: `0 differences`, or the list and exit status 1."""

    def ask(name: str) -> Iterator[Any]:
        request = contract.delivery.VerifyRequest(connection_id=connection)
        return session.services.delivery(name).stream("Verify", request, deadline=None)

    result = compare(session, "verify", service, connection, ask)
    if not result["differences"]:
        if session.json:
            print_json(result)
        else:
            write(f"0 differences in {result['examined']} resources of {result['connections']} connections\n")
        return
    show(session, result)
    raise Refused(f"{result['differences']} differences; `rollcall reconcile --dry-run` says how they are repaired")
