"""`rollcall.portal.v1.PortalService`."""

from __future__ import annotations

from typing import Any

import grpc
from rollcall.portal.v1 import portal_service_pb2 as pb
from rollcall.portal.v1.portal_service_pb2_grpc import PortalServiceServicer

from chassis.database import Database
from portal_service import collaborators, counts, employees, publications, rules
from portal_service.directory import Directory
from portal_service.reviews import RoleReviewer
from portal_service.workspaces import Workspaces

Context = grpc.aio.ServicerContext[Any, Any]


class PortalServicer(PortalServiceServicer):
    """Answers the calls of PortalService."""

    def __init__(self, db: Database, workspaces: Workspaces, directory: Directory, reviewer: RoleReviewer) -> None:
        """Works on `db`; `workspaces` and `directory` know what exists, `reviewer` applies new rules."""
        self._db = db
        self._workspaces = workspaces
        self._directory = directory
        self._reviewer = reviewer

    async def GetRules(self, request: pb.GetRulesRequest, context: Context) -> pb.GetRulesResponse:
        """Reads the rules of a connection."""
        found = await rules.get_rules(self._db, self._workspaces, request.connection_id)
        return pb.GetRulesResponse(rules=found)

    async def UpdateRules(self, request: pb.UpdateRulesRequest, context: Context) -> pb.UpdateRulesResponse:
        """Changes the rules of a connection; what is absent stays (AIP-134)."""
        changed = await rules.update_rules(
            self._db,
            self._workspaces,
            self._reviewer,
            request.connection_id,
            on_create=request.on_create,
            on_deactivate=request.on_deactivate,
            default_role=request.default_role,
            role_mode=request.role_mode,
            settling_period=request.settling_period if request.HasField("settling_period") else None,
        )
        return pb.UpdateRulesResponse(rules=changed)

    async def MapRole(self, request: pb.MapRoleRequest, context: Context) -> pb.MapRoleResponse:
        """Maps a group's display name to a role."""
        changed = await rules.map_role(
            self._db, self._workspaces, self._reviewer, request.connection_id, group=request.group, role=request.role
        )
        return pb.MapRoleResponse(rules=changed)

    async def UnmapRole(self, request: pb.UnmapRoleRequest, context: Context) -> pb.UnmapRoleResponse:
        """Ends the mapping of a group's display name."""
        changed = await rules.unmap_role(
            self._db, self._workspaces, self._reviewer, request.connection_id, group=request.group
        )
        return pb.UnmapRoleResponse(rules=changed)

    async def ListCollaborators(
        self, request: pb.ListCollaboratorsRequest, context: Context
    ) -> pb.ListCollaboratorsResponse:
        """Lists a workspace's collaborators by e-mail (AIP-132)."""
        page, token = await collaborators.list_collaborators(
            self._db,
            self._workspaces,
            request.workspace_id,
            email_prefix=request.email_prefix,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListCollaboratorsResponse(collaborators=page, next_page_token=token)

    async def GetCollaborator(self, request: pb.GetCollaboratorRequest, context: Context) -> pb.GetCollaboratorResponse:
        """Reads one collaborator by e-mail, or by the user that it follows (AIP-131)."""
        found = await collaborators.get_collaborator(
            self._db, self._workspaces, request.workspace_id, request.email, request.user_id
        )
        return pb.GetCollaboratorResponse(collaborator=found)

    async def CreateCollaborator(
        self, request: pb.CreateCollaboratorRequest, context: Context
    ) -> pb.CreateCollaboratorResponse:
        """Adds a collaborator by hand (AIP-133)."""
        created = await collaborators.create_collaborator(
            self._db,
            self._workspaces,
            request.workspace_id,
            email=request.email,
            role=request.role,
            display_name=request.display_name,
        )
        return pb.CreateCollaboratorResponse(collaborator=created)

    async def SetCollaboratorRole(
        self, request: pb.SetCollaboratorRoleRequest, context: Context
    ) -> pb.SetCollaboratorRoleResponse:
        """Gives a collaborator a role by hand."""
        changed = await collaborators.set_role(
            self._db, self._workspaces, request.workspace_id, email=request.email, role=request.role
        )
        return pb.SetCollaboratorRoleResponse(collaborator=changed)

    async def DeleteCollaborator(
        self, request: pb.DeleteCollaboratorRequest, context: Context
    ) -> pb.DeleteCollaboratorResponse:
        """Removes a collaborator by hand (AIP-135)."""
        await collaborators.delete_collaborator(self._db, self._workspaces, request.workspace_id, request.email)
        return pb.DeleteCollaboratorResponse()

    async def ListEmployees(self, request: pb.ListEmployeesRequest, context: Context) -> pb.ListEmployeesResponse:
        """Lists the store's employees of a workspace by e-mail (AIP-132)."""
        page, token = await employees.list_employees(
            self._db,
            self._workspaces,
            request.workspace_id,
            email_prefix=request.email_prefix,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListEmployeesResponse(employees=page, next_page_token=token)

    async def GetEmployee(self, request: pb.GetEmployeeRequest, context: Context) -> pb.GetEmployeeResponse:
        """Reads one employee by e-mail, or by the user that it follows (AIP-131)."""
        found = await employees.get_employee(
            self._db, self._workspaces, request.workspace_id, request.email, request.user_id
        )
        return pb.GetEmployeeResponse(employee=found)

    async def CreatePublication(
        self, request: pb.CreatePublicationRequest, context: Context
    ) -> pb.CreatePublicationResponse:
        """Offers an app in the store (AIP-133)."""
        created = await publications.create_publication(
            self._db,
            self._workspaces,
            self._directory,
            request.workspace_id,
            name=request.name,
            audience=request.audience,
        )
        return pb.CreatePublicationResponse(publication=created)

    async def ListPublications(
        self, request: pb.ListPublicationsRequest, context: Context
    ) -> pb.ListPublicationsResponse:
        """Lists a workspace's publications by name (AIP-132)."""
        page, token = await publications.list_publications(
            self._db,
            self._workspaces,
            request.workspace_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListPublicationsResponse(publications=page, next_page_token=token)

    async def GetPublication(self, request: pb.GetPublicationRequest, context: Context) -> pb.GetPublicationResponse:
        """Reads one publication (AIP-131)."""
        found = await publications.get_publication(
            self._db, self._workspaces, request.workspace_id, request.publication_id
        )
        return pb.GetPublicationResponse(publication=found)

    async def UpdatePublication(
        self, request: pb.UpdatePublicationRequest, context: Context
    ) -> pb.UpdatePublicationResponse:
        """Changes who sees an app (AIP-134)."""
        changed = await publications.update_publication(
            self._db,
            self._workspaces,
            self._directory,
            request.workspace_id,
            request.publication_id,
            audience=request.audience,
        )
        return pb.UpdatePublicationResponse(publication=changed)

    async def DeletePublication(
        self, request: pb.DeletePublicationRequest, context: Context
    ) -> pb.DeletePublicationResponse:
        """Takes an app from the store (AIP-135)."""
        await publications.delete_publication(self._db, self._workspaces, request.workspace_id, request.publication_id)
        return pb.DeletePublicationResponse()

    async def ListVisiblePublications(
        self, request: pb.ListVisiblePublicationsRequest, context: Context
    ) -> pb.ListVisiblePublicationsResponse:
        """Lists the publications that an employee sees."""
        seen = await publications.list_visible_publications(
            self._db, self._workspaces, request.workspace_id, request.email
        )
        return pb.ListVisiblePublicationsResponse(publications=seen)

    async def CheckPublicationAccess(
        self, request: pb.CheckPublicationAccessRequest, context: Context
    ) -> pb.CheckPublicationAccessResponse:
        """Says whether an employee may see one publication."""
        allowed = await publications.check_publication_access(
            self._db,
            self._workspaces,
            request.workspace_id,
            publication_id=request.publication_id,
            email=request.email,
        )
        return pb.CheckPublicationAccessResponse(allowed=allowed)

    async def GetCounts(self, request: pb.GetCountsRequest, context: Context) -> pb.GetCountsResponse:
        """Counts what a workspace has, or a connection provisions."""
        return await counts.get_counts(self._db, self._workspaces, request.workspace_id, request.connection_id)
