"""Users of a connection: who is there, and everything about one of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import provisioning_log_service_pb2 as log
from rollcall.directory.v1 import user_pb2
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal_pb

from console import evidence
from console.attributes import attributes, metadata
from console.history import found, list_effects
from console.paging import PAGE_SIZE, first_page, next_page, page_token, query_text
from console.problems import at_form
from console.rendering import page
from console.request import Request, Response
from console.scope import Scope, find_scope
from console.services import Services
from scim.errors import ScimError
from scim.filter import parse_filter

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

STATES = ("active", "inactive")
RECENT_EFFECTS = 20
RECENT_REQUESTS = 10
DEVICES = 50

Account = portal_pb.Collaborator | portal_pb.Employee | mdm.Employee


class Users:
    """`…/users`: a page of users, searched by userName, by e-mail address or by a SCIM filter."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show users by userName, or those that a filter selects in the order of their creation."""
        scope = await find_scope(self._services, slug, portal_name)
        text, expert, state = query_text(req, "q"), query_text(req, "filter"), query_text(req, "state")
        wanted = None if state not in STATES else state == "active"
        users: list[user_pb2.User] = []
        token, error = "", ""
        search = self._filter if expert else self._find
        try:
            (users, token), total = await asyncio.gather(
                search(scope, text, expert, wanted, page_token(req)), self._total(scope)
            )
        except ScimError as refusal:
            error, total = refusal.detail, await self._total(scope)
        except grpc.aio.AioRpcError as refusal:
            problem = at_form(refusal)
            if problem.field != "filter":
                raise
            error, total = problem.message, await self._total(scope)
        await page(
            req,
            resp,
            "users.html",
            **scope.values,
            users=users,
            total=total,
            query=text,
            filter=expert,
            filter_error=error,
            state=state if state in STATES else "",
            is_search=bool(text or expert or wanted is not None),
            next_href=next_page(req, token),
            previous_href=first_page(req),
        )

    async def _total(self, scope: Scope) -> int:
        request = pb.ListUsersRequest(connection_id=scope.connection.connection_id, count_only=True)
        return int((await self._services.directory.ListUsers(request)).total_size)

    async def _find(
        self, scope: Scope, text: str, expert: str, active: bool | None, token: str
    ) -> tuple[list[user_pb2.User], str]:
        connection_id = scope.connection.connection_id
        request = pb.FindUsersRequest(
            connection_id=connection_id, user_name_prefix=text, active=active, page_size=PAGE_SIZE, page_token=token
        )
        by_address = _user_of_address(self._services, scope, text) if "@" in text and not token else _nobody()
        answer, other = await asyncio.gather(self._services.directory.FindUsers(request), by_address)
        users = list(answer.users)
        fits = other is not None and (active is None or other.active == active)
        if other is not None and fits and all(one.id != other.id for one in users):
            users.insert(0, other)
        return users, answer.next_page_token

    async def _filter(
        self, scope: Scope, text: str, expert: str, active: bool | None, token: str
    ) -> tuple[list[user_pb2.User], str]:
        parse_filter(expert)  # on its own, so that an error is told of what was typed
        terms = [f"({expert})"]
        if text:
            terms.append(f'userName sw "{_quoted(text)}"')
        if active is not None:
            terms.append(f"active eq {'true' if active else 'false'}")
        request = pb.ListUsersRequest(
            connection_id=scope.connection.connection_id,
            filter=" and ".join(terms) if len(terms) > 1 else expert,
            page_size=PAGE_SIZE,
            page_token=token,
            omit_total_size=True,
        )
        answer = await self._services.directory.ListUsers(request)
        return list(answer.users), answer.next_page_token


