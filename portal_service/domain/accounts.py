"""What an account takes from the directory user it follows, and whether an account is due."""

from __future__ import annotations

import re
from enum import IntEnum

from rollcall.directory.v1.user_pb2 import User

_ADDRESS = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
MAX_ADDRESS_LENGTH = 320


class AccountState(IntEnum):
    """What became of the account that a directory user was to get."""

    # No account is due: no rule asked for one, or it was removed.
    NONE = 0
    # The user has an account.
    LINKED = 1
    # The rule asked for one and the user had no e-mail address; a later address brings it.
    NO_EMAIL = 2
    # The rule asked for one and another user's account has the address; it is due as soon as that is free.
    EMAIL_TAKEN = 3
    # The user has an account, but under its former address: another account has the new one.
    NEW_EMAIL_TAKEN = 4

    @property
    def awaited(self) -> bool:
        """Whether the account itself is still to come, so that an update of the user is to try again."""
        return self in (AccountState.NO_EMAIL, AccountState.EMAIL_TAKEN)


def is_address(text: str) -> bool:
    """Says whether a text has the form of an e-mail address.

    That is one `@` with something on both sides, no white space, no control character, at most 320 characters.
    """
    return len(text) <= MAX_ADDRESS_LENGTH and _ADDRESS.fullmatch(text) is not None


def email_key(address: str) -> str:
    """Returns the form in which e-mail addresses are compared: case-insensitively.

    NUL, which no stored address has and PostgreSQL refuses even to look for, becomes U+FFFD.
    """
    return address.strip().casefold().replace("\0", "\ufffd")


def account_email(user: User) -> str:
    """Returns the primary e-mail address, else the first, else a userName that is one, else an empty text."""
    addresses = [(entry.value.strip(), entry.primary) for entry in user.emails]
    for address, primary in addresses:
        if primary and address:
            return address
    for address, _ in addresses:
        if address:
            return address
    user_name = user.user_name.strip()
    return user_name if is_address(user_name) else ""


def account_name(user: User) -> str:
    """Returns the name for display: displayName, else the formatted name, else given and family name; may be empty."""
    if user.display_name:
        return user.display_name
    if user.HasField("name"):
        return user.name.formatted or f"{user.name.given_name} {user.name.family_name}".strip()
    return ""
