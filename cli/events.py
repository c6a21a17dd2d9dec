"""`rollcall events`: the events that the directory publishes."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.errors import Misuse
from cli.progress import progress
from cli.reconcile import ConnectionOption

app = noun("events", "The events that the directory publishes.")

_LONGEST_SEQUENCE = 18


@command(app, "replay")
def replay(
    session: Session,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME|SEQ",
            help="Events since a time (2026-03-02T09:00:00Z; without a zone UTC), or, with --connection, from a "
            "position on the connection (1 is the first event).",
        ),
    ],
    connection: ConnectionOption = "",
) -> None:
    """Publish events once more, in their order; consumers know them and change nothing."""
    request = contract.directory.ReplayEventsRequest(connection_id=connection)
    if start.isascii() and start.isdecimal() and len(start) <= _LONGEST_SEQUENCE:
        if not connection:
            raise Misuse("--from: a position counts the events of one connection; give --connection, or a time")
        request.from_sequence = int(start)
    else:
        request.from_time.FromDatetime(_time(start))
    published = 0
    with progress("replay") as show:
        for response in session.services.directory.stream("ReplayEvents", request, deadline=None):
            published = response.published
            show(f"{published} events", None, None)
    session.done({"published": published}, f"{published} events were published once more.")


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise Misuse("--from: expected a time such as 2026-03-02T09:00:00Z, or a position") from None
