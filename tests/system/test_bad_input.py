"""Bad requests: each is refused with a clear error that names the field and the rule, and nothing is changed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

from tests.stack import Stack, refused
from tests.system.administrator import Administrator
from tests.system.okta import GROUP_URN, PATCH_URN, USER_URN, OktaApp

NOBODY = "00000000-0000-4000-8000-000000000000"
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
EXISTS, PRECONDITION = grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION


class Organisation:
    """A workspace with one user and one group on its dashboard app; knows whether anything has changed."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.administrator = Administrator(stack)
        self.okta: OktaApp = self.administrator.dashboard_app()
        self.ada = self.okta.assign("ada@example.com")
        self.bob = self.okta.assign("bob@example.com")
        self.group = self.okta.push_group("Compilers", [self.ada])
        self.administrator.stack.settled()

    def state(self) -> dict[str, Any]:
        return {
            "users": self.okta.http.get("/Users").json(),
            "group": self.okta.group(self.group),
            "groups": self.okta.http.get("/Groups").json()["totalResults"],
            "events": self.stack.events(self.okta.connection),
            "effects": self.administrator.effects(),
        }


@pytest.fixture(scope="module")
def organisation_of_all(session_stack: Stack) -> Organisation:
    """One organisation for all requests: none of them changes it."""
    session_stack.ensure_running()
    return Organisation(session_stack)


@pytest.fixture
def organisation(stack: Stack, organisation_of_all: Organisation) -> Iterator[Organisation]:
    """An organisation that must be as it was when the test is over."""
    before = organisation_of_all.state()
    yield organisation_of_all
    assert organisation_of_all.state() == before


def patch(*operations: Any) -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


