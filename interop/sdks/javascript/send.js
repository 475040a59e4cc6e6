// Makes spans by the official JavaScript SDK as a program would, and exports them as
// the OTEL_EXPORTER_OTLP_... variables say:
//
//	node send.js TRACES FILE
//
// FILE gets a line of OTLP JSON for each span as it has to arrive: it is written here,
// from what the SDK's spans say of themselves, and by no exporter. It ends with code 1
// if an export failed, after all retries.
'use strict';

const fs = require('node:fs');
const { createTraceState, diag, DiagLogLevel, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags } = require('@opentelemetry/api');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

// The SDK tells of exports that are tried again, and of much else.
const quiet = () => {};
const verbose = (text) => { if (/export retry/.test(text)) console.error(text); };
diag.setLogger({ error: console.error, warn: quiet, info: quiet, debug: quiet, verbose }, DiagLogLevel.ALL);

const [traces, file] = [Number(process.argv[2]), process.argv[3]];
const protocol = process.env.OTEL_EXPORTER_OTLP_PROTOCOL;
const packages = { 'grpc': 'grpc', 'http/protobuf': 'proto', 'http/json': 'http' };
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${packages[protocol]}`);

const everyType = {
  'string': 'Grüße, 世界 🐈 "\\\n\u0000',
  'string.empty': '',
  'string.long': 'ring'.repeat(4000),
  'bool.true': true,
  'bool.false': false,
  'int.min': -Number.MAX_SAFE_INTEGER,
  'int.max': Number.MAX_SAFE_INTEGER,
  'int.zero': 0,
  'double': -0.1,
  'double.least': Number.MIN_VALUE,
  'strings': ['a', '', 'ß', '🐈'],
  'strings.empty': [],
  'strings.null': ['a', null, 'b'],
  'bools': [true, false],
  'ints': [Number.MAX_SAFE_INTEGER, -1, 0],
  'doubles': [0.5, -2.5, 1e-300],
  'double.inf': -Infinity,
  'double.nan': NaN,
};

// Recorder keeps every span that has ended.
class Recorder {
  ended = [];
  onStart() {}
  onEnd(span) { this.ended.push(span); }
  async forceFlush() {}
  async shutdown() {}
}

// Watched is an exporter that says which exports failed: the SDK only logs that.
class Watched {
  failures = [];
  constructor(exporter) { this.exporter = exporter; }
  export(spans, done) {
    this.exporter.export(spans, (result) => {
      if (result.code !== 0) this.failures.push(result.error);
      done(result);
    });
  }
  forceFlush() { return this.exporter.forceFlush?.() ?? Promise.resolve(); }
  shutdown() { return this.exporter.shutdown(); }
}

function oneTrace(provider, i) {
  const web = provider.getTracer('interop/web', '1.2.3', { schemaUrl: 'https://opentelemetry.io/schemas/1.39.0' });
  const store = provider.getTracer('interop/store');
  const caller = {
    traceId: (i + 1).toString(16).padStart(32, 'a'), spanId: '0000000000000001', isRemote: true,
    traceFlags: TraceFlags.SAMPLED, traceState: createTraceState('vendor=a:b'),
  };
  const link = (attributes) => ({ context: caller, attributes });
  const root = web.startSpan(`POST /order/${i}`, {
    kind: SpanKind.SERVER, attributes: everyType, links: [link(everyType), link(), link({ n: 3 })],
  }, trace.setSpanContext(ROOT_CONTEXT, caller));
  root.setAttribute('too.many', 1);
  for (let n = 0; n < 5; n++) root.addEvent(`event ${n}`, { n, text: '世界', list: ['ß'] });
  const below = trace.setSpan(ROOT_CONTEXT, root);
  const query = store.startSpan('SELECT Grüße', { kind: SpanKind.CLIENT }, below);
  query.recordException(new Error('it broke'));
  query.setStatus({ code: SpanStatusCode.ERROR, message: 'it broke: ✗' });
  query.end();
  const send = store.startSpan('orders send', { kind: SpanKind.PRODUCER }, below);
  send.setStatus({ code: SpanStatusCode.OK });
  send.end();
  store.startSpan('orders receive', { kind: SpanKind.CONSUMER }, below).end();
  store.startSpan('', {}, below).end();
  root.end();
}

// What follows is OTLP as its proto files have it: numbers of 64 bits are strings.

const nanos = ([seconds, rest]) => String(BigInt(seconds) * 1000000000n + BigInt(rest));

function value(v) {
  if (v === null) return {};
  if (Array.isArray(v)) return { arrayValue: { values: v.map(value) } };
  switch (typeof v) {
    case 'string': return { stringValue: v };
    case 'boolean': return { boolValue: v };
  }
  if (Number.isInteger(v)) return { intValue: String(v) };
  if (Number.isFinite(v)) return { doubleValue: v };
  return protocol === 'http/json' ? {} : { doubleValue: String(v) }; // the SDK's JSON has null for these
}

const attributes = (all = {}) => Object.entries(all).map(([key, v]) => ({ key, value: value(v) }));

const flags = (context) => 0x100 | (context?.isRemote ? 0x200 : 0);

function line(span) {
  const context = span.spanContext();
  const scope = span.instrumentationScope;
  return JSON.stringify({
    resourceSpans: [{
      resource: { attributes: attributes(span.resource.attributes) },
      schemaUrl: span.resource.schemaUrl,
      scopeSpans: [{
        scope: { name: scope.name, version: scope.version },
        schemaUrl: scope.schemaUrl,
        spans: [{
          traceId: context.traceId, spanId: context.spanId, parentSpanId: span.parentSpanContext?.spanId,
          traceState: context.traceState?.serialize(), flags: context.traceFlags | flags(span.parentSpanContext),
          name: span.name, kind: span.kind + 1, // OTLP has one more, for unknown
          startTimeUnixNano: nanos(span.startTime), endTimeUnixNano: nanos(span.endTime),
          attributes: attributes(span.attributes), droppedAttributesCount: span.droppedAttributesCount,
          events: span.events.map((e) => ({
            name: e.name, timeUnixNano: nanos(e.time), attributes: attributes(e.attributes),
            droppedAttributesCount: e.droppedAttributesCount,
          })),
          droppedEventsCount: span.droppedEventsCount,
          links: span.links.map((l) => ({
            traceId: l.context.traceId, spanId: l.context.spanId, traceState: l.context.traceState?.serialize(),
            flags: l.context.traceFlags | flags(l.context), attributes: attributes(l.attributes),
            droppedAttributesCount: l.droppedAttributesCount,
          })),
          droppedLinksCount: span.droppedLinksCount,
          status: { code: span.status.code, message: span.status.message },
        }],
      }],
    }],
  }) + '\n';
}

async function main() {
  const recorder = new Recorder();
  const exporter = new Watched(new OTLPTraceExporter());
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'interop', 'sdk': 'JavaScript', ...everyType },
      { schemaUrl: 'https://opentelemetry.io/schemas/1.40.0' }),
    // Limits, so that some are dropped, and counted.
    spanLimits: { attributeCountLimit: Object.keys(everyType).length, eventCountLimit: 3, linkCountLimit: 2, attributePerEventCountLimit: 2 },
    // A queue for all of them: the SDK drops what finds it full.
    spanProcessors: [recorder, new BatchSpanProcessor(exporter, { maxQueueSize: 1e6, maxExportBatchSize: 100, scheduledDelayMillis: 50 })],
  });
  for (let i = 0; i < traces; i++) oneTrace(provider, i);
  await provider.forceFlush().catch((err) => exporter.failures.push(err));
  await provider.shutdown();
  fs.writeFileSync(file, recorder.ended.map(line).join(''));
  for (const err of exporter.failures) console.error('export failed:', err);
  process.exitCode = exporter.failures.length > 0 ? 1 : 0;
}

main();
