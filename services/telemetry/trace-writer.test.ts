import assert from "node:assert/strict";
import test from "node:test";
import type { StoredSpan, TraceEntry } from "#protocol/trace/span.ts";
import { changeOf, childOf, freshTraceparent } from "./ids.ts";
import { openSpans, type Spans } from "./spans.ts";

/** A trace stream in memory that can be away, as the real one can. */
class Stream {
  away = false;
  readonly messages: { subject: string; body: string }[] = [];
  publish = (subject: string, body: string): Promise<void> => {
    if (this.away) return Promise.reject(new Error("no answer"));
    this.messages.push({ subject, body });
    return Promise.resolve();
  };
  spans(): StoredSpan[] {
    return this.on(/^tr\./).flatMap(({ spans }) => spans as StoredSpan[]);
  }
  entries(subject: RegExp): TraceEntry[] {
    return this.on(subject) as TraceEntry[];
  }
  private on(subject: RegExp) {
    return this.messages.filter((message) => subject.test(message.subject)).map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  }
}

async function withSpans(use: (spans: Spans, stream: Stream) => Promise<void>): Promise<void> {
  const stream = new Stream();
  const spans = await openSpans({ version: "1.2.3", worker: "w1", publish: stream.publish, env: {} });
  await use(spans, stream);
  await spans.shutdown();
}

const commit = "4c1d9e2f00000000000000000000000000000001";
const change = changeOf({ url: "https://git.example/podinfo", commit, committedAtMs: 1_700_000_000_000, subject: "Bump" });
const traceId = change.traceparent.slice(3, 35);

test("[TR3] a change is stored under its own derived ids, with no parent", () =>
  withSpans(async (spans, stream) => {
    const traceparent = spans.recordSpan({ ...change, endMs: change.startMs + 250.5 });
    await spans.flush();
    assert.equal(traceparent, change.traceparent);
    const [{ attributes, ...rest }] = stream.spans() as [StoredSpan];
    assert.deepEqual(rest, {
      traceId,
      spanId: change.traceparent.slice(36, 52),
      name: "SYNC podinfo@4c1d9e2",
      kind: "server",
      startMs: 1_700_000_000_000,
      endMs: 1_700_000_000_250.5,
      worker: "w1",
    });
    assert.equal(attributes?.["cicd.worker.id"], "w1");
  }));

test("[TR4] a span begun in one process and recorded in another keeps its parent and its id", () =>
  withSpans(async (spans, stream) => {
    const own = childOf(change.traceparent, "kustomization/apps/dev");
    spans.recordSpan({ name: "build", parent: own, startMs: 5, endMs: 6 }); // the child is stored first
    spans.recordSpan({ name: "SYNC", parent: change.traceparent, traceparent: own, startMs: 1, endMs: 9 });
    await spans.flush();
    const [build, sync] = stream.spans() as [StoredSpan, StoredSpan];
    assert.equal(build.parentId, sync.spanId);
    assert.equal(sync.spanId, own.slice(36, 52));
    assert.equal(sync.parentId, change.traceparent.slice(36, 52));
    assert.deepEqual([build.traceId, sync.traceId], [traceId, traceId]);
  }));

test("a live span: attributes, events and failure", () =>
  withSpans(async (spans, stream) => {
    const span = spans.startSpan("apply", { parent: change.traceparent, startMs: 10, attributes: { a: 1 } });
    span.set({ b: ["x"], none: undefined });
    span.event("gitops.handoff", { to: "w2" }, 11);
    span.fail({ code: "ApplyFailed", subject: "Deployment/apps/podinfo", detail: "409" });
    span.end(12);
    await spans.flush();
    const [stored] = stream.spans() as [StoredSpan];
    assert.deepEqual(stored.attributes, { "cicd.worker.id": "w1", a: 1, b: ["x"], "error.type": "ApplyFailed" });
    assert.deepEqual(stored.events, [{ name: "gitops.handoff", atMs: 11, attributes: { to: "w2" } }]);
    assert.equal(stored.error?.type, "ApplyFailed");
    assert.match(stored.error?.message ?? "", /^Deployment\/apps\/podinfo: 409/);
    assert.equal(span.traceparent, `00-${traceId}-${stored.spanId}-01`);
  }));

test("[TR5] work that no change caused has a trace of its own, linked to the change", () =>
  withSpans(async (spans, stream) => {
    spans.recordSpan({ name: "SYNC drift", startMs: 1, endMs: 2, links: [change.traceparent, "nonsense"] });
    await spans.flush();
    const [stored] = stream.spans() as [StoredSpan];
    assert.notEqual(stored.traceId, traceId);
    assert.deepEqual(stored.links, [change.traceparent]);
  }));

