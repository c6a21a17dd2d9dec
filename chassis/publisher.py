"""Pipelined publishing to JetStream: many messages in flight, each with an ack of its own.

The client library has this too, but leaves the future of a refused publish unresolved, and of one whose connection is
lost. Here every future resolves.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
"""JetStream error codes of a fence that did not hold."""


class PublishError(Exception):
    """A publish that has no ack."""


class ConnectionLost(PublishError):
    """The connection is or went down: the message may or may not be stored."""


class NoResponders(PublishError):
    """No stream takes the subject now: it does not exist, or has no leader."""


class PublishRefused(PublishError):
    """JetStream refused to store the message; `code` is its error code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Ack:
    """The message is stored: its sequence in the stream, and whether it was there already."""

    sequence: int
    duplicate: bool


class Publisher:
    """Publishes on one connection; acks come to an inbox of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._tokens = itertools.count()
        self._waiting: dict[str, asyncio.Future[Ack]] = {}

    async def start(self) -> None:
        """Subscribe to the inbox."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply)

    def connection_lost(self) -> None:
        """Fail everything in flight; call it when the connection goes down."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(ConnectionLost("the connection was lost before the ack"))
                # Whoever awaits it gets the error; nobody may, when a batch was given up.
                future.exception()

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> asyncio.Future[Ack]:
        """Send a message; the future gives its ack or raises a `PublishError`. Raises `ConnectionLost` when down."""
        token = str(next(self._tokens))
        future: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        try:
            await self._client.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=dict(headers))
        except nats.errors.MaxPayloadError as error:
            self._waiting.pop(token, None)
            raise PublishRefused(0, "larger than the server's max_payload") from error
        except (nats.errors.Error, OSError) as error:
            self._waiting.pop(token, None)
            raise ConnectionLost(type(error).__name__) from error
        return future

    async def _on_reply(self, message: Msg) -> None:
        future = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if future is None or future.done():
            return
        if not message.data and message.headers and message.headers.get("Status") == "503":
            future.set_exception(NoResponders("no responders"))
        else:
            answer = orjson.loads(message.data)
            if error := answer.get("error"):
                future.set_exception(PublishRefused(int(error.get("err_code", 0)), str(error.get("description", ""))))
            else:
                future.set_result(Ack(int(answer["seq"]), bool(answer.get("duplicate", False))))
        if future.exception() is not None:
            # Whoever awaits it gets the error; nobody may, when a batch was given up.
            return