class User:
    """`…/users/{user_id}`: one user, and what follows from them."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str, user_id: str) -> None:
        """Show attributes, groups, metadata, the account, devices, effects and the last requests."""
        services = self._services
        scope = await find_scope(services, slug, portal_name)
        workspace_id, connection_id = scope.workspace.workspace_id, scope.connection.connection_id
        answer, account, (effects, more_effects), requests = await asyncio.gather(
            services.directory.GetUser(pb.GetUserRequest(connection_id=connection_id, id=user_id, include_groups=True)),
            account_of(services, scope, user_id),
            list_effects(
                services,
                delivery.ListEffectsRequest(workspace_id=workspace_id, user=user_id),
                RECENT_EFFECTS,
                (scope.delivery,),
            ),
            services.log.ListProvisioningLogEntries(
                log.ListProvisioningLogEntriesRequest(
                    connection_id=connection_id, resource_id=user_id, page_size=RECENT_REQUESTS
                )
            ),
        )
        user = answer.user
        devices: list[mdm.Device] = []
        if isinstance(account, mdm.Employee):
            request = mdm.ListDevicesRequest(workspace_id=workspace_id, owner_email=account.email, page_size=DEVICES)
            devices = list((await services.mdm.ListDevices(request)).devices)
        await page(
            req,
            resp,
            "user.html",
            **below(scope, ("Users", f"{scope.base}/users")),
            user=user,
            attributes=attributes(user),
            metadata=metadata(user.metadata),
            account=account,
            account_kind=scope.slug,
            devices=devices,
            effects=effects,
            more_effects=more_effects,
            words=evidence,
            requests=requests.entries,
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of users."""
    base = "/workspaces/{slug}/login-providers/{portal_name}/users"
    app.add_route(base, Users(deps))
    app.add_route(f"{base}/{{user_id}}", User(deps))


def below(scope: Scope, *steps: tuple[str, str]) -> dict[str, Any]:
    """Return what templates want of a connection, with further breadcrumbs."""
    values = scope.values
    return values | {"breadcrumbs": [*values["breadcrumbs"], *steps]}


async def account_of(services: Services, scope: Scope, user_id: str) -> Account | None:
    """Return the collaborator or employee that follows a user of the connection; None: there is none."""
    workspace_id = scope.workspace.workspace_id
    if scope.slug == "dashboard":
        one = await found(
            services.portal.GetCollaborator(
                portal_pb.GetCollaboratorRequest(workspace_id=workspace_id, user_id=user_id)
            )
        )
        return None if one is None else one.collaborator
    if scope.slug == "store":
        other = await found(
            services.portal.GetEmployee(portal_pb.GetEmployeeRequest(workspace_id=workspace_id, user_id=user_id))
        )
        return None if other is None else other.employee
    third = await found(services.mdm.GetEmployee(mdm.GetEmployeeRequest(workspace_id=workspace_id, user_id=user_id)))
    return None if third is None else third.employee


async def _nobody() -> None:
    return None


async def _user_of_address(services: Services, scope: Scope, address: str) -> user_pb2.User | None:
    """Return the user of the connection whose account has an e-mail address; None for one that is no address."""
    workspace_id = scope.workspace.workspace_id
    account: Account | None = None
    try:
        if scope.slug == "dashboard":
            one = await services.portal.GetCollaborator(
                portal_pb.GetCollaboratorRequest(workspace_id=workspace_id, email=address)
            )
            account = one.collaborator
        elif scope.slug == "store":
            other = await services.portal.GetEmployee(
                portal_pb.GetEmployeeRequest(workspace_id=workspace_id, email=address)
            )
            account = other.employee
        else:
            third = await services.mdm.GetEmployee(mdm.GetEmployeeRequest(workspace_id=workspace_id, email=address))
            account = third.employee
    except grpc.aio.AioRpcError as error:
        # No account, or only the beginning of an address. A service that is away keeps no userName from being found.
        if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE):
            return None
        raise
    connection_id = scope.connection.connection_id
    if not account.user_id or account.connection_id != connection_id:
        return None
    request = pb.GetUserRequest(connection_id=connection_id, id=account.user_id)
    answer = await found(services.directory.GetUser(request))
    return None if answer is None else answer.user


def _quoted(text: str) -> str:
    """Return a text as a filter has it between quotation marks (RFC 7644 §3.4.2.2, RFC 8259 §7)."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
