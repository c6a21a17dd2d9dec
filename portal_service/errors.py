"""What the portal service refuses, one class for each thing that can be wrong.

DomainError
└── PortalError             domain "portal.rollcall"
    ├── ConnectionNotFound, WorkspaceNotFound, CollaboratorNotFound, EmployeeNotFound,
    │   PublicationNotFound, GroupNotFound, RoleMappingNotFound         NOT_FOUND
    ├── CollaboratorExists, PublicationExists                          ALREADY_EXISTS
    ├── WrongPortal, LastAdmin                                         FAILED_PRECONDITION
    ├── InvalidValue                                                   INVALID_ARGUMENT
    └── DirectoryUnavailable                                           UNAVAILABLE
"""

from __future__ import annotations

import grpc

from chassis.errors import DomainError

DOMAIN = "portal.rollcall"


class PortalError(DomainError):
    """The root of the portal service's errors."""

    domain = DOMAIN


class ConnectionNotFound(PortalError):
    """There is no such connection."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "CONNECTION_NOT_FOUND"

    def __init__(self, connection_id: str) -> None:
        """Names the connection."""
        super().__init__(f"connection_id: no connection {connection_id}", metadata={"connection_id": connection_id})


class WrongPortal(PortalError):
    """The connection belongs to another portal than the rule or the service is for."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "WRONG_PORTAL"

    def __init__(self, field: str, rule: str, portal: str, connection_id: str) -> None:
        """Says which `rule` the `field` breaks on a connection of `portal`."""
        super().__init__(
            f"{field}: {rule}; connection {connection_id} is of {portal}",
            metadata={"connection_id": connection_id, "portal": portal},
            field=field,
        )


class InvalidValue(PortalError):
    """A value is missing or not allowed."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_VALUE"

    def __init__(self, field: str, rule: str) -> None:
        """Says which `rule` the `field` breaks."""
        super().__init__(f"{field}: {rule}", field=field)


class WorkspaceNotFound(PortalError):
    """There is no such workspace."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "WORKSPACE_NOT_FOUND"

    def __init__(self, workspace_id: str) -> None:
        """Names the workspace."""
        super().__init__(f"workspace_id: no workspace {workspace_id}", metadata={"workspace_id": workspace_id})


class CollaboratorNotFound(PortalError):
    """The workspace has no collaborator with that e-mail address."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "COLLABORATOR_NOT_FOUND"

    def __init__(self, email: str, user_id: str = "") -> None:
        """Names the address as it was asked for, or the user whom nobody follows."""
        if user_id and not email:
            super().__init__(f"user_id: no collaborator in the workspace follows user {user_id}")
        else:
            super().__init__(f"email: no collaborator {email} in the workspace")


class CollaboratorExists(PortalError):
    """The workspace has a collaborator with that e-mail address."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "COLLABORATOR_EXISTS"

    def __init__(self, email: str) -> None:
        """Names the address."""
        super().__init__(f"email: {email} is a collaborator of the workspace already", field="email")


class LastAdmin(PortalError):
    """The workspace would be left without an ADMIN."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "LAST_ADMIN"

    def __init__(self, email: str) -> None:
        """Names the collaborator who must stay."""
        super().__init__(f"{email} is the workspace's last ADMIN: give the role ADMIN to another collaborator first")


class EmployeeNotFound(PortalError):
    """The workspace's store has no employee with that e-mail address."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "EMPLOYEE_NOT_FOUND"

    def __init__(self, email: str, user_id: str = "") -> None:
        """Names the address as it was asked for, or the user whom nobody follows."""
        if user_id and not email:
            super().__init__(f"user_id: no employee in the workspace's store follows user {user_id}")
        else:
            super().__init__(f"email: no employee {email} in the workspace's store")


class PublicationNotFound(PortalError):
    """The workspace has no such publication."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "PUBLICATION_NOT_FOUND"

    def __init__(self, publication_id: str) -> None:
        """Names the publication."""
        super().__init__(f"publication_id: no publication {publication_id} in the workspace")


class PublicationExists(PortalError):
    """The workspace has a publication of that name."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "PUBLICATION_EXISTS"

    def __init__(self, name: str) -> None:
        """Names the publication."""
        super().__init__(f"name: the workspace has a publication {name!r} already", field="name")


class GroupNotFound(PortalError):
    """The workspace's STORE connection has no group of that name."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "GROUP_NOT_FOUND"

    def __init__(self, field: str, name: str) -> None:
        """Names the group and the `field` that asks for it."""
        super().__init__(f"{field}: no group {name!r} on the workspace's STORE connection", field=field)


class RoleMappingNotFound(PortalError):
    """The group's name is not mapped."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "ROLE_MAPPING_NOT_FOUND"

    def __init__(self, group: str) -> None:
        """Names the group."""
        super().__init__(f"group: {group!r} is not mapped to a role", field="group")


class DirectoryUnavailable(PortalError):
    """The directory did not answer, and the answer depends on it."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "DIRECTORY_UNAVAILABLE"

    def __init__(self) -> None:
        """Says that a later attempt may succeed."""
        super().__init__("the directory does not answer; try again")
