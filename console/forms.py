"""Forms as browsers send them: one reading of the body, and what is wrong with it by field."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import parse_qs

import falcon

from console.problems import Problem
from console.request import Request

MAX_BYTES = 64 * 1024
MAX_FIELDS = 1000
_URLENCODED = "application/x-www-form-urlencoded"


class Form:
    """The fields of a form, and the errors that were found, by field; those under "" are of the form as a whole."""

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self.values = values
        self.errors: dict[str, str] = {}

    @property
    def is_valid(self) -> bool:
        """Whether nothing was found wrong so far."""
        return not self.errors

    def text(self, name: str, default: str = "") -> str:
        """Return a field without the white space around it; `default` where the form has no such field."""
        found = self.values.get(name)
        return found[0].strip() if found else default

    def verbatim(self, name: str) -> str:
        """Return a field as it was typed, such as a password."""
        found = self.values.get(name)
        return found[0] if found else ""

    def required(self, name: str, error: str = "This field is required.") -> str:
        """Return a field; an error where it is empty."""
        found = self.text(name)
        if not found:
            self.fail(name, error)
        return found

    def choice(self, name: str, options: Collection[str], error: str = "Choose one of the options.") -> str:
        """Return a field that is one of the options; an error, and an empty text, where it is none of them."""
        found = self.text(name)
        if found in options:
            return found
        self.fail(name, error)
        return ""

    def list(self, name: str) -> tuple[str, ...]:
        """Return every value of a field that may come more than once, without those that are empty."""
        return tuple(filter(None, (value.strip() for value in self.values.get(name, ()))))

    def fail(self, name: str, error: str) -> None:
        """Note an error of a field, or of the form as a whole for an empty name; the first one stands."""
        self.errors.setdefault(name, error)

    def confirms(self, expected: str, *, otherwise: str = "") -> bool:
        """Say whether the text that had to be typed was, in the field `confirmation`; if not, note so there.

        `otherwise` is a sentence that the note ends with.
        """
        if self.text("confirmation") == expected:
            return True
        self.fail("confirmation", f"Type {expected} to confirm. {otherwise}".rstrip())
        return False

    def refused(self, problem: Problem, fields: Collection[str] | Mapping[str, str] = ()) -> None:
        """Note what a service refused: at the field that it names where that is one of `fields`, else at the form.

        A mapping says which field of the form stands for which of the service.
        """
        named = problem.field
        at = fields.get(named, "") if isinstance(fields, Mapping) else (named if named in fields else "")
        self.fail(at, problem.at_field if at else problem.message)


async def form(req: Request) -> Form:
    """Read the body of a POST, once. Raises HTTPContentTooLarge, HTTPUnsupportedMediaType, HTTPBadRequest."""
    if req.context.form is None:
        req.context.form = Form(await _read(req))
    return req.context.form


async def _read(req: Request) -> dict[str, list[str]]:
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type and media_type != _URLENCODED:
        raise falcon.HTTPUnsupportedMediaType(description=f"A form must come as {_URLENCODED}.")
    # One byte more than allowed tells that there is more; a length may not be given, or not be true.
    body = await req.stream.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise falcon.HTTPContentTooLarge(description=f"A form may have {MAX_BYTES // 1024} KiB.")
    try:
        values = parse_qs(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise falcon.HTTPBadRequest(description="The form cannot be read.") from None
    if any("\0" in text for name, found in values.items() for text in (name, *found)):
        raise falcon.HTTPBadRequest(description="The form holds a character that no text has.")
    return {name: [text.replace("\r\n", "\n") for text in found] for name, found in values.items()}
