"""`rollcall.directory.v1.DirectoryService`: users and groups."""

from collections.abc import AsyncIterator
from typing import Any

from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1.directory_service_pb2_grpc import DirectoryServiceServicer

from chassis.paging import decode_page_token, encode_page_token, page_limit
from directory_service import bulk, extensions, groups, search, snapshots, users
from directory_service.authentication import Authenticator
from directory_service.directory import Access, Directory
from directory_service.errors import DOMAIN, InvalidPageToken
from directory_service.replay import Replayer


class DirectoryServicer(DirectoryServiceServicer):
    """Users and groups of the connection that the caller may work on."""

    def __init__(self, directory: Directory, authenticator: Authenticator, replayer: Replayer) -> None:
        self._directory = directory
        self._replayer = replayer
        self._access = authenticator.access

    async def CreateUser(self, request: pb.CreateUserRequest, context: Any) -> pb.CreateUserResponse:
        """Create a user."""
        access = await self._access(request.connection_id, writes=True)
        user = await users.create_user(self._directory, access, request.user, include_groups=request.include_groups)
        return pb.CreateUserResponse(user=user)

    async def GetUser(self, request: pb.GetUserRequest, context: Any) -> pb.GetUserResponse:
        """Read a user."""
        access = await self._access(request.connection_id)
        user = await users.get_user(self._directory, access, request.id, include_groups=request.include_groups)
        return pb.GetUserResponse(user=user)

    async def ListUsers(self, request: pb.ListUsersRequest, context: Any) -> pb.ListUsersResponse:
        """List users."""
        access = await self._access(request.connection_id)
        return await users.list_users(self._directory, access, request)

    async def FindUsers(self, request: pb.FindUsersRequest, context: Any) -> pb.FindUsersResponse:
        """List users by userName; the method policy keeps all but the administrator out."""
        access = await self._access(request.connection_id)
        active = request.active if request.HasField("active") else None
        query = f"find_users\n{access.connection_id}\n{active}\n{request.user_name_prefix}"
        limit, after = page_limit(request.page_size), ""
        if request.page_token:
            (after,) = map(str, decode_page_token(request.page_token, query, types=(str,), domain=DOMAIN))
            if "\0" in after:
                raise InvalidPageToken
        found, last = await users.find_users(
            self._directory, access, prefix=request.user_name_prefix, active=active, after=after, limit=limit
        )
        token = encode_page_token((last,), query) if len(found) == limit else ""
        return pb.FindUsersResponse(users=found, next_page_token=token)

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Any) -> pb.UpdateUserResponse:
        """Replace a user."""
        access = await self._access(request.connection_id, writes=True)
        user = await users.update_user(
            self._directory,
            access,
            request.user,
            mask=request.update_mask.paths,
            etag=request.etag,
            include_groups=request.include_groups,
        )
        return pb.UpdateUserResponse(user=user)

    async def PatchUser(self, request: pb.PatchUserRequest, context: Any) -> pb.PatchUserResponse:
        """Patch a user."""
        access = await self._access(request.connection_id, writes=True)
        user = await users.patch_user(
            self._directory,
            access,
            request.id,
            request.operations,
            etag=request.etag,
            include_groups=request.include_groups,
        )
        return pb.PatchUserResponse(user=user)

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Any) -> pb.DeleteUserResponse:
        """Delete a user."""
        access = await self._access(request.connection_id, writes=True)
        await users.delete_user(self._directory, access, request.id, etag=request.etag)
        return pb.DeleteUserResponse()

    async def CreateGroup(self, request: pb.CreateGroupRequest, context: Any) -> pb.CreateGroupResponse:
        """Create a group."""
        access = await self._access(request.connection_id, writes=True)
        group = await groups.create_group(
            self._directory,
            access,
            request.group,
            request.members.members,
            include_members=not request.omit_members,
        )
        return pb.CreateGroupResponse(group=group)

    async def GetGroup(self, request: pb.GetGroupRequest, context: Any) -> pb.GetGroupResponse:
        """Read a group."""
        access = await self._access(request.connection_id)
        group = await groups.get_group(self._directory, access, request.id, include_members=request.include_members)
        return pb.GetGroupResponse(group=group)

    async def ListGroups(self, request: pb.ListGroupsRequest, context: Any) -> pb.ListGroupsResponse:
        """List groups."""
        access = await self._access(request.connection_id)
        return await groups.list_groups(self._directory, access, request)

    async def UpdateGroup(self, request: pb.UpdateGroupRequest, context: Any) -> pb.UpdateGroupResponse:
        """Replace a group."""
        access = await self._access(request.connection_id, writes=True)
        group = await groups.update_group(
            self._directory,
            access,
            request.group,
            request.members.members if request.HasField("members") else None,
            mask=request.update_mask.paths,
            etag=request.etag,
            include_members=not request.omit_members,
        )
        return pb.UpdateGroupResponse(group=group)

    async def PatchGroup(self, request: pb.PatchGroupRequest, context: Any) -> pb.PatchGroupResponse:
        """Patch a group."""
        access = await self._access(request.connection_id, writes=True)
        group = await groups.patch_group(
            self._directory,
            access,
            request.id,
            request.operations,
            etag=request.etag,
            include_members=request.include_members,
        )
        return pb.PatchGroupResponse(group=group)

    async def DeleteGroup(self, request: pb.DeleteGroupRequest, context: Any) -> pb.DeleteGroupResponse:
        """Delete a group."""
        access = await self._access(request.connection_id, writes=True)
        await groups.delete_group(self._directory, access, request.id, etag=request.etag)
        return pb.DeleteGroupResponse()

    async def BulkWrite(self, request: pb.BulkWriteRequest, context: Any) -> pb.BulkWriteResponse:
        """Make many writes."""
        access = await self._access(request.connection_id, writes=True)
        return await bulk.write_bulk(self._directory, access, request)

    async def SearchResources(self, request: pb.SearchResourcesRequest, context: Any) -> pb.SearchResourcesResponse:
        """List users and groups."""
        access = await self._access(request.connection_id)
        return await search.search_resources(self._directory, access, request)

    async def ListGroupMembers(
        self, request: pb.ListGroupMembersRequest, context: Any
    ) -> AsyncIterator[pb.ListGroupMembersResponse]:
        """Stream a group's members."""
        access = await self._access(request.connection_id)
        if request.page_size:
            yield await self._page_members(access, request)
            return
        async for members in groups.stream_members(self._directory, access, request.group_id):
            yield pb.ListGroupMembersResponse(members=members)

    async def _page_members(self, access: Access, request: pb.ListGroupMembersRequest) -> pb.ListGroupMembersResponse:
        query, limit, after = f"members\n{request.group_id}", page_limit(request.page_size), 0
        if request.page_token:
            (after,) = map(int, decode_page_token(request.page_token, query, types=(int,), domain=DOMAIN))
            if not 0 <= after < 2**63:
                raise InvalidPageToken
        members, last = await groups.page_members(self._directory, access, request.group_id, after=after, limit=limit)
        token = encode_page_token((last,), query) if len(members) == limit else ""
        return pb.ListGroupMembersResponse(members=members, next_page_token=token)

    async def ListParkedMembers(
        self, request: pb.ListParkedMembersRequest, context: Any
    ) -> pb.ListParkedMembersResponse:
        """List parked members."""
        access = await self._access(request.connection_id)
        query, limit = f"parked\n{access.connection_id}\n{request.group_id}", page_limit(request.page_size)
        after = 0
        if request.page_token:
            (position,) = decode_page_token(request.page_token, query, types=(int,), domain=DOMAIN)
            after = int(position)
            if not 0 <= after < 2**63:
                raise InvalidPageToken
        parked, last, total = await groups.list_parked_members(
            self._directory, access, request.group_id, after=after, limit=limit
        )
        token = encode_page_token((last,), query) if len(parked) == limit else ""
        return pb.ListParkedMembersResponse(parked_members=parked, next_page_token=token, total_size=total)

    async def StreamSnapshot(
        self, request: pb.StreamSnapshotRequest, context: Any
    ) -> AsyncIterator[pb.StreamSnapshotResponse]:
        """Stream a snapshot of a connection."""
        access = await self._access(request.connection_id)
        async for item in snapshots.stream_snapshot(self._directory, access, request.kind, request.id):
            yield item

    async def GetEvent(self, request: pb.GetEventRequest, context: Any) -> pb.GetEventResponse:
        """Read what is kept of an event of any connection; the method policy keeps the gateway out."""
        return pb.GetEventResponse(event=await snapshots.read_event(self._directory, request.event_id))

    async def ListExtensions(self, request: pb.ListExtensionsRequest, context: Any) -> pb.ListExtensionsResponse:
        """List the extensions received on a connection."""
        access = await self._access(request.connection_id)
        return pb.ListExtensionsResponse(extensions=await extensions.list_extensions(self._directory, access))

    async def ReplayEvents(
        self, request: pb.ReplayEventsRequest, context: Any
    ) -> AsyncIterator[pb.ReplayEventsResponse]:
        """Publish events once more; the method policy keeps all but the administrator out."""
        async for published, total in self._replayer.replay(request):
            yield pb.ReplayEventsResponse(published=published, total=total)

    async def CheckToken(self, request: pb.CheckTokenRequest, context: Any) -> pb.CheckTokenResponse:
        """Say for which connection the SCIM token is good."""
        access = await self._access(request.connection_id)
        return pb.CheckTokenResponse(connection_id=access.connection_id)
