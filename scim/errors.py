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

from typing import Any, ClassVar

ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"


class ScimError(Exception):
    """A request that SCIM refuses; `detail` is written for the administrator of the identity provider."""

    status: ClassVar[int] = 400
    scim_type: ClassVar[str | None] = None

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

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
