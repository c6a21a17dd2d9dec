"""The dialect of a request is told from the request alone, on every request that was recorded of a client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollcall.directory.v1 import connection_service_pb2 as pb

from gateway.dialect import ENTRA, OKTA, OKTA_AIW, OKTA_OIN, OTHER, classify

RECORDINGS = Path(__file__).parents[1] / "clients"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
OKTA_AGENT = "Okta SCIM Client 1.0.0"

AIW_TRAITS = {"deactivate", "push", "rename", "change", "unlink"}
"""First words of the recordings in which the two dialects of Okta differ."""


def recorded(folder: str) -> list[Path]:
    """The recordings of a client."""
    return sorted((RECORDINGS / folder).rglob("*.json"))


def dialects(path: Path) -> list[tuple[str, str]]:
    """Each request of a recording, as its method and path, with its dialect."""
    recording = json.loads(path.read_text())
    return [
        (f"{request['method']} {request['path']}", of_request(request, recording.get("headers", {})))
        for request in requests(recording["steps"])
    ]


def requests(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The requests of steps, also of those that are sent at once."""
    for step in steps:
        yield from requests(step.get("parallel", []))
        if "request" in step:
            yield step["request"]


def of_request(request: dict[str, Any], headers: dict[str, str]) -> str:
    """The dialect of a recorded request."""
    route = f"{request['method']} {re.sub('/[^/]*[{][{].*', '/{id}', request['path'])}"
    headers = {name.lower(): value for name, value in (headers | request.get("headers", {})).items()}
    body = request.get("body")
    if isinstance(body, dict) and "$saved" in body:
        body = body.get("$changes", {})
    return classify(route, headers.get("user-agent", ""), request.get("query", "").encode(), body)


@pytest.mark.parametrize("path", recorded("okta/aiw"), ids=lambda path: path.stem)
def test_okta_by_a_custom_app(path: Path) -> None:
    """WIRE: a custom app deactivates and changes groups by PUT."""
    found = dialects(path)
    assert {dialect for _, dialect in found} <= {OKTA, OKTA_AIW}
    assert {dialect for request, dialect in found if request.startswith("PUT /Groups")} <= {OKTA_AIW}
    if path.stem.partition("_")[0] in AIW_TRAITS:
        assert OKTA_AIW in {dialect for _, dialect in found}


@pytest.mark.parametrize("path", recorded("okta/oin"), ids=lambda path: path.stem)
def test_okta_by_an_app_of_the_catalogue(path: Path) -> None:
    """WIRE: an app of the catalogue deactivates and changes groups by PATCH."""
    found = dialects(path)
    assert {dialect for _, dialect in found} <= {OKTA, OKTA_OIN}
    if path.stem.partition("_")[0] in AIW_TRAITS:
        assert OKTA_OIN in {dialect for _, dialect in found}


@pytest.mark.parametrize("path", recorded("entra"), ids=lambda path: path.stem)
def test_entra(path: Path) -> None:
    """WIRE: Entra writes `Add`, `"False"`, `$ref: null` and a schema of its own, and asks for groups without members.

    What has none of these, such as a DELETE, has nothing that tells it from others.
    """
    found = dialects(path)
    assert {dialect for _, dialect in found} <= {ENTRA, OTHER}
    assert ENTRA in {dialect for _, dialect in found} or path.stem == "test_connection"
    for request, dialect in found:
        if request.startswith(("POST", "PATCH")):
            assert dialect == ENTRA, request


@pytest.mark.parametrize("path", recorded("others"), ids=lambda path: path.stem)
def test_others_are_taken_for_nobody_else(path: Path) -> None:
    """Rule: "Okta AIW, Okta OIN, Entra, other". A user that carries an id of Okta's came from there all the same."""
    recording = json.loads(path.read_text())
    for request in requests(recording["steps"]):
        body = request.get("body")
        from_okta = isinstance(body, dict) and str(body.get("externalId", "")).startswith("00u")
        assert of_request(request, recording["headers"]) == (OKTA if from_okta else OTHER), request


