"""`/Bulk` over HTTP (RFC 7644 §3.7), with a real directory behind it."""

import json
import uuid
from typing import Any

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rollcall.directory.v1 import connection_service_pb2 as connections_pb
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import errors_pb2

from tests.directory_service.world import World
from tests.gateway.edge import (
    ENTERPRISE_URN,
    ERROR_URN,
    PATCH_URN,
    USER_URN,
    ScriptedDirectory,
    assert_scim_error,
    fresh_token,
    gateway,
    scripted,
)
from tests.gateway.scim_client import Scim

REQUEST_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"


async def bulk(scim: Scim, *operations: Any, **fields: Any) -> list[Any]:
    """Send operations, and return their responses."""
    response = await scim.send("POST", "/Bulk", {"schemas": [REQUEST_URN], "Operations": operations, **fields})
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["schemas"] == [RESPONSE_URN]
    for answered in body["Operations"]:
        assert isinstance(answered["status"], str)
        if answered["status"] >= "300":
            error = answered["response"]
            assert (error["schemas"], error["status"]) == ([ERROR_URN], answered["status"])
            assert error["detail"]
    return list(body["Operations"])


def statuses(answers: list[Any]) -> list[str]:
    """The status of each operation."""
    return [answered["status"] for answered in answers]


def post(bulk_id: str, path: str = "/Users", **data: Any) -> dict[str, Any]:
    """A creation."""
    return {"method": "POST", "path": path, "bulkId": bulk_id, "data": data}


async def test_the_bulk_request_of_the_rfc_is_answered_as_the_rfc_says(scim: Scim) -> None:
    """RFC 7644 §3.7.3: POST, PUT, PATCH and DELETE, each with its status, location and version."""
    alice, bob = await scim.create_user("alice"), await scim.create_user("bob")
    eve = await scim.create_user("eve")
    location = f"http://gateway.test{scim.base}/Users/"
    answers = await bulk(
        scim,
        post("qwerty", userName="Jane", schemas=[USER_URN]),
        {
            "method": "PUT",
            "path": f"/Users/{alice['id']}",
            "version": alice["meta"]["version"],
            "data": {"schemas": [USER_URN], "userName": "Alice"},
        },
        {
            "method": "PATCH",
            "path": f"/Users/{bob['id']}",
            "version": 'W/"1"',
            "data": {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "path": "nickName", "value": "Bobby"}]},
        },
        {"method": "DELETE", "path": f"/Users/{eve['id']}", "version": '"1"', "bulkId": "mine"},
        failOnErrors=1,
    )
    jane = answers[0]["location"].removeprefix(location)
    assert answers == [
        {"method": "POST", "bulkId": "qwerty", "location": location + jane, "version": 'W/"1"', "status": "201"},
        {"method": "PUT", "location": location + alice["id"], "version": 'W/"2"', "status": "200"},
        {"method": "PATCH", "location": location + bob["id"], "version": 'W/"2"', "status": "200"},
        {"method": "DELETE", "bulkId": "mine", "location": location + eve["id"], "status": "204"},
    ]
    shown = await scim.get(f"/Users/{jane}")
    assert (shown["userName"], shown["meta"]["location"]) == ("Jane", answers[0]["location"])
    assert sorted(await scim.user_names()) == ["Alice", "Jane", "bob"]


async def test_bulk_ids_stand_for_resources_in_values_and_paths(scim: Scim) -> None:
    """RFC 7644 §3.7.2: "bulkId:" in members, in a manager, and in the path of a later operation; in any order."""
    answers = await bulk(
        scim,
        post("team", "/Groups", displayName="Team", members=[{"value": "bulkId:ada"}, {"value": "bulkId:bob"}]),
        post("bob", userName="bob", **{ENTERPRISE_URN: {"manager": {"value": "bulkId:ada"}}}),
        post("ada", userName="ada", **{ENTERPRISE_URN: {"manager": {"value": "bulkId:bob"}}}),
        post("all", "/Groups", displayName="All", members=[{"type": "Group", "value": "bulkId:team"}]),
        {
            "method": "patch",
            "path": "/Groups/bulkId:team",
            "data": {"Operations": [{"op": "Remove", "path": 'members[value eq "bulkId:ada"]'}]},
        },
        {"method": "PUT", "path": "/Users/bulkId%3Abob", "data": {"userName": "robert"}},
    )
    assert statuses(answers) == ["201", "201", "201", "201", "200", "200"]
    team, bob, ada, whole, patched, put = [answered["location"].rpartition("/")[2] for answered in answers]
    assert (patched, put) == (team, bob)
    assert await scim.members(team) == [bob]
    assert await scim.members(whole) == [team]
    assert (await scim.get(f"/Users/{ada}"))[ENTERPRISE_URN]["manager"]["value"] == bob
    assert (await scim.get(f"/Users/{bob}"))["userName"] == "robert"


