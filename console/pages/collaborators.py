"""Collaborators of the dashboard: their roles, where these came from, and who decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import falcon
import grpc.aio
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as pb

from console import evidence
from console.attributes import metadata
from console.evidence import ROLE_SOURCES
from console.forms import Form, form
from console.history import found, list_effects
from console.paging import PAGE_SIZE, first_page, next_page, page_token, query_text
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import find_workspace, trail, workspace_address
from console.words import ROLES

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

RECENT_EFFECTS = 20
ROLE_OPTIONS = {pb.Role.Name(role).removeprefix("ROLE_").lower(): text for role, text in ROLES.items()}
"""The roles by the value that a form has for each."""


class Collaborators:
    """`/workspaces/{slug}/collaborators`: a page of collaborators, and a form that adds one."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show collaborators by e-mail address."""
        await self._show(req, resp, slug, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str) -> None:
        """Add a collaborator by hand."""
        given = await form(req)
        email = given.required("email", "Enter the e-mail address of the person.")
        role = given.choice("role", ROLE_OPTIONS, "Choose a role.")
        if given.is_valid:
            workspace = await find_workspace(self._services, slug)
            request = pb.CreateCollaboratorRequest(
                workspace_id=workspace.workspace_id,
                email=email,
                display_name=given.text("display_name"),
                role=_role(role),
            )
            try:
                made = (await self._services.portal.CreateCollaborator(request)).collaborator
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error), ("email", "display_name", "role"))
            else:
                flash(resp, f"{made.email} is a collaborator now.")
                redirect(resp, person_address(workspace, "collaborators", made.email))
                return
        await self._show(req, resp, slug, given, falcon.HTTP_422)

    async def _show(self, req: Request, resp: Response, slug: str, given: Form, status: str = falcon.HTTP_200) -> None:
        workspace = await find_workspace(self._services, slug)
        text = query_text(req, "q")
        answer = await self._services.portal.ListCollaborators(
            pb.ListCollaboratorsRequest(
                workspace_id=workspace.workspace_id,
                email_prefix=text,
                page_size=PAGE_SIZE,
                page_token=page_token(req),
            )
        )
        await page(
            req,
            resp,
            "collaborators.html",
            status=status,
            workspace=workspace,
            breadcrumbs=trail(workspace),
            collaborators=[
                (one, person_address(workspace, "collaborators", one.email)) for one in answer.collaborators
            ],
            roles=ROLES,
            sources=ROLE_SOURCES,
            role_options=list(ROLE_OPTIONS.items()),
            form=given,
            query=text,
            next_href=next_page(req, answer.next_page_token),
            previous_href=first_page(req),
        )


class Collaborator:
    """`…/collaborators/person?email=…`: one collaborator."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show the role and where it came from, metadata, permissions on devices, and what happened."""
        await self._show(req, resp, slug, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str) -> None:
        """Give the collaborator a role by hand, which provisioning never overwrites."""
        given = await form(req)
        role = given.choice("role", ROLE_OPTIONS, "Choose a role.")
        if given.is_valid:
            workspace = await find_workspace(self._services, slug)
            email = query_text(req, "email")
            request = pb.SetCollaboratorRoleRequest(workspace_id=workspace.workspace_id, email=email, role=_role(role))
            try:
                changed = (await self._services.portal.SetCollaboratorRole(request)).collaborator
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error), ("role",))
            else:
                flash(resp, f"{changed.email} is {ROLES[changed.role]} now. Provisioning does not change it any more.")
                redirect(resp, person_address(workspace, "collaborators", changed.email))
                return
        await self._show(req, resp, slug, given, falcon.HTTP_422)

    async def _show(self, req: Request, resp: Response, slug: str, given: Form, status: str = falcon.HTTP_200) -> None:
        services = self._services
        workspace = await find_workspace(services, slug)
        workspace_id, email = workspace.workspace_id, query_text(req, "email")
        answer = await services.portal.GetCollaborator(
            pb.GetCollaboratorRequest(workspace_id=workspace_id, email=email)
        )
        one = answer.collaborator
        (effects, more), segments, connection = await asyncio.gather(
            list_effects(
                services,
                delivery.ListEffectsRequest(workspace_id=workspace_id, target=one.collaborator_id),
                RECENT_EFFECTS,
                ("portal",),
            ),
            services.mdm.ListSegments(
                mdm.ListSegmentsRequest(
                    workspace_id=workspace_id, grantee_email=one.email, page_size=PAGE_SIZE, omit_devices=True
                )
            ),
            connection_of(services, one.connection_id),
        )
        await page(
            req,
            resp,
            "collaborator.html",
            status=status,
            workspace=workspace,
            breadcrumbs=[*trail(workspace), ("Collaborators", f"{workspace_address(workspace)}/collaborators")],
            one=one,
            followed=connection,
            address=person_address(workspace, "collaborators", one.email),
            role=ROLES.get(one.role, "none"),
            source=ROLE_SOURCES.get(one.role_source, "Not known"),
            role_value=pb.Role.Name(one.role).removeprefix("ROLE_").lower(),
            role_options=list(ROLE_OPTIONS.items()),
            metadata=metadata(one.metadata),
            segments=[(segment, _permission(segment, one.email)) for segment in segments.segments],
            more_segments=bool(segments.next_page_token),
            effects=effects,
            more_effects=more,
            words=evidence,
            form=given,
        )


