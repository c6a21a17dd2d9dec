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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")] = False,
) -> None:
    """Publish events once more, in their order; consumers know them and change nothing."""
    request = contract.directory.ReplayEventsRequest(connection_id=connection, dry_run=dry_run)
    if start.isascii() and start.isdecimal() and len(start) <= _LONGEST_SEQUENCE:
        if not connection:
            raise Misuse("--from: a position counts the events of one connection; give --connection, or a time")
        request.from_sequence = int(start)
    else:
        request.from_time.FromDatetime(_time(start))
    published = total = 0
    with progress("replay") as show:
        for response in session.services.directory.stream("ReplayEvents", request, deadline=None):
            published, total = response.published, response.total
            show(f"{published} of {total} events", published, total)
    told = (
        f"{total} events would be published once more." if dry_run else f"{published} events were published once more."
    )
    session.done({"published": published, "total": total, "dry_run": dry_run}, told)


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise Misuse("--from: expected a time such as 2026-03-02T09:00:00Z, or a position") from None
