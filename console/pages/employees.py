"""Employees of the Enterprise Store and of device management: who they are, and what they have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import falcon
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

from console import evidence
from console.attributes import metadata
from console.history import list_effects
from console.pages.collaborators import connection_of, person_address
from console.paging import PAGE_SIZE, first_page, next_page, page_token, query_text
from console.rendering import page
from console.request import Request, Response
from console.scope import PORTAL_TITLES, find_workspace, trail, workspace_address

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

PORTALS = ("store", "mdm")
RECENT_EFFECTS = 20


class ChooseEmployees:
    """`/workspaces/{slug}/employees`: those of the Enterprise Store, with the way to those of device management."""

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Lead to the first of the two lists."""
        raise falcon.HTTPSeeOther(f"/workspaces/{slug}/employees/store")


class Employees:
    """`/workspaces/{slug}/employees/{portal_name}`: a page of employees."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show employees by e-mail address."""
        _require(portal_name)
        workspace = await find_workspace(self._services, slug)
        text = query_text(req, "q")
        asked: dict[str, Any] = {
            "workspace_id": workspace.workspace_id,
            "email_prefix": text,
            "page_size": PAGE_SIZE,
            "page_token": page_token(req),
        }
        answer: portal.ListEmployeesResponse | mdm.ListEmployeesResponse
        if portal_name == "store":
            answer = await self._services.portal.ListEmployees(portal.ListEmployeesRequest(**asked))
        else:
            answer = await self._services.mdm.ListEmployees(mdm.ListEmployeesRequest(**asked))
        section = f"employees/{portal_name}"
        await page(
            req,
            resp,
            "employees.html",
            workspace=workspace,
            breadcrumbs=trail(workspace),
            employees=[(one, person_address(workspace, section, one.email)) for one in answer.employees],
            portals=[(name, PORTAL_TITLES[name]) for name in PORTALS],
            shown=portal_name,
            query=text,
            next_href=next_page(req, answer.next_page_token),
            previous_href=first_page(req),
        )


class Employee:
    """`…/employees/{portal_name}/person?email=…`: one employee."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show metadata, what the employee sees or has, and what happened."""
        _require(portal_name)
        services = self._services
        workspace = await find_workspace(services, slug)
        workspace_id, email = workspace.workspace_id, query_text(req, "email")
        one: portal.Employee | mdm.Employee
        if portal_name == "store":
            one = (
                await services.portal.GetEmployee(portal.GetEmployeeRequest(workspace_id=workspace_id, email=email))
            ).employee
        else:
            one = (
                await services.mdm.GetEmployee(mdm.GetEmployeeRequest(workspace_id=workspace_id, email=email))
            ).employee
        service = "portal" if portal_name == "store" else "mdm"
        (effects, more), connection, publications, devices = await asyncio.gather(
            list_effects(
                services,
                delivery.ListEffectsRequest(workspace_id=workspace_id, target=one.employee_id),
                RECENT_EFFECTS,
                (service,),
            ),
            connection_of(services, one.connection_id),
            self._publications(workspace_id, one.email, portal_name),
            self._devices(workspace_id, one.email, portal_name),
        )
        title = PORTAL_TITLES[portal_name]
        await page(
            req,
            resp,
            "employee.html",
            workspace=workspace,
            breadcrumbs=[
                *trail(workspace),
                (f"Employees, {title}", f"{workspace_address(workspace)}/employees/{portal_name}"),
            ],
            one=one,
            shown=portal_name,
            title=title,
            followed=connection,
            metadata=metadata(one.metadata),
            publications=publications,
            devices=devices,
            effects=effects,
            more_effects=more,
            words=evidence,
        )

    async def _publications(self, workspace_id: str, email: str, portal_name: str) -> list[portal.Publication]:
        if portal_name != "store":
            return []
        request = portal.ListVisiblePublicationsRequest(workspace_id=workspace_id, email=email)
        return list((await self._services.portal.ListVisiblePublications(request)).publications)

    async def _devices(self, workspace_id: str, email: str, portal_name: str) -> list[mdm.Device]:
        if portal_name != "mdm":
            return []
        request = mdm.ListDevicesRequest(workspace_id=workspace_id, owner_email=email, page_size=PAGE_SIZE)
        return list((await self._services.mdm.ListDevices(request)).devices)


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of employees."""
    base = "/workspaces/{slug}/employees"
    app.add_route(base, ChooseEmployees())
    app.add_route(f"{base}/{{portal_name}}", Employees(deps))
    app.add_route(f"{base}/{{portal_name}}/person", Employee(deps))


def _require(portal_name: str) -> None:
    if portal_name not in PORTALS:
        raise falcon.HTTPNotFound
