"""Traces: spans of OpenTelemetry, told to `OTLP_ENDPOINT`; without one nothing is imported and nothing is paid for.

A trace travels as the text of W3C Trace Context, `traceparent`: as a header of HTTP, as metadata of a call, whether it
goes alone or over a stream with others, as a column of the outbox and as a header on NATS. Ready-made instrumentation
knows neither a stream of calls nor an outbox, so spans are begun where that text arrives: one way for all of them.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPORT_MILLISECONDS = 1_000
"""How often ended spans are told."""
SHUTDOWN_MILLISECONDS = 3_000

_provider: Any = None
_tracer: Any = None


class Span:
    """A span that is under way; `traceparent` is what names it to whoever is called next."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any) -> None:
        self._span = span
        context = span.get_span_context()
        flags = int(context.trace_flags)
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    def end(self, *, name: str = "", error: str = "", attributes: Mapping[str, str | int] | None = None) -> None:
        """End it, under another name where that was not known before; `error` says in a word why it failed."""
        from opentelemetry.trace import Status, StatusCode

        if name:
            self._span.update_name(name)
        if attributes:
            self._span.set_attributes(attributes)
        if error:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


def configure(process: str, endpoint: str) -> None:
    """Begin to trace, in the name of a process, after any fork; nothing without an endpoint, such as
    `http://collector:4318`. The variables of OpenTelemetry hold for sampling and for headers of the export.
    """
    global _provider, _tracer
    if not endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    _provider = TracerProvider(resource=Resource.create({"service.name": f"rollcall-{process}"}))
    _provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_MILLISECONDS))
    _tracer = _provider.get_tracer("rollcall")


def shutdown() -> None:
    """Tell what has ended and trace no more; blocks until that is done or a few seconds are over."""
    global _provider, _tracer
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        provider.force_flush(SHUTDOWN_MILLISECONDS)
        provider.shutdown()


def start(
    kind: Literal["SERVER", "PRODUCER", "CONSUMER"],
    name: str,
    traceparent: str,
    *,
    since: datetime.datetime | None = None,
    attributes: Mapping[str, str | int] | None = None,
) -> Span | None:
    """Begin a span within the one that `traceparent` names, or a trace of its own; None while nothing is traced."""
    if _tracer is None:
        return None
    from opentelemetry.trace import SpanKind

    began = None if since is None else int(since.timestamp() * 1e9)
    span = _tracer.start_span(
        name, context=_context(traceparent), kind=SpanKind[kind], attributes=attributes, start_time=began
    )
    return Span(span)


def trace_id(traceparent: str) -> str:
    """Give the id of the trace, 32 hexadecimal digits; empty for a text that is no `traceparent`."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""


def _context(traceparent: str) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())
