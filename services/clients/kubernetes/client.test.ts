/** What the client repeats and what it does not, against a server that fails on command. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { createKubeClient, type KubeClient, type KubeRequest, type RequestSeen } from "./client.ts";
import { describeRequest } from "./request-name.ts";

type Answer = number | "reset" | { code: number; headers?: Record<string, string>; body?: object };

let server: Server;
let client: KubeClient;
let asked: { method: string; url: string; headers: IncomingMessage["headers"] }[];
let answers: Answer[];
let seen: RequestSeen[];

beforeEach(async () => {
  [asked, answers, seen] = [[], [], []];
  server = createServer((request, response) => void reply(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  client = createKubeClient(
    { server: `http://127.0.0.1:${port}/proxy`, authorization: () => Promise.resolve("Bearer abc") },
    { onRequest: (request) => seen.push(request) },
  );
});
afterEach(async () => {
  await client.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function reply(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  if (request.url === "/proxy/version") return void response.end("{}"); // the look whether there is a connection
  asked.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
  const answer = answers.shift() ?? 200;
  if (answer === "reset") return void request.socket.destroy();
  const { code, headers = {}, body = { kind: "Status", reason: "Test", message: "as asked" } } = typeof answer === "number" ? { code: answer } : answer;
  response.writeHead(code, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

const get: KubeRequest = { method: "GET", path: "/api/v1/namespaces/apps/configmaps/a" };
const post: KubeRequest = { method: "POST", path: "/api/v1/namespaces/apps/events", body: {} };
const conditional: KubeRequest = { method: "PATCH", path: get.path, body: {}, repeatable: true };

const rows: { name: string; request: KubeRequest; answers: Answer[]; tries: number; fails?: number | string }[] = [
  { name: "a read after 503", request: get, answers: [503, 200], tries: 2 },
  { name: "a read after a lost connection", request: get, answers: ["reset", 200], tries: 2 },
  { name: "a write with preconditions after 504", request: conditional, answers: [504, 200], tries: 2 },
  { name: "a write with preconditions after a lost connection", request: conditional, answers: ["reset", 200], tries: 2 },
  { name: "any write after 429, which did nothing", request: post, answers: [429, 200], tries: 2 },
  { name: "no plain write after 503", request: post, answers: [503], tries: 1, fails: 503 },
  { name: "no plain write after a lost connection", request: post, answers: ["reset"], tries: 1, fails: "ClusterUnreachable" },
  { name: "nothing after 409", request: conditional, answers: [409], tries: 1, fails: 409 },
  { name: "nothing after 404", request: get, answers: [404], tries: 1, fails: 404 },
  { name: "no refusal of a manifest", request: conditional, answers: [{ code: 500, body: { kind: "Status", message: "field not declared" } }], tries: 1, fails: 500 },
  { name: "five times, and no more", request: get, answers: [503, 503, 503, 503, 503, 200], tries: 5, fails: 503 },
];
for (const { name, request, answers: given, tries, fails } of rows)
  test(`[AP37] it repeats ${name}`, async () => {
    answers = [...given];
    const outcome = await client.request(request).then(({ code }) => code, (error: { code: number | string }) => error.code);
    assert.deepEqual([outcome, asked.length], [fails ?? 200, tries]);
    assert.equal(seen.length, tries);
  });

test("[AP37] it waits as long as the server asks", async () => {
  answers = [{ code: 429, headers: { "retry-after": "1" } }, 200];
  const beganMs = performance.now();
  await client.request(post);
  assert.ok(performance.now() - beganMs >= 1_000);
});

test("[AP37] a signal ends the waiting, with its reason", async () => {
  answers = [503, 503, 503, 503, 503];
  const stop = new AbortController();
  const request = client.request({ ...get, signal: stop.signal });
  const reason = new Fault("LeaseLost", "partition 7");
  setImmediate(() => stop.abort(reason));
  await assert.rejects(request, reason);
});

test("[AP16] the fence is asked before each repetition", async () => {
  answers = [503, 503, 200];
  let left = 2;
  const guard = () => {
    if (left-- === 0) throw new Fault("LeaseLost", "partition 7");
  };
  await assert.rejects(client.request({ ...conditional, guard }), { code: "LeaseLost" });
  assert.equal(asked.length, 2);
});

test("[AP16] the fence is asked when there is a connection, not before", async () => {
  let connections = -1;
  server.on("connection", () => connections++);
  await client.request({ ...conditional, guard: () => assert.notEqual(connections, -1) });
});

test("[AP36] credentials, the path of a proxy and the trace go with every request", async () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await client.request({ ...get, query: { labelSelector: "a in (b, c)", none: undefined }, traceparent });
  const [first] = asked;
  assert.equal(first?.url, "/proxy/api/v1/namespaces/apps/configmaps/a?labelSelector=a%20in%20(b%2C%20c)");
  assert.deepEqual([first?.headers["authorization"], first?.headers["traceparent"]], ["Bearer abc", traceparent]);
});

test("[TN5] in another user's name every request and stream says so, over the same connections", async () => {
  const watch = { method: "GET", path: get.path, query: { watch: true } } as const;
  const name = "system:serviceaccount:apps:robot";
  const robot = client.as(name);
  await client.request(get);
  await robot.request({ ...conditional, query: { dryRun: "All" } });
  await robot.request(post);
  for await (const _chunk of await robot.stream(watch));
  await robot.close();
  await client.request(get);
  assert.deepEqual(asked.map(({ headers }) => headers["impersonate-user"]), [undefined, name, name, name, undefined]);
  assert.deepEqual(asked.map(({ headers }) => headers["authorization"]), Array.from({ length: 5 }, () => "Bearer abc"));
  let connections = 0;
  server.on("connection", () => connections++);
  for (let i = 0; i < 20; i++) await client.as(`user-${i}`).request(get);
  assert.ok(connections < 10, `${connections} new connections for 20 users`);
});

for (const user of ["", "a b", "a\r\nimpersonate-group: system:masters", "a\u0000", "ä"])
  test(`[TN5] ${JSON.stringify(user)} is no user's name: nothing is sent`, () => {
    assert.throws(() => client.as(user), RangeError);
    assert.deepEqual(asked, []);
  });

test("[AP22] a refusal carries the server's reason, words and causes", async () => {
  answers = [{
    code: 422,
    body: { kind: "Status", reason: "Invalid", message: "no", details: { kind: "widgets", name: "x", causes: [{ reason: "FieldValueInvalid", message: "m", field: "spec.size" }] } },
  }];
  await assert.rejects(client.request(conditional), {
    name: "KubeError", code: 422, reason: "Invalid", message: "no", details: { kind: "widgets", name: "x" },
    causes: [{ reason: "FieldValueInvalid", message: "m", field: "spec.size" }],
  });
});

test("[AP22] a refusal is one line of bounded length, whatever the server says", async () => {
  answers = [{ code: 403, body: { kind: "Status", message: `denied:\n  ${"x".repeat(10_000)}\n` } }, { code: 403, body: { kind: "Status", message: "a\n\n b" } }];
  await assert.rejects(client.request(get), ({ message }: Error) => message.length < 2_100 && !message.includes("\n"));
  await assert.rejects(client.request(get), { message: "a b" });
});

const named = [
  { method: "GET", path: "/api/v1/namespaces/apps/pods", verb: "list", resource: "pods" },
  { method: "GET", path: "/api/v1/namespaces/apps/pods/x", verb: "get", resource: "pods" },
  { method: "GET", path: "/apis/apps/v1/deployments", query: { watch: true }, verb: "watch", resource: "deployments" },
  { method: "GET", path: "/api/v1/namespaces/apps", verb: "get", resource: "namespaces" },
  { method: "GET", path: "/api/v1/namespaces", verb: "list", resource: "namespaces" },
  { method: "PATCH", path: "/api/v1/namespaces/apps/status", verb: "patch", resource: "namespaces/status" },
  { method: "PATCH", path: "/apis/x.y/v1/namespaces/apps/widgets/w/status", verb: "patch", resource: "widgets/status" },
  { method: "PATCH", path: "/api/v1/namespaces/apps/configmaps/a", contentType: "application/apply-patch+yaml", verb: "apply", resource: "configmaps" },
  { method: "PATCH", path: "/api/v1/namespaces/a/configmaps/a", contentType: "application/apply-patch+yaml", query: { dryRun: "All" }, verb: "dry-run", resource: "configmaps" },
  { method: "DELETE", path: "/apis/rbac.authorization.k8s.io/v1/clusterroles/x", verb: "delete", resource: "clusterroles" },
  { method: "GET", path: "/apis", verb: "get", resource: "discovery" },
] as const;
for (const { verb, resource, ...request } of named)
  test(`[AP37] ${request.method} ${request.path} counts as ${verb} ${resource}`, () => assert.deepEqual(describeRequest(request), { verb, resource }));

const metadataService = "ami-id\npublic-keys/\nsecurity-credentials/";
const quoting: { why: string; answer: (response: ServerResponse) => void }[] = [
  { why: "a page of something else", answer: (response) => response.end(metadataService) },
  { why: "a refusal of something else", answer: (response) => { response.writeHead(404); response.end(metadataService); } },
  { why: "a refusal of something else in JSON", answer: (response) => { response.writeHead(401); response.end(JSON.stringify({ message: metadataService })); } },
  { why: "a redirect", answer: (response) => { response.writeHead(302, { location: "/version" }); response.end(metadataService); } },
];
for (const { why, answer } of quoting)
  test(`[TN36] of a server that somebody else chose nothing but the Kubernetes API's own words is quoted: ${why}`, async () => {
    const other = createServer((request, response) => answer(response.setHeader("x-path", request.url ?? "")));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const stranger = createKubeClient({ server: `http://127.0.0.1:${(other.address() as AddressInfo).port}` }, { foreign: true });
    try {
      await assert.rejects(stranger.request(post), (error: Error) => !/ami-id|credentials/.test(`${error.message} ${String(error.cause)}`));
    } finally {
      await stranger.close();
      other.closeAllConnections();
      other.close();
    }
  });

test("[TN36] what the Kubernetes API refuses there is told", async () => {
  answers = [{ code: 403, body: { kind: "Status", reason: "Forbidden", message: "not you" } }];
  const stranger = createKubeClient({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/proxy` }, { foreign: true });
  await assert.rejects(stranger.request(get), { code: 403, message: "not you" });
  await stranger.close();
});

const endless: { why: string; request: KubeRequest; answer: (response: ServerResponse) => void; bounds: { answerMs: number; answerBytes: number }; says: RegExp }[] = [
  { why: "is never given", request: get, answer: () => {}, bounds: { answerMs: 20, answerBytes: 1_000 }, says: /no answer within|Timeout/ },
  { why: "never ends, to a read", request: get, answer: trickle, bounds: { answerMs: 50, answerBytes: 1_000_000 }, says: /no answer within/ },
  { why: "never ends, to a write", request: post, answer: trickle, bounds: { answerMs: 50, answerBytes: 1_000_000 }, says: /no answer within/ },
  { why: "is too large", request: get, answer: (response) => response.end(JSON.stringify({ x: "x".repeat(10_000) })), bounds: { answerMs: 5_000, answerBytes: 1_000 }, says: /exceed/i },
];
function trickle(response: ServerResponse): void {
  const timer = setInterval(() => response.write(" "), 5);
  response.on("close", () => clearInterval(timer));
}
for (const { why, request, answer, bounds, says } of endless)
  test(`[TN37] an answer of a server that somebody else chose is given up when it ${why}`, async () => {
    const other = createServer((asking, response) => { asking.resume(); answer(response); });
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const stranger = createKubeClient({ server: `http://127.0.0.1:${(other.address() as AddressInfo).port}` }, { foreign: bounds });
    try {
      await assert.rejects(stranger.request(request), (error: Fault) => error.code === "ClusterUnreachable" && says.test(error.message));
    } finally {
      await stranger.close();
      other.closeAllConnections();
      other.close();
    }
  });

test("[FA14] the gate is around every attempt of a request, and sees how it ends; a stream passes it by", async () => {
  const ends: (string | number)[] = [];
  let inside = 0;
  const gated = createKubeClient({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/proxy` }, {
    gate: async (run) => {
      assert.equal(++inside, 1, "not while it waits to try again");
      try {
        const done = await run();
        ends.push("done");
        return done;
      } catch (error) {
        ends.push((error as { code: number }).code);
        throw error;
      } finally {
        inside--;
      }
    },
  });
  answers = [429, 503, 200];
  await gated.request(conditional);
  assert.deepEqual(ends, [429, 503, "done"]);
  for await (const _chunk of await gated.stream({ method: "GET", path: get.path, query: { watch: true } })) assert.equal(inside, 0);
  assert.equal(ends.length, 3);
  await gated.close();
});

test("[FA14] what the gate does not let in is not sent", async () => {
  const reason = new Fault("LeaseLost", "partition 7");
  const shut = createKubeClient({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/proxy` }, { gate: () => Promise.reject(reason) });
  await assert.rejects(shut.request(get), reason);
  assert.deepEqual(asked, []);
  await shut.close();
});
