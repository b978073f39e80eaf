import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { StoredSpan, TraceEntry } from "#protocol/trace/span.ts";
import { createGateway, type GatewayPorts } from "./gateway.ts";
import type { Push } from "./push.ts";

const apiToken = "api-secret";
const webhookToken = "hook-secret";
const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const span: StoredSpan = { traceId, spanId: "00f067aa0ba902b7", name: "fetch", startMs: 1, endMs: 2 };
const entry: TraceEntry = { v: 1, traceId, atMs: 1, commit: "4c1d" };

type Seen = { pushes: Push[]; opened: string[]; errors: unknown[]; outcomes: string[]; cancelled: number };

function gatewayWith(more: Partial<GatewayPorts> = {}) {
  const seen: Seen = { pushes: [], opened: [], errors: [], outcomes: [], cancelled: 0 };
  const app = createGateway({
    reasonsNotReady: () => [],
    metrics: () => Promise.resolve("# nothing\n"),
    openArtifact(path) {
      seen.opened.push(path);
      if (path !== "gitrepository/apps/podinfo/abc.tar.gz") return Promise.resolve(undefined);
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          controller.enqueue(Buffer.from("bytes"));
          controller.close();
        },
        cancel: () => void seen.cancelled++,
      });
      return Promise.resolve({ body, sizeBytes: 5, digest: "sha256:0123" });
    },
    onPush: (push) => seen.pushes.push(push),
    onWebhook: (outcome) => void seen.outcomes.push(outcome),
    traces: {
      read: (id) => Promise.resolve(id === traceId ? [span] : []),
      byCommit: () => Promise.resolve([entry]),
      byUnit: (unit) => (unit.split("/").length === 3 ? Promise.resolve([entry]) : Promise.reject(new RangeError(unit))),
      recent: () => Promise.resolve([entry, entry]),
    },
    actors: () => Promise.resolve([{ id: "kustomization/b/b", state: "settled", worker: "w" }, { id: "gitrepository/a/a", state: "fetching", worker: "w" }]),
    workers: () => Promise.resolve([]),
    drain: () => Promise.resolve(),
    apiToken,
    webhookToken,
    onError: (error) => void seen.errors.push(error),
    ...more,
  });
  return { app, seen };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test("[GW1] alive from the start, ready when nothing is missing; otherwise it says what is", async () => {
  const { app } = gatewayWith({ reasonsNotReady: () => ["NATS: not connected", "cluster main: not listed yet"] });
  assert.equal((await app.request("/livez")).status, 200);
  assert.equal((await app.request("/healthz")).status, 200);
  const answer = await app.request("/readyz");
  assert.equal(answer.status, 503);
  assert.equal(await answer.text(), "NATS: not connected\ncluster main: not listed yet\n");
  assert.equal((await gatewayWith().app.request("/readyz")).status, 200);
});

test("[GW1] metrics are Prometheus text", async () => {
  const answer = await gatewayWith().app.request("/metrics");
  assert.match(answer.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  assert.equal(await answer.text(), "# nothing\n");
});

const artifact = "/gitrepository/apps/podinfo/abc.tar.gz";
test("[GW2] an artifact comes with its size, and its digest as ETag", async () => {
  const answer = await gatewayWith().app.request(artifact);
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), "bytes");
  assert.deepEqual(["etag", "content-length", "content-type"].map((name) => answer.headers.get(name)), ['"sha256:0123"', "5", "application/gzip"]);
});

test("[GW2] HEAD has the headers and no body, and lets the store's stream go", async () => {
  const { app, seen } = gatewayWith();
  const answer = await app.request(artifact, { method: "HEAD" });
  assert.deepEqual([answer.status, answer.headers.get("content-length"), await answer.text()], [200, "5", ""]);
  assert.equal(seen.cancelled, 1);
});

for (const tag of ['"sha256:0123"', 'W/"sha256:0123"', '"other", "sha256:0123"'])
  test(`[GW2] If-None-Match ${tag} -> 304`, async () => {
    const { app, seen } = gatewayWith();
    const answer = await app.request(artifact, { headers: { "if-none-match": tag } });
    assert.deepEqual([answer.status, await answer.text(), seen.cancelled], [304, "", 1]);
  });

const files = ["sha256:0123.tar.gz", "podinfo-6.5.0+build.1.tgz", "index-0123.yaml", "latest.tar.gz"];
for (const file of files)
  test(`[GW2] ${file} is a file name of Flux's: the store is asked`, async () => {
    const { app, seen } = gatewayWith();
    assert.equal((await app.request(`/ocirepository/apps/my.app/${encodeURIComponent(file)}`)).status, 404);
    assert.deepEqual(seen.opened, [`ocirepository/apps/my.app/${file}`]);
  });

