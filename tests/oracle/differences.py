"""Where Rollcall and scim2-server may differ, and the section by which ours is right.

A `Rendering` makes the answers of both comparable where they say the same in another way. A `Difference` is about a
request that the two decide differently. Each has a witness, a few requests that show it: an entry that is not needed
any more fails its test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.gateway.edge import ENTERPRISE_URN, GROUP_URN, PATCH_URN, USER_URN
from tests.oracle.comparison import Exchange, Request
from tests.oracle.peers import Answer

Resource = dict[str, Any]


def user(user_name: str = "ada@x.example", **attributes: Any) -> Request:
    """The creation of a user."""
    return Request("POST", "/Users", {"schemas": [USER_URN], "userName": user_name, **attributes})


def group(display_name: str = "Team", *members: str) -> Request:
    """The creation of a group."""
    body = {"schemas": [GROUP_URN], "displayName": display_name, "members": [{"value": value} for value in members]}
    return Request("POST", "/Groups", body)


def patch(target: str, *operations: dict[str, Any]) -> Request:
    """A PATCH."""
    return Request("PATCH", target, {"schemas": [PATCH_URN], "Operations": list(operations)})


@dataclass(frozen=True, slots=True)
class Rendering:
    """The same thing said in two ways."""

    name: str
    section: str
    """What allows or wants ours."""
    why: str
    witness: tuple[Request, ...]
    ours: Callable[[Resource], None] = lambda resource: None
    theirs: Callable[[Resource], None] = lambda resource: None


@dataclass(frozen=True, slots=True)
class Difference:
    """A request that the two decide differently."""

    name: str
    section: str
    why: str
    witness: tuple[Request, ...]
    """The last one is decided differently."""
    holds: Callable[[Exchange], bool]
    """Whether these two answers differ for this reason."""


def _without(*names: str) -> Callable[[Resource], None]:
    def change(resource: Resource) -> None:
        for name in names:
            resource.pop(name, None)

    return change


def _active_is_true(resource: Resource) -> None:
    if USER_URN in resource.get("schemas", ()) and "userName" in resource and "meta" in resource:
        resource.setdefault("active", True)


def _plain_members(resource: Resource) -> None:
    for member in resource.get("members", ()):
        for name in ("type", "display", "$ref"):
            member.pop(name, None)


def _members_in_order(resource: Resource) -> None:
    resource.get("members", []).sort(key=lambda member: member["value"])


def _no_empty_members(resource: Resource) -> None:
    if resource.get("members") == []:
        del resource["members"]


def _plain_manager(resource: Resource) -> None:
    manager = resource.get(ENTERPRISE_URN, {}).get("manager", {})
    manager.pop("$ref", None)
    manager.pop("displayName", None)


def _only_schemas_shown(resource: Resource) -> None:
    if "schemas" in resource:
        resource["schemas"] = [urn for urn in resource["schemas"] if urn != ENTERPRISE_URN or urn in resource]


RENDERINGS = (
    Rendering(
        "schemas are those of the resource, whatever is selected of it",
        "RFC 7643 §3",
        "`schemas` holds the URIs supported by the representation; what a client leaves out is still the resource's",
        (
            user(**{ENTERPRISE_URN: {"department": "a"}}),
            Request("GET", "/Users/<user-0>?attributes=displayName"),
        ),
        ours=_only_schemas_shown,
    ),
    Rendering(
        "the groups of a user are shown",
        "RFC 7643 §4.1.2",
        "`groups` is read-only and of the server's making; the oracle keeps no memberships apart from groups",
        (user(), group("Team", "<user-0>"), Request("GET", "/Users/<user-0>")),
        ours=_without("groups"),
    ),
    Rendering(
        "a user is active unless it is said otherwise",
        "RFC 7643 §4.1.1",
        "`active` tells the administrative status, whose meaning is the server's: ours is active from its creation",
        (user(),),
        theirs=_active_is_true,
    ),
    Rendering(
        "members are shown with type, display and reference",
        "RFC 7643 §4.2",
        "`$ref` and `type` are of the Group schema, and the server knows them",
        (user(), group("Team", "<user-0>")),
        ours=_plain_members,
        theirs=_plain_members,
    ),
    Rendering(
        "members are in an order of the server's",
        "RFC 7643 §2.4",
        "the values of a multi-valued attribute are a set; ours are in the order in which they joined",
        (
            user(),
            user("bob@x.example"),
            group("Team", "<user-0>"),
            Request(
                "PUT",
                "/Groups/<group-0>",
                group("Team", "<user-1>", "<user-0>").body,
            ),
        ),
        ours=_members_in_order,
        theirs=_members_in_order,
    ),
    Rendering(
        "a group without members has an empty list",
        "RFC 7643 §2.5",
        "unassigned, null and an empty list are equivalent; Okta wants the list",
        (group("Team"),),
        ours=_no_empty_members,
    ),
    Rendering(
        "a manager who is a user is shown with name and reference",
        "RFC 7643 §4.3",
        "`displayName` is read-only and `$ref` is the URI of the manager: both are of the server's making",
        (user("boss@x.example", displayName="Boss"), user(**{ENTERPRISE_URN: {"manager": {"value": "<user-0>"}}})),
        ours=_plain_manager,
        theirs=_plain_manager,
    ),
)


def _statuses(exchange: Exchange) -> tuple[int, int]:
    return exchange.ours.status, exchange.theirs.status


def _types(exchange: Exchange) -> tuple[str | None, str | None]:
    return tuple((answer.body or {}).get("scimType") for answer in (exchange.ours, exchange.theirs))  # type: ignore[return-value]


def _operations(request: Request) -> list[Resource]:
    return request.body["Operations"] if request.method == "PATCH" else []


def _names(exchange: Exchange) -> str:
    return json.dumps(exchange.request.body)


def _repeats_an_email(exchange: Exchange) -> bool:
    def pairs(answer: Answer) -> list[tuple[str, str]]:
        emails = (answer.body or {}).get("emails", [])
        return [(email.get("value", "").casefold(), email.get("type", "")) for email in emails]

    ours, theirs = pairs(exchange.ours), pairs(exchange.theirs)
    return len(set(ours)) == len(ours) and set(ours) == set(theirs) and len(set(theirs)) < len(theirs)


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "a value is not kept twice with one type",
        "RFC 7643 §2.4",
        "the same type and value should not be returned more than once: what is added again with another `primary` is"
        " the value that is there",
        (
            user(emails=[{"value": "a@b", "type": "work"}]),
            patch(
                "/Users/<user-0>",
                {"op": "add", "path": "emails", "value": [{"value": "a@b", "type": "work", "primary": False}]},
            ),
            Request("GET", "/Users/<user-0>"),
        ),
        _repeats_an_email,
    ),
    Difference(
        "what is not there is 404, whatever the body says",
        "RFC 7644 §3.12",
        "404 is for a resource that does not exist, and then there is nothing for the body to be right or wrong about",
        (patch("/Users/<user-0>", {"op": "replace", "path": "nope", "value": "x"}),),
        lambda exchange: _statuses(exchange) == (404, 400) and exchange.ours.body["status"] == "404",
    ),
    Difference(
        "a user name that is empty is refused",
        "RFC 7643 §4.1.1",
        "each user MUST include a non-empty userName value",
        (user(""),),
        lambda exchange: _statuses(exchange) == (400, 201) and exchange.request.body.get("userName") == "",
    ),
    Difference(
        "a group name is unique",
        "RFC 7644 §3.3",
        "409 `uniqueness` for what the server knows to be the same: it looks groups up by their names",
        (group("Team"), group("TEAM")),
        lambda exchange: (
            exchange.ours.status == 409 and exchange.theirs.status < 300 and "Groups" in exchange.request.target
        ),
    ),
    Difference(
        "attributes that no schema declares are ignored",
        "RFC 7644 §3.3",
        "robustness: what a client sends beyond the schema is no error of the request as a whole",
        (user(shoeSize=44),),
        lambda exchange: (
            exchange.ours.status < 300 and exchange.theirs.status == 400 and "shoeSize" in _names(exchange)
        ),
    ),
    Difference(
        "an operation that PATCH does not have breaks the message",
        "RFC 7644 §3.12",
        "`invalidSyntax` is for a body that does not conform to the schema of the request, and `op` is one of three",
        (user(), patch("/Users/<user-0>", {"op": "move", "path": "title", "value": "x"})),
        lambda exchange: (
            _types(exchange) == ("invalidSyntax", "invalidValue")
            and any(op.get("op") == "move" for op in _operations(exchange.request))
        ),
    ),
    Difference(
        "a value path that matches nothing describes the value to add",
        "RFC 7644 §3.5.2.3",
        "`noTarget` is for a filter that cannot be met; Entra adds an e-mail by replacing one that is not there",
        (user(), patch("/Users/<user-0>", {"op": "replace", "path": 'emails[type eq "home"].value', "value": "a@b"})),
        lambda exchange: (
            exchange.ours.status < 300
            and exchange.theirs.status == 400
            and any(re.search(r"\[.* eq .*\]", str(op.get("path"))) for op in _operations(exchange.request))
        ),
    ),
)
