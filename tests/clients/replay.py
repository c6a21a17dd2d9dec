"""Replays recorded requests against a stack, byte for byte as the client sent them, and checks the answers.

A recording is a JSON file:

- `title`, `source` (the line of the wire notes that it stands for), `portal`, `headers` (of every request);
- `setup` (optional): `rules`, `role_mapping`, `policies`, `attribute_mapping` of the connection;
- `steps`, each one of
  - `request` {method, path, query, headers, body} and `response` {status, headers, body}; `query` is sent as it stands;
    `save` keeps the response's body under a name, `times` repeats the step with `{{n}}` counting from 000;
  - `parallel`: steps of the kind above that are sent at once;
  - `enroll`, `publish`: what an administrator does in between;
  - `consequences`: what must hold downstream at that moment;
- `consequences`: what must hold downstream at the end.

A body in a request may be `{"$saved": name, "$changes": {...}}`: the saved body with some attributes replaced, as Okta
sends our own answer back. In a response an object is a subset, a list is whole and in order, types are strict (`true`
is not `1`). `"{{name}}"` captures a value where it is first seen and must equal it from then on; directives are
`{"$absent": true}`, `{"$unordered": [...]}`, `{"$matches": regex}` and `{"$list": {length, first, last}}`.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf import duration_pb2, json_format
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.directory.v1 import connection_service_pb2, directory_service_pb2
from rollcall.mdm.v1 import mdm_service_pb2
from rollcall.portal.v1 import portal_service_pb2

from tests.stack import Connection, Stack

RECORDINGS = Path(__file__).parent
ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


def recordings() -> list[Path]:
    """Every recorded file, by path."""
    return sorted(RECORDINGS.rglob("*.json"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Wire:
    """Sends requests exactly as recorded: raw path and query, header names in the client's case."""

    def __init__(self, connection: Connection) -> None:
        parts = urlsplit(connection.base_url)
        assert parts.hostname is not None
        self.prefix = parts.path
        self._http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        self._token = connection.token

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Send one request and read the whole answer."""
        self._http.putrequest(method, self.prefix + target, skip_accept_encoding=True)
        self._http.putheader("Authorization", f"Bearer {self._token}")
        for name, value in headers.items():
            self._http.putheader(name, value)
        if body is not None:
            self._http.putheader("Content-Length", str(len(body)))
        self._http.endheaders(body)
        response = self._http.getresponse()
        raw = response.read()
        received = {name.lower(): value for name, value in response.getheaders()}
        encoding = received.get("content-encoding")
        if encoding == "gzip":
            raw = gzip.decompress(raw)
        elif encoding == "deflate":
            raw = zlib.decompress(raw)
        return Answer(response.status, received, json.loads(raw) if raw else None)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


class Matcher:
    """Compares an answer with what was recorded, capturing and filling in placeholders."""

    def __init__(self, captured: dict[str, Any]) -> None:
        self.captured = captured

    def fill(self, text: str) -> str:
        """Put captured values where their placeholders stand."""
        return PLACEHOLDER.sub(lambda found: str(self.captured[found[1]]), text)

    def match(self, expected: Any, actual: Any, where: str) -> None:
        """Raise AssertionError, with the place, where `actual` is not what is expected."""
        if isinstance(expected, dict):
            self._object(expected, actual, where)
        elif isinstance(expected, list):
            assert isinstance(actual, list), f"{where} is not a list"
            assert len(expected) == len(actual), f"{where} has {len(actual)} elements, expected {len(expected)}"
            for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
                self.match(one, other, f"{where}[{index}]")
        elif isinstance(expected, str):
            self._text(expected, actual, where)
        else:
            assert type(expected) is type(actual), f"{where} is {actual!r}, expected {expected!r}"
            assert expected == actual, f"{where} is {actual!r}, expected {expected!r}"

    def _object(self, expected: Mapping[str, Any], actual: Any, where: str) -> None:
        if "$matches" in expected:
            assert isinstance(actual, str), f"{where} is not a text"
            assert re.search(expected["$matches"], actual), f"{where} does not match {expected['$matches']!r}"
        elif "$unordered" in expected:
            assert isinstance(actual, list), f"{where} is not a list"
            wanted, left = list(expected["$unordered"]), list(actual)
            assert len(wanted) == len(left), f"{where} has {len(left)} elements, expected {len(wanted)}"
            for one in wanted:
                found = next((other for other in left if self._matches(one, other)), None)
                assert found is not None, f"{where} holds nothing like {one!r}"
                left.remove(found)
        elif "$list" in expected:
            rule = expected["$list"]
            assert isinstance(actual, list), f"{where} is not a list"
            assert len(actual) == rule["length"], f"{where} has {len(actual)} elements, expected {rule['length']}"
            if "first" in rule:
                self.match(rule["first"], actual[0], f"{where}[0]")
            if "last" in rule:
                self.match(rule["last"], actual[-1], f"{where}[-1]")
        else:
            assert isinstance(actual, dict), f"{where} is not an object"
            for key, value in expected.items():
                name = self.fill(key)
                if value == {"$absent": True}:
                    assert name not in actual, f"{where}.{name} is there"
                else:
                    assert name in actual, f"{where}.{name} is missing"
                    self.match(value, actual[name], f"{where}.{name}")

    def _text(self, expected: str, actual: Any, where: str) -> None:
        whole = PLACEHOLDER.fullmatch(expected)
        if whole and whole[1] not in self.captured:
            assert actual is not None, f"{where} is missing"
            self.captured[whole[1]] = actual
            return
        wanted = self.captured[whole[1]] if whole else self.fill(expected)
        assert type(wanted) is type(actual), f"{where} is {actual!r}, expected {wanted!r}"
        assert wanted == actual, f"{where} is {actual!r}, expected {wanted!r}"

    def _matches(self, expected: Any, actual: Any) -> bool:
        try:
            self.match(expected, actual, "")
        except AssertionError:
            return False
        return True


class Replay:
    """One recording on one new workspace of a stack."""

    def __init__(self, stack: Stack, recording: Mapping[str, Any]) -> None:
        self.stack = stack
        self.recording = recording
        self.workspace_id = stack.create_workspace()
        self.connection = stack.enable(self.workspace_id, recording["portal"])
        self.captured: dict[str, Any] = {"base_url": self.connection.base_url}
        self.matcher = Matcher(self.captured)
        self.saved: dict[str, Any] = {}
        self.policies: dict[str, str] = {}
        self.wire = Wire(self.connection)

    def run(self) -> None:
        """Set up, send every step in order, and check the answers and the consequences."""
        try:
            self._set_up(self.recording.get("setup", {}))
            for number, step in enumerate(self.recording["steps"], start=1):
                self._step(step, f"step {number}")
            self._consequences(self.recording["consequences"], "at the end")
        finally:
            self.wire.close()

    # -- steps --------------------------------------------------------------------------------------------------------

    def _step(self, step: Mapping[str, Any], where: str) -> None:
        if "enroll" in step:
            self._enroll(step["enroll"])
        elif "publish" in step:
            self._publish(step["publish"])
        elif "consequences" in step:
            self._consequences(step["consequences"], where)
        elif "parallel" in step:
            self._parallel(step["parallel"], where)
        else:
            for turn in range(step.get("times", 1)):
                self.captured["n"] = f"{turn:03}"
                self._exchange(step, self.wire, where)

    def _parallel(self, steps: Sequence[Mapping[str, Any]], where: str) -> None:
        wires = [Wire(self.connection) for _ in steps]
        try:
            with ThreadPoolExecutor(len(steps)) as pool:
                turns = [
                    pool.submit(self._exchange, step, wire, f"{where}.{number}")
                    for number, (step, wire) in enumerate(zip(steps, wires, strict=True), start=1)
                ]
                for turn in turns:
                    turn.result()
        finally:
            for wire in wires:
                wire.close()

    def _exchange(self, step: Mapping[str, Any], wire: Wire, where: str) -> None:
        request, expected = step["request"], step["response"]
        method, target = request["method"], self.matcher.fill(request["path"])
        if request.get("query"):
            target += "?" + self.matcher.fill(request["query"])
        body = json.dumps(self._body(request["body"])).encode() if "body" in request else None
        headers = {**self.recording["headers"], **request.get("headers", {})}
        if body is None:
            headers.pop("Content-Type", None)
        answer = wire.send(method, target, headers, body)
        where = f"{where}, {method} {target} answered {answer.status} {json.dumps(answer.body)}"
        assert answer.status == expected["status"], f"{where}; expected {expected['status']}"
        check_form(answer, where)
        if "body" in expected:
            self.matcher.match(expected["body"], answer.body, f"{where}: body")
        for name, value in expected.get("headers", {}).items():
            self.matcher.match(value, answer.headers.get(name.lower()), f"{where}: header {name}")
        if "save" in step:
            self.saved[step["save"]] = answer.body

    def _body(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.matcher.fill(value)
        if isinstance(value, list):
            return [self._body(item) for item in value]
        if isinstance(value, dict):
            if "$saved" in value:
                return {**self.saved[value["$saved"]], **self._body(value.get("$changes", {}))}
            return {self.matcher.fill(key): self._body(item) for key, item in value.items()}
        return value

    # -- the administrator --------------------------------------------------------------------------------------------

    def _set_up(self, setup: Mapping[str, Any]) -> None:
        for name in setup.get("policies", ()):
            request = mdm_service_pb2.CreatePolicyRequest(workspace_id=self.workspace_id, name=name)
            self.policies[name] = self.stack.mdm.CreatePolicy(request).policy.policy_id
        if "rules" in setup:
            self._set_rules(setup["rules"])
        for group, role in setup.get("role_mapping", {}).items():
            self.stack.portal.MapRole(
                portal_service_pb2.MapRoleRequest(
                    connection_id=self.connection.connection_id,
                    group=group,
                    role=portal_service_pb2.Role.Value(f"ROLE_{role}"),
                )
            )
        if "attribute_mapping" in setup:
            request = connection_service_pb2.UpdateAttributeMappingRequest()
            json_format.ParseDict(
                {"connection_id": self.connection.connection_id, "mapped_attributes": setup["attribute_mapping"]},
                request,
            )
            self.stack.connections.UpdateAttributeMapping(request)

    def _set_rules(self, rules: Mapping[str, Any]) -> None:
        if self.connection.portal == "mdm":
            behaviour = dict(rules["on_deactivate"])
            if "change_policy" in behaviour:
                behaviour["change_policy"] = {"policy_id": self.policies[behaviour["change_policy"]]}
            request = mdm_service_pb2.UpdateRulesRequest()
            json_format.ParseDict(
                {
                    "connection_id": self.connection.connection_id,
                    "on_create": f"ON_CREATE_{rules['on_create']}",
                    "on_deactivate": behaviour,
                },
                request,
            )
            self.stack.mdm.UpdateRules(request)
            return
        update = portal_service_pb2.UpdateRulesRequest(
            connection_id=self.connection.connection_id,
            on_create=portal_service_pb2.OnCreate.Value(f"ON_CREATE_{rules['on_create']}"),
            on_deactivate=portal_service_pb2.OnDeactivate.Value(f"ON_DEACTIVATE_{rules['on_deactivate']}"),
        )
        if "default_role" in rules:
            update.default_role = portal_service_pb2.Role.Value(f"ROLE_{rules['default_role']}")
        if "role_mode" in rules:
            update.role_mode = portal_service_pb2.RoleMode.Value(f"ROLE_MODE_{rules['role_mode']}")
        if "settling_seconds" in rules:
            update.settling_period.CopyFrom(duration_pb2.Duration(seconds=rules["settling_seconds"]))
        self.stack.portal.UpdateRules(update)

    def _enroll(self, devices: Sequence[Mapping[str, str]]) -> None:
        self.stack.settled()
        for device in devices:
            self.stack.mdm.EnrollDevice(
                mdm_service_pb2.EnrollDeviceRequest(
                    workspace_id=self.workspace_id,
                    serial=device["serial"],
                    name=device.get("name", device["serial"]),
                    platform=device.get("platform", "macos"),
                    policy_id=self.policies[device["policy"]] if "policy" in device else "",
                    owner_email=device.get("owner", ""),
                )
            )

    def _publish(self, publications: Sequence[Mapping[str, Any]]) -> None:
        self.stack.settled()
        for publication in publications:
            self.stack.portal.CreatePublication(
                portal_service_pb2.CreatePublicationRequest(
                    workspace_id=self.workspace_id, name=publication["name"], audience=publication.get("audience", ())
                )
            )

    # -- consequences -------------------------------------------------------------------------------------------------

    def _consequences(self, consequences: Sequence[Mapping[str, Any]], where: str) -> None:
        assert consequences, "a recording says what follows downstream, or that nobody is concerned"
        self.stack.settled()
        for consequence in consequences:
            kind = next(iter(consequence))
            check: Callable[[Mapping[str, Any], str], None] = getattr(self, f"_check_{kind}")
            check(consequence, f"{where}, consequence {json.dumps(consequence)}")

    def _check_collaborator(self, wanted: Mapping[str, Any], where: str) -> None:
        request = portal_service_pb2.GetCollaboratorRequest(
            workspace_id=self.workspace_id, email=wanted["collaborator"]
        )
        found = self._found(lambda: self.stack.portal.GetCollaborator(request).collaborator)
        self._check_account(wanted, found, where)
        if found is not None and not wanted.get("absent"):
            for key, prefix, enum in (
                ("role", "ROLE_", portal_service_pb2.Role),
                ("role_source", "ROLE_SOURCE_", portal_service_pb2.RoleSource),
            ):
                if key in wanted:
                    actual = enum.Name(getattr(found, key)).removeprefix(prefix)
                    assert actual == wanted[key], f"{where}: {key} is {actual}"

    def _check_employee(self, wanted: Mapping[str, Any], where: str) -> None:
        if wanted["portal"] == "store":
            store = portal_service_pb2.GetEmployeeRequest(workspace_id=self.workspace_id, email=wanted["employee"])
            self._check_account(wanted, self._found(lambda: self.stack.portal.GetEmployee(store).employee), where)
            return
        mdm = mdm_service_pb2.GetEmployeeRequest(workspace_id=self.workspace_id, email=wanted["employee"])
        found = self._found(lambda: self.stack.mdm.GetEmployee(mdm).employee)
        self._check_account(wanted, found, where)
        if "active" in wanted:
            assert found is not None
            assert found.active is wanted["active"], f"{where}: active is {found.active}"

    @staticmethod
    def _check_account(wanted: Mapping[str, Any], found: Any, where: str) -> None:
        if wanted.get("absent"):
            assert found is None, f"{where}: there is {found}"
            return
        assert found is not None, f"{where}: there is none"
        if "display_name" in wanted:
            assert found.display_name == wanted["display_name"], f"{where}: display_name is {found.display_name!r}"
        if "metadata" in wanted:
            metadata = json_format.MessageToDict(found.metadata)
            assert metadata == wanted["metadata"], f"{where}: metadata is {metadata}"

    @staticmethod
    def _found(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None

    def _check_sees(self, wanted: Mapping[str, Any], where: str) -> None:
        request = portal_service_pb2.ListVisiblePublicationsRequest(
            workspace_id=self.workspace_id, email=wanted["sees"]
        )
        seen = [item.name for item in self.stack.portal.ListVisiblePublications(request).publications]
        assert seen == wanted["publications"], f"{where}: sees {seen}"

    def _check_device(self, wanted: Mapping[str, Any], where: str) -> None:
        request = mdm_service_pb2.GetDeviceRequest(workspace_id=self.workspace_id, device=wanted["device"])
        device = self.stack.mdm.GetDevice(request).device
        if "owner" in wanted:
            assert device.owner_email == wanted["owner"], f"{where}: owner is {device.owner_email!r}"
        if "policy" in wanted:
            policy_id = self.policies[wanted["policy"]] if wanted["policy"] else ""
            assert device.policy_id == policy_id, f"{where}: policy is {device.policy_id!r}"
        if "state" in wanted:
            state = mdm_service_pb2.DeviceState.Name(device.state).removeprefix("DEVICE_STATE_")
            assert state == wanted["state"], f"{where}: state is {state}"

    def _check_effect(self, wanted: Mapping[str, Any], where: str) -> None:
        effects = [self._effect(effect) for effect in self.stack.effects(self.workspace_id)]
        found = [effect for effect in effects if wanted["effect"].items() <= effect.items()]
        assert found, f"{where}: there are {effects}"
        if "times" in wanted:
            assert len(found) == wanted["times"], f"{where}: there are {len(found)}"

    @staticmethod
    def _effect(effect: delivery_service_pb2.Effect) -> dict[str, str]:
        outcome = delivery_service_pb2.Outcome.Name(effect.outcome).removeprefix("OUTCOME_")
        return {
            "action": effect.action,
            "outcome": outcome,
            "reason": effect.reason,
            "target_name": effect.target_name,
            "user_name": effect.user_name,
        }

    def _check_nobody(self, wanted: Mapping[str, Any], where: str) -> None:
        page = {"workspace_id": self.workspace_id}
        accounts = [
            *self.stack.portal.ListCollaborators(portal_service_pb2.ListCollaboratorsRequest(**page)).collaborators,
            *self.stack.portal.ListEmployees(portal_service_pb2.ListEmployeesRequest(**page)).employees,
            *self.stack.mdm.ListEmployees(mdm_service_pb2.ListEmployeesRequest(**page)).employees,
        ]
        assert not accounts, f"{where}: there are {accounts}"
        applied = delivery_service_pb2.OUTCOME_APPLIED
        effects = [effect for effect in self.stack.effects(self.workspace_id) if effect.outcome == applied]
        assert not effects, f"{where}: there are {effects}"

    def _check_parked(self, wanted: Mapping[str, Any], where: str) -> None:
        request = directory_service_pb2.ListParkedMembersRequest(connection_id=self.connection.connection_id)
        parked: list[str] = []
        while True:
            page = self.stack.users_and_groups.ListParkedMembers(request)
            parked.extend(item.value for item in page.parked_members)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        expected = sorted(self.matcher.fill(value) for value in wanted["parked"])
        assert sorted(parked) == expected, f"{where}: parked are {parked}"


def check_form(answer: Answer, where: str) -> None:
    """Check what holds for every SCIM answer, whatever was asked (RFC 7644 §3.4.2, §3.12, §3.14; RFC 7643 §3.1)."""
    body = answer.body
    if answer.status == 204:
        assert body is None, f"{where}: 204 has no body"
        return
    assert isinstance(body, dict), f"{where}: a SCIM answer is an object"
    media_type = answer.headers.get("content-type", "").split(";")[0]
    assert media_type == "application/scim+json", f"{where}: the media type is {media_type}"
    schemas = body.get("schemas")
    assert isinstance(schemas, list), f"{where}: schemas is missing"
    assert schemas, f"{where}: schemas is empty"
    if answer.status >= 400:
        assert schemas == [ERROR_URN], f"{where}: an error has the Error schema"
        assert body["status"] == str(answer.status), f"{where}: status is a text and the HTTP status"
        assert body.get("detail"), f"{where}: an error says what is wrong"
    elif schemas == [LIST_URN]:
        for counter in ("totalResults", "startIndex", "itemsPerPage"):
            assert type(body[counter]) is int, f"{where}: {counter} is an integer"
        resources = body.get("Resources", [])
        assert body["itemsPerPage"] == len(resources), f"{where}: itemsPerPage is the number of Resources"
        for resource in resources:
            check_resource(resource, where)
    else:
        check_resource(body, where)
        version = body.get("meta", {}).get("version")
        if version is not None:
            assert answer.headers.get("etag") == version, f"{where}: ETag is meta.version"
        if answer.status == 201:
            assert answer.headers.get("location") == body["meta"]["location"], f"{where}: Location is meta.location"


def check_resource(resource: Mapping[str, Any], where: str) -> None:
    """Check what holds for every resource in every answer (RFC 7643 §3.1, §7)."""
    assert isinstance(resource.get("id"), str), f"{where}: id is always returned"
    assert "password" not in resource, f"{where}: a password is never returned"
    if "active" in resource:
        assert type(resource["active"]) is bool, f"{where}: active is a boolean"
    for extension in (name for name in resource if name.startswith("urn:")):
        assert extension in resource["schemas"], f"{where}: schemas lists {extension}"
