"""`rollcall effects` and `rollcall why`: the evidence for every consequence, back to the SCIM request."""

import heapq
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated, Any, Literal

import typer

from cli import contract
from cli.command import Session, command
from cli.errors import NotFound, Refused
from cli.log import entries_of, summary
from cli.output import Document, document, print_json, printable, write
from cli.parameters import WorkspaceArgument, is_uuid

_SERVICES = ("portal", "mdm")
_COLUMNS = ("time", "outcome", "action", "target_name", "before", "after", "reason", "effect_id")
# Seconds between two looks for new effects; a person does not see less, and an idle service does not feel it.
_FOLLOW_INTERVAL = 0.5


def register(app: typer.Typer) -> None:
    """Add `effects` and `why` to the application."""
    command(app, "effects")(effects)
    command(app, "why")(why)


def effects(
    session: Session,
    workspace: WorkspaceArgument,
    user: Annotated[str, typer.Option(metavar="U", help="Only those of this directory user: id or userName.")] = "",
    outcome: Annotated[
        Literal["applied", "skipped", "held", "failed"] | None,
        typer.Option(case_sensitive=False, help="Only this outcome."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Print what there is, oldest first, then each new effect as it comes, until Ctrl-C. "
            "With --json: one JSON object per line.",
        ),
    ] = False,
) -> None:
    """List what provisioning did in a workspace, newest first."""
    request = contract.delivery.ListEffectsRequest(
        workspace_id=session.services.workspace_id(workspace),
        user=user,
        outcome=None if outcome is None else f"OUTCOME_{outcome.upper()}",
    )
    if not follow:
        session.table(list_effects(session, request), _COLUMNS, empty="No effects.")
        return
    try:
        for effect in _follow(session, request):
            if session.json:
                print_json(effect, one_line=True)
            else:
                write(f"{effect['time']}  {_line(effect)}\n")
    except KeyboardInterrupt:
        # The way in which following ends.
        return


def list_effects(session: Session, request: Any) -> list[Document]:
    """The effects of both services, newest first."""
    found = chain.from_iterable(map(document, _pages(session, service, request)) for service in _SERVICES)
    return sorted(found, key=_order, reverse=True)


def _pages(session: Session, service: str, request: Any) -> Iterator[Any]:
    # Paging writes its token into the request, so each service needs a request of its own.
    own = contract.delivery.ListEffectsRequest()
    own.CopyFrom(request)
    return session.services.delivery(service).pages("ListEffects", own, "effects")


def _order(effect: Document) -> tuple[str, str]:
    # RFC 3339 texts of unequal precision do not sort as times, so the fraction is padded to nanoseconds.
    whole, _, fraction = effect["time"].removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<9}", effect["effect_id"]


def _follow(session: Session, request: Any) -> Iterator[Document]:
    last: dict[str, str] = {}
    present = []
    for service in _SERVICES:
        newest_first = list(map(document, _pages(session, service, request)))
        if newest_first:
            last[service] = newest_first[0]["effect_id"]
        present.append(newest_first[::-1])
    yield from heapq.merge(*present, key=_order)
    while True:
        time.sleep(_FOLLOW_INTERVAL)
        new = []
        for service in _SERVICES:
            request.after_effect_id = last.get(service, "")
            found = list(map(document, _pages(session, service, request)))
            # Without an id to start after, the service answers newest first.
            ordered = found if service in last else found[::-1]
            if ordered:
                last[service] = ordered[-1]["effect_id"]
            new.append(ordered)
        yield from heapq.merge(*new, key=_order)


def why(
    session: Session,
    workspace: WorkspaceArgument,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="An effect's id, a collaborator's or employee's e-mail address, a device's id or serial number.",
        ),
    ],
) -> None:
    """Show why something is as it is: each effect on it, the event behind it, the SCIM request behind that."""
    workspace_id = session.services.workspace_id(workspace)
    found = _effects_of(session, workspace_id, target)
    if not found:
        raise Refused(f"no effect on {target!r} in workspace {workspace}: provisioning never touched it")
    events: dict[str, Document | None] = {}
    entries: dict[str, list[Document]] = {"": []}
    links = []
    for effect in found:
        event_id = effect["event_id"]
        if event_id not in events:
            events[event_id] = _event(session, event_id)
        event = events[event_id]
        source = event or effect
        request_id = source["request_id"]
        if request_id not in entries:
            entries[request_id] = entries_of(session, request_id)
        request = {
            "request_id": request_id,
            "request": event["request"] if event else "",
            "log": entries[request_id],
        }
        links.append({"effect": effect, "event": event, "request": request})
    if session.json:
        session.show({"target": target, "chain": links})
        return
    for link in links:
        _print_link(link)


