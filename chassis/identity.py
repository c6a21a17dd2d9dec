"""Who calls: the names of the processes and people that may use an internal service."""

from __future__ import annotations

from dataclasses import dataclass

ADMIN = "admin"
GATEWAY = "gateway"
PORTAL = "portal"
MDM = "mdm"
NAMES = (ADMIN, GATEWAY, PORTAL, MDM)
"""Every one of them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller whose credential or certificate was accepted: `admin`, `gateway`, `portal` or `mdm`."""

    name: str
