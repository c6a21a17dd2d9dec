"""Processes without one of the mechanisms that an invariant rests on: `sabotage MECHANISM serve`.

Only tests start these, to see the checker notice. The services themselves have no switch for any of it.
"""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def answers_without_commit() -> str:
    """The directory rolls every fifth write back and answers as if it had been made."""
    from directory_service import directory

    class Undone(Exception):
        pass

    whole: Callable[..., Any] = directory.Directory.write
    numbers = itertools.count(1)

    async def write(self: Any, access: Any, unit: Any) -> Any:
        if next(numbers) % 5:
            return await whole(self, access, unit)
        results: list[Any] = []

        def undone(tx: Any, journal: Any) -> Any:
            results.append(unit(tx, journal))
            raise Undone

        try:
            return await whole(self, access, undone)
        except Undone:
            return results[-1]

    directory.Directory.write = write  # type: ignore[method-assign]
    return "directory_service"


def skips_outbox_rows() -> str:
    """The directory writes no outbox row for every seventh write."""
    from directory_service.repository import events

    whole: Callable[..., Any] = events.append_all
    numbers = itertools.count(1)

    def append_all(*arguments: Any, **options: Any) -> Any:
        return [] if next(numbers) % 7 == 0 else whole(*arguments, **options)

    events.append_all = append_all
    return "directory_service"


def forgets_its_inbox() -> str:
    """The portal service takes every delivery for a new event."""
    from chassis import consumer

    def known(self: Any, tx: Any, deliveries: Any) -> Any:
        class Nothing(consumer._Known):
            def version_of(self, event: Any) -> tuple[int, bool]:
                return event.version - 1, False

        return Nothing(set(), {}, set())

    consumer._Store.known = known  # type: ignore[method-assign]
    return "portal_service"


def ignores_versions() -> str:
    """The portal service applies events in whatever order they come, each once."""
    from chassis import consumer

    consumer._Known.version_of = lambda self, event: (event.version - 1, False)  # type: ignore[method-assign]
    return "portal_service"


def keeps_members() -> str:
    """The portal service does not project that members left a group."""
    from portal_service import repository

    repository.remove_members = lambda *arguments: None
    return "portal_service"


def names_across_connections() -> str:
    """The directory looks a member value up on every connection."""
    import sqlalchemy as sa

    from directory_service import groups
    from directory_service.tables import CONNECTIONS

    whole: Callable[..., Any] = groups.repository.find_named

    def find_named(tx: Any, connection_id: str, values: Any, group_values: Any) -> Any:
        found = whole(tx, connection_id, values, group_values)
        for other in tx.execute(sa.select(CONNECTIONS.c.id)).scalars().all():
            for value, named in whole(tx, other, values, group_values).users_by_id.items():
                found.users_by_id.setdefault(value, named)
        return found

    groups.repository.find_named = find_named
    return "directory_service"


def keeps_leavers() -> str:
    """The portal service does nothing about a deactivation."""
    return _without_deactivation("portal_service")


def keeps_devices() -> str:
    """The MDM service does nothing about a deactivation."""
    return _without_deactivation("mdm_service")


def _without_deactivation(package: str) -> str:
    handlers: dict[str, Any] = import_module(f"{package}.provisioning").HANDLERS
    name = "rollcall.directory.v1.UserDeactivated"
    handlers[name] = (handlers[name][0], lambda tx, event: None)
    return package


def drops_poison() -> str:
    """The portal service throws away what it cannot apply."""
    from chassis import consumer

    consumer.Consumer._park = lambda self, tx, delivery, problem, attempts: True  # type: ignore[method-assign]
    return "portal_service"


def names_people_in_headers() -> str:
    """The directory's relay writes the user's name beside the event."""
    from rollcall.directory.v1 import events_pb2

    from chassis import relay

    whole: Callable[..., dict[str, str]] = relay.headers_of

    def headers_of(row: Any) -> dict[str, str]:
        name = ""
        if row["type"].endswith("UserCreated"):
            name = events_pb2.UserCreated.FromString(row["payload"]).user.display_name
        return {**whole(row), "rollcall-name": name or "none"}

    relay.headers_of = headers_of
    return "directory_service"


def logs_people() -> str:
    """The portal service logs the events that it applies."""
    from chassis import consumer

    whole: Callable[..., Any] = consumer.Consumer._handle

    def handle(self: Any, tx: Any, event: Any) -> None:
        logging.getLogger("portal_service").info("applying %s", str(event.message).replace("\n", " "))
        whole(self, tx, event)

    consumer.Consumer._handle = handle  # type: ignore[method-assign]
    return "portal_service"


MECHANISMS: Mapping[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        answers_without_commit,
        skips_outbox_rows,
        forgets_its_inbox,
        ignores_versions,
        keeps_members,
        names_across_connections,
        keeps_leavers,
        keeps_devices,
        drops_poison,
        names_people_in_headers,
        logs_people,
    )
}


def main(arguments: list[str]) -> int:
    """Take a mechanism away, then run the process as its own package would."""
    mechanism, *rest = arguments
    package = MECHANISMS[mechanism]()
    run: Callable[[list[str]], int] = import_module(f"{package}.__main__").main
    return run(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