const escapes = [
  "/gitrepository/apps/podinfo/..", "/gitrepository/apps/podinfo/%2e%2e", "/gitrepository/apps/podinfo/..%2f..%2fetc%2fpasswd",
  "/gitrepository/apps/podinfo/%2e%2e%5cx", "/gitrepository/%2e%2e/podinfo/a.tar.gz", "/gitrepository/apps/a..b/a.tar.gz",
  "/gitrepository/apps/podinfo/a%00.tar.gz", "/gitrepository/apps/podinfo/.hidden", "/gitrepository/apps/podinfo/a..tar.gz",
  "/Git/apps/podinfo/a", "/gitrepository/APPS/podinfo/a", "/gitrepository/apps/podinfo/%ff", "/gitrepository/apps/podinfo/%252e%252e",
  "/imagerepository/apps/shop/abc.json.gz", "/gitrepository//podinfo/a", "/a/b/c/d/e", "/a/b/c", "/",
];
for (const path of escapes)
  test(`[GW3] ${path} -> 404 and the store is not asked`, async () => {
    const { app, seen } = gatewayWith();
    const answer = await app.request(`http://gateway${path}`);
    assert.equal(answer.status, 404);
    assert.equal(((await answer.json()) as { error: { code: string } }).error.code, "NotFound");
    assert.deepEqual(seen.opened, []);
  });

const body = JSON.stringify({ ref: "refs/heads/main", repository: { clone_url: "https://git.example/podinfo.git" } });
const hmac = (algorithm: string, secret: string, text = body) => createHmac(algorithm, secret).update(text).digest("hex");
const proofs: { why: string; headers: Record<string, string>; status: number; token?: string }[] = [
  { why: "GitHub", headers: { "x-hub-signature-256": `sha256=${hmac("sha256", webhookToken)}` }, status: 202 },
  { why: "GitHub, its SHA-1 form beside it", headers: { "x-hub-signature": "sha1=0", "x-hub-signature-256": `sha256=${hmac("sha256", webhookToken)}` }, status: 202 },
  { why: "GitHub, another secret", headers: { "x-hub-signature-256": `sha256=${hmac("sha256", "other")}` }, status: 401 },
  { why: "GitHub, another body", headers: { "x-hub-signature-256": `sha256=${hmac("sha256", webhookToken, "{}")}` }, status: 401 },
  { why: "GitHub, without the prefix", headers: { "x-hub-signature-256": hmac("sha256", webhookToken) }, status: 401 },
  { why: "GitHub, cut short", headers: { "x-hub-signature-256": "sha256=" }, status: 401 },
  { why: "only SHA-1", headers: { "x-hub-signature": `sha1=${hmac("sha1", webhookToken)}` }, status: 401 },
  { why: "Bitbucket", headers: { "x-hub-signature": `sha256=${hmac("sha256", webhookToken)}` }, status: 202 },
  { why: "Gitea", headers: { "x-gitea-signature": hmac("sha256", webhookToken) }, status: 202 },
  { why: "Gitea, another secret", headers: { "x-gitea-signature": hmac("sha256", "other") }, status: 401 },
  { why: "Forgejo", headers: { "x-forgejo-signature": hmac("sha256", webhookToken) }, status: 202 },
  { why: "GitLab", headers: { "x-gitlab-token": webhookToken }, status: 202 },
  { why: "GitLab, another token", headers: { "x-gitlab-token": `${webhookToken}x` }, status: 401 },
  { why: "a bearer token", headers: bearer(webhookToken), status: 202 },
  { why: "the API's token opens the API only", headers: bearer(apiToken), status: 401 },
  { why: "basic authentication", headers: { authorization: `Basic ${webhookToken}` }, status: 401 },
  { why: "nothing", headers: {}, status: 401 },
  { why: "a closed webhook and an empty token", headers: { "x-gitlab-token": "" }, token: "", status: 401 },
  { why: "a closed webhook and a signature made with nothing", headers: { "x-gitea-signature": hmac("sha256", "") }, token: "", status: 401 },
];
for (const { why, headers, status, token = webhookToken } of proofs)
  test(`[GW5] webhook with ${why} -> ${status}`, async () => {
    const { app, seen } = gatewayWith({ webhookToken: token });
    const answer = await app.request("/hook/push", { method: "POST", headers, body });
    assert.equal(answer.status, status);
    assert.deepEqual(seen.pushes, status === 202 ? [{ urls: ["https://git.example/podinfo"], ref: "refs/heads/main" }] : []);
    assert.deepEqual(seen.outcomes, [status === 202 ? "accepted" : "refused"]);
  });

const contexts = [
  { given: `00-${traceId}-00f067aa0ba902b7-01`, passed: true },
  { given: "nonsense", passed: false },
];
for (const { given, passed } of contexts)
  test(`[GW4] traceparent ${given} ${passed ? "goes along" : "is left out"}`, async () => {
    const { app, seen } = gatewayWith();
    await app.request("/hook/push", { method: "POST", headers: { ...bearer(webhookToken), traceparent: given }, body });
    assert.equal(seen.pushes[0]?.traceparent, passed ? given : undefined);
  });

