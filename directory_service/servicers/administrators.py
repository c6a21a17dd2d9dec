"""`rollcall.directory.v1.AdministratorService`: accounts of administrators and their sessions in the console."""

from typing import Any

from rollcall.directory.v1 import administrator_service_pb2 as pb
from rollcall.directory.v1.administrator_service_pb2_grpc import AdministratorServiceServicer

from chassis.auth import CONSOLE
from chassis.paging import decode_page_token, encode_page_token, page_limit
from chassis.request_context import request_context
from directory_service import administrators, sessions
from directory_service.administrators import Accounts
from directory_service.errors import DOMAIN, InvalidPageToken, InvalidValue


class AdministratorServicer(AdministratorServiceServicer):
    """Accounts and sessions; the method policy says who may call what."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def CreateAdministrator(
        self, request: pb.CreateAdministratorRequest, context: Any
    ) -> pb.CreateAdministratorResponse:
        """Create an account."""
        made = await administrators.create_administrator(self._accounts, request.email, request.name, request.password)
        return pb.CreateAdministratorResponse(administrator=made)

    async def GetAdministrator(self, request: pb.GetAdministratorRequest, context: Any) -> pb.GetAdministratorResponse:
        """Read an account."""
        found = await administrators.get_administrator(self._accounts, request.administrator)
        return pb.GetAdministratorResponse(administrator=found)

    async def ListAdministrators(
        self, request: pb.ListAdministratorsRequest, context: Any
    ) -> pb.ListAdministratorsResponse:
        """List accounts."""
        query, limit, after = "administrators", page_limit(request.page_size), ""
        if request.page_token:
            (after,) = map(str, decode_page_token(request.page_token, query, types=(str,), domain=DOMAIN))
            if "\0" in after:
                raise InvalidPageToken  # a forged one, which no database takes
        page = await administrators.list_administrators(self._accounts, after=after, limit=limit + 1)
        response = pb.ListAdministratorsResponse(administrators=page[:limit])
        if len(page) > limit:
            response.next_page_token = encode_page_token((page[limit - 1].email.lower(),), query)
        return response

    async def DisableAdministrator(
        self, request: pb.DisableAdministratorRequest, context: Any
    ) -> pb.DisableAdministratorResponse:
        """Disable an account."""
        changed = await administrators.disable_administrator(self._accounts, request.administrator_id)
        return pb.DisableAdministratorResponse(administrator=changed)

    async def EnableAdministrator(
        self, request: pb.EnableAdministratorRequest, context: Any
    ) -> pb.EnableAdministratorResponse:
        """Enable an account."""
        changed = await administrators.enable_administrator(self._accounts, request.administrator_id)
        return pb.EnableAdministratorResponse(administrator=changed)

    async def SetPassword(self, request: pb.SetPasswordRequest, context: Any) -> pb.SetPasswordResponse:
        """Set a password; in the console a person sets their own, and shows that it is theirs."""
        asked = request_context.get()
        if asked.identity is not None and asked.identity.name == CONSOLE:
            if not request.HasField("current_password"):
                raise InvalidValue("current_password", "is required")
            if request.administrator_id != asked.administrator:
                raise InvalidValue("administrator_id", "must be the account that has signed in")
        changed = await sessions.set_password(
            self._accounts,
            request.administrator_id,
            request.password,
            current=request.current_password if request.HasField("current_password") else None,
            session_token=request.session_token,
        )
        return pb.SetPasswordResponse(administrator=changed)

    async def CreateSignInLink(self, request: pb.CreateSignInLinkRequest, context: Any) -> pb.CreateSignInLinkResponse:
        """Make a one-time link."""
        token, end = await sessions.create_link(self._accounts, request.administrator_id)
        return pb.CreateSignInLinkResponse(link_token=token, expire_time=end)

    async def GetSignInLink(self, request: pb.GetSignInLinkRequest, context: Any) -> pb.GetSignInLinkResponse:
        """Say what a link is for."""
        administrator, end = await sessions.get_link(self._accounts, request.link_token)
        return pb.GetSignInLinkResponse(administrator=administrator, expire_time=end)

    async def RedeemSignInLink(self, request: pb.RedeemSignInLinkRequest, context: Any) -> pb.RedeemSignInLinkResponse:
        """Use a link."""
        administrator, session = await sessions.redeem_link(
            self._accounts, request.link_token, request.email, request.name, request.password
        )
        return pb.RedeemSignInLinkResponse(administrator=administrator, session=session)

    async def SignIn(self, request: pb.SignInRequest, context: Any) -> pb.SignInResponse:
        """Open a session for a password."""
        administrator, session = await sessions.sign_in(
            self._accounts, request.email, request.password, request.client_address
        )
        return pb.SignInResponse(administrator=administrator, session=session)

    async def SignInWithOpenId(self, request: pb.SignInWithOpenIdRequest, context: Any) -> pb.SignInWithOpenIdResponse:
        """Open a session on the word of an OpenID provider."""
        administrator, session = await sessions.sign_in_with_openid(
            self._accounts, request.issuer, request.subject, request.email
        )
        return pb.SignInWithOpenIdResponse(administrator=administrator, session=session)

    async def GetSession(self, request: pb.GetSessionRequest, context: Any) -> pb.GetSessionResponse:
        """Say whose a session is."""
        administrator, end = await sessions.get_session(self._accounts, request.session_token)
        return pb.GetSessionResponse(administrator=administrator, expire_time=end)

    async def SignOut(self, request: pb.SignOutRequest, context: Any) -> pb.SignOutResponse:
        """End a session."""
        await sessions.sign_out(self._accounts, request.session_token)
        return pb.SignOutResponse()
