"""Policies: named sets of settings for devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon
import grpc.aio
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.mdm.v1 import mdm_service_pb2 as pb

from console.forms import Form, form
from console.paging import PAGE_SIZE, first_page, next_page, page_token
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import find_workspace, trail, workspace_address
from console.services import Services

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

KNOWN = 200
"""Policies whose names other pages show, the first by name; of any further one they show the id."""


class Policies:
    """`/workspaces/{slug}/policies`: a page of policies, and a form that creates one."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show policies by name."""
        await self._show(req, resp, slug, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str) -> None:
        """Create a policy."""
        given = await form(req)
        name = given.required("name", "Enter a name.")
        if given.is_valid:
            workspace = await find_workspace(self._services, slug)
            try:
                await self._services.mdm.CreatePolicy(
                    pb.CreatePolicyRequest(workspace_id=workspace.workspace_id, name=name)
                )
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error), ("name",))
            else:
                flash(resp, f"Policy {name} is created.")
                redirect(resp, f"{workspace_address(workspace)}/policies")
                return
        await self._show(req, resp, slug, given, falcon.HTTP_422)

    async def _show(self, req: Request, resp: Response, slug: str, given: Form, status: str = falcon.HTTP_200) -> None:
        workspace = await find_workspace(self._services, slug)
        request = pb.ListPoliciesRequest(
            workspace_id=workspace.workspace_id, page_size=PAGE_SIZE, page_token=page_token(req)
        )
        answer = await self._services.mdm.ListPolicies(request)
        await page(
            req,
            resp,
            "policies.html",
            status=status,
            workspace=workspace,
            breadcrumbs=trail(workspace),
            policies=answer.policies,
            form=given,
            next_href=next_page(req, answer.next_page_token),
            previous_href=first_page(req),
        )


class DeletePolicy:
    """`…/policies/{policy_id}/delete`: what a deletion means, and the deletion."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, policy_id: str) -> None:
        """Say what will happen."""
        await self._show(req, resp, slug, policy_id, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, policy_id: str) -> None:
        """Delete the policy whose name was typed; refused while a rule or a device uses it, which is then named."""
        given = await form(req)
        workspace = await find_workspace(self._services, slug)
        policy = await find_policy(self._services, workspace, policy_id)
        if given.confirms(policy.name):
            try:
                await self._services.mdm.DeletePolicy(
                    pb.DeletePolicyRequest(workspace_id=workspace.workspace_id, policy_id=policy_id)
                )
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error))
            else:
                flash(resp, f"Policy {policy.name} is deleted.")
                redirect(resp, f"{workspace_address(workspace)}/policies")
                return
        await self._show(req, resp, slug, policy_id, given, falcon.HTTP_422)

    async def _show(
        self,
        req: Request,
        resp: Response,
        slug: str,
        policy_id: str,
        given: Form,
        status: str = falcon.HTTP_200,
    ) -> None:
        workspace = await find_workspace(self._services, slug)
        policy = await find_policy(self._services, workspace, policy_id)
        address = f"{workspace_address(workspace)}/policies"
        await page(
            req,
            resp,
            "policy_delete.html",
            status=status,
            workspace=workspace,
            breadcrumbs=[*trail(workspace), ("Policies", address)],
            policy=policy,
            address=address,
            form=given,
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of policies."""
    base = "/workspaces/{slug}/policies"
    app.add_route(base, Policies(deps))
    app.add_route(f"{base}/{{policy_id}}/delete", DeletePolicy(deps))


async def known_policies(services: Services, workspace: connections.Workspace) -> dict[str, str]:
    """Return the names of the workspace's policies by id, of the first `KNOWN` by name."""
    request = pb.ListPoliciesRequest(workspace_id=workspace.workspace_id, page_size=KNOWN)
    return {policy.policy_id: policy.name for policy in (await services.mdm.ListPolicies(request)).policies}


async def find_policy(services: Services, workspace: connections.Workspace, policy_id: str) -> pb.Policy:
    """Return a policy of the workspace by its id. Raises falcon.HTTPNotFound."""
    request = pb.ListPoliciesRequest(workspace_id=workspace.workspace_id, page_size=KNOWN)
    while True:
        answer = await services.mdm.ListPolicies(request)
        for policy in answer.policies:
            if policy.policy_id == policy_id:
                found: pb.Policy = policy
                return found
        if not answer.next_page_token:
            raise falcon.HTTPNotFound
        request.page_token = answer.next_page_token
