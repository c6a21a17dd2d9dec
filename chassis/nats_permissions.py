"""Who may do what on NATS: one user for each process, each with exactly the subjects that it needs.

Written once: the local stack makes its server's configuration of it, and manifests are compared with it. In a
permission `portal-*` would be a literal, not a pattern, so durable consumers are enumerated. Each user has an inbox of
its own: with a common one, anybody could listen to the answers, and so to the events, that another is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from chassis.streams import PARTITIONS, StreamSettings, durable_name, inbox_prefix

DIRECTORY_RELAY = "directory-relay"
"""Publishes the directory's events."""
PORTAL = "portal"
"""Consumes the directory's events."""
MDM = "mdm"
"""Consumes the directory's events and publishes device commands."""
PROVISIONER = "provisioner"
"""Creates streams and durable consumers, and nothing else."""
AGENTS = "agents"
"""Device agents: they consume device commands."""
OBSERVER = "observer"
"""Whoever watches a local stack: asks how streams and consumers are, and reads no event."""
USERS = (DIRECTORY_RELAY, PORTAL, MDM, PROVISIONER, AGENTS)

DIRECTORY_STREAM = StreamSettings(name="DIRECTORY", prefix="directory.v1")
MDM_STREAM = StreamSettings(name="MDM", prefix="mdm.v1")
STREAMS = (DIRECTORY_STREAM, MDM_STREAM)


@dataclass(frozen=True, slots=True)
class Consumers:
    """The durable consumers of a user: one for each partition of a stream; `portals` as in `ensure_consumers`."""

    service: str
    stream: StreamSettings
    portals: tuple[str, ...] = ()


CONSUMERS = (
    Consumers(PORTAL, DIRECTORY_STREAM, ("dashboard", "store", "none")),
    Consumers(MDM, DIRECTORY_STREAM, ("mdm", "none")),
    Consumers(AGENTS, MDM_STREAM),
)

_API = "$JS.API"


@dataclass(frozen=True, slots=True)
class Permissions:
    """The subjects that a user may publish to and subscribe to; every other is refused."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def permissions(user: str) -> Permissions:
    """Give what a user may do. Raises KeyError for somebody who is no user."""
    publish = {
        DIRECTORY_RELAY: _relays(DIRECTORY_STREAM),
        PORTAL: _consumes(PORTAL, DIRECTORY_STREAM),
        MDM: (*_consumes(MDM, DIRECTORY_STREAM), *_relays(MDM_STREAM)),
        PROVISIONER: _provisions(),
        AGENTS: _consumes(AGENTS, MDM_STREAM),
        OBSERVER: _observes(),
    }[user]
    # The observer's own inbox is that of a client which says nothing else; no other user's is below it.
    return Permissions(publish, ("_INBOX.>" if user == OBSERVER else f"{inbox_prefix(user)}.>",))


def _relays(stream: StreamSettings) -> tuple[str, ...]:
    return (f"{stream.prefix}.>", f"{_API}.STREAM.INFO.{stream.name}", f"{_API}.STREAM.MSG.GET.{stream.name}")


def _consumes(service: str, stream: StreamSettings) -> tuple[str, ...]:
    found: list[str] = []
    for partition in range(PARTITIONS):
        consumer = f"{stream.name}.{durable_name(service, partition)}"
        found += (f"{_API}.CONSUMER.MSG.NEXT.{consumer}", f"{_API}.CONSUMER.INFO.{consumer}", f"$JS.ACK.{consumer}.>")
    return tuple(found)


def _provisions() -> tuple[str, ...]:
    found = [f"{_API}.STREAM.{verb}.{stream.name}" for stream in STREAMS for verb in ("INFO", "CREATE", "UPDATE")]
    for consumers in CONSUMERS:
        stream = consumers.stream
        for partition in range(PARTITIONS):
            create = f"{_API}.CONSUMER.CREATE.{stream.name}.{durable_name(consumers.service, partition)}"
            # The subject names the filter where there is one only.
            found.append(create if consumers.portals else f"{create}.{stream.partition_subject(partition)}")
    return tuple(found)


def _observes() -> tuple[str, ...]:
    found = [f"{_API}.{what}.{stream.name}" for stream in STREAMS for what in ("STREAM.INFO", "CONSUMER.LIST")]
    for each in CONSUMERS:
        for partition in range(PARTITIONS):
            found.append(f"{_API}.CONSUMER.INFO.{each.stream.name}.{durable_name(each.service, partition)}")
    return tuple(found)


def server_users(public_keys: Mapping[str, str], *, passwords: Mapping[str, str] | None = None) -> str:
    """Write the `users` of a server's `authorization` block, each with its permissions.

    `public_keys` are nkeys by user; `passwords` those of users that have one instead, under their own name.
    """
    identified = [(user, f"nkey: {json.dumps(key)}") for user, key in public_keys.items()]
    for user, password in (passwords or {}).items():
        identified.append((user, f"user: {json.dumps(user)}, password: {json.dumps(password)}"))
    lines = ["users: ["]
    for user, identity in identified:
        allowed = permissions(user)
        lines.append(
            f"  {{ {identity}, permissions: {{ publish: {{ allow: {json.dumps(allowed.publish)} }}, "
            f"subscribe: {{ allow: {json.dumps(allowed.subscribe)} }} }} }}"
        )
    return "\n".join([*lines, "]"])
