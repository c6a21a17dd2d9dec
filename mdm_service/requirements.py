"""What a request's fields have to be; each function answers the value as it is kept, or raises InvalidValue."""

from mdm_service.domain import accounts
from mdm_service.errors import InvalidValue

NAME_LENGTH = 200
"""How long a name or a serial number may be, in characters."""

ID_LENGTH = 100
"""How long an identifier may be, in characters; those that are given out are UUIDs of 36."""

PREFIX_LENGTH = 400
"""How long the beginning of something may be that is looked for, in characters: nothing that is kept is longer."""


def identifier(field: str, text: str) -> str:
    """Require an identifier."""
    if not text:
        raise InvalidValue(field, "is required")
    if len(text) > ID_LENGTH or not text.isprintable():
        raise InvalidValue(field, f"must be an identifier of at most {ID_LENGTH} printable characters")
    return text


def name(field: str, text: str) -> str:
    """Require a name: printable, 1 to 200 characters; blanks at its ends are dropped."""
    stripped = text.strip()
    if not stripped:
        raise InvalidValue(field, "is required")
    if len(stripped) > NAME_LENGTH or not stripped.isprintable():
        raise InvalidValue(field, f"must be at most {NAME_LENGTH} printable characters")
    return stripped


def prefix(field: str, text: str) -> str:
    """Require what a name may begin with: at most 400 printable characters, or nothing."""
    if len(text) > PREFIX_LENGTH or not text.isprintable():
        raise InvalidValue(field, f"must be at most {PREFIX_LENGTH} printable characters")
    return text


def name_key(name: str) -> str:
    """Make the form in which names are compared: without case."""
    return name.casefold()


def email(field: str, text: str) -> str:
    """Require an e-mail address; blanks at its ends are dropped."""
    stripped = text.strip()
    if not stripped:
        raise InvalidValue(field, "is required")
    if not accounts.is_email(stripped) or not stripped.isprintable():
        raise InvalidValue(field, "must be an e-mail address")
    return stripped
