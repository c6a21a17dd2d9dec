"""`…/rules`: what a connection does when people come and go, for each portal as that portal has it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

from console.forms import Form, form
from console.pages.login_providers import BASE, rules_of
from console.problems import at_form, problem_of
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import Scope, find_scope
from console.services import Services
from console.words import (
    DEFAULT_ROLES,
    ON_CREATE,
    ON_DEACTIVATE,
    ROLE_MODES,
    Choice,
    on_create_of,
    on_deactivate_of,
    text_of,
)

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

UNITS = {"minutes": timedelta(minutes=1), "hours": timedelta(hours=1), "days": timedelta(days=1)}
LONGEST_SETTLING = timedelta(days=30)
FIELDS = {"on_deactivate.change_policy.policy_id": "policy", "settling_period": "settling"} | {
    name: name for name in ("on_create", "on_deactivate", "default_role", "role_mode")
}
"""Which field of the form stands for which of the services."""
POLICIES = 200
"""Policies that are offered, the first by name."""


def add_routes(app: App, deps: Deps) -> None:
    """Add the path."""
    app.add_route(f"{BASE}/rules", Rules(deps))


class Rules:
    """The rules of a connection, and the form that changes them."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show them."""
        scope = await find_scope(self._services, slug, portal_name)
        rules = await rules_of(self._services, scope.connection)
        await self._show(req, resp, scope, rules, Form(_values(rules)))

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Change them."""
        scope, given = await find_scope(self._services, slug, portal_name), await form(req)
        rules = await rules_of(self._services, scope.connection)
        if given.text("version") != str(rules.rule_version):
            given.fail(
                "",
                "Somebody else has changed the rules since this page was shown. Nothing was changed; the form shows "
                "what you chose, the list above it what holds now.",
            )
        on_create = given.choice("on_create", _values_of(ON_CREATE[scope.slug]))
        on_deactivate = given.choice("on_deactivate", _values_of(ON_DEACTIVATE[scope.slug]))
        changed = False
        try:
            if scope.slug == "mdm":
                changed = await self._change_mdm(scope, given, on_create, on_deactivate)
            else:
                changed = await self._change_portal(scope, given, on_create, on_deactivate)
        except grpc.aio.AioRpcError as error:
            if problem_of(error).reason == "POLICY_NOT_FOUND":
                given.fail("policy", "This policy does not exist any more. Choose another.")
            else:
                given.refused(at_form(error), FIELDS)
        if not changed:
            await self._show(req, resp, scope, rules, given)
            return
        decides = given.text("role_mode") == "CONTINUOUS"
        also = " Roles are decided anew in the background." if decides else ""
        flash(resp, f"The rules are saved. They hold for who comes and goes from now on.{also}")
        redirect(resp, f"{scope.base}/rules")

    async def _change_mdm(self, scope: Scope, given: Form, on_create: str, on_deactivate: str) -> bool:
        """Change the rules of device management; False when the form is not valid. Raises grpc.aio.AioRpcError."""
        leaves = mdm.OnDeactivate()
        if on_deactivate == "change_policy":
            leaves.change_policy.policy_id = given.required("policy", "Choose the policy that the devices get.")
        elif on_deactivate:
            getattr(leaves, on_deactivate).SetInParent()
        if given.is_valid:
            request = mdm.UpdateRulesRequest(
                connection_id=scope.connection.connection_id, on_create=f"ON_CREATE_{on_create}", on_deactivate=leaves
            )
            await self._services.mdm.UpdateRules(request)
        return given.is_valid

    async def _change_portal(self, scope: Scope, given: Form, on_create: str, on_deactivate: str) -> bool:
        """Change the rules of the dashboard or the store, likewise."""
        roles: dict[str, Any] = {}
        if scope.slug == "dashboard":
            roles = {
                "default_role": f"ROLE_{given.choice('default_role', _values_of(DEFAULT_ROLES))}",
                "role_mode": f"ROLE_MODE_{given.choice('role_mode', _values_of(ROLE_MODES))}",
                "settling_period": _settling(given),
            }
        if given.is_valid:
            request = portal.UpdateRulesRequest(
                connection_id=scope.connection.connection_id,
                on_create=f"ON_CREATE_{on_create}",
                on_deactivate=f"ON_DEACTIVATE_{on_deactivate}",
                **roles,
            )
            await self._services.portal.UpdateRules(request)
        return given.is_valid

    async def _show(
        self, req: Request, resp: Response, scope: Scope, rules: mdm.Rules | portal.Rules, given: Form
    ) -> None:
        policies = await _policies(self._services, scope) if scope.slug == "mdm" else []
        if (chosen := given.text("policy")) and all(chosen != policy_id for policy_id, _ in policies):
            policies.append((chosen, chosen))
        await page(
            req,
            resp,
            "rules.html",
            **scope.values,
            slug=scope.slug,
            holds=(
                text_of(ON_CREATE[scope.slug], on_create_of(rules)),
                text_of(ON_DEACTIVATE[scope.slug], on_deactivate_of(rules)),
            ),
            rule_version=str(rules.rule_version),
            on_create=ON_CREATE[scope.slug],
            on_deactivate=ON_DEACTIVATE[scope.slug],
            default_roles=DEFAULT_ROLES,
            role_modes=ROLE_MODES,
            units=[(name, name) for name in UNITS],
            policies=policies,
            form=given,
        )


async def _policies(services: Services, scope: Scope) -> list[tuple[str, str]]:
    request = mdm.ListPoliciesRequest(workspace_id=scope.workspace.workspace_id, page_size=POLICIES)
    return [(one.policy_id, one.name) for one in (await services.mdm.ListPolicies(request)).policies]


def _values(rules: mdm.Rules | portal.Rules) -> dict[str, list[str]]:
    """Return rules as the fields of the form."""
    values = {"on_create": on_create_of(rules), "on_deactivate": on_deactivate_of(rules)}
    if isinstance(rules, mdm.Rules):
        values["policy"] = rules.on_deactivate.change_policy.policy_id
    else:
        values["default_role"] = portal.Role.Name(rules.default_role).removeprefix("ROLE_")
        values["role_mode"] = portal.RoleMode.Name(rules.role_mode).removeprefix("ROLE_MODE_")
        values["settling"], values["unit"] = _spelled(rules.settling_period.ToTimedelta())
    return {name: [value] for name, value in values.items()}


def _spelled(period: timedelta) -> tuple[str, str]:
    """Return a period as a number and the largest unit in which it is a whole one; a fraction of minutes else."""
    for name in ("days", "hours", "minutes"):
        if period and not period % UNITS[name]:
            return str(period // UNITS[name]), name
    return (f"{period / UNITS['minutes']:g}", "minutes") if period else ("0", "hours")


def _settling(given: Form) -> Duration:
    unit = given.choice("unit", UNITS, "Choose minutes, hours or days.")
    text = given.text("settling")
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    made = Duration()
    longest = LONGEST_SETTLING / UNITS[unit] if unit else 0.0
    if not 0 <= number <= longest:  # false for what is not a number, too
        given.fail("settling", "Give a number: 0 to 30 days.")
    else:
        made.FromTimedelta(number * UNITS[unit])
    return made


def _values_of(choices: tuple[Choice, ...]) -> list[str]:
    return [one.value for one in choices]
