"""`rollcall log`: what identity providers asked for, how it ended, and what came of it."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from cli import contract
from cli.command import Session, command, listing_noun
from cli.errors import NotFound
from cli.output import Document, document, print_json, print_table, printable, write
from cli.parameters import is_uuid
from cli.reconcile import ConnectionOption

_COLUMNS = ("time", "status", "request", "client_dialect", "took", "wrote", "error", "request_id")
_EVENT_COLUMNS = ("time", "type", "resource_id", "version", "published_time", "id")
_EFFECT_COLUMNS = ("time", "service", "outcome", "action", "target_name", "reason", "effect_id")
_SERVICES = ("portal", "mdm")
# Seconds between two looks for new entries, and how long it may take from an answer until its entry is kept.
_FOLLOW_INTERVAL = 1.0
_LATE_SECONDS = 15.0


def list_log(
    session: Session,
    connection: ConnectionOption = "",
    workspace: Annotated[str, typer.Option("--workspace", metavar="W", help="Only this workspace's.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only requests that were answered with an error.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, of those that are kept for 30 days.")] = 200,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Print what there is, oldest first, then each new request as it comes, until Ctrl-C. "
            "With --json: one JSON object per line.",
        ),
    ] = False,
) -> None:
    """List the requests of identity providers, newest first, or, with `show`, all about one of them."""
    request = contract.log.ListProvisioningLogEntriesRequest(
        connection_id=connection,
        workspace_id=session.services.workspace_id(workspace) if workspace else "",
        failed_only=failed,
    )
    if not follow:
        found = list(islice(_entries(session, request), limit))
        session.table(found if session.json else map(_row, found), _COLUMNS, empty="No requests.")
        return
    try:
        for entry in _follow(session, request, limit):
            if session.json:
                print_json(entry, one_line=True)
            else:
                write(f"{summary(entry)}\n")
    except KeyboardInterrupt:
        # The way in which following ends.
        return


app = listing_noun(
    "log", "The requests of identity providers, what each of them was answered and what came of it.", list_log
)


def _entries(session: Session, request: Any) -> Iterator[Document]:
    own = contract.log.ListProvisioningLogEntriesRequest()
    own.CopyFrom(request)
    return map(document, session.services.log.pages("ListProvisioningLogEntries", own, "entries"))


def _follow(session: Session, request: Any, limit: int) -> Iterator[Document]:
    seen: dict[str, float] = {}
    first = list(islice(_entries(session, request), limit))
    while True:
        now = time.time()
        for entry in reversed(first):
            if entry["entry_id"] not in seen:
                yield entry
            seen[entry["entry_id"]] = now
        # Entries are kept a moment after their answer, and not in the order of it.
        seen = {entry_id: at for entry_id, at in seen.items() if now - at < 2 * _LATE_SECONDS}
        time.sleep(_FOLLOW_INTERVAL)
        request.start_time.FromMilliseconds(int((now - _LATE_SECONDS) * 1000))
        first = list(_entries(session, request))


@command(app, "show")
def show(
    session: Session,
    request_id: Annotated[
        str, typer.Argument(metavar="REQUEST_ID", help="The request's id: X-Request-Id of the HTTP response.")
    ],
) -> None:
    """Show one request, the events that it caused, and their effects."""
    entries = entries_of(session, request_id)
    asked = contract.log.ListRequestEventsRequest(request_id=request_id)
    events = list(map(document, session.services.log.pages("ListRequestEvents", asked, "events")))
    if not entries and not events:
        raise NotFound(f"no request {request_id!r} is in the log, and no event is of it")
    effects = []
    for workspace_id in _workspaces(session, entries, events):
        for service in _SERVICES:
            wanted = contract.delivery.ListEffectsRequest(workspace_id=workspace_id, request_id=request_id)
            found = session.services.delivery(service).pages("ListEffects", wanted, "effects")
            effects += [{"service": service, **document(effect)} for effect in found]
    effects.sort(key=lambda effect: (effect["event_id"], effect["effect_id"]))
    if session.json:
        print_json({"request_id": request_id, "entries": entries, "events": events, "effects": effects})
        return
    for entry in entries:
        write(f"{summary(entry)}\n")
    print_table(events, _EVENT_COLUMNS, empty="It caused no events.")
    print_table(effects, _EFFECT_COLUMNS, empty="It had no effects.")


def entries_of(session: Session, request_id: str) -> list[Document]:
    """The entries of a request: one, unless a client numbers its requests itself and gave a number twice."""
    return list(_entries(session, contract.log.ListProvisioningLogEntriesRequest(request_id=request_id)))


def _workspaces(session: Session, entries: list[Document], events: list[Document]) -> list[str]:
    """The workspaces that a request was about; of one whose entry is gone, those of its events."""
    found = dict.fromkeys(entry["workspace_id"] for entry in entries)
    if not found:
        for connection_id in dict.fromkeys(event["connection_id"] for event in events):
            if is_uuid(connection_id):
                try:
                    found[session.services.connection(connection_id).workspace_id] = None
                except NotFound:
                    continue
    return list(found)


def _row(entry: Document) -> Document:
    written = f"{entry['resource_kind']} {entry['resource_id']}" if entry["resource_kind"] else ""
    if entry["resource_version"]:
        written = f"{written}, version {entry['resource_version']}"
    if entry["resource_count"] > 1 or (entry["resource_count"] and not written):
        written = f"{entry['resource_count']} resources"
    omitted = f"{entry['omitted_count']} before this one are not kept" if entry["omitted_count"] else ""
    return {
        **entry,
        "request": f"{entry['method']} {entry['route'] or '(no route)'}",
        "took": f"{float(entry['duration'].removesuffix('s')) * 1000:.1f} ms",
        "wrote": written,
        "error": "; ".join(filter(None, (entry["scim_type"], entry["detail"], omitted))),
    }


def summary(entry: Document) -> str:
    """An entry on one line."""
    row = _row(entry)
    told = [row[name] for name in ("wrote", "error") if row[name]]
    about = f"{row['client_dialect']}, {row['took']}"
    parts = [row["time"], str(row["status"]), row["request"], f"({about})", *told, f"[{row['request_id']}]"]
    return "  ".join(map(printable, parts))
