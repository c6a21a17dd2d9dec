"""An independent conformance checker against the running gateway."""

from __future__ import annotations

from typing import Any

import httpx
from scim2_client import BaseSyncSCIMClient, RequestNetworkException
from scim2_tester import Status, check_server

from tests.system.administrator import Administrator


class HttpxClient(BaseSyncSCIMClient):
    """Lets the checker speak through an httpx client."""

    def __init__(self, http: httpx.Client) -> None:
        super().__init__()
        self.http = http

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        try:
            return self.http.request(method, url, **kwargs)
        except httpx.RequestError as error:
            raise RequestNetworkException from error


def test_an_independent_checker_finds_no_violation_of_the_rfcs(administrator: Administrator) -> None:
    """TRAPS: "scim2-tester exits 1 on SKIPPED; gate on ERROR and CRITICAL"."""
    http = administrator.stack.scim(administrator.enable("dashboard"))
    results = check_server(HttpxClient(http))
    violations = [result for result in results if result.status in (Status.ERROR, Status.CRITICAL)]
    assert not violations, "\n".join(f"{result.title}: {result.reason}; {result.data}" for result in violations)
    done = {result.title for result in results if result.status is Status.SUCCESS}
    assert len(done) >= 10, f"only {sorted(map(str, done))} were checked"
