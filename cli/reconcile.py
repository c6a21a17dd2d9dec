"""`rollcall reconcile`: set right what a service holds, by what the directory holds."""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal

import typer

from cli import contract
from cli.command import Session, command
from cli.errors import Refused
from cli.output import Document, document, print_json, print_table, write
from cli.progress import progress

ServiceName = Literal["portal", "mdm"]
ServiceOption = Annotated[
    ServiceName | None,
    typer.Option(
        "--service",
        case_sensitive=False,
        help="Only this service; default: that of the connection's portal, without --connection both.",
    ),
]
ConnectionOption = Annotated[str, typer.Option("--connection", metavar="C", help="Only this connection.")]

_SERVICES = ("portal", "mdm")
_COLUMNS = (
    "service", "difference", "resolution", "resource", "connection_id", "directory_version", "applied_version",
    "differs_in", "effects",
)  # fmt: skip
_COUNTS = ("connections", "examined", "differences", "repaired", "held", "failed")


def register(app: typer.Typer) -> None:
    """Add `reconcile` to the application."""
    command(app, "reconcile")(reconcile)


def reconcile(
    session: Session,
    service: ServiceOption = None,
    connection: ConnectionOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    apply_destructive: Annotated[
        bool,
        typer.Option(
            "--apply-destructive",
            help="Also make repairs that take something away: removals, unassignments, changed policies, lower roles.",
        ),
    ] = False,
) -> None:
    """Compare a service with the directory and repair what differs.

    May be interrupted and run again. A repair that takes something from a person or a device is listed as HELD and not
    made unless --apply-destructive is given.
    """

    def ask(name: str) -> Iterator[Any]:
        request = contract.delivery.ReconcileRequest(
            connection_id=connection, dry_run=dry_run, apply_destructive=apply_destructive
        )
        return session.services.delivery(name).stream("Reconcile", request, deadline=None)

    result = compare(session, "reconcile", service, connection, ask)
    result["dry_run"] = dry_run
    show(session, result)
    if result["failed"]:
        raise Refused(f"{result['failed']} repairs failed; the services' logs say more")
    if not session.json and result["held"]:
        write(f"{result['held']} repairs would take something away; they need --apply-destructive.\n")


def compare(
    session: Session, title: str, service: str | None, connection: str, ask: Callable[[str], Iterable[Any]]
) -> Document:
    """Run a comparison of one service or both and sum up: counts, the differences, the counts of each service."""
    result: Document = {**dict.fromkeys(_COUNTS, 0), "services": [], "items": []}
    with progress(title) as show_progress:
        for name in _services(session, service, connection):
            for response in ask(name):
                match response.WhichOneof("item"):
                    case "progress":
                        item = response.progress
                        text = f"{name}, {item.examined} compared, {len(result['items'])} differ"
                        show_progress(text, item.connections_done, item.connections_total)
                    case "difference":
                        result["items"].append({"service": name, **document(response.difference)})
                    case "summary":
                        summary = document(response.summary)
                        result["services"].append({"service": name, **summary})
                        for count in _COUNTS:
                            result[count] += summary[count]
    return result


def _services(session: Session, service: str | None, connection: str) -> tuple[str, ...]:
    if service is not None:
        return (service,)
    if not connection:
        return _SERVICES
    # A connection that is gone from the directory may be held by either service.
    found = session.services.connection(connection)
    return ("mdm",) if found.portal == contract.connections.PORTAL_MDM else ("portal",)


def show(session: Session, result: Document) -> None:
    """Print what a comparison found: one JSON document, or a table and a sentence."""
    if session.json:
        print_json(result)
        return
    if result["items"]:
        print_table([_row(item) for item in result["items"]], _COLUMNS, empty="")
    write(
        f"{result['differences']} differences in {result['examined']} resources of {result['connections']} connections"
        f"; {result['repaired']} repaired, {result['held']} held, {result['failed']} failed\n"
    )


def _row(item: Document) -> Document:
    effects = [f"{effect['outcome']} {effect['action']} {effect['target_name']}".strip() for effect in item["effects"]]
    return {
        **item,
        "difference": item["kind"],
        "resource": f"{item['resource_kind']} {item['resource_id']}",
        "differs_in": item["fields"],
        "effects": [item["error"]] if item["error"] else effects,
    }
