"""Makes spans by the official Python SDK as a program would, and exports them as the
OTEL_EXPORTER_OTLP_... variables say:

    python send.py TRACES FILE

FILE gets a line of OTLP JSON for each span as it has to arrive: it is written here,
from what the SDK's spans say of themselves, and by no exporter. It ends with code 1 if
an export failed, after all retries.
"""

import base64
import json
import logging
import math
import os
import sys

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState, set_span_in_context,
)

EVERY_TYPE = {
    "string": 'Grüße, 世界 🐈 "\\\n\x00',
    "string.empty": "",
    "string.long": "ring" * 4000,
    "bool.true": True,
    "bool.false": False,
    "int.min": -(2**63),
    "int.max": 2**63 - 1,
    "int.beyond.double": 2**53 + 1,
    "int.zero": 0,
    "double": -0.1,
    "double.zero": 0.0,
    "double.least": 5e-324,
    "double.most": sys.float_info.max,
    "double.inf": -math.inf,
    "double.nan": math.nan,
    "strings": ["a", "", "ß", "🐈"],
    "strings.empty": [],
    "bools": [True, False],
    "ints": [2**63 - 1, -1, 0],
    "doubles": [0.0, -2.5, 1e300],
}


class Recorder(SpanProcessor):
    """Recorder keeps every span that has ended."""

    def __init__(self):
        self.ended = []

    def on_end(self, span):
        self.ended.append(span)


class Watched(SpanExporter):
    """Watched is an exporter that says which exports failed: the SDK only logs that."""

    def __init__(self, exporter):
        self.exporter, self.failures = exporter, 0

    def export(self, spans):
        result = self.exporter.export(spans)
        self.failures += result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self):
        self.exporter.shutdown()

    def force_flush(self, timeout_millis=30000):
        return self.exporter.force_flush(timeout_millis)


def new_exporter():
    protocol = os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"]
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    elif protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
    return OTLPSpanExporter()


def one_trace(provider, i):
    web = provider.get_tracer("interop/web", "1.2.3", "https://opentelemetry.io/schemas/1.39.0", {"web": True})
    store = provider.get_tracer("interop/store")
    caller = SpanContext((0xB << 124) + i, 1, True, TraceFlags(TraceFlags.SAMPLED), TraceState([("vendor", "a:b")]))
    root = web.start_span(
        f"POST /order/{i}", set_span_in_context(NonRecordingSpan(caller)), SpanKind.SERVER, EVERY_TYPE,
        [Link(caller, EVERY_TYPE), Link(caller), Link(caller, {"n": 3})],
    )
    root.set_attribute("too.many", 1)
    for n in range(5):
        root.add_event(f"event {n}", {"n": n, "text": "世界", "list": ["ß"]})
    below = set_span_in_context(root)
    query = store.start_span("SELECT Grüße", below, SpanKind.CLIENT)
    query.record_exception(ValueError("it broke"))
    query.set_status(Status(StatusCode.ERROR, "it broke: ✗"))
    query.end()
    send = store.start_span("orders send", below, SpanKind.PRODUCER)
    send.set_status(Status(StatusCode.OK))
    send.end()
    store.start_span("orders receive", below, SpanKind.CONSUMER).end()
    store.start_span("", below).end()
    root.end()


# What follows is OTLP as its proto files have it: numbers of 64 bits are strings.


def value(v):
    if v is None:
        return {}
    if isinstance(v, bool):  # before int, which it is one of
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, float):
        if math.isfinite(v):
            return {"doubleValue": v}
        return {"doubleValue": "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity"}
    if isinstance(v, bytes):
        return {"bytesValue": base64.b64encode(v).decode()}
    if isinstance(v, str):
        return {"stringValue": v}
    return {"arrayValue": {"values": [value(e) for e in v]}}


def attributes(all):
    return [{"key": k, "value": value(v)} for k, v in (all or {}).items()]


def flags(context):
    # The SDK does not send the flags of the context itself, such as "sampled", and not
    # the tracestate of links.
    return 0x300 if context and context.is_remote else 0x100


def line(span):
    context, scope = span.context, span.instrumentation_scope
    return json.dumps({"resourceSpans": [{
        "resource": {"attributes": attributes(span.resource.attributes)},
        "schemaUrl": span.resource.schema_url,
        "scopeSpans": [{
            "scope": {"name": scope.name, "version": scope.version or "", "attributes": attributes(scope.attributes)},
            "schemaUrl": scope.schema_url or "",
            "spans": [{
                "traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}",
                "parentSpanId": f"{span.parent.span_id:016x}" if span.parent else "",
                "traceState": context.trace_state.to_header(), "flags": flags(span.parent),
                "name": span.name, "kind": span.kind.value + 1,  # OTLP has one more, for unknown
                "startTimeUnixNano": str(span.start_time), "endTimeUnixNano": str(span.end_time),
                "attributes": attributes(span.attributes), "droppedAttributesCount": span.dropped_attributes,
                "events": [{
                    "name": e.name, "timeUnixNano": str(e.timestamp), "attributes": attributes(e.attributes),
                    "droppedAttributesCount": e.dropped_attributes,
                } for e in span.events],
                "droppedEventsCount": span.dropped_events,
                "links": [{
                    "traceId": f"{l.context.trace_id:032x}", "spanId": f"{l.context.span_id:016x}",
                    "flags": flags(l.context),
                    "attributes": attributes(l.attributes), "droppedAttributesCount": l.dropped_attributes,
                } for l in span.links],
                "droppedLinksCount": span.dropped_links,
                "status": {"code": span.status.status_code.value, "message": span.status.description or ""},
            }],
        }],
    }]}) + "\n"


def main():
    # The SDK tells of exports that are tried again, but not of each attribute dropped.
    logging.getLogger("opentelemetry.attributes").setLevel(logging.ERROR)
    traces, file = int(sys.argv[1]), sys.argv[2]
    recorder, exporter = Recorder(), Watched(new_exporter())
    provider = TracerProvider(
        resource=Resource({"service.name": "interop", "sdk": "Python", **EVERY_TYPE}, "https://opentelemetry.io/schemas/1.40.0"),
        # Limits, so that some are dropped, and counted.
        span_limits=SpanLimits(max_span_attributes=len(EVERY_TYPE), max_events=3, max_links=2, max_event_attributes=2),
    )
    provider.add_span_processor(recorder)
    # A queue for all of them: the SDK drops what finds it full.
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=10**6, schedule_delay_millis=50, max_export_batch_size=100))
    for i in range(traces):
        one_trace(provider, i)
    provider.force_flush()
    provider.shutdown()
    with open(file, "w", encoding="utf-8") as out:
        out.writelines(map(line, recorder.ended))
    sys.exit(1 if exporter.failures else 0)


main()
