"""Who a request over HTTP is from, where proxies stand between."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Iterable[str]) -> list[Network]:
    """Read networks such as `10.0.0.0/8`. Raises ValueError."""
    return [ipaddress.ip_network(text) for text in texts]


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the client's address: beyond the proxies that are trusted, the nearest that is not.

    `peer` is the other end of the connection, `forwarded_for` the header X-Forwarded-For, to which each proxy adds at
    the end. Without trusted proxies the header is anybody's word and counts for nothing.
    """
    address = peer
    hops = forwarded_for.split(",") if trusted else []
    while hops and _is_trusted(address, trusted):
        hop = hops.pop().strip()
        if not hop:
            break
        address = hop
    return address


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)
