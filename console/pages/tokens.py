"""`…/tokens`: the tokens of a connection; rotation without a gap: issue the second, enter it, revoke the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import falcon
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from rollcall.directory.v1 import connection_service_pb2 as pb

from console.doctor import EXPIRY_WARNED, short
from console.forms import Form, form
from console.pages.login_providers import BASE, guide_values
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import Scope, find_scope
from console.services import Services

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

MAX_LIVE = 2
"""Live tokens that a connection may have, as the directory has it."""
SCOPES = {"write": pb.TOKEN_SCOPE_WRITE, "read": pb.TOKEN_SCOPE_READ}
LIFETIMES = (("365", "1 year"), ("180", "6 months"), ("90", "3 months"), ("30", "1 month"), ("730", "2 years"))
"""Days, and how they are called; the first is the usual one."""
LONGEST_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Row:
    """A token as the list shows it."""

    token: pb.Token
    name: str
    scope: str
    state: str
    kind: str
    is_live: bool


@dataclass(frozen=True, slots=True)
class Rotation:
    """Where a rotation stands: what to do next, and which token that is about."""

    text: str
    kind: str
    revocable: str = ""
    """The token that can go; empty: none yet."""


def add_routes(app: App, deps: Deps) -> None:
    """Add the paths of tokens."""
    app.add_route(f"{BASE}/tokens", Tokens(deps))
    app.add_route(f"{BASE}/tokens/{{token_id}}/revoke", Revocation(deps))


def rows_of(tokens: Sequence[pb.Token], now: datetime) -> list[Row]:
    """Return tokens as the list shows them, the live ones first, the newest of each first."""
    rows = [_row(token, now) for token in tokens]
    return sorted(rows, key=lambda row: (not row.is_live, -row.token.created_time.ToNanoseconds()))


def _row(token: pb.Token, now: datetime) -> Row:
    expires = token.expire_time.ToDatetime(UTC)
    scope = "Read" if token.scope == pb.TOKEN_SCOPE_READ else "Read and write"
    if token.HasField("revoked_time"):
        state, kind, live = "Revoked", "neutral", False
    elif expires <= now:
        state, kind, live = "Expired", "neutral", False
    elif expires - now <= EXPIRY_WARNED:
        state, kind, live = "Expires soon", "warning", True
    else:
        state, kind, live = "Live", "good", True
    return Row(token, short(token.token_id), scope, state, kind, live)


def rotation_of(rows: Sequence[Row]) -> Rotation:
    """Say where a rotation stands. Pure."""
    live = [row for row in rows if row.is_live]
    if not live:
        return Rotation("No token is live: every request is answered with 401. Issue one now.", "failed")
    if len(live) == 1:
        return Rotation(
            "To rotate, issue a second token, enter it in the identity provider, and revoke the first one once the "
            "second has been used. Both work meanwhile, so no request is lost.",
            "information",
        )
    new, old = live[0], live[1]
    if not new.token.HasField("last_used_time"):
        return Rotation(
            f"Token {new.name} has not been used yet. Enter it in the identity provider, in place of {old.name}, and "
            "test the connection there.",
            "warning",
        )
    used_since = old.token.last_used_time.ToNanoseconds() >= new.token.last_used_time.ToNanoseconds()
    if old.token.HasField("last_used_time") and used_since:
        return Rotation(
            f"Token {old.name} is still in use, as the last use of each shows. Enter {new.name} in its place.",
            "warning",
        )
    return Rotation(
        f"Token {new.name} has taken over: {old.name} was not used after it. Revoke {old.name}.",
        "done",
        old.token.token_id,
    )


async def list_tokens(services: Services, scope: Scope) -> Sequence[pb.Token]:
    """Return the tokens of a connection, the newest first."""
    request = pb.ListTokensRequest(connection_id=scope.connection.connection_id)
    found: pb.ListTokensResponse = await services.connections.ListTokens(request)
    return found.tokens


class Tokens:
    """The list, and the form for another token."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show them, never their secrets."""
        scope = await find_scope(self._services, slug, portal_name)
        await self._show(req, resp, scope, await list_tokens(self._services, scope), Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Issue a token, and show it: never again, as nobody keeps it."""
        scope, given = await find_scope(self._services, slug, portal_name), await form(req)
        tokens = await list_tokens(self._services, scope)
        allowed = SCOPES.get(given.choice("scope", SCOPES, "Choose what the token may do."), pb.TOKEN_SCOPE_UNSPECIFIED)
        days = given.text("days")
        if not days.isdecimal() or not 1 <= int(days) <= LONGEST_DAYS:
            given.fail("days", f"Choose for how long the token lives: 1 to {LONGEST_DAYS} days.")
        if given.text("known") != _fingerprint(tokens):
            # The page that shows a token was loaded again, or somebody else was at it: one more is not what is meant.
            given.fail("", "The tokens have changed since this page was shown. No token was issued; look again.")
        if given.is_valid:
            request = pb.IssueTokenRequest(
                connection_id=scope.connection.connection_id,
                scope=allowed,
                expires_in=Duration(seconds=int(timedelta(days=int(days)).total_seconds())),
            )
            try:
                issued = await self._services.connections.IssueToken(request)
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error), {"scope": "scope", "expires_in": "days"})
            else:
                await self._show_once(req, resp, scope, issued, is_first=not any(r.is_live for r in _now(tokens)))
                return
        await self._show(req, resp, scope, tokens, given)

    async def _show_once(
        self, req: Request, resp: Response, scope: Scope, issued: pb.IssueTokenResponse, *, is_first: bool
    ) -> None:
        await page(
            req,
            resp,
            "credentials.html",
            status=falcon.HTTP_201,
            **scope.values,
            heading=f"Token {short(issued.details.token_id)} is issued",
            address=f"{scope.base}/tokens",
            is_first=is_first,
            base_url=scope.connection.base_url,
            token=issued.token,
            **guide_values(scope.connection),
        )

    async def _show(self, req: Request, resp: Response, scope: Scope, tokens: Sequence[pb.Token], given: Form) -> None:
        rows = _now(tokens)
        await page(
            req,
            resp,
            "tokens.html",
            **scope.values,
            rows=rows,
            rotation=rotation_of(rows),
            can_issue=sum(row.is_live for row in rows) < MAX_LIVE,
            lifetimes=LIFETIMES,
            known=_fingerprint(tokens),
            form=given,
        )


class Revocation:
    """Revokes a token once the connection's name was typed."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str, token_id: str) -> None:
        """Say what will happen."""
        scope = await find_scope(self._services, slug, portal_name)
        await self._show(req, resp, scope, token_id, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str, token_id: str) -> None:
        """Revoke it."""
        scope, given = await find_scope(self._services, slug, portal_name), await form(req)
        if not given.confirms(short(token_id), otherwise="Nothing was revoked."):
            await self._show(req, resp, scope, token_id, given)
            return
        request = pb.RevokeTokenRequest(connection_id=scope.connection.connection_id, token_id=token_id)
        try:
            await self._services.connections.RevokeToken(request)
        except grpc.aio.AioRpcError as error:
            flash(resp, at_form(error).message, "failed")
        else:
            flash(resp, f"Token {short(token_id)} is revoked: within a second no request with it is answered.")
        redirect(resp, f"{scope.base}/tokens")

    async def _show(self, req: Request, resp: Response, scope: Scope, token_id: str, given: Form) -> None:
        rows = _now(await list_tokens(self._services, scope))
        row = next((one for one in rows if one.token.token_id == token_id), None)
        if row is None:
            raise falcon.HTTPNotFound
        await page(
            req,
            resp,
            "token_revoke.html",
            **scope.values,
            row=row,
            others=sum(one.is_live for one in rows if one is not row),
            form=given,
        )


def _now(tokens: Sequence[pb.Token]) -> list[Row]:
    return rows_of(tokens, datetime.now(UTC))


def _fingerprint(tokens: Sequence[pb.Token]) -> str:
    return f"{len(tokens)}-{tokens[0].token_id if tokens else ''}"