# method, path, body (text is sent as it stands), status, scimType, and what the detail must mention
SCIM = {
    "malformed JSON": ("POST", "/Users", '{"userName": "cyd@example.com"', 400, "invalidSyntax", "JSON"),
    "not an object": ("POST", "/Users", "[]", 400, "invalidSyntax", "object"),
    "an empty body": ("POST", "/Users", "", 400, "invalidSyntax", ""),
    "invalid UTF-8": ("POST", "/Users", b'{"userName": "\xff"}', 400, "invalidSyntax", ""),
    "no userName": ("POST", "/Users", {"schemas": [USER_URN], "active": True}, 400, "invalidValue", "userName"),
    "a blank userName": ("POST", "/Users", {"userName": "  "}, 400, "invalidValue", "userName"),
    "a userName of the wrong type": ("POST", "/Users", {"userName": 42}, 400, "invalidValue", "userName"),
    "emails of the wrong type": (
        "POST",
        "/Users",
        {"userName": "cyd@example.com", "emails": 42},
        400,
        "invalidValue",
        "emails",
    ),
    "active of the wrong type": (
        "POST",
        "/Users",
        {"userName": "cyd@example.com", "active": "perhaps"},
        400,
        "invalidValue",
        "active",
    ),
    "name of the wrong type": (
        "POST",
        "/Users",
        {"userName": "cyd@example.com", "name": "Cyd"},
        400,
        "invalidValue",
        "name",
    ),
    "a userName that is taken": ("POST", "/Users", {"userName": "ADA@example.com"}, 409, "uniqueness", "userName"),
    "a PUT to a userName that is taken": (
        "PUT",
        "/Users/{bob}",
        {"userName": "ada@example.com"},
        409,
        "uniqueness",
        "userName",
    ),
    "a PUT without userName": ("PUT", "/Users/{ada}", {"displayName": "Ada"}, 400, "invalidValue", "userName"),
    "a PUT to an unknown id": ("PUT", f"/Users/{NOBODY}", {"userName": "cyd@example.com"}, 404, None, NOBODY),
    "a PATCH of an unknown id": (
        "PATCH",
        f"/Users/{NOBODY}",
        patch({"op": "replace", "path": "active", "value": False}),
        404,
        None,
        NOBODY,
    ),
    "a DELETE of an unknown id": ("DELETE", f"/Users/{NOBODY}", None, 404, None, NOBODY),
    "a GET of what is no id": ("GET", "/Users/ada@example.com", None, 404, None, "ada@example.com"),
    "no displayName": ("POST", "/Groups", {"schemas": [GROUP_URN]}, 400, "invalidValue", "displayName"),
    "a displayName that is taken": ("POST", "/Groups", {"displayName": "COMPILERS"}, 409, "uniqueness", "displayName"),
    "members of the wrong type": (
        "POST",
        "/Groups",
        {"displayName": "X", "members": 42},
        400,
        "invalidValue",
        "members",
    ),
    "an unknown group": ("GET", f"/Groups/{NOBODY}", None, 404, None, NOBODY),
    "a group in itself": (
        "PATCH",
        "/Groups/{group}",
        patch({"op": "add", "path": "members", "value": [{"value": "{group}", "type": "Group"}]}),
        400,
        "invalidValue",
        "members",
    ),
    "an unknown op": (
        "PATCH",
        "/Users/{ada}",
        patch({"op": "swap", "path": "title"}),
        400,
        "invalidSyntax",
        "op must be",
    ),
    "no Operations": ("PATCH", "/Users/{ada}", {"schemas": [PATCH_URN]}, 400, "invalidSyntax", "Operations"),
    "a path to nowhere": (
        "PATCH",
        "/Users/{ada}",
        patch({"op": "replace", "path": "shoeSize", "value": "42"}),
        400,
        "invalidPath",
        "shoeSize",
    ),
    "a broken path": (
        "PATCH",
        "/Users/{ada}",
        patch({"op": "replace", "path": "emails[type eq", "value": "x"}),
        400,
        "invalidPath",
        "",
    ),
    "a remove without a path": ("PATCH", "/Users/{ada}", patch({"op": "remove"}), 400, "noTarget", "path"),
    "a replace of what is not there": (
        "PATCH",
        "/Users/{ada}",
        patch({"op": "replace", "path": 'emails[type ne "work" and value co "nowhere"]', "value": {"display": "x"}}),
        400,
        "noTarget",
        "emails",
    ),
    "a read-only target": (
        "PATCH",
        "/Users/{ada}",
        patch({"op": "replace", "path": "id", "value": "1"}),
        400,
        "mutability",
        "id",
    ),
    "a required attribute removed": (
        "PATCH",
        "/Users/{ada}",
        patch({"op": "remove", "path": "userName"}),
        400,
        None,
        "userName",
    ),
    "active removed": (
        "PATCH",
        "/Users/{ada}",
        patch({"op": "remove", "path": "active"}),
        400,
        "mutability",
        "active",
    ),
    "one bad operation of two": (
        "PATCH",
        "/Users/{ada}",
        patch(
            {"op": "replace", "path": "title", "value": "Countess"},
            {"op": "replace", "path": "active", "value": "perhaps"},
        ),
        400,
        "invalidValue",
        "active",
    ),
    "one bad group operation of two": (
        "PATCH",
        "/Groups/{group}",
        patch({"op": "remove", "path": "members"}, {"op": "replace", "path": "displayName", "value": 42}),
        400,
        "invalidValue",
        "displayName",
    ),
    "a filter that is not one": ("GET", "/Users?filter=userName+is+%22x%22", None, 400, "invalidFilter", "is"),
    "a filter on an unknown attribute": (
        "GET",
        "/Users?filter=shoeSize+eq+%2242%22",
        None,
        400,
        "invalidFilter",
        "shoeSize",
    ),
    "a filter on the password": ("GET", "/Users?filter=password+pr", None, 400, "invalidFilter", "password"),
    "a startIndex that is no number": ("GET", "/Users?startIndex=one", None, 400, "invalidValue", "startIndex"),
    "a method that is not allowed": ("PUT", "/Users", {"userName": "x"}, 405, None, "PUT"),
    "an unknown resource": ("GET", "/Robots", None, 404, None, ""),
}


def filled(value: Any, organisation: Organisation) -> Any:
    """Put the organisation's ids where `{ada}`, `{bob}` and `{group}` stand."""
    if isinstance(value, str):
        for name in ("ada", "bob", "group"):
            value = value.replace(f"{{{name}}}", getattr(organisation, name))
        return value
    if isinstance(value, list):
        return [filled(item, organisation) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, organisation) for key, item in value.items()}
    return value


