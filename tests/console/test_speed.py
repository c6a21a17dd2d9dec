"""Every page over a directory of many people: what it costs does not follow their number.

`python -m bench console` measures the time with 100,000 users on each connection; here is what a busy machine does not
change: the calls that a page makes, its size, and the processor time of the console itself.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

import falcon.inspect
import pytest
from rollcall.directory.v1 import connection_service_pb2 as connections

from bench.console_pages import PORTALS, TARGET_MILLISECONDS, pages, signed_in
from bench.population import fill
from console.services import _Caller
from tests.stack import Stack

pytestmark = pytest.mark.timeout(180)

USERS = 400
MOST_CALLS = 40
MOST_BYTES = 256 * 1024
# Leads elsewhere, is no page, or is measured by what it pushes.
OTHER = re.compile(
    r"/static/|/(healthz|readyz)$|/sign-|/live/events$|^/workspaces/{slug}/employees$"
    r"|/(enable|link|disable|enable-again|unmap|revoke|rename)$"
)


async def test_every_page_costs_little_whatever_the_number_of_people(
    console_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Specification: "every page under 200 ms server time with 100,000 users"."""
    stack = console_stack
    workspace_id = stack.create_workspace("Many")
    ids = {name: stack.enable(workspace_id, name).connection_id for name in PORTALS}
    stack.settled()
    made = fill(stack.databases, workspace_id, ids, USERS)
    request = connections.GetWorkspaceRequest(workspace=workspace_id)
    slug = stack.connections.GetWorkspace(request).workspace.slug
    calls: Counter[str] = Counter()
    whole = _Caller._call

    def counted(self: _Caller, made: Any) -> Any:
        call = whole(self, made)

        def count(*arguments: Any, **options: Any) -> Any:
            calls["all"] += 1
            return call(*arguments, **options)

        return count

    monkeypatch.setattr(_Caller, "_call", counted)
    paths = pages(slug, made)
    async with signed_in(stack) as (app, client):
        for name, path in paths.items():
            await client.get(path)  # compiles the template
            calls.clear()
            began = time.process_time()
            answer = await client.get(path)
            spent = (time.process_time() - began) * 1000
            assert answer.status_code == 200, f"{name}: {answer.status_code}\n{answer.text[-1000:]}"
            assert calls["all"] <= MOST_CALLS, f"{name} makes {calls['all']} calls"
            assert len(answer.content) <= MOST_BYTES, f"{name} has {len(answer.content)} bytes"
            assert spent < TARGET_MILLISECONDS, f"{name} takes {spent:.0f} ms"
    shown = [path.partition("?")[0] for path in paths.values()]
    patterns = {
        route.path: re.compile(re.sub(r"{\w+}", "[^/]+", route.path) + "$")
        for route in falcon.inspect.inspect_routes(app)
        if any(method.method == "GET" for method in route.methods) and not OTHER.search(route.path)
    }
    unseen = [path for path, pattern in patterns.items() if not any(pattern.match(one) for one in shown)]
    assert not unseen, "pages that are not measured"
