"""Effects, and why: the way from a device, a role or an account back to the request that caused it (PRODUCT §7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import falcon
from rollcall.delivery.v1 import delivery_service_pb2 as pb

from console import evidence
from console.history import find_cause, find_effect, list_effects
from console.pages.collaborators import person_address
from console.pages.devices import device_address
from console.pages.policies import known_policies
from console.paging import PAGE_SIZE, query_text
from console.rendering import page
from console.request import Request, Response
from console.scope import PORTAL_TITLES, find_workspace, portal_slug, trail, workspace_address

if TYPE_CHECKING:
    from rollcall.directory.v1 import connection_service_pb2 as connections

    from console.app import App
    from console.deps import Deps

OUTCOMES = {
    pb.Outcome.Name(outcome).removeprefix("OUTCOME_").lower(): state.text
    for outcome, state in evidence.OUTCOMES.items()
}
"""The outcomes by how addresses name them."""
NUMBERS: dict[str, Any] = dict(zip(OUTCOMES, evidence.OUTCOMES, strict=True))
HISTORY = 20


class Effects:
    """`/workspaces/{slug}/effects`: what provisioning did, newest first, by outcome, user and target."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show a page of effects of both services."""
        workspace = await find_workspace(self._services, slug)
        outcome, user, target = (query_text(req, name) for name in ("outcome", "user", "target"))
        request = pb.ListEffectsRequest(
            workspace_id=workspace.workspace_id,
            user=user,
            target=target,
            before_effect_id=query_text(req, "before"),
        )
        if outcome in OUTCOMES:
            request.outcome = NUMBERS[outcome]
        (effects, more), policies = await asyncio.gather(
            list_effects(self._services, request, PAGE_SIZE), known_policies(self._services, workspace)
        )
        root = f"{workspace_address(workspace)}/effects"
        kept = {"outcome": outcome if outcome in OUTCOMES else "", "user": user, "target": target}
        await page(
            req,
            resp,
            "effects.html",
            workspace=workspace,
            breadcrumbs=trail(workspace),
            effects=effects,
            names=policies,
            outcomes=list(OUTCOMES.items()),
            outcome=kept["outcome"],
            user=user,
            target=target,
            is_search=any(kept.values()),
            words=evidence,
            next_href=_address(root, {**kept, "before": effects[-1].effect_id}) if more else None,
            previous_href=_address(root, kept) if request.before_effect_id else None,
        )


class Why:
    """`/workspaces/{slug}/why/{effect_id}`: an effect, the rule, the event and the request behind it."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, effect_id: str) -> None:
        """Show the chain, and what else happened to the same target."""
        services = self._services
        workspace = await find_workspace(services, slug)
        effect = await find_effect(services, workspace.workspace_id, effect_id)
        if effect is None:
            raise falcon.HTTPNotFound(description="This workspace has no such effect.")
        target = effect.target_id or effect.target_name
        request = pb.ListEffectsRequest(workspace_id=workspace.workspace_id)
        if target:
            request.target = target
        else:
            request.user = effect.user_id
        cause, (others, more), policies = await asyncio.gather(
            find_cause(services, effect),
            list_effects(services, request, HISTORY),
            known_policies(services, workspace),
        )
        provider, provider_title = "", ""
        if cause.connection is not None:
            # By its id, for the portal may have another connection by now.
            provider = f"{workspace_address(workspace)}/login-providers/{cause.connection.connection_id}"
            provider_title = PORTAL_TITLES[portal_slug(cause.connection.portal)]
        await page(
            req,
            resp,
            "why.html",
            workspace=workspace,
            breadcrumbs=[*trail(workspace), ("Effects", f"{workspace_address(workspace)}/effects")],
            effect=effect,
            cause=cause,
            changes=evidence.changes(effect, policies),
            others=others,
            names=policies,
            more_others=more,
            target=target,
            target_href=target_address(workspace, effect),
            provider=provider,
            provider_title=provider_title,
            words=evidence,
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of effects."""
    app.add_route("/workspaces/{slug}/effects", Effects(deps))
    app.add_route("/workspaces/{slug}/why/{effect_id}", Why(deps))


def target_address(workspace: connections.Workspace, effect: pb.Effect) -> str:
    """Return the address of what an effect was about; empty where it had no target."""
    if effect.target_kind == pb.TARGET_KIND_DEVICE:
        return device_address(workspace, effect.target_id) if effect.target_id else ""
    if not effect.target_id or not effect.target_name:
        return ""
    if effect.target_kind == pb.TARGET_KIND_COLLABORATOR:
        return person_address(workspace, "collaborators", effect.target_name)
    return ""


def _address(root: str, values: dict[str, str]) -> str:
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{root}?{query}" if query else root
