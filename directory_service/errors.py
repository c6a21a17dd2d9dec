"""What can go wrong in the directory, each a class that says what happened.

    DirectoryError
    ├── UserNotFound · GroupNotFound · ConnectionNotFound · WorkspaceNotFound · TokenNotFound · EventNotFound
    ├── UserNameTaken · GroupNameTaken · PortalAlreadyConnected
    ├── EtagMismatch
    ├── InvalidValue · UnresolvedReference · InvalidPageToken
    ├── WorkspaceNotEmpty · ConnectionDeleting · TooManyTokens
    ├── InvalidToken · ScopeTooNarrow
    ├── AdministratorNotFound · EmailTaken · LastAdministrator · AdministratorDisabled · LinkNotFound
    ├── InvalidSignIn · TooManyAttempts · InvalidSession
    └── ScimRefusal            one subclass per subclass of `scim.errors.ScimError`, made by `refusing_as_scim`

Reasons are the names of `rollcall.directory.v1.ErrorReason`; the gateway turns them into HTTP.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from rollcall.directory.v1.user_pb2 import EnterpriseUser

from chassis.errors import DomainError
from chassis.scim_message import ENTERPRISE_USER_URN, InvalidDocument, field_name
from scim import errors as scim_errors

DOMAIN = "directory.rollcall"


class DirectoryError(DomainError):
    """A refusal of the directory; a subclass per thing that happened."""

    domain = DOMAIN


class UserNotFound(DirectoryError):
    """No such user on the connection."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "USER_NOT_FOUND"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"user {shown(user_id)} not found")


class GroupNotFound(DirectoryError):
    """No such group on the connection."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "GROUP_NOT_FOUND"

    def __init__(self, group_id: str) -> None:
        super().__init__(f"group {shown(group_id)} not found")


class WorkspaceNotFound(DirectoryError):
    """No such workspace."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "WORKSPACE_NOT_FOUND"

    def __init__(self, workspace: str) -> None:
        super().__init__(f"workspace {shown(workspace)} not found")


class ConnectionNotFound(DirectoryError):
    """No such connection."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "CONNECTION_NOT_FOUND"

    def __init__(self, connection_id: str) -> None:
        super().__init__(f"connection {shown(connection_id)} not found")


class TokenNotFound(DirectoryError):
    """No such token on the connection."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "TOKEN_NOT_FOUND"

    def __init__(self, token_id: str) -> None:
        super().__init__(f"token {shown(token_id)} not found on this connection")


class EventNotFound(DirectoryError):
    """No such event, or it was pruned."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "EVENT_NOT_FOUND"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {shown(event_id)} not found; events are kept for a limited time")


class UserNameTaken(DirectoryError):
    """Another user of the connection has the userName, active or not."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "USER_NAME_TAKEN"

    def __init__(self, user_name: str) -> None:
        super().__init__(f"userName {shown(user_name)} is taken by another user", field="user.user_name")


class GroupNameTaken(DirectoryError):
    """Another group of the connection has the displayName."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "GROUP_NAME_TAKEN"

    def __init__(self, display_name: str) -> None:
        super().__init__(f"displayName {shown(display_name)} is taken by another group", field="group.display_name")


class PortalAlreadyConnected(DirectoryError):
    """The portal has an enabled connection already."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "PORTAL_ALREADY_CONNECTED"

    def __init__(self, portal: str) -> None:
        super().__init__(f"the {portal} portal of this workspace has an enabled connection already: disable it first")


class EtagMismatch(DirectoryError):
    """The entity tag is not current any more (AIP-154)."""

    code = grpc.StatusCode.ABORTED
    reason = "ETAG_MISMATCH"

    def __init__(self, sent: str, current: str) -> None:
        super().__init__(f"etag {shown(sent)} is not current: the resource is at {current}", field="etag")


class InvalidValue(DirectoryError):
    """A value is missing, of the wrong form, or not allowed; the message begins with the field."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_VALUE"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}", field=field)


class InvalidPageToken(DirectoryError):
    """The page token is forged, or belongs to another query (AIP-158)."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_PAGE_TOKEN"

    def __init__(self) -> None:
        super().__init__("page_token: must be the next_page_token of the same query", field="page_token")


class UnresolvedReference(DirectoryError):
    """What a bulk id names was not created, so that what refers to it cannot be made either (RFC 7644 §3.7.1)."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "UNRESOLVED_REFERENCE"


class WorkspaceNotEmpty(DirectoryError):
    """The workspace still has connections."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "WORKSPACE_NOT_EMPTY"

    def __init__(self) -> None:
        super().__init__("the workspace still has connections: delete them first")


class ConnectionDeleting(DirectoryError):
    """The connection is being deleted."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "CONNECTION_DELETING"

    def __init__(self) -> None:
        super().__init__("the connection is being deleted")


class TooManyTokens(DirectoryError):
    """Two live tokens exist already."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "TOO_MANY_TOKENS"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the connection has {limit} live tokens already: revoke one first")


class InvalidToken(DirectoryError):
    """The SCIM token is missing, unknown, expired, revoked, or of another or a disabled connection; all the same."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "INVALID_TOKEN"

    def __init__(self) -> None:
        super().__init__("the bearer token is not valid for this connection")


class ScopeTooNarrow(DirectoryError):
    """The token's scope does not allow the method."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"

    def __init__(self) -> None:
        super().__init__("the bearer token may only read")


