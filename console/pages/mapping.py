"""`…/mapping`: which attributes become a user's metadata, chosen from what really arrives, tried before it is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc.aio
import orjson
from google.protobuf.json_format import MessageToDict
from rollcall.directory.v1 import connection_service_pb2 as pb

from chassis.errors import from_rpc_error
from console.forms import Form, form
from console.mapping_draft import Draft, Entry, Source, fingerprint, form_field
from console.pages.login_providers import BASE
from console.problems import Problem, at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import Scope, find_scope

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ANY = "Any schema: core, enterprise, then the others"


class Comparison(NamedTuple):
    """One entry of the metadata of the user that a mapping is tried on."""

    name: str
    now: str
    then: str


def add_routes(app: App, deps: Deps) -> None:
    """Add the path."""
    app.add_route(f"{BASE}/mapping", Mapping(deps))


class Mapping:
    """The mapping, its editor, and its preview."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show the mapping that stands, to be changed."""
        scope = await find_scope(self._services, slug, portal_name)
        stands = await self._stands(scope)
        await self._show(req, resp, scope, stands, Draft.of(stands.mapped_attributes), Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Change the draft by one button, try it on a user, or save it."""
        scope, given = await find_scope(self._services, slug, portal_name), await form(req)
        stands, draft = await self._stands(scope), Draft.read(given.values)
        command = given.text("do")
        preview: list[Comparison] | None = None
        if taken := given.text("take"):
            namespace, _, key = taken.partition(" ")
            draft.take(namespace, key)
        elif command == "save":
            if await self._save(scope, stands, draft, given, resp):
                redirect(resp, f"{scope.base}/mapping")
                return
        elif not draft.change(command):
            preview = await self._preview(scope, draft, given)
        await self._show(req, resp, scope, stands, draft, given, preview, is_draft=True)

    async def _stands(self, scope: Scope) -> pb.GetAttributeMappingResponse:
        request = pb.GetAttributeMappingRequest(connection_id=scope.connection.connection_id)
        found: pb.GetAttributeMappingResponse = await self._services.connections.GetAttributeMapping(request)
        return found

    async def _save(
        self, scope: Scope, stands: pb.GetAttributeMappingResponse, draft: Draft, given: Form, resp: Response
    ) -> bool:
        if given.text("known") != fingerprint(stands.mapped_attributes):
            given.fail(
                "",
                "Somebody else has changed the mapping since you began. Nothing was saved: load the page again to see "
                "what stands, and repeat your changes.",
            )
            return False
        request = pb.UpdateAttributeMappingRequest(
            connection_id=scope.connection.connection_id, mapped_attributes=draft.messages()
        )
        try:
            saved = await self._services.connections.UpdateAttributeMapping(request)
        except grpc.aio.AioRpcError as error:
            _refuse(given, at_form(error))
            return False
        waiting = saved.pending_users
        again = f" It is applied to {waiting:,} {'user' if waiting == 1 else 'users'} now." if waiting else ""
        flash(resp, f"The mapping is saved.{again}")
        return True

    async def _preview(self, scope: Scope, draft: Draft, given: Form) -> list[Comparison] | None:
        user = given.required("user", "Name a user: the userName or the id.")
        if not given.is_valid:
            return None
        try:
            now, then = await asyncio.gather(
                self._resolved(scope, user, []), self._resolved(scope, user, draft.messages())
            )
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            if failure.reason == "USER_NOT_FOUND":
                given.fail("user", "This connection has no user with that userName or id.")
                return None
            _refuse(given, at_form(error))
            return None
        # Without entries the directory resolves what stands; an empty draft maps nothing.
        then = then if draft.entries else {}
        return [Comparison(name, now.get(name, ""), then.get(name, "")) for name in sorted({*now, *then})]

    async def _resolved(self, scope: Scope, user: str, mapping: Sequence[pb.MappedAttribute]) -> dict[str, str]:
        request = pb.PreviewAttributeMappingRequest(
            connection_id=scope.connection.connection_id, user=user, mapped_attributes=mapping
        )
        metadata = (await self._services.connections.PreviewAttributeMapping(request)).metadata
        return {name: _shown(value) for name, value in MessageToDict(metadata).items()}

    async def _show(
        self,
        req: Request,
        resp: Response,
        scope: Scope,
        stands: pb.GetAttributeMappingResponse,
        draft: Draft,
        given: Form,
        preview: Sequence[Comparison] | None = None,
        *,
        is_draft: bool = False,
    ) -> None:
        request = pb.ListAttributeHistoryRequest(connection_id=scope.connection.connection_id)
        sightings = (await self._services.connections.ListAttributeHistory(request)).sightings
        seen = dict.fromkeys(one.namespace for one in sightings)
        used = dict.fromkeys(source.namespace for entry in draft.entries for source in entry.sources)
        namespaces = [name for name in dict.fromkeys((CORE, ENTERPRISE, *sorted(seen), *used)) if name]
        await page(
            req,
            resp,
            "mapping.html",
            **scope.values,
            entries=[Entry(one.name, one.sources or [Source()]) for one in draft.entries],
            is_draft=is_draft,
            pending=stands.pending_users,
            known=given.text("known") or fingerprint(stands.mapped_attributes),
            namespaces=[("", ANY), *((name, _named(name)) for name in namespaces)],
            keys=list(dict.fromkeys(one.key for one in sightings)),
            sightings=sorted(sightings, key=lambda one: (one.namespace, one.key)),
            name_of=_named,
            preview=preview,
            form=given,
        )


def _refuse(given: Form, problem: Problem) -> None:
    at = form_field(problem.field)
    given.fail(at, problem.at_field if at else problem.message)


def _named(namespace: str) -> str:
    known = {CORE: "Core", ENTERPRISE: "Enterprise"}
    return known.get(namespace, namespace)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(_whole(value)).decode()


def _whole(value: Any) -> Any:
    # A Struct has no integers, and 7.0 is not what the identity provider sent.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value