async def test_a_circle_that_cannot_be_resolved_is_409(scim: Scim) -> None:
    """RFC 7644 §3.7.1: "return the status code 409 (Conflict)"."""
    answers = await bulk(
        scim,
        post("a", "/Groups", displayName="A", members=[{"type": "Group", "value": "bulkId:b"}]),
        post("b", "/Groups", displayName="B", members=[{"type": "Group", "value": "bulkId:a"}]),
        post("c", "/Groups", displayName="C", members=[{"value": "bulkId:a"}]),
        post("d", "/Groups", displayName="D"),
    )
    assert statuses(answers) == ["409", "409", "409", "201"]
    assert "cannot contain itself" in answers[0]["response"]["detail"]
    assert ["location" in answered for answered in answers] == [False, False, False, True]
    assert (await scim.get("/Groups"))["totalResults"] == 1


WRONG: list[tuple[Any, str, str | None, str]] = [
    (17, "400", "invalidSyntax", "object"),
    ({}, "400", "invalidValue", "method"),
    ({"method": "GET", "path": "/Users"}, "400", "invalidValue", "method"),
    ({"method": "POST", "path": "/Users", "data": {"userName": "x"}}, "400", "invalidValue", "bulkId"),
    ({"method": "POST", "bulkId": "x", "data": {}}, "400", "invalidValue", "path"),
    ({"method": "POST", "bulkId": "x", "path": "/Me", "data": {}}, "404", None, "path"),
    ({"method": "POST", "bulkId": "x", "path": "/Users/", "data": {}}, "404", None, "path"),
    ({"method": "POST", "bulkId": "x", "path": "/Users/1", "data": {"userName": "x"}}, "405", None, "POST"),
    ({"method": "DELETE", "path": "/Users"}, "405", None, "DELETE"),
    ({"method": "DELETE", "path": "/Users/1/2"}, "404", None, "path"),
    ({"method": "DELETE", "path": "/Users/..%2f..%2fGroups"}, "404", None, "path"),
    ({"method": "DELETE", "path": "/Users/nobody"}, "404", None, "nobody"),
    ({"method": "POST", "bulkId": "x", "path": "/Users"}, "400", "invalidValue", "data"),
    ({"method": "POST", "bulkId": "x", "path": "/Users", "data": []}, "400", "invalidSyntax", "object"),
    ({"method": "POST", "bulkId": "x", "path": "/Users", "data": {"active": 3}}, "400", "invalidValue", "active"),
    ({"method": "POST", "bulkId": "x", "path": "/Users", "data": {"userName": "ADA"}}, "409", "uniqueness", "ADA"),
    ({"method": "POST", "bulkId": "x", "path": "/Groups", "data": {}}, "400", "invalidValue", "displayName"),
    (
        {"method": "POST", "bulkId": "x", "path": "/Groups", "data": {"displayName": "x", "members": ["bulkId:no"]}},
        "400",
        "invalidValue",
        "no",
    ),
    ({"method": "PATCH", "path": "/Users/{ada}", "data": {"Operations": []}}, "400", "invalidSyntax", "Operation"),
    (
        {"method": "PATCH", "path": "/Users/{ada}", "data": {"Operations": [{"op": "remove", "path": "userName"}]}},
        "400",
        "mutability",
        "userName",
    ),
    ({"method": "PUT", "path": "/Users/{ada}", "version": 'W/"9"', "data": {"userName": "x"}}, "412", None, "etag"),
    ({"method": "PUT", "path": "/Users/{ada}", "version": 9, "data": {"userName": "x"}}, "400", "invalidValue", "v"),
]


