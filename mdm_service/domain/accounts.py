"""How a directory user is known as an employee: the e-mail address and the name that follow the user."""

import re

from rollcall.directory.v1 import user_pb2

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")

EMAIL_LENGTH = 254
"""How long an e-mail address may be, in characters. RFC 5321 §4.5.3.1.3, less the angle brackets."""


def is_email(text: str) -> bool:
    """Say whether a text has the form of an e-mail address: something, one `@`, something, no blanks."""
    return len(text) <= EMAIL_LENGTH and _EMAIL.fullmatch(text) is not None


def email_key(email: str) -> str:
    """Make the form in which e-mail addresses are compared: without case."""
    return email.strip().casefold()


def email_of(user: user_pb2.User) -> str:
    """Choose the account's e-mail address: the primary one, else the first, else a userName that is one, else empty."""
    first = ""
    for email in user.emails:
        value = email.value.strip()
        if not value:
            continue
        if email.primary:
            return value
        first = first or value
    if first:
        return first
    user_name = user.user_name.strip()
    return user_name if is_email(user_name) else ""


def display_name_of(user: user_pb2.User) -> str:
    """Choose the name for display: displayName, else the formatted name, else its parts, else the userName."""
    parts = " ".join(part for part in (user.name.given_name, user.name.family_name) if part)
    return user.display_name or user.name.formatted or parts or user.user_name
