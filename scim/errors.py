"""The errors of SCIM requests (RFC 7644 §3.12).

ScimError                 any refusal; carries the HTTP status, the scimType and a detail for the administrator
├── InvalidFilter         400 invalidFilter
├── InvalidPath           400 invalidPath
├── InvalidSyntax         400 invalidSyntax
├── InvalidValue          400 invalidValue
├── Mutability            400 mutability
├── NoTarget              400 noTarget
└── TooMany               413, no scimType: more operations or member values than one request may carry
"""

from typing import Any, ClassVar, Self

ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"


class ScimError(Exception):
    """A request that SCIM refuses; `detail` is written for the administrator of the identity provider.

    `attribute` is the path of the attribute to blame, such as `name.givenName`, where one is; `operation` the number of
    the PATCH operation, from 1, or 0.
    """

    status: ClassVar[int] = 400
    scim_type: ClassVar[str | None] = None

    def __init__(self, detail: str, *, attribute: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.attribute = attribute
        self.operation = 0

    def within(self, urn: str) -> Self:
        """Return the error of an attribute of an extension, with the URN before its name."""
        if not self.attribute or self.attribute.startswith(urn):
            return self
        detail = self.detail
        if detail.startswith(self.attribute):
            detail = f"{urn}:{detail}"
        return type(self)(detail, attribute=f"{urn}:{self.attribute}")

    def in_operation(self, number: int) -> Self:
        """Return the error of the PATCH operation with that number; an operation without one has none to tell."""
        if not number or self.operation:
            return self
        error = type(self)(f"operation {number}: {self.detail}", attribute=self.attribute)
        error.operation = number
        return error

    def to_body(self) -> dict[str, Any]:
        """Return the SCIM error message; `status` is a string (RFC 7644 §3.12)."""
        body: dict[str, Any] = {"schemas": [ERROR_URN], "status": str(self.status), "detail": self.detail}
        if self.scim_type is not None:
            body["scimType"] = self.scim_type
        return body


class InvalidFilter(ScimError):
    """The filter is malformed, too large, or compares what cannot be compared (RFC 7644 §3.4.2.2)."""

    scim_type = "invalidFilter"


class InvalidPath(ScimError):
    """The path of a PATCH operation is malformed or names no attribute (RFC 7644 §3.5.2)."""

    scim_type = "invalidPath"


class InvalidSyntax(ScimError):
    """The body does not have the structure of the message it should be (RFC 7644 §3.12)."""

    scim_type = "invalidSyntax"


class InvalidValue(ScimError):
    """A required value is missing, or a value does not fit the attribute (RFC 7644 §3.12)."""

    scim_type = "invalidValue"


class Mutability(ScimError):
    """The change is not allowed by the attribute's mutability (RFC 7643 §7, RFC 7644 §3.5.2)."""

    scim_type = "mutability"


class NoTarget(ScimError):
    """The path yields nothing that could be operated on (RFC 7644 §3.5.2)."""

    scim_type = "noTarget"


class TooMany(ScimError):
    """The request carries more operations or values than the server takes at once (RFC 7644 §3.12, status 413).

    The scimType `tooMany` speaks of filter results only, so none is given.
    """

    status = 413