test("[GW4] GitHub's ping is answered and moves nothing", async () => {
  const { app, seen } = gatewayWith();
  const answer = await app.request("/hook/push", { method: "POST", headers: { ...bearer(webhookToken), "x-github-event": "ping" }, body });
  assert.deepEqual([answer.status, await answer.json(), seen.pushes.length], [200, { matched: 0 }, 0]);
});

test("[GW6] a body that is no push -> 400", async () => {
  const answer = await gatewayWith().app.request("/hook/push", { method: "POST", headers: bearer(webhookToken), body: "<xml/>" });
  assert.equal(answer.status, 400);
});

test("[GW6] more than 3 MiB -> 413, announced or not", async () => {
  const { app, seen } = gatewayWith();
  const big = "x".repeat((3 << 20) + 1);
  const announced = await app.request("/hook/push", { method: "POST", headers: { ...bearer(webhookToken), "content-length": String(big.length) }, body: "{}" });
  let pulled = 0;
  const endless = new ReadableStream({ pull: (controller) => (pulled++ < 1000 ? controller.enqueue(new Uint8Array(64 << 10)) : controller.close()) });
  const streamed = await app.request(new Request("http://gateway/hook/push", { method: "POST", headers: bearer(webhookToken), body: endless, duplex: "half" } as RequestInit));
  assert.deepEqual([announced.status, streamed.status], [413, 413]);
  assert.ok(pulled < 60, `read on after the limit: ${pulled} chunks`);
  assert.deepEqual(seen.pushes, []);
});

test("[GW6] GET on the webhook -> 404", async () => assert.equal((await gatewayWith().app.request("/hook/push")).status, 404));

const api = [
  { path: "/api/v1/traces", status: 200, holds: { traces: [entry, entry] } },
  { path: "/api/v1/traces?commit=4C1D", status: 200, holds: { traces: [entry] } },
  { path: "/api/v1/traces?commit=4c1", status: 400 },
  { path: "/api/v1/traces?commit=%3E", status: 400 },
  { path: "/api/v1/traces?unit=kustomization/apps/podinfo", status: 200, holds: { traces: [entry] } },
  { path: "/api/v1/traces?unit=podinfo", status: 400 },
  { path: "/api/v1/traces?unit=a/b/c&commit=4c1d", status: 400 },
  { path: `/api/v1/traces/${traceId}`, status: 200, holds: { traceId, spans: [span] } },
  { path: `/api/v1/traces/${traceId.replace("4", "5")}`, status: 404 },
  { path: "/api/v1/actors", status: 200, holds: { actors: [{ id: "gitrepository/a/a", state: "fetching", worker: "w" }, { id: "kustomization/b/b", state: "settled", worker: "w" }] } },
  { path: "/api/v1/other", status: 404 },
  { path: "/api/v1/traces/a/b", status: 404 },
];
for (const { path, status, holds } of api) {
  test(`[GW7] GET ${path} -> ${status}`, async () => {
    const answer = await gatewayWith().app.request(path, { headers: bearer(apiToken) });
    assert.equal(answer.status, status);
    if (!holds) return;
    assert.deepEqual(await answer.json(), holds);
    assert.equal(answer.headers.get("cache-control"), "no-store");
  });
  test(`[GW7] GET ${path} without the token -> 401`, async () => {
    const { app, seen } = gatewayWith();
    for (const headers of [{}, bearer("wrong"), bearer(webhookToken), bearer("")]) assert.equal((await app.request(path, { headers })).status, 401);
    assert.deepEqual(seen.opened, []); // /api is no kind of artifact either
  });
}

test("[GW7] with no token configured nobody may ask", async () => {
  const { app } = gatewayWith({ apiToken: "" });
  for (const headers of [{}, { authorization: "Bearer " }]) assert.equal((await app.request("/api/v1/actors", { headers })).status, 401);
});

test("[GW8] a fault is 503 with what to do; a bug is 500, logged, and says nothing of itself", async () => {
  const fault = gatewayWith({ metrics: () => Promise.reject(new Fault("StorageFailed", "traces")) });
  const unavailable = await fault.app.request("/metrics");
  assert.deepEqual([unavailable.status, ((await unavailable.json()) as { error: { code: string } }).error.code], [503, "StorageFailed"]);
  const bug = gatewayWith({ metrics: () => Promise.reject(new TypeError("secret detail")) });
  const broken = await bug.app.request("/metrics");
  assert.equal(broken.status, 500);
  assert.doesNotMatch(await broken.text(), /secret detail/);
  assert.equal(bug.seen.errors.length, 1);
});
