"""Tokens and connections: rotation without a gap, and an end that takes effect everywhere within a second."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest
from rollcall.directory.v1 import connection_service_pb2 as connections

from tests.loopback import NO_TLS
from tests.stack import Stack, refused
from tests.system.administrator import Administrator


def issue(
    stack: Stack, connection_id: str, scope: connections.TokenScope = connections.TOKEN_SCOPE_WRITE
) -> connections.IssueTokenResponse:
    return stack.connections.IssueToken(connections.IssueTokenRequest(connection_id=connection_id, scope=scope))


def revoke(stack: Stack, connection_id: str, token_id: str) -> None:
    stack.connections.RevokeToken(connections.RevokeTokenRequest(connection_id=connection_id, token_id=token_id))


def seconds_still_answered(http: httpx.Client, end: Callable[[], object]) -> float:
    """How long after `end` has returned a request was still sent that was answered; the token works before it."""
    assert http.get("/Users").status_code == 200
    end()
    ended = last_answered = time.monotonic()
    while True:
        sent = time.monotonic()
        answer = http.get("/Users?count=1")
        if answer.status_code != 200:
            break
        last_answered = sent
        assert last_answered - ended < 5, "the token is still good"
    assert answer.status_code == 401, answer.text
    return last_answered - ended


def check_unauthorized(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"].startswith("application/scim+json")
    assert answer.json()["status"] == "401"


def test_a_token_is_rotated_without_a_refused_request(administrator: Administrator) -> None:
    """PRODUCT §1: "up to two live ones per connection so that rotation has no gap"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    connection = okta.connection
    okta.assign("ada@example.com")
    new = issue(stack, connection.connection_id)
    okta.assign("bob@example.com")
    okta.use(new.token)
    okta.assign("cyd@example.com")
    revoke(stack, connection.connection_id, connection.token_id)
    okta.assign("dan@example.com")
    for name in ("ada", "bob", "cyd", "dan"):
        assert administrator.collaborator(f"{name}@example.com") is not None


def test_a_third_live_token_is_refused(administrator: Administrator) -> None:
    """SECURITY: "Two live tokens per connection"."""
    stack, connection = administrator.stack, administrator.enable("store")
    second = issue(stack, connection.connection_id)
    with refused() as refusals:
        issue(stack, connection.connection_id)
    assert refusals[0].reason == "TOO_MANY_TOKENS"
    revoke(stack, connection.connection_id, second.details.token_id)
    issue(stack, connection.connection_id)


def test_a_revoked_token_ends_within_a_second(administrator: Administrator) -> None:
    """SECURITY: "revocation takes effect within one second everywhere"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    connection = okta.connection
    other = stack.scim(connection, token=issue(stack, connection.connection_id).token)
    assert other.get("/Users").status_code == 200
    took = seconds_still_answered(okta.http, lambda: revoke(stack, connection.connection_id, connection.token_id))
    assert took <= 1.0
    check_unauthorized(okta.http.get("/ServiceProviderConfig"))
    check_unauthorized(okta.http.post("/Users", json={"userName": "ada@example.com"}))
    assert other.get("/Users").json()["totalResults"] == 0


def test_a_disabled_connection_answers_401_within_a_second_and_keeps_everything(administrator: Administrator) -> None:
    """PRODUCT §1: "A connection can be disabled (every call answers 401; nothing is deleted) and enabled again"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    connection_id = okta.connection.connection_id
    ada = okta.assign("ada@example.com")
    disable = connections.DisableConnectionRequest(connection_id=connection_id)
    took = seconds_still_answered(okta.http, lambda: stack.connections.DisableConnection(disable))
    assert took <= 1.0
    check_unauthorized(okta.http.get(f"/Users/{ada}"))
    check_unauthorized(okta.http.get("/Nowhere"))
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")

    stack.connections.EnableConnection(connections.EnableConnectionRequest(connection_id=connection_id))
    stack.eventually(lambda: okta.http.get(f"/Users/{ada}").status_code == 200, timeout=2)
    okta.deactivate(ada)
    assert administrator.collaborator("ada@example.com") is None


def test_a_read_token_reads_and_nothing_else(administrator: Administrator) -> None:
    """SECURITY: "scopes `read`, `write`"."""
    stack, okta = administrator.stack, administrator.dashboard_app()
    ada = okta.assign("ada@example.com")
    before = okta.user(ada)["meta"]
    token = issue(stack, okta.connection.connection_id, connections.TOKEN_SCOPE_READ).token
    reader = stack.scim(okta.connection, token=token)
    assert reader.get(f"/Users/{ada}").status_code == 200
    assert reader.get("/Users").json()["totalResults"] == 1
    for answer in (
        reader.post("/Users", json={"userName": "bob@example.com"}),
        reader.put(f"/Users/{ada}", json={"userName": "ada@example.com", "active": False}),
        reader.patch(f"/Users/{ada}", json={"Operations": [{"op": "replace", "path": "active", "value": False}]}),
        reader.delete(f"/Users/{ada}"),
        reader.post("/Groups", json={"displayName": "Field staff"}),
    ):
        assert answer.status_code == 403, answer.text
        assert answer.json()["status"] == "403"
    assert okta.user(ada)["meta"] == before
    assert reader.get("/Groups").json()["totalResults"] == 0


@pytest.mark.parametrize("flaw", ["missing", "garbage", "checksum", "unknown", "of another connection", "basic"])
def test_every_wrong_token_gets_the_same_answer(administrator: Administrator, flaw: str) -> None:
    """SECURITY: "A token of another connection, a disabled connection, an unknown one …: the same 401"."""
    stack = administrator.stack
    connection, other = administrator.enable("dashboard"), administrator.enable("store")
    last = connection.token[-1]
    token = {
        "missing": None,
        "garbage": "letmein",
        "checksum": connection.token[:-1] + ("a" if last != "a" else "b"),
        "unknown": connection.token.replace(connection.token_id, connection.token_id[::-1]),
        "of another connection": other.token,
        "basic": connection.token,
    }[flaw]
    headers = {"Authorization": f"{'Basic' if flaw == 'basic' else 'Bearer'} {token}"} if token else {}
    reference = httpx.get(f"{connection.base_url}/Users", headers={"Authorization": "Bearer nonsense"}, verify=NO_TLS)
    check_unauthorized(reference)
    for path in ("/Users", "/Groups", "/ServiceProviderConfig", "/Schemas", "/Nowhere"):
        answer = httpx.get(connection.base_url + path, headers=headers, verify=NO_TLS)
        check_unauthorized(answer)
        assert answer.json() == reference.json()
    assert stack.scim(connection).get("/Users").status_code == 200


def test_a_token_is_shown_once(administrator: Administrator) -> None:
    """SECURITY: "Never logged, never returned again"."""
    stack, connection = administrator.stack, administrator.enable("dashboard")
    assert stack.scim(connection).get("/Users").status_code == 200
    listed = stack.connections.ListTokens(connections.ListTokensRequest(connection_id=connection.connection_id))
    assert [token.token_id for token in listed.tokens] == [connection.token_id]
    secret = connection.token.rpartition("_")[2]
    assert secret not in str(listed)
    for process in stack.processes:
        assert secret not in stack.log(process, limit=10_000_000)
