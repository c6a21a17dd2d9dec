"""What an administrator should do about a request that failed: a pure function of what the provisioning log keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Advice(NamedTuple):
    """What a failed request means, and what to do about it in the identity provider."""

    cause: str
    """What went wrong, in one sentence."""
    remedy: str
    """What to do next; names the page of the identity provider, or of the console, where there is one."""


class Failure(NamedTuple):
    """A request that failed, as the provisioning log has it."""

    status: int
    """The HTTP status, 400 to 599."""
    scim_type: str
    """The `scimType` of the error (RFC 7644 §3.12); empty: none."""
    route: str
    """The route below the base URL, such as `/Users/{id}`; empty: no route has that path."""
    detail: str
    """What the error said, without what it quoted."""

    @property
    def noun(self) -> str:
        """What the request was about: user or group, else resource."""
        if self.route.startswith("/Users"):
            return "user"
        return "group" if self.route.startswith("/Groups") else "resource"


def advise(failure: Failure) -> Advice:
    """Say what a failed request means and what to do about it; every status has an answer.

    The `scimType` is more exact than the status, so it is looked at first.
    """
    write = _BY_TYPE.get(failure.scim_type) or _BY_STATUS.get(failure.status)
    if write is not None:
        return write(failure)
    if failure.status >= 500:
        return _internal(failure)
    return Advice(
        f"The request was refused with status {failure.status}.",
        "Read the message of the error in the log of the identity provider; it says which value to change. Then repeat "
        "the task there.",
    )


def _uniqueness(failure: Failure) -> Advice:
    if failure.noun == "group":
        return Advice(
            "The connection has another group with this display name.",
            "In the identity provider, link the group to the existing one (Okta: Push Groups → Link Group), or rename "
            "one of the two, and push it again.",
        )
    return Advice(
        "The connection has another user with this userName, active or not.",
        "Search the user under Users. If it is the same person, import users in the identity provider and confirm the "
        "match, or unassign and assign the person again. If it is another person, give one of them another userName.",
    )


def _invalid_value(failure: Failure) -> Advice:
    return Advice(
        f"A value of the {failure.noun} is missing or not allowed; the message names the attribute.",
        "Correct the value in the person's profile, or the mapping of that attribute (Okta: Provisioning → To App → "
        "Attribute Mappings), then repeat the task: Okta under Dashboard → Tasks, Entra by provisioning on demand.",
    )


def _invalid_filter(failure: Failure) -> Advice:
    return Advice(
        "The identity provider searched in a way that cannot be answered.",
        "Set the attribute that users are matched by to userName (Okta: Provisioning → Integration → Unique "
        "identifier field for users; Entra: Attribute mapping → matching precedence), then repeat the task.",
    )


def _invalid_path(failure: Failure) -> Advice:
    return Advice(
        "A change named an attribute by a path that SCIM does not know.",
        "Correct the external name and namespace of the custom attribute in the identity provider's schema (Okta: "
        "Profile Editor; Entra: Edit attribute list), then repeat the task.",
    )


def _invalid_syntax(failure: Failure) -> Advice:
    return Advice(
        "The request was not of the form that SCIM has.",
        "Check that the application speaks SCIM 2.0 and that no proxy in between changes requests. If it does, send "
        "the message of this entry and the request id to the support of the identity provider.",
    )


def _no_target(failure: Failure) -> Advice:
    return Advice(
        f"A change was for a value that the {failure.noun} does not have.",
        "The identity provider remembers another state than there is. Have it send the whole profile again (Okta: "
        "Provisioning → Force Sync, for a group Push now; Entra: provision on demand).",
    )


def _mutability(failure: Failure) -> Advice:
    return Advice(
        "A change was for an attribute that cannot be written, such as id or groups.",
        "Remove the mapping of that attribute in the identity provider (Okta: Provisioning → To App → Attribute "
        "Mappings; Entra: Attribute mapping), then repeat the task.",
    )


def _cursor(failure: Failure) -> Advice:
    return Advice(
        "The identity provider asked for a page of a list that cannot be continued.",
        "Begin the import again from its first page. If it fails again, run imports one at a time.",
    )


def _version_of_scim(failure: Failure) -> Advice:
    return Advice(
        "The identity provider asked for another version of SCIM.",
        "Choose SCIM 2.0 in the application, with the base URL that the connection's page shows.",
    )


def _bad_request(failure: Failure) -> Advice:
    return Advice(
        "The request was not of the form that it should have.",
        "Read the message: it names the part that is wrong. Correct the attribute mapping in the identity provider, "
        "then repeat the task.",
    )


def _unauthorized(failure: Failure) -> Advice:
    return Advice(
        "The bearer token is missing, wrong, expired or revoked, or the connection is disabled.",
        "See under Tokens whether a live one was used lately, and that the connection is enabled. If in doubt, issue "
        "a new token and enter it in the identity provider (Okta: Provisioning → Integration; Entra: Admin "
        "credentials), then test the connection there.",
    )


def _forbidden(failure: Failure) -> Advice:
    return Advice(
        "The token may only read, or a discovery document was asked for with a filter.",
        "Issue a token that may read and write under Tokens, and enter it in the identity provider.",
    )


def _not_found(failure: Failure) -> Advice:
    if not failure.route:
        return Advice(
            "No address below the base URL is of that form.",
            "Enter the base URL in the identity provider exactly as the connection's page shows it, with nothing "
            "behind it.",
        )
    if failure.noun == "resource":
        return Advice(
            "What the identity provider asked for does not exist.",
            "Enter the base URL in the identity provider exactly as the connection's page shows it.",
        )
    return Advice(
        f"The identity provider remembers a {failure.noun} that this connection does not have: it was deleted, or it "
        "belongs to another connection.",
        "Have the identity provider create it again: unassign and assign the person, or unlink the pushed group "
        "without deleting it and push it again.",
    )


def _method_not_allowed(failure: Failure) -> Advice:
    return Advice(
        "This address does not take that kind of request.",
        "Enter the base URL in the identity provider exactly as the connection's page shows it, with nothing behind "
        "it, and choose SCIM 2.0.",
    )


def _timed_out(failure: Failure) -> Advice:
    return Advice(
        "The request did not arrive completely in time.",
        "Repeat the task. If it happens often, look for a slow proxy between the identity provider and the gateway.",
    )


def _conflict(failure: Failure) -> Advice:
    return Advice(
        "The request contradicts what there is, or refers to something that could not be made.",
        "Repeat the task; in a bulk request, look first at the operations that failed before this one.",
    )


def _precondition(failure: Failure) -> Advice:
    return Advice(
        f"The {failure.noun} has changed since the identity provider read it.",
        "Nothing was overwritten. Repeat the task: the identity provider then reads the present version first.",
    )


def _too_large(failure: Failure) -> Advice:
    return Advice(
        "The request holds more than one request may: a body, operations or members beyond the limit.",
        "Push a large group in parts, or let the identity provider send changes of members instead of whole lists "
        "(an application of the Okta catalogue does), then repeat the task.",
    )


def _media_type(failure: Failure) -> Advice:
    return Advice(
        "The body was not JSON in UTF-8.",
        "Choose SCIM 2.0 with application/scim+json or application/json in the identity provider, and check that no "
        "proxy in between changes requests.",
    )


def _too_many(failure: Failure) -> Advice:
    return Advice(
        "The identity provider sent more requests than are answered at once.",
        "It waits and repeats by itself. Okta gives a task up at the tenth refusal: repeat those under Dashboard → "
        "Tasks, assign people in smaller groups, or raise the limit of the gateway.",
    )


def _internal(failure: Failure) -> Advice:
    return Advice(
        "The server failed while it answered.",
        "Repeat the task. If it fails again, look for the request id in the log of the gateway and of the directory.",
    )


def _not_offered(failure: Failure) -> Advice:
    return Advice(
        "The identity provider asked for a part of SCIM that is not offered.",
        "Switch that feature off in the application; what is offered stands in ServiceProviderConfig.",
    )


def _unavailable(failure: Failure) -> Advice:
    return Advice(
        "The directory did not answer at that moment; whether a change was made is not known.",
        "Repeat the task: the same change made twice changes nothing. If it goes on, see whether the directory runs.",
    )


_Writer = Callable[[Failure], Advice]

_BY_TYPE: dict[str, _Writer] = {
    "uniqueness": _uniqueness,
    "invalidValue": _invalid_value,
    "invalidFilter": _invalid_filter,
    "invalidPath": _invalid_path,
    "invalidSyntax": _invalid_syntax,
    "noTarget": _no_target,
    "mutability": _mutability,
    "invalidCursor": _cursor,
    "expiredCursor": _cursor,
    "invalidCount": _cursor,
    "invalidVers": _version_of_scim,
}
_BY_STATUS: dict[int, _Writer] = {
    400: _bad_request,
    401: _unauthorized,
    403: _forbidden,
    404: _not_found,
    405: _method_not_allowed,
    408: _timed_out,
    409: _conflict,
    412: _precondition,
    413: _too_large,
    415: _media_type,
    429: _too_many,
    500: _internal,
    501: _not_offered,
    503: _unavailable,
}
KNOWN_TYPES = frozenset(_BY_TYPE)
"""The kinds of errors that have advice of their own."""
KNOWN_STATUSES = frozenset(_BY_STATUS)
"""The statuses that have advice of their own."""
