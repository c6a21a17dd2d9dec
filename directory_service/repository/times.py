"""Times between rows (milliseconds since 1970) and messages."""

import time

from google.protobuf.timestamp_pb2 import Timestamp


def now_ms() -> int:
    """Return the present time in milliseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000_000


def timestamp(ms: int) -> Timestamp:
    """Return the message of a time in milliseconds."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)