async def test_a_wrong_operation_says_what_is_wrong_and_harms_no_other(scim: Scim) -> None:
    """RFC 7644 §3.7.3: an operation that failed carries the SCIM error that it would have got alone."""
    ada = await scim.create_user("ada")
    sent = [json.loads(json.dumps(wrong).replace("{ada}", ada["id"])) for wrong, *_ in WRONG]
    for operation, (_, status, scim_type, names) in zip(sent, WRONG, strict=True):
        good = post("good", userName=f"good-{uuid.uuid4()}")
        failed, done = await bulk(scim, operation, good)
        assert (failed["status"], failed["response"].get("scimType")) == (status, scim_type), (operation, failed)
        assert names in failed["response"]["detail"], failed
        assert done["status"] == "201"
    assert (await scim.get(f"/Users/{ada['id']}")) == ada


async def test_after_as_many_errors_as_allowed_the_rest_is_not_processed(scim: Scim) -> None:
    """RFC 7644 §3.7: "failOnErrors"; errors that the gateway and that the directory finds count alike."""
    operations = [
        post("a", userName="a"), {"method": "FETCH"}, post("b", userName="b"), post("c", userName="A"),
        post("d", userName="d"),
    ]  # fmt: skip
    assert statuses(await bulk(scim, *operations, failOnErrors=1)) == ["201", "400"]
    assert await scim.user_names() == ["a"]
    assert statuses(await bulk(scim, *operations[1:], failOnErrors=2)) == ["400", "201", "409"]
    assert statuses(await bulk(scim, *operations[3:])) == ["409", "201"]


async def test_a_request_over_a_limit_is_413_and_names_the_limit(small_world: World) -> None:
    """RFC 7644 §3.7.4: "MUST return HTTP response code 413" and "specify the limit exceeded in the body"."""
    connected = await small_world.connect()
    target = f"127.0.0.1:{small_world.server.port}"
    limits = {"max_bulk_operations": 3, "max_bulk_body_bytes": 2000}
    async with gateway(target, small_world.secrets["gateway"], **limits) as client:
        scim = Scim(client, connected.id, connected.token)
        advertised = (await scim.get("/ServiceProviderConfig"))["bulk"]
        assert advertised == {"supported": True, "maxOperations": 3, "maxPayloadSize": 2000}
        operations = [post(f"{n}", userName=f"u{n}") for n in range(4)]
        assert statuses(await bulk(scim, *operations[:3])) == ["201"] * 3
        for body, limit in (
            ({"Operations": operations}, "maxOperations is 3"),
            ({"Operations": [post("x", userName="x" * 2000)]}, "maxPayloadSize, which is 2000 bytes"),
        ):
            assert limit in assert_scim_error(await scim.send("POST", "/Bulk", body), 413)


async def test_what_is_advertised_holds(scim: Scim) -> None:
    """RFC 7643 §5: `maxOperations` and `maxPayloadSize` are what is taken: 1,000 operations, not 1,001."""
    advertised = (await scim.get("/ServiceProviderConfig"))["bulk"]
    assert advertised == {"supported": True, "maxOperations": 1000, "maxPayloadSize": 4 * 1024 * 1024}
    operations = [post(f"{n}", userName=f"u{n}", title="x" * 3000) for n in range(1000)]
    assert len(json.dumps(operations)) > 3_000_000
    assert statuses(await bulk(scim, *operations)) == ["201"] * 1000
    assert_scim_error(await scim.send("POST", "/Bulk", {"Operations": [*operations, post("x", userName="x")]}), 413)
    assert (await scim.get("/Users?count=0"))["totalResults"] == 1000


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        ([], "invalidSyntax"),
        ({}, "invalidSyntax"),
        ({"Operations": {}}, "invalidSyntax"),
        ({"Operations": [], "operations": []}, "invalidSyntax"),
        ({"Operations": [], "failOnErrors": "1"}, "invalidValue"),
        ({"Operations": [], "failOnErrors": True}, "invalidValue"),
        ({"Operations": [], "failOnErrors": -1}, "invalidValue"),
        ({"Operations": [post("a", userName="a"), post("a", userName="b")]}, "invalidValue"),
    ],
)
async def test_a_request_that_is_wrong_as_a_whole_changes_nothing(scim: Scim, body: Any, scim_type: str) -> None:
    """RFC 7644 §3.7: a bulkId is "unique within a bulk request"; §3.12: the error names what is wrong."""
    detail = assert_scim_error(await scim.send("POST", "/Bulk", body), 400, scim_type)
    assert "_" not in detail, "named as SCIM does, not as the contract behind it"
    assert await scim.user_names() == []