@pytest.mark.parametrize(
    ("route", "agent", "query", "body", "dialect"),
    [
        ("GET /Users", OKTA_AGENT, b"startIndex=1&count=2", None, OKTA),
        ("PUT /Users/{id}", OKTA_AGENT, b"", {"active": True}, OKTA),
        ("PUT /Users/{id}", OKTA_AGENT, b"", {"active": False}, OKTA_AIW),
        ("PUT /Groups/{id}", OKTA_AGENT, b"", {"members": []}, OKTA_AIW),
        ("PATCH /Groups/{id}", OKTA_AGENT, b"", {"Operations": [{"op": "Add"}]}, OKTA_OIN),
        ("POST /Users", "corporate-proxy/1", b"", {"externalId": "00u1adaa2b3c4d5e6f7"}, OKTA),
        ("POST /Users", "", b"", {"externalId": "00u-not"}, OTHER),
        ("POST /Users", "Microsoft-SCIM/2", b"", {}, ENTRA),
        ("PATCH /Users/{id}", "", b"aadOptscim062020", {}, ENTRA),
        ("PATCH /Users/{id}", "", b"", {"Operations": [{"op": "replace", "value": {"name.givenName": "A"}}]}, ENTRA),
        ("PATCH /Users/{id}", "", b"", {"Operations": [{"op": "replace", "value": {"active": False}}]}, OTHER),
        ("PATCH /Users/{id}", "", b"", {"Operations": [{"op": "replace", "path": "active", "value": "False"}]}, ENTRA),
        ("PATCH /Groups/{id}", "", b"", {"Operations": [{"op": "add", "value": [{"$ref": None}]}]}, ENTRA),
        ("GET /Groups", "", b"excludedAttributes=members&filter=id+eq+%221%22", None, ENTRA),
        ("GET /Groups", "", b"filter=id+eq+%221%22", None, OTHER),
        ("GET /Groups", "", b"EXCLUDEDATTRIBUTES=Members&filter=id+eq+%221%22", None, OTHER),
        ("PATCH /Groups/{id}", "", b"", {"Operations": [{"op": "Remove", "path": "MEMBERS"}]}, OTHER),
        ("PATCH /Groups/{id}", "", b"", {"Operations": [{"op": "Remove", "path": "members"}]}, ENTRA),
        ("PATCH /Users/{id}", "", b"", {"Operations": [{"op": "add", "value": {f"{ENTERPRISE}": {"a": 1}}}]}, OTHER),
        ("PATCH /Users/{id}", "", b"", {"Operations": [{"op": "add", "value": {f"{ENTERPRISE}:a": 1}}]}, ENTRA),
        ("GET /Users", "curl/8", b"", None, OTHER),
        ("CheckToken", OKTA_AGENT, b"", None, OKTA),
    ],
)
def test_the_traits(route: str, agent: str, query: bytes, body: object, dialect: str) -> None:
    """WIRE, "Header traits" and the table of Okta's dialects; "Entra ID"."""
    assert classify(route, agent, query, body) == dialect


def test_every_dialect_is_one_of_the_contract() -> None:
    """The gateway names dialects as the contract does."""
    names = {name.removeprefix("CLIENT_DIALECT_") for name in pb.ClientDialect.DESCRIPTOR.values_by_name}
    assert {OKTA, OKTA_AIW, OKTA_OIN, ENTRA, OTHER} == names - {"UNSPECIFIED"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Operations", "op", "path", "value", "members", "schemas", "active", "externalId", "$ref"]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(["PUT /Users/{id}", "PATCH /Groups/{id}", "GET /Groups", ""]), anything, st.binary(max_size=9))
def test_no_body_is_too_strange_to_be_told(route: str, body: object, query: bytes) -> None:
    """A request is never refused for what it is evidence of."""
    assert classify(route, "", query, body) in (ENTRA, OKTA, OKTA_AIW, OKTA_OIN, OTHER)
