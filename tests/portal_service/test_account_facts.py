"""What an account takes from a user: address, name."""

from __future__ import annotations

import pytest
from rollcall.directory.v1.user_pb2 import MultiValue, Name, User

from portal_service.domain.accounts import AccountState, account_email, account_name, email_key, is_address


@pytest.mark.parametrize(
    ("user", "address"),
    [
        (User(user_name="u", emails=[MultiValue(value="a@x"), MultiValue(value="b@x", primary=True)]), "b@x"),
        (User(user_name="u@x", emails=[MultiValue(value="a@x"), MultiValue(value="b@x")]), "a@x"),
        (User(user_name="u@x", emails=[MultiValue(value="", primary=True), MultiValue(value="b@x")]), "b@x"),
        (User(user_name="u@x"), "u@x"),
        (User(user_name="u"), ""),
        (User(user_name="u@x@y"), ""),
        (User(user_name="", emails=[MultiValue(value=" ")]), ""),
    ],
)
def test_the_address_is_the_primary_one_else_the_first_else_a_user_name_that_is_one(user: User, address: str) -> None:
    """PRODUCT §2: "the user's primary e-mail, else the first, else a userName that is one"."""
    assert account_email(user) == address


def test_addresses_compare_case_insensitively() -> None:
    """The contract: "The e-mail address, unique per workspace, compared case-insensitively"."""
    assert email_key(" Ada@Example.COM ") == email_key("ada@example.com")
    assert email_key("a\0b@x") != email_key("ab@x")
    assert "\0" not in email_key("a\0b@x")


@pytest.mark.parametrize("text", ["", "a", "a@", "@b", "a b@c", "a@b@c", "a\n@b", "a\0@b", "a" * 320 + "@b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """An address has one `@` with something on both sides, no white space and no control character."""
    assert not is_address(text)


def test_the_name_is_the_display_name_else_made_of_the_name() -> None:
    """The contract: `display_name` is "the name for display"."""
    name = Name(formatted="Ada King, Countess", given_name="Ada", family_name="King")
    assert account_name(User(display_name="Ada", name=name)) == "Ada"
    assert account_name(User(name=name)) == "Ada King, Countess"
    assert account_name(User(name=Name(given_name="Ada", family_name="King"))) == "Ada King"
    assert account_name(User(name=Name(family_name="King"))) == "King"
    assert account_name(User(user_name="ada")) == ""


def test_only_an_attempt_that_an_update_can_mend_is_awaited() -> None:
    """PRODUCT §2: "with none the effect is `SKIPPED`"; an update that brings an address makes the account due."""
    assert {state for state in AccountState if state.awaited} == {AccountState.NO_EMAIL, AccountState.EMAIL_TAKEN}
