"""`rollcall.directory.v1.ProvisioningLogService`: requests of identity providers, and what each of them caused."""

from typing import Any

from rollcall.directory.v1 import provisioning_log_service_pb2 as pb
from rollcall.directory.v1.provisioning_log_service_pb2_grpc import ProvisioningLogServiceServicer

from chassis.paging import decode_page_token, encode_page_token, page_limit
from directory_service import provisioning_log
from directory_service.directory import Directory
from directory_service.errors import DOMAIN, InvalidPageToken


class ProvisioningLogServicer(ProvisioningLogServiceServicer):
    """The gateway writes the log, administrators read it; the method policy says so."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def RecordProvisioningLogEntries(
        self, request: pb.RecordProvisioningLogEntriesRequest, context: Any
    ) -> pb.RecordProvisioningLogEntriesResponse:
        """Keep entries."""
        await provisioning_log.record_entries(self._directory, list(request.entries))
        return pb.RecordProvisioningLogEntriesResponse()

    async def ListProvisioningLogEntries(
        self, request: pb.ListProvisioningLogEntriesRequest, context: Any
    ) -> pb.ListProvisioningLogEntriesResponse:
        """List entries."""
        limit, before = page_limit(request.page_size), ""
        asked = pb.ListProvisioningLogEntriesRequest()
        asked.CopyFrom(request)
        asked.ClearField("page_size")
        asked.ClearField("page_token")
        query = f"provisioning_log\n{asked.SerializeToString(deterministic=True).hex()}"
        if request.page_token:
            (before,) = map(str, decode_page_token(request.page_token, query, types=(str,), domain=DOMAIN))
            if "\0" in before:
                raise InvalidPageToken  # a forged one, which no database takes
        entries = await provisioning_log.list_entries(self._directory, asked, before=before, limit=limit + 1)
        response = pb.ListProvisioningLogEntriesResponse(entries=entries[:limit])
        if len(entries) > limit:
            response.next_page_token = encode_page_token((entries[limit - 1].entry_id,), query)
        return response

    async def GetProvisioningLogSummary(
        self, request: pb.GetProvisioningLogSummaryRequest, context: Any
    ) -> pb.GetProvisioningLogSummaryResponse:
        """Say what requests come to."""
        summary = await provisioning_log.summarize(self._directory, request)
        return pb.GetProvisioningLogSummaryResponse(summary=summary)

    async def ListRequestEvents(
        self, request: pb.ListRequestEventsRequest, context: Any
    ) -> pb.ListRequestEventsResponse:
        """List the events of a request."""
        limit, after = page_limit(request.page_size), 0
        query = f"request_events\n{request.request_id}"
        if request.page_token:
            (after,) = map(int, decode_page_token(request.page_token, query, types=(int,), domain=DOMAIN))
            if not 0 <= after < 2**63:
                raise InvalidPageToken
        found = await provisioning_log.list_events(self._directory, request.request_id, after=after, limit=limit + 1)
        response = pb.ListRequestEventsResponse(events=[event for _, event in found[:limit]])
        if len(found) > limit:
            response.next_page_token = encode_page_token((found[limit - 1][0],), query)
        return response