test("[TR6] [TR7] no credential and no value above 1 KiB gets into a span", () =>
  withSpans(async (spans, stream) => {
    spans.recordSpan({
      name: "clone https://a:hunter2@host",
      startMs: 1,
      endMs: 2,
      attributes: { url: "https://a:hunter2@host", long: "x".repeat(5000) },
      events: [{ name: "e", atMs: 1, attributes: { header: "Bearer hunter2hunter2" } }],
      error: { code: "UpstreamUnreachable", subject: "https://a:hunter2@host", detail: "y".repeat(5000) },
    });
    await spans.flush();
    assert.doesNotMatch(JSON.stringify(stream.messages), /hunter2/);
    const [stored] = stream.spans() as [StoredSpan];
    assert.ok(Buffer.byteLength(String(stored.attributes?.["long"])) <= 1024);
    assert.ok(Buffer.byteLength(stored.error?.message ?? "") <= 1024);
  }));

test("a clock that runs behind does not make a span end before it starts", () =>
  withSpans(async (spans, stream) => {
    spans.recordSpan({ name: "fetch", startMs: 100, endMs: 50 });
    await spans.flush();
    assert.deepEqual([stream.spans()[0]?.startMs, stream.spans()[0]?.endMs], [100, 100]);
  }));

test("[TR9] a change is found by its commit, a unit by its name; one line per trace", () =>
  withSpans(async (spans, stream) => {
    spans.recordSpan({ ...change, endMs: change.startMs });
    for (let i = 0; i < 3; i++)
      spans.recordSpan({ name: "build", parent: change.traceparent, startMs: 7, endMs: 8, attributes: { "gitops.unit": "kustomization/apps/my.app" } });
    await spans.flush();
    const entry = { v: 1, traceId, atMs: 1_700_000_000_000, commit, url: "https://git.example/podinfo", title: "Bump" };
    assert.deepEqual(stream.entries(/^tri\.c\./), [entry]);
    assert.deepEqual(stream.entries(/^tri\.changes$/), [entry]);
    assert.deepEqual(stream.entries(/^tri\.u\.kustomization\.apps\.my_app$/), [{ v: 1, traceId, atMs: 7, unit: "kustomization/apps/my.app" }]);
  }));

for (const unit of ["nonsense", "a/b/c/d", "kustomization/*/>", "kustomization/a b/c"])
  test(`[TR9] a unit ${unit} is no subject: the span is kept without a line in the index`, () =>
    withSpans(async (spans, stream) => {
      spans.recordSpan({ name: "build", startMs: 7, endMs: 8, attributes: { "gitops.unit": unit } });
      await spans.flush();
      assert.deepEqual(stream.messages.map(({ subject }) => subject.replace(/[0-9a-f]{32}/, "*")), ["tr.*"]);
    }));

test("[TR12] while the stream is away spans wait; when it is back all are stored, each with its index line", () =>
  withSpans(async (spans, stream) => {
    stream.away = true;
    spans.recordSpan({ ...change, endMs: change.startMs });
    await spans.flush();
    await spans.flush();
    assert.deepEqual(stream.messages, []);
    assert.equal(spans.droppedTotal(), 0);
    stream.away = false;
    await spans.flush();
    assert.equal(stream.spans().length, 1);
    assert.equal(stream.entries(/^tri\.c\./).length, 1);
  }));

test("[TR12] the queue is bounded; what does not fit is dropped and counted", () =>
  withSpans(async (spans, stream) => {
    stream.away = true;
    for (let i = 0; i < 10_000; i++) spans.recordSpan({ name: "s", parent: change.traceparent, startMs: i, endMs: i });
    await spans.flush();
    assert.equal(spans.droppedTotal(), 10_000 - 8192);
    stream.away = false;
    await spans.flush();
    assert.equal(stream.spans().length, 8192);
  }));

test("[TR12] a message stays far below the server's limit", () =>
  withSpans(async (spans, stream) => {
    for (let i = 0; i < 400; i++) spans.recordSpan({ name: "s", parent: change.traceparent, startMs: i, endMs: i, attributes: { text: "x".repeat(1000) } });
    spans.recordSpan({ name: "other", parent: freshTraceparent(), startMs: 1, endMs: 1 });
    await spans.flush();
    assert.equal(stream.spans().length, 401);
    assert.ok(stream.messages.length > 4);
    for (const { body } of stream.messages) assert.ok(body.length < 256 * 1024);
  }));