def _effects_of(session: Session, workspace_id: str, target: str) -> list[Document]:
    if is_uuid(target) and (effect := _effect(session, workspace_id, target)) is not None:
        return [effect]
    found: dict[str, Document] = {}
    # Addresses are compared without regard to case, effects keep them as the identity provider sent them.
    for name in dict.fromkeys((target, target.lower(), *_ids_of(session, workspace_id, target))):
        request = contract.delivery.ListEffectsRequest(workspace_id=workspace_id, target=name)
        found.update((effect["effect_id"], effect) for effect in list_effects(session, request))
    return sorted(found.values(), key=_order, reverse=True)


def _effect(session: Session, workspace_id: str, effect_id: str) -> Document | None:
    for service in _SERVICES:
        request = contract.delivery.GetEffectRequest(workspace_id=workspace_id, effect_id=effect_id)
        try:
            return document(session.services.delivery(service).call("GetEffect", request).effect)
        except NotFound:
            continue
    return None


def _ids_of(session: Session, workspace_id: str, target: str) -> Iterable[str]:
    """The ids behind a name, and the name behind an id: effects keep the name that the target had at the time."""
    portal, mdm = session.services.portal, session.services.mdm
    if "@" not in target:
        request = contract.mdm.GetDeviceRequest(workspace_id=workspace_id, device=target)
        try:
            return [mdm.call("GetDevice", request).device.device_id]
        except NotFound:
            return []
    questions = (
        (portal, "GetCollaborator", contract.portal.GetCollaboratorRequest, "collaborator", "collaborator_id"),
        (portal, "GetEmployee", contract.portal.GetEmployeeRequest, "employee", "employee_id"),
        (mdm, "GetEmployee", contract.mdm.GetEmployeeRequest, "employee", "employee_id"),
    )
    ids = []
    for stub, rpc, message, field, key in questions:
        try:
            response = stub.call(rpc, message(workspace_id=workspace_id, email=target))
        except NotFound:
            continue
        ids.append(getattr(getattr(response, field), key))
    return ids


def _event(session: Session, event_id: str) -> Document | None:
    try:
        request = contract.directory.GetEventRequest(event_id=event_id)
        return document(session.services.directory.call("GetEvent", request).event)
    except NotFound:
        # A change of rules causes effects without an event, and old events are pruned.
        return None


def _line(effect: Document) -> str:
    change = ""
    if effect["before"] or effect["after"]:
        change = f"  {printable(effect['before'])} → {printable(effect['after'])}"
    reason = f" ({printable(effect['reason'])})" if effect["reason"] else ""
    repair = " by repair" if effect["repair"] else ""
    subject = printable(effect["target_name"] or effect["user_name"])
    return f"{effect['outcome']}{reason}{repair}  {printable(effect['action'])} {subject}{change}"


def _print_link(link: Document) -> None:
    effect, event, request = link["effect"], link["event"], link["request"]
    lines = [
        f"{_line(effect)}",
        f"  when     {effect['time']}",
        f"  effect   {effect['effect_id']}",
        f"  rule     {printable(effect['rule'])}, version {effect['rule_version']} "
        f"of connection {effect['connection_id']}",
        f"  user     {printable(effect['user_name'])} ({printable(effect['user_id'])})",
    ]
    if event is None:
        lines.append(f"  event    {printable(effect['event_id'])}, which the directory does not keep")
    else:
        lines.append(
            f"  event    {event['type'].rpartition('.')[2]} {event['id']}, version {event['version']} "
            f"of {printable(event['resource_id'])}, {event['time']}"
        )
    lines.append(f"  request  {printable(request['request'])}, id {printable(request['request_id'])}")
    lines += [f"  log      {summary(entry)}" for entry in request["log"]]
    write("\n".join(lines) + "\n\n")