class ScimRefusal(DirectoryError):
    """A refusal by the rules of SCIM; the message is written for the administrator of the identity provider."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class AdministratorNotFound(DirectoryError):
    """No such account of an administrator."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "ADMINISTRATOR_NOT_FOUND"

    def __init__(self, administrator: str) -> None:
        super().__init__(f"administrator {shown(administrator)} not found")


class EmailTaken(DirectoryError):
    """Another administrator has the e-mail address, enabled or not."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "EMAIL_TAKEN"

    def __init__(self) -> None:
        super().__init__("another administrator has this e-mail address", field="email")


class LastAdministrator(DirectoryError):
    """Nobody could sign in any more."""

    reason = "LAST_ADMINISTRATOR"

    def __init__(self) -> None:
        super().__init__("this is the last enabled administrator: create or enable another one first")


class AdministratorDisabled(DirectoryError):
    """The account has to be enabled first."""

    reason = "ADMINISTRATOR_DISABLED"

    def __init__(self) -> None:
        super().__init__("the administrator is disabled: enable the account first")


class LinkNotFound(DirectoryError):
    """A one-time link was used, is too old, or never was: which of them is nobody's business."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "LINK_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("this link was used already or is older than 24 hours; ask for another one")


class InvalidSignIn(DirectoryError):
    """The same for every fault of who wants to sign in, and of their account."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "INVALID_SIGN_IN"

    def __init__(self) -> None:
        super().__init__("no enabled administrator signs in with these")


class TooManyAttempts(DirectoryError):
    """Too many attempts to sign in, on an account, from an address, or at once."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_ATTEMPTS"

    def __init__(self, seconds: float) -> None:
        super().__init__("too many attempts to sign in; try again later", retry_seconds=seconds)


class InvalidSession(DirectoryError):
    """A session has ended, or never was."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "INVALID_SESSION"

    def __init__(self) -> None:
        super().__init__("the session has ended")


class FilterRefused(ScimRefusal):
    """A filter is wrong, too large, or names what cannot be filtered (RFC 7644 §3.4.2.2)."""

    reason = "INVALID_FILTER"


class PathRefused(ScimRefusal):
    """A PATCH path is wrong (RFC 7644 §3.5.2)."""

    reason = "INVALID_PATH"


class SyntaxRefused(ScimRefusal):
    """A message does not have its form (RFC 7644 §3.12)."""

    reason = "INVALID_SYNTAX"


class ValueRefused(ScimRefusal):
    """A value is missing or does not fit its attribute (RFC 7644 §3.12)."""

    reason = "INVALID_VALUE"


class MutabilityRefused(ScimRefusal):
    """A read-only or immutable attribute is the target (RFC 7643 §7)."""

    reason = "MUTABILITY"


class NothingSelected(ScimRefusal):
    """A PATCH path selected nothing (RFC 7644 §3.5.2)."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "NO_TARGET"


class TooManyOperations(ScimRefusal):
    """A PATCH has more operations or member values than allowed."""

    reason = "TOO_MANY"


_REFUSALS: dict[type[scim_errors.ScimError], type[ScimRefusal]] = {
    scim_errors.InvalidFilter: FilterRefused,
    scim_errors.InvalidPath: PathRefused,
    scim_errors.InvalidSyntax: SyntaxRefused,
    scim_errors.InvalidValue: ValueRefused,
    scim_errors.Mutability: MutabilityRefused,
    scim_errors.NoTarget: NothingSelected,
    scim_errors.TooMany: TooManyOperations,
}


_RESOURCE_FIELDS = frozenset({"user", "group"})
"""Fields of requests that hold a resource, whose fields are its attributes."""


@contextmanager
def refusing_as_scim(field: str) -> Iterator[None]:
    """Turn the errors of the SCIM library, and a message that is no document, into refusals of the directory.

    `field` is the part of the request that is to blame; an error that knows the attribute or the PATCH operation makes
    it exact. The attribute's own name is in the metadata, under `attribute`.
    """
    try:
        yield
    except scim_errors.ScimError as error:
        metadata = {"attribute": error.attribute} if error.attribute else None
        raise _REFUSALS[type(error)](error.detail, field=_exact_field(field, error), metadata=metadata) from None
    except InvalidDocument as error:
        raise SyntaxRefused(str(error), field=field) from None


def _exact_field(field: str, error: scim_errors.ScimError) -> str:
    """Return the proto path of what is to blame: `user.phone_numbers.value`, `operations[0].value`."""
    if error.operation:
        part = {scim_errors.InvalidValue: ".value", scim_errors.InvalidSyntax: ""}.get(type(error), ".path")
        return f"{field}[{error.operation - 1}]{part}"
    if not error.attribute or field not in _RESOURCE_FIELDS:
        return field
    urn, _, name = error.attribute.rpartition(":")
    names = [field_name(part) for part in name.split(".")]
    if urn.casefold() == ENTERPRISE_USER_URN.casefold() and names[0] in EnterpriseUser.DESCRIPTOR.fields_by_name:
        names.insert(0, "enterprise")
    elif urn:
        names = ["extensions"]
    return ".".join([field, *names])


def shown(text: str) -> str:
    """Return a value as an error shows it: quoted, without control characters, cut at 100 characters."""
    kept = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:100])
    return f'"{kept}…"' if len(text) > 100 else f'"{kept}"'
