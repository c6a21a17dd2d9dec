"""`rollcall deadletter`: events that a service could not apply."""

from typing import Annotated, Literal

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.output import document

app = noun("deadletter", "Events that a service could not apply, and what queues behind them.")

ServiceName = Literal["portal", "mdm"]
_ServiceOption = Annotated[ServiceName, typer.Option("--service", case_sensitive=False, help="Whose dead letter.")]
_IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The dead letter's id, as `deadletter list` shows it.")]


_DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only list the dead letter and what queues behind it.")]
_COLUMNS = ("service", "dead_letter_id", "state", "event_type", "resource_id", "version", "error", "time")


@command(app, "list")
def list_dead_letters(
    session: Session,
    service: Annotated[
        ServiceName | None, typer.Option("--service", case_sensitive=False, help="Only this service's.")
    ] = None,
) -> None:
    """List the dead letters of both services, oldest first in each."""
    rows = []
    for name in ("portal", "mdm") if service is None else (service,):
        request = contract.delivery.ListDeadLettersRequest()
        found = session.services.delivery(name).pages("ListDeadLetters", request, "dead_letters")
        rows += [{"service": name, **document(item)} for item in found]
    session.table(rows, _COLUMNS, empty="No dead letters.")


@command(app, "show")
def show(session: Session, dead_letter: _IdArgument, service: _ServiceOption) -> None:
    """Show one dead letter."""
    request = contract.delivery.GetDeadLetterRequest(dead_letter_id=dead_letter)
    session.show(document(session.services.delivery(service).call("GetDeadLetter", request).dead_letter))


@command(app, "retry")
def retry(session: Session, dead_letter: _IdArgument, service: _ServiceOption, dry_run: _DryRunOption = False) -> None:
    """Apply a dead letter and what queues behind it, in order."""
    if dry_run:
        _show_queue(session, dead_letter, service)
        return
    request = contract.delivery.RetryDeadLetterRequest(dead_letter_id=dead_letter)
    response = session.services.delivery(service).call("RetryDeadLetter", request)
    value = {"dead_letter_id": dead_letter, "applied": response.applied}
    session.done(value, f"{response.applied} events were applied.")


@command(app, "discard")
def discard(
    session: Session, dead_letter: _IdArgument, service: _ServiceOption, dry_run: _DryRunOption = False
) -> None:
    """Give a dead letter up; what queues behind it is applied after a repair from the directory."""
    if dry_run:
        _show_queue(session, dead_letter, service)
        return
    request = contract.delivery.DiscardDeadLetterRequest(dead_letter_id=dead_letter)
    response = session.services.delivery(service).call("DiscardDeadLetter", request)
    value = {"dead_letter_id": dead_letter, "applied": response.applied}
    session.done(value, f"The dead letter is given up; {response.applied} events behind it were applied.")


def _show_queue(session: Session, dead_letter: str, service: str) -> None:
    """List a dead letter and those that wait behind it, in the order in which they would be applied."""
    delivery = session.services.delivery(service)
    head = delivery.call(
        "GetDeadLetter", contract.delivery.GetDeadLetterRequest(dead_letter_id=dead_letter)
    ).dead_letter
    found = delivery.pages("ListDeadLetters", contract.delivery.ListDeadLettersRequest(), "dead_letters")
    queue = [
        item
        for item in found
        if item.dead_letter_id == dead_letter or (head.resource_id and item.resource_id == head.resource_id)
    ]
    queue.sort(key=lambda item: (item.version, item.dead_letter_id))
    session.table([{"service": service, **document(item)} for item in queue], _COLUMNS, empty="No dead letters.")
