"""Gathers what the doctor has to know of a connection: a bounded number of calls, all at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.directory.v1 import directory_service_pb2 as directory
from rollcall.directory.v1 import provisioning_log_service_pb2 as log
from rollcall.directory.v1.user_pb2 import User

from console.doctor import Facts
from console.services import Services

LOG_DAYS = timedelta(days=7)
"""How far back requests are looked at."""
_NAMED = 20
_LOOKED_UP = 10
_GROUPS = 200
_EFFECTS = 100
NO_EMAIL = "NO_EMAIL"


async def gather(services: Services, connection: connections.Connection, *, now: datetime | None = None) -> Facts:
    """Ask the services: seven calls, and one for each of up to ten users. Raises grpc.aio.AioRpcError."""
    now = now or datetime.now(UTC)
    since = Timestamp()
    since.FromDatetime(now - LOG_DAYS)
    connection_id = connection.connection_id
    service = services.delivery("mdm" if connection.portal == connections.PORTAL_MDM else "portal")
    present, tokens, summary, parked, groups, skipped, dead = await asyncio.gather(
        # By its id: this one knows of the requests of the last minute.
        services.connections.GetConnection(connections.GetConnectionRequest(connection_id=connection_id)),
        services.connections.ListTokens(connections.ListTokensRequest(connection_id=connection_id)),
        services.log.GetProvisioningLogSummary(
            log.GetProvisioningLogSummaryRequest(connection_id=connection_id, start_time=since)
        ),
        services.directory.ListParkedMembers(
            directory.ListParkedMembersRequest(connection_id=connection_id, page_size=_NAMED)
        ),
        services.directory.ListGroups(directory.ListGroupsRequest(connection_id=connection_id, page_size=_GROUPS)),
        service.ListEffects(
            delivery.ListEffectsRequest(
                workspace_id=connection.workspace_id, outcome=delivery.OUTCOME_SKIPPED, page_size=_EFFECTS
            )
        ),
        service.ListDeadLetters(delivery.ListDeadLettersRequest(connection_id=connection_id, page_size=_NAMED)),
    )
    awaited = {one.group_id for one in parked.parked_members}
    whom = list(
        dict.fromkeys(
            one.user_id
            for one in skipped.effects
            if one.reason == NO_EMAIL and one.connection_id == connection_id and one.user_id
        )
    )
    return Facts(
        now=now,
        connection=present.connection,
        tokens=tokens.tokens,
        log=summary.summary,
        parked=parked.parked_members,
        parked_count=parked.total_size,
        empty_groups=[one for one in groups.groups if not one.member_count and one.id not in awaited],
        without_email=await _still_without_email(services, connection_id, whom[:_LOOKED_UP]),
        more_without_email=len(whom) > _LOOKED_UP,
        dead_letters=dead.dead_letters,
        more_dead_letters=bool(dead.next_page_token),
    )


async def _still_without_email(services: Services, connection_id: str, user_ids: list[str]) -> list[str]:
    """Return the userNames of those who are there, are active and have no e-mail address to this day."""
    users = await asyncio.gather(*(_find_user(services, connection_id, user_id) for user_id in user_ids))
    return [user.user_name for user in users if user is not None and user.active and not _has_email(user)]


async def _find_user(services: Services, connection_id: str, user_id: str) -> User | None:
    # One by one, each by its key: a filter of several ids goes through all users of the connection.
    request = directory.GetUserRequest(connection_id=connection_id, id=user_id)
    try:
        found: directory.GetUserResponse = await services.directory.GetUser(request)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
    return found.user


def _has_email(user: User) -> bool:
    # As the accounts are made (PRODUCT §2): a userName that is an address is good enough.
    return any(one.value.strip() for one in user.emails) or "@" in user.user_name