@pytest.mark.parametrize("case", SCIM)
def test_a_bad_scim_request_is_refused_clearly_and_changes_nothing(organisation: Organisation, case: str) -> None:
    """RFC 7644 §3.12: "implementers MUST return the errors in the body of the response in a JSON format"."""
    method, path, body, status, scim_type, mentioned = SCIM[case]
    raw = body.encode() if isinstance(body, str) else body
    if isinstance(body, dict):
        answer = organisation.okta.http.request(method, filled(path, organisation), json=filled(body, organisation))
    else:
        answer = organisation.okta.http.request(method, filled(path, organisation), content=raw)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/scim+json")
    error = answer.json()
    assert error["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert error["status"] == str(status)
    assert error.get("scimType") == scim_type or scim_type is None
    assert mentioned.lower() in error["detail"].lower()
    assert "Traceback" not in answer.text


def test_a_stale_if_match_is_412_and_changes_nothing(organisation: Organisation) -> None:
    """WIRE: "stale `If-Match` is 412"."""
    http, body = organisation.okta.http, {"userName": "ada@example.com", "title": "Countess"}
    for method, path, content in (
        ("PUT", f"/Users/{organisation.ada}", body),
        ("PATCH", f"/Users/{organisation.ada}", patch({"op": "add", "path": "title", "value": "Countess"})),
        ("DELETE", f"/Users/{organisation.ada}", None),
        ("DELETE", f"/Groups/{organisation.group}", None),
    ):
        answer = http.request(method, path, json=content, headers={"If-Match": 'W/"999"'})
        assert answer.status_code == 412, answer.text
        assert answer.json()["status"] == "412"


def test_the_same_write_again_changes_nothing(organisation: Organisation) -> None:
    """PRODUCT §2: "a write that changes nothing changes no version, no `lastModified`, and publishes nothing"."""
    organisation.okta.update(organisation.ada)
    organisation.okta.change_members(organisation.group, add=[organisation.ada])
    organisation.okta.change_members(organisation.group, remove=[organisation.bob])
    organisation.okta.set_group(organisation.group, "Compilers", [organisation.ada, organisation.ada])
    organisation.okta.rename_group(organisation.group, "Compilers")


def test_an_unknown_connection_is_401_like_a_wrong_token(stack: Stack) -> None:
    """SECURITY: "a disabled connection, an unknown one …: the same 401"."""
    connection = Administrator(stack).enable("dashboard")
    http = stack.scim(connection)
    for unknown in (str(uuid.uuid4()), "not-a-uuid"):
        answer = http.get(f"{stack.public_url}/scim/v2/{unknown}/Users")
        assert answer.status_code == 401, answer.text
        assert answer.json()["status"] == "401"


# -- administration ---------------------------------------------------------------------------------------------------


class Fleet:
    """A workspace with an MDM app, a policy in use, and a device."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.administrator = Administrator(stack)
        self.workspace_id = self.administrator.workspace_id
        self.locked = self.administrator.create_policy("Locked")
        self.standard = self.administrator.create_policy("Standard")
        self.okta = self.administrator.mdm_app("change_policy", policy_id=self.locked)
        self.okta.assign("ada@example.com")
        self.device = self.administrator.enroll("LAPTOP", owner="ada@example.com", policy_id=self.standard)
        self.dashboard = self.administrator.enable("dashboard")
        self.administrator.add_collaborator("ops@example.com", "ADMIN")
        self.publication = self.administrator.publish("Timesheets")

    def state(self) -> list[Any]:
        page = {"workspace_id": self.workspace_id}
        of_mdm = {"connection_id": self.okta.connection.connection_id}
        of_dashboard = {"connection_id": self.dashboard.connection_id}
        return [
            self.stack.mdm.ListPolicies(mdm.ListPoliciesRequest(**page)),
            self.stack.mdm.ListDevices(mdm.ListDevicesRequest(**page)),
            self.stack.mdm.ListEmployees(mdm.ListEmployeesRequest(**page)),
            self.stack.mdm.GetRules(mdm.GetRulesRequest(**of_mdm)),
            self.stack.portal.GetRules(portal.GetRulesRequest(**of_dashboard)),
            self.stack.portal.ListCollaborators(portal.ListCollaboratorsRequest(**page)),
            self.stack.portal.ListPublications(portal.ListPublicationsRequest(**page)),
            self.stack.connections.ListConnections(connections.ListConnectionsRequest(**page)).connections[0].state,
            self.stack.connections.ListTokens(connections.ListTokensRequest(**of_dashboard)),
            self.administrator.effects(),
            self.stack.events(self.okta.connection),
            self.stack.events(self.dashboard),
        ]

    def attempt(self, service: str, method: str, request: Any) -> Any:
        stub = {"connections": self.stack.connections, "portal": self.stack.portal, "mdm": self.stack.mdm}[service]
        return getattr(stub, method)(request)


@pytest.fixture(scope="module")
def fleet_of_all(session_stack: Stack) -> Fleet:
    """One fleet for all requests: none of them changes it."""
    session_stack.ensure_running()
    return Fleet(session_stack)


@pytest.fixture
def fleet(stack: Stack, fleet_of_all: Fleet) -> Iterator[Fleet]:
    """A fleet that must be as it was when the test is over."""
    before = fleet_of_all.state()
    yield fleet_of_all
    assert fleet_of_all.state() == before


# service, method, request made of the fleet, code, reason, field, and what the message must mention
ADMINISTRATION: dict[str, tuple[str, str, Any, grpc.StatusCode, str, str, str]] = {
    "a workspace without a name": (
        "connections",
        "CreateWorkspace",
        lambda fleet: connections.CreateWorkspaceRequest(name=" "),
        INVALID,
        "INVALID_VALUE",
        "name",
        "name",
    ),
    "a second connection of a portal": (
        "connections",
        "CreateConnection",
        lambda fleet: connections.CreateConnectionRequest(
            workspace_id=fleet.workspace_id, portal=connections.PORTAL_DASHBOARD
        ),
        EXISTS,
        "PORTAL_ALREADY_CONNECTED",
        "",
        "DASHBOARD",
    ),
    "a connection of no portal": (
        "connections",
        "CreateConnection",
        lambda fleet: connections.CreateConnectionRequest(workspace_id=fleet.workspace_id),
        INVALID,
        "INVALID_VALUE",
        "portal",
        "portal",
    ),
    "a connection of an unknown workspace": (
        "connections",
        "CreateConnection",
        lambda fleet: connections.CreateConnectionRequest(workspace_id=NOBODY, portal=connections.PORTAL_STORE),
        NOT_FOUND,
        "WORKSPACE_NOT_FOUND",
        "",
        NOBODY,
    ),
    "a workspace deleted while it has connections": (
        "connections",
        "DeleteWorkspace",
        lambda fleet: connections.DeleteWorkspaceRequest(workspace_id=fleet.workspace_id),
        PRECONDITION,
        "WORKSPACE_NOT_EMPTY",
        "",
        "connection",
    ),
    "an unknown connection": (
        "connections",
        "GetConnection",
        lambda fleet: connections.GetConnectionRequest(connection_id=NOBODY),
        NOT_FOUND,
        "CONNECTION_NOT_FOUND",
        "",
        NOBODY,
    ),
    "an unknown token": (
        "connections",
        "RevokeToken",
        lambda fleet: connections.RevokeTokenRequest(connection_id=fleet.dashboard.connection_id, token_id="nobody"),
        NOT_FOUND,
        "TOKEN_NOT_FOUND",
        "",
        "nobody",
    ),
    "a token that never lives": (
        "connections",
        "IssueToken",
        lambda fleet: connections.IssueTokenRequest(
            connection_id=fleet.dashboard.connection_id, expires_in=duration_pb2.Duration(seconds=0)
        ),
        INVALID,
        "INVALID_VALUE",
        "expires_in",
        "expires_in",
    ),
    "a rule with a policy that does not exist": (
        "mdm",
        "UpdateRules",
        lambda fleet: mdm.UpdateRulesRequest(
            connection_id=fleet.okta.connection.connection_id,
            on_deactivate=mdm.OnDeactivate(change_policy=mdm.ChangePolicy(policy_id=NOBODY)),
        ),
        NOT_FOUND,
        "POLICY_NOT_FOUND",
        "on_deactivate.change_policy.policy_id",
        NOBODY,
    ),
    "a rule without its policy": (
        "mdm",
        "UpdateRules",
        lambda fleet: mdm.UpdateRulesRequest(
            connection_id=fleet.okta.connection.connection_id,
            on_deactivate=mdm.OnDeactivate(change_policy=mdm.ChangePolicy()),
        ),
        INVALID,
        "INVALID_VALUE",
        "on_deactivate.change_policy.policy_id",
        "policy_id",
    ),
    "device rules of the dashboard": (
        "mdm",
        "UpdateRules",
        lambda fleet: mdm.UpdateRulesRequest(
            connection_id=fleet.dashboard.connection_id, on_create=mdm.ON_CREATE_CREATE_EMPLOYEE
        ),
        PRECONDITION,
        "WRONG_PORTAL",
        "",
        "DASHBOARD",
    ),
    "dashboard rules of devices": (
        "portal",
        "UpdateRules",
        lambda fleet: portal.UpdateRulesRequest(
            connection_id=fleet.okta.connection.connection_id, on_create=portal.ON_CREATE_CREATE_COLLABORATOR
        ),
        PRECONDITION,
        "WRONG_PORTAL",
        "",
        "MDM",
    ),
    "rules of an unknown connection": (
        "portal",
        "GetRules",
        lambda fleet: portal.GetRulesRequest(connection_id=NOBODY),
        NOT_FOUND,
        "CONNECTION_NOT_FOUND",
        "",
        NOBODY,
    ),
    "a policy in use by a rule deleted": (
        "mdm",
        "DeletePolicy",
        lambda fleet: mdm.DeletePolicyRequest(workspace_id=fleet.workspace_id, policy_id=fleet.locked),
        PRECONDITION,
        "POLICY_IN_USE",
        "",
        "rule",
    ),
    "a policy in use by a device deleted": (
        "mdm",
        "DeletePolicy",
        lambda fleet: mdm.DeletePolicyRequest(workspace_id=fleet.workspace_id, policy_id=fleet.standard),
        PRECONDITION,
        "POLICY_IN_USE",
        "",
        "device",
    ),
    "a policy of a taken name": (
        "mdm",
        "CreatePolicy",
        lambda fleet: mdm.CreatePolicyRequest(workspace_id=fleet.workspace_id, name="LOCKED"),
        EXISTS,
        "POLICY_EXISTS",
        "",
        "LOCKED",
    ),
    "a device without a serial": (
        "mdm",
        "EnrollDevice",
        lambda fleet: mdm.EnrollDeviceRequest(workspace_id=fleet.workspace_id, name="X", platform="ios"),
        INVALID,
        "INVALID_VALUE",
        "serial",
        "serial",
    ),
    "a device of an unknown platform": (
        "mdm",
        "EnrollDevice",
        lambda fleet: mdm.EnrollDeviceRequest(workspace_id=fleet.workspace_id, serial="S", name="X", platform="abacus"),
        INVALID,
        "INVALID_VALUE",
        "platform",
        "platform",
    ),
    "a device enrolled twice": (
        "mdm",
        "EnrollDevice",
        lambda fleet: mdm.EnrollDeviceRequest(
            workspace_id=fleet.workspace_id, serial="LAPTOP", name="X", platform="ios"
        ),
        EXISTS,
        "DEVICE_EXISTS",
        "",
        "LAPTOP",
    ),
    "a device of an unknown owner": (
        "mdm",
        "AssignDevice",
        lambda fleet: mdm.AssignDeviceRequest(
            workspace_id=fleet.workspace_id, device_id=fleet.device.device_id, email="nobody@example.com"
        ),
        NOT_FOUND,
        "EMPLOYEE_NOT_FOUND",
        "",
        "nobody@example.com",
    ),
    "devices of an unknown workspace": (
        "mdm",
        "ListDevices",
        lambda fleet: mdm.ListDevicesRequest(workspace_id=NOBODY),
        NOT_FOUND,
        "WORKSPACE_NOT_FOUND",
        "",
        NOBODY,
    ),
    "a forged page token": (
        "mdm",
        "ListDevices",
        lambda fleet: mdm.ListDevicesRequest(workspace_id=fleet.workspace_id, page_token="forged"),
        INVALID,
        "INVALID_PAGE_TOKEN",
        "",
        "page_token",
    ),
    "a role that does not exist": (
        "portal",
        "MapRole",
        lambda fleet: portal.MapRoleRequest(
            connection_id=fleet.dashboard.connection_id,
            group="Compilers",
            role=99,  # type: ignore[arg-type]  # what an older or newer client may send
        ),
        INVALID,
        "INVALID_VALUE",
        "role",
        "role: must be one of ADMIN, EDITOR, VIEWER, UNASSIGNED",
    ),
    "no role": (
        "portal",
        "MapRole",
        lambda fleet: portal.MapRoleRequest(connection_id=fleet.dashboard.connection_id, group="Compilers"),
        INVALID,
        "INVALID_VALUE",
        "role",
        "role: must be one of ADMIN, EDITOR, VIEWER, UNASSIGNED",
    ),
    "a default role of UNASSIGNED": (
        "portal",
        "UpdateRules",
        lambda fleet: portal.UpdateRulesRequest(
            connection_id=fleet.dashboard.connection_id, default_role=portal.ROLE_UNASSIGNED
        ),
        INVALID,
        "INVALID_VALUE",
        "default_role",
        "default_role",
    ),
    "a settling period that is too long": (
        "portal",
        "UpdateRules",
        lambda fleet: portal.UpdateRulesRequest(
            connection_id=fleet.dashboard.connection_id,
            settling_period=duration_pb2.Duration(seconds=31 * 86_400),
        ),
        INVALID,
        "INVALID_VALUE",
        "settling_period",
        "settling_period",
    ),
    "a mapping that is not there ended": (
        "portal",
        "UnmapRole",
        lambda fleet: portal.UnmapRoleRequest(connection_id=fleet.dashboard.connection_id, group="Compilers"),
        NOT_FOUND,
        "ROLE_MAPPING_NOT_FOUND",
        "",
        "Compilers",
    ),
    "a collaborator added twice": (
        "portal",
        "CreateCollaborator",
        lambda fleet: portal.CreateCollaboratorRequest(
            workspace_id=fleet.workspace_id, email="OPS@example.com", role=portal.ROLE_VIEWER
        ),
        EXISTS,
        "COLLABORATOR_EXISTS",
        "",
        "OPS@example.com",
    ),
    "the last admin demoted": (
        "portal",
        "SetCollaboratorRole",
        lambda fleet: portal.SetCollaboratorRoleRequest(
            workspace_id=fleet.workspace_id, email="ops@example.com", role=portal.ROLE_VIEWER
        ),
        PRECONDITION,
        "LAST_ADMIN",
        "",
        "ADMIN",
    ),
    "a publication for an unknown audience": (
        "portal",
        "CreatePublication",
        lambda fleet: portal.CreatePublicationRequest(
            workspace_id=fleet.workspace_id, name="Secret", audience=["Nobody's group"]
        ),
        NOT_FOUND,
        "GROUP_NOT_FOUND",
        "",
        "Nobody's group",
    ),
    "a publication of a taken name": (
        "portal",
        "CreatePublication",
        lambda fleet: portal.CreatePublicationRequest(workspace_id=fleet.workspace_id, name="Timesheets"),
        EXISTS,
        "PUBLICATION_EXISTS",
        "",
        "Timesheets",
    ),
}


@pytest.mark.parametrize("case", ADMINISTRATION)
def test_a_bad_administration_request_is_refused_clearly_and_changes_nothing(fleet: Fleet, case: str) -> None:
    """HOUSE: "`ErrorInfo` always (193)"; errors name the field and the rule and change nothing."""
    service, method, make, code, reason, field, mentioned = ADMINISTRATION[case]
    with refused() as refusals:
        fleet.attempt(service, method, make(fleet))
    refusal = refusals[0]
    assert (refusal.code, refusal.reason) == (code, reason), refusal
    if field:
        assert refusal.field == field
    assert mentioned.lower() in refusal.message.lower()


def test_an_unknown_identity_administers_nothing(fleet: Fleet) -> None:
    """SECURITY: "admin methods need an admin identity"."""
    for service, call in (
        ("directory", "/rollcall.directory.v1.ConnectionService/CreateWorkspace"),
        ("portal", "/rollcall.portal.v1.PortalService/ListCollaborators"),
        ("mdm", "/rollcall.mdm.v1.MdmService/ListDevices"),
        ("mdm", "/rollcall.delivery.v1.DeliveryService/ListEffects"),
    ):
        with grpc.insecure_channel(f"127.0.0.1:{fleet.stack.ports[service]}") as channel:
            for metadata in ((), (("authorization", "Bearer letmein"),)):
                with refused() as refusals:
                    channel.unary_unary(call)(b"", timeout=5, metadata=metadata)
                assert refusals[0].code is grpc.StatusCode.UNAUTHENTICATED


def test_an_unknown_effect_is_not_found(fleet: Fleet) -> None:
    """PRODUCT §7: effects are evidence; an id that names none is told so."""
    request = delivery_service_pb2.GetEffectRequest(workspace_id=fleet.workspace_id, effect_id=NOBODY)
    for stub in (fleet.stack.portal_delivery, fleet.stack.mdm_delivery):
        with refused() as refusals:
            stub.GetEffect(request)
        assert (refusals[0].code, refusals[0].reason) == (NOT_FOUND, "EFFECT_NOT_FOUND")
