"""What an administrator should do about a failed request: something for every error that there is."""

from __future__ import annotations

import inspect

import pytest

from console.advice import KNOWN_STATUSES, KNOWN_TYPES, Failure, advise
from gateway import errors
from scim import errors as scim_errors


def answers() -> set[tuple[int, str]]:
    """Every pair of status and scimType that the gateway can answer with an error."""
    found = {(told.status, told.scim_type or "") for told in errors.REASONS.values()}
    found |= {
        (kind.status, kind.scim_type or "")
        for _, kind in inspect.getmembers(scim_errors, inspect.isclass)
        if issubclass(kind, scim_errors.ScimError)
    }
    made = {errors.Unauthorized: (), errors.TooSlow: (), errors.UnsupportedMediaType: (), errors.Unavailable: (),
            errors.NotFound: ("x",), errors.TooLarge: (1,), errors.TooManyRequests: ("x", 1.0),
            errors.NotImplementedHere: ("x",)}  # fmt: skip
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.Refusal)}
    assert kinds == {*made, errors.Refusal}, "a kind of refusal that this test does not know"
    for kind, arguments in made.items():
        refusal = kind(*arguments)
        found.add((refusal.status, refusal.scim_type or ""))
    return found


@pytest.mark.parametrize(("status", "scim_type"), sorted(answers()))
@pytest.mark.parametrize("route", ["/Users", "/Users/{id}", "/Groups/{id}", "/Bulk", ""])
def test_every_error_of_the_gateway_has_advice(status: int, scim_type: str, route: str) -> None:
    """Specification: "for each, what the administrator should do in the identity provider"."""
    assert scim_type in KNOWN_TYPES or status in KNOWN_STATUSES
    advice = advise(Failure(status, scim_type, route, "detail"))
    for text in advice:
        assert text.endswith(".")
        assert len(text) > 20
        assert "{" not in text


def test_what_the_gateway_itself_refuses_has_advice() -> None:
    """gateway: versions of SCIM, counts and preconditions are refused outside the table."""
    for status, scim_type in ((400, "invalidVers"), (400, "invalidCount"), (405, ""), (412, ""), (413, "")):
        assert scim_type in KNOWN_TYPES or status in KNOWN_STATUSES


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(409, "uniqueness", "/Groups", ""), "Link Group"),
        (Failure(409, "uniqueness", "/Users", ""), "userName"),
        (Failure(401, "", "/Users", ""), "Tokens"),
        (Failure(404, "", "", ""), "base URL"),
        (Failure(404, "", "/Groups/{id}", ""), "group"),
        (Failure(429, "", "/Users", ""), "tenth"),
        (Failure(418, "", "/Users", ""), "418"),
        (Failure(599, "", "/Users", ""), "log"),
    ],
)
def test_advice_is_of_the_failure_at_hand(failure: Failure, words: str) -> None:
    """WIRE: "a tenth limited attempt fails the task for good"; PRODUCT: ids and names are told apart."""
    assert words in " ".join(advise(failure))
