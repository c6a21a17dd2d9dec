"""The use case of publishing events once more, from the outbox (DELIVERY, "Repair")."""

from collections.abc import AsyncIterator
from datetime import UTC

from rollcall.directory.v1 import directory_service_pb2 as pb

from chassis.relay import count_replay, replay
from chassis.streams import NatsSettings, StreamSettings
from directory_service.directory import Directory
from directory_service.errors import InvalidValue
from directory_service.tables import OUTBOX


class Replayer:
    """Publishes events of the directory's outbox to its stream."""

    def __init__(self, directory: Directory, servers: NatsSettings, stream: StreamSettings) -> None:
        self._directory = directory
        self._servers = servers
        self._stream = stream

    async def replay(self, request: pb.ReplayEventsRequest) -> AsyncIterator[tuple[int, int]]:
        """Publish what the request names; yield how many events there were up to now and there are, at the end too.

        Raises InvalidValue, and ReplayInterrupted when the stream does not take an event.
        """
        start = request.WhichOneof("from")
        if start is None:
            raise InvalidValue("from_time", "is required, or from_sequence with a connection")
        if start == "from_sequence":
            if not request.connection_id:
                raise InvalidValue("connection_id", "is required with from_sequence, a position on one connection")
            if request.from_sequence < 1:
                raise InvalidValue("from_sequence", "must be at least 1")
        elif not 0 <= request.from_time.seconds < 253_402_300_800:
            raise InvalidValue("from_time", "must lie between 1970 and 9999")
        connection_id = request.connection_id or None
        from_sequence = request.from_sequence if start == "from_sequence" else None
        from_time = request.from_time.ToDatetime(UTC) if start == "from_time" else None
        db = self._directory.db
        total = await count_replay(
            db, OUTBOX, connection_id=connection_id, from_sequence=from_sequence, from_time=from_time
        )
        yield 0, total
        if request.dry_run or not total:
            return
        async for published in replay(
            db,
            OUTBOX,
            servers=self._servers,
            stream=self._stream,
            connection_id=connection_id,
            from_sequence=from_sequence,
            from_time=from_time,
        ):
            # What was committed meanwhile may come on top.
            yield published, max(total, published)
