"""The text of SCIM bearer tokens: `rollcall_scim_<token id>_<secret><checksum>`.

The secret is 32 random bytes in base64url (43 characters), the checksum 6 characters of base62 that hold the CRC-32 of
everything before it. The prefix lets secret scanners find a leaked token; the checksum kills garbage before a database
is asked. Only the SHA-256 of the text is ever stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import zlib

PREFIX = "rollcall_scim_"

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"rollcall_scim_([0-9A-Za-z-]{1,64})_([0-9A-Za-z_-]{43})([0-9A-Za-z]{6})", re.ASCII)
_NOTHING = bytes(32)


def new_token_id() -> str:
    """Make a token id: 128 random bits in hexadecimal, so without `_`."""
    return secrets.token_hex(16)


def issue(token_id: str) -> tuple[str, bytes]:
    """Make a token with this id; return its text, to be shown once, and the SHA-256 to be stored.

    Raises ValueError for an id with characters other than letters, digits and `-`, or longer than 64.
    """
    if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", token_id, re.ASCII):
        raise ValueError("a token id is 1 to 64 letters, digits and hyphens")
    body = f"{PREFIX}{token_id}_{base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b'=').decode()}"
    text = body + _checksum(body)
    return text, hashlib.sha256(text.encode()).digest()


def parse(text: str) -> tuple[str, bytes] | None:
    """Read a token's id and the SHA-256 of its text; None for anything that `issue` cannot have made."""
    match = _FORM.fullmatch(text)
    if match is None or _checksum(text[:-6]) != match[3]:
        return None
    return match[1], hashlib.sha256(text.encode()).digest()


def matches(stored: bytes | None, presented: bytes) -> bool:
    """Compare digests in constant time; None, for an unknown token, takes as long and is False."""
    equal = hmac.compare_digest(_NOTHING if stored is None else stored, presented)
    return equal and stored is not None


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode())
    digits = ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = _ALPHABET[digit] + digits
    return digits
