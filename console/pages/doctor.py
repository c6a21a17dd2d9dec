"""`…/doctor`: what is wrong with a connection, or about to be, with the fix."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from console.doctor import Severity, anchors, examine, health
from console.facts import LOG_DAYS, gather
from console.pages.login_providers import BASE
from console.rendering import page
from console.request import Request, Response
from console.scope import find_scope

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

SEVERITIES = {
    Severity.CRITICAL: ("Critical", "bad"),
    Severity.WARNING: ("Warning", "warning"),
    Severity.NOTICE: ("Notice", "neutral"),
}
CHECKED = (
    "the tokens: their end, their last use",
    "the requests: how many failed and why, how long they took, how many came at once",
    "imports: whether page follows page",
    "groups: members that are not provisioned, groups that stay empty",
    "people without an e-mail address",
    "events that could not be applied",
)


def add_routes(app: App, deps: Deps) -> None:
    """Add the path."""
    app.add_route(f"{BASE}/doctor", Doctor(deps))


class Doctor:
    """The findings on one connection."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Examine it, and show what there is."""
        scope = await find_scope(self._services, slug, portal_name)
        facts = await gather(self._services, scope.connection)
        findings = examine(facts)
        await page(
            req,
            resp,
            "doctor.html",
            **scope.values,
            findings=[
                (finding, *SEVERITIES[finding.severity], anchor)
                for finding, anchor in zip(findings, anchors(findings), strict=True)
            ],
            health=health(findings),
            log=facts.log,
            days=LOG_DAYS.days,
            checked=CHECKED,
            examined=datetime.now(UTC),
        )
