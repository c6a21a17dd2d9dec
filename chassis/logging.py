"""Logs of a process: JSON lines or plain text, each with the request id; ids only, never personal data."""

from __future__ import annotations

import datetime
import logging
import sys
from typing import Literal, TextIO

import orjson

from chassis.request_context import request_context
from chassis.telemetry import trace_id

_EXTRA = ("connection_id", "workspace_id", "event_id", "event_type", "aggregate_id", "partition", "version")
_CHATTY = ("alembic", "nats", "grpc", "asyncio")


class _JsonFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = request_context.get()
        if context.request_id:
            entry["request_id"] = context.request_id
        if context.traceparent and (trace := trace_id(context.traceparent)):
            entry["trace_id"] = trace
        for name in _EXTRA:
            if (value := getattr(record, name, None)) is not None:
                entry[name] = value
        if record.exc_info:
            entry["exception"] = describe_exception(record)
        return orjson.dumps(entry, default=str).decode()


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        request_id = request_context.get().request_id
        text = f"{moment} {record.levelname:<7} {record.getMessage()}"
        if request_id:
            text += f" [{request_id}]"
        if record.exc_info:
            text += "\n" + describe_exception(record)
        return text


def describe_exception(record: logging.LogRecord) -> str:
    """Describe an exception by types and places in the code, without messages: those may quote a person's data."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    lines: list[str] = []
    error: BaseException | None = record.exc_info[1]
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        places = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        lines.append(f"{type(error).__module__}.{type(error).__qualname__} at {' < '.join(reversed(places[-8:]))}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\ncaused by ".join(lines)


def configure(
    process: str, *, level: str = "INFO", format: Literal["json", "plain"] = "json", stream: TextIO | None = None
) -> None:
    """Send all log records of the process to `stream` (standard error), at `level` and above, in one format."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter(process) if format == "json" else _PlainFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