async def test_names_in_any_case_and_whole_uris_are_understood(scim: Scim) -> None:
    """RFC 7643 §2.1: "Attribute names are case insensitive"; RFC 7644 §3.7: the path is relative to the base URL."""
    ada = await scim.create_user("ada")
    sent = {
        "OPERATIONS": [
            {"Method": "post", "PATH": "users?attributes=id", "bulkid": "b", "Data": {"username": "bob"}},
            {"method": "Delete", "path": f"http://gateway.test{scim.base}/Users/{ada['id']}", "version": "*"},
        ]
    }
    response = await scim.send("POST", "/Bulk", sent)
    assert statuses(response.json()["Operations"]) == ["201", "204"]
    assert (await scim.send("POST", "/Bulk", {"Operations": []})).json()["Operations"] == []
    assert_scim_error(await scim.send("GET", "/Bulk"), 405)


async def test_a_token_that_may_only_read_writes_nothing_in_bulk(scim: Scim, small_world: World) -> None:
    """SECURITY: "scopes `read`, `write`"; a bulk request writes."""
    request = connections_pb.IssueTokenRequest(connection_id=scim.connection_id, scope=connections_pb.TOKEN_SCOPE_READ)
    token = (await small_world.admin.call("IssueToken", request)).token
    reader = Scim(scim.http, scim.connection_id, token)
    assert_scim_error(await reader.send("POST", "/Bulk", {"Operations": [post("a", userName="a")]}), 403)
    stranger = Scim(scim.http, scim.connection_id, fresh_token())
    assert_scim_error(await stranger.send("POST", "/Bulk", {"Operations": [post("a", userName="a")]}), 401)
    assert await scim.user_names() == []


async def test_what_the_directory_fails_in_is_told_per_operation(scim: Scim) -> None:
    """Proto: "a failure after that is the result of every operation that is left": 503, 401 and 500, each as SCIM."""
    reason = errors_pb2.ErrorReason.Value
    failures = [
        pb.BulkFailure(code=grpc.StatusCode.UNAVAILABLE.value[0], message="SELECT secret"),
        pb.BulkFailure(code=grpc.StatusCode.INTERNAL.value[0], message="SELECT secret"),
        pb.BulkFailure(code=16, reason=reason("ERROR_REASON_INVALID_TOKEN"), message="secret"),  # type: ignore[arg-type]
    ]
    directory = ScriptedDirectory()
    directory.scripts["BulkWrite"] = lambda _: pb.BulkWriteResponse(
        results=[pb.BulkResult(index=index, failure=failure) for index, failure in enumerate(failures)]
    )
    async with scripted(directory) as target, gateway(target) as client:
        broken = Scim(client, scim.connection_id, fresh_token())
        answers = await bulk(broken, *(post(f"{n}", userName=f"u{n}") for n in range(3)))
    assert statuses(answers) == ["503", "500", "401"]
    assert "secret" not in json.dumps(answers)
    assert directory.named() == ["BulkWrite"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("bulkId:a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "x"]) | json_values,
        "path": st.sampled_from(["/Users", "/Groups", "/Users/bulkId:a", "/Groups/x", "/"]) | json_values,
        "bulkId": st.sampled_from(["a", "b", "c"]) | json_values,
        "version": json_values,
        "data": st.fixed_dictionaries(
            {},
            optional={
                "userName": st.sampled_from(["x", "y"]) | json_values,
                "displayName": st.sampled_from(["x", "bulkId:b"]) | json_values,
                "members": st.just([{"value": "bulkId:b"}]) | json_values,
                "Operations": st.just([{"op": "add", "path": "title", "value": "bulkId:c"}]) | json_values,
            },
        )
        | json_values,
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sent=st.lists(entries | json_values, max_size=5), errors=st.none() | st.integers(0, 3))
async def test_whatever_is_sent_is_answered_as_scim(scim: Scim, sent: list[Any], errors: int | None) -> None:
    """WIRE: "a body that is not SCIM JSON … breaks the task": every answer is one, and never a 500."""
    response: httpx.Response = await scim.send("POST", "/Bulk", {"Operations": sent, "failOnErrors": errors})
    if response.status_code != 200:
        assert_scim_error(response, response.status_code, response.json().get("scimType"))
        return
    answers = response.json()["Operations"]
    assert len(answers) <= len(sent)
    assert all(answered["status"] != "500" for answered in answers), answers
    if not errors:
        assert len(answers) == len(sent)