class RemoveCollaborator:
    """`…/collaborators/person/remove?email=…`: what a removal means, and the removal."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Say what will happen."""
        await self._show(req, resp, slug, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str) -> None:
        """Remove the collaborator whose address was typed."""
        given = await form(req)
        workspace = await find_workspace(self._services, slug)
        email = query_text(req, "email")
        if given.text("confirmation").casefold() != email.casefold():
            given.fail("confirmation", f"Type {email} to confirm.")
        else:
            request = pb.DeleteCollaboratorRequest(workspace_id=workspace.workspace_id, email=email)
            try:
                await self._services.portal.DeleteCollaborator(request)
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error))
            else:
                flash(resp, f"{email} is not a collaborator any more.")
                redirect(resp, f"{workspace_address(workspace)}/collaborators")
                return
        await self._show(req, resp, slug, given, falcon.HTTP_422)

    async def _show(self, req: Request, resp: Response, slug: str, given: Form, status: str = falcon.HTTP_200) -> None:
        workspace = await find_workspace(self._services, slug)
        request = pb.GetCollaboratorRequest(workspace_id=workspace.workspace_id, email=query_text(req, "email"))
        one = (await self._services.portal.GetCollaborator(request)).collaborator
        address = person_address(workspace, "collaborators", one.email)
        await page(
            req,
            resp,
            "collaborator_remove.html",
            status=status,
            workspace=workspace,
            breadcrumbs=[
                *trail(workspace),
                ("Collaborators", f"{workspace_address(workspace)}/collaborators"),
                (one.email, address),
            ],
            one=one,
            role=ROLES.get(one.role, "none"),
            address=address,
            form=given,
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of collaborators."""
    base = "/workspaces/{slug}/collaborators"
    app.add_route(base, Collaborators(deps))
    app.add_route(f"{base}/person", Collaborator(deps))
    app.add_route(f"{base}/person/remove", RemoveCollaborator(deps))


def person_address(workspace: connections.Workspace, section: str, email: str) -> str:
    """Return the address of a person's page below a section; in the query, for an e-mail address may hold a slash."""
    return f"{workspace_address(workspace)}/{section}/person?{urlencode({'email': email})}"


async def connection_of(services: Any, connection_id: str) -> connections.Connection | None:
    """Return the connection that provisions somebody; None: nobody does, or it is gone."""
    if not connection_id:
        return None
    answer = await found(
        services.connections.GetConnection(connections.GetConnectionRequest(connection_id=connection_id))
    )
    return None if answer is None else answer.connection


def _permission(segment: mdm.Segment, email: str) -> str:
    """Return what a segment allows a collaborator."""
    granted = {grant.email.casefold(): grant.permission for grant in segment.grants}
    return "view and manage" if granted.get(email.casefold()) == mdm.SEGMENT_PERMISSION_MANAGE else "view"


def _role(value: str) -> Any:
    return pb.Role.Value(f"ROLE_{value.upper()}")
