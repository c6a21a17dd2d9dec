"""The console's pages, a module for each part of it; each adds its own routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.pages import (
    administrators,
    audit,
    collaborators,
    dead_letters,
    devices,
    doctor,
    effects,
    employees,
    enable,
    groups,
    health,
    live,
    login_providers,
    mapping,
    policies,
    provisioning_log,
    publications,
    roles,
    rules,
    segments,
    sign_in,
    tokens,
    users,
    workspaces,
)
from console.static_files import StaticFiles

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

_MODULES = (
    health,
    sign_in,
    workspaces,
    login_providers,
    enable,
    tokens,
    rules,
    roles,
    mapping,
    doctor,
    users,
    groups,
    provisioning_log,
    dead_letters,
    live,
    collaborators,
    employees,
    publications,
    devices,
    policies,
    segments,
    effects,
    administrators,
    audit,
)
"""Every module of pages: each has `add_routes(app, deps)`."""


def add_routes(app: App, deps: Deps) -> None:
    """Add every path that the console answers."""
    app.add_route("/static/{digest}/{name}", StaticFiles())
    for module in _MODULES:
        module.add_routes(app, deps)
