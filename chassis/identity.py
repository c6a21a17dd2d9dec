"""Who calls: the names of the processes and people that may use an internal service."""

from __future__ import annotations

from dataclasses import dataclass

ADMIN = "admin"
CONSOLE = "console"
GATEWAY = "gateway"
PORTAL = "portal"
MDM = "mdm"
NAMES = (ADMIN, CONSOLE, GATEWAY, PORTAL, MDM)
"""Every one of them."""

ADMINISTRATIVE = frozenset({ADMIN, CONSOLE})
"""Those that act for a person who administers: what they change is audited."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller whose credential or certificate was accepted: `admin`, `console`, `gateway`, `portal` or `mdm`."""

    name: str
