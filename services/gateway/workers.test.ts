import assert from "node:assert/strict";
import test from "node:test";
import { Hono } from "hono";
import type { WorkerView } from "#protocol/messages/fleet.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { Refusal } from "./refusal.ts";
import { workerRoutes } from "./workers.ts";

const worker = (name: string, more: Partial<WorkerView> = {}): WorkerView =>
  ({ name, state: "ready", partitions: 512, actors: 7, loadMsPerMinute: 120, leaseAgeMs: 210, coordinator: false, capacity: 1, shard: "", ...more });

function appWith(fails?: Error) {
  const told: [string, boolean][] = [];
  const app = new Hono();
  app.onError((error, c) => (error instanceof Refusal ? c.text(error.message, error.status) : c.text(error.message, 503)));
  workerRoutes(app, {
    workers: () => Promise.resolve([worker("b-2", { coordinator: true }), worker("a-1")]),
    drain: (name, on) => (fails ? Promise.reject(fails) : Promise.resolve(void told.push([name, on]))),
  });
  const post = (path: string, body: string) =>
    app.request(path, { method: "POST", body, headers: { "content-length": String(Buffer.byteLength(body)) } });
  return { app, told, post };
}

test("[FL4] the workers of the cell, by name", async () => {
  const answer = await appWith().app.request("/api/v1/workers");
  assert.deepEqual(await answer.json(), { workers: [worker("a-1"), worker("b-2", { coordinator: true })] });
});

const wishes: { name?: string; body: string; status: number; told?: [string, boolean][] }[] = [
  { body: '{"draining":true}', status: 202, told: [["a-1", true]] },
  { body: '{"draining":false}', status: 202, told: [["a-1", false]] },
  { name: "a-9", body: '{"draining":true}', status: 404 },
  { name: "a", body: '{"draining":true}', status: 404 },
  { body: "{}", status: 400 },
  { body: '{"draining":"yes"}', status: 400 },
  { body: "draining", status: 400 },
  { body: "", status: 400 },
  { body: `{"draining":true,"more":"${"x".repeat(2_000)}"}`, status: 400 },
];
for (const { name = "a-1", body, status, told = [] } of wishes)
  test(`[FL4] POST /api/v1/workers/${name}/drain ${body.slice(0, 30)} -> ${status}`, async () => {
    const { post, told: heard } = appWith();
    assert.equal((await post(`/api/v1/workers/${name}/drain`, body)).status, status);
    assert.deepEqual(heard, told);
  });

test("[FL4] a body of unknown length is not read", async () => {
  const { app, told } = appWith();
  const body = new ReadableStream({ pull: (controller) => controller.enqueue(Buffer.alloc(1 << 16)) });
  assert.equal((await app.request("/api/v1/workers/a-1/drain", { method: "POST", body, duplex: "half" } as RequestInit)).status, 400);
  assert.deepEqual(told, []);
});

test("[FL4] a worker that cannot be told is a fault like any other", async () => {
  const { post } = appWith(new Fault("StorageFailed", "fb.a-1.drain"));
  assert.equal((await post("/api/v1/workers/a-1/drain", '{"draining":true}')).status, 503);
});
