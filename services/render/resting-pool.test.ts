import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { Compiled, Engine } from "./engine.ts";
import type { RenderPool } from "./pool.ts";
import { RestingPool } from "./resting-pool.ts";

const idleMs = 60_000;
let compiled = 0;
let refuses = false;
let forgotten = 0;

// No thread is started: what uses the pool here asks it for nothing.
const engine = {
  get: async () => {
    if (refuses) throw new Fault("RendererMissing", "x");
    compiled++;
    return { module: undefined, memoryLimitBytes: 1, wasmKey: "" } as unknown as Compiled;
  },
  forget: () => void forgotten++,
} as unknown as Engine;

const script = new URL("./thread.ts", import.meta.url);
const resting = () => new RestingPool({ engine, title: "x", idleMs, script, threads: 1, timeoutMs: 1, slowMs: 1, spareIdleMs: 1, loadedLimitBytes: 1 });
const itself = async (pool: RenderPool) => pool;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [compiled, forgotten, refuses] = [0, 0, false];
});

test("[HE21] it leaves when nobody asked for so long, each time counted anew, and begins anew for who asks then", async () => {
  const pool = resting();
  const first = await pool.use(itself);
  mock.timers.tick(idleMs - 1);
  assert.equal(await pool.use(itself), first, "it was asked before its time was over");
  mock.timers.tick(idleMs - 1);
  assert.equal(forgotten, 0);
  mock.timers.tick(1);
  assert.equal(forgotten, 1);
  assert.notEqual(await pool.use(itself), first);
  mock.timers.tick(idleMs);
  assert.equal(forgotten, 2);
});

test("[HE21] it stays for a call that takes longer, whoever else ends beside it", async () => {
  const pool = resting();
  const { promise, resolve } = Promise.withResolvers<void>();
  const long = pool.use(async (used) => (await promise, used));
  const short = await pool.use(itself);
  mock.timers.tick(10 * idleMs);
  assert.equal(forgotten, 0);
  resolve();
  assert.equal(await long, short);
  mock.timers.tick(idleMs);
  assert.equal(forgotten, 1);
});

test("[HE21] who asks in the tick in which it leaves gets a pool that is open", async () => {
  const pool = resting();
  const first = await pool.use(itself);
  mock.timers.tick(idleMs);
  const [second, third] = await Promise.all([pool.use(itself), pool.use(itself)]);
  assert.equal(second, third);
  assert.notEqual(second, first);
  await assert.rejects(first.do({ subject: "x", tenant: "", call: () => [{}] }, new AbortController().signal), { code: "RendererMissing" });
});

test("[HE21] one that did not start is tried anew by the next; one that is closed is not", async () => {
  const pool = resting();
  refuses = true;
  await assert.rejects(pool.use(itself), { code: "RendererMissing" });
  refuses = false;
  await pool.use(itself);
  const starting = resting();
  const asked = starting.use(itself);
  await starting.close();
  await assert.rejects(asked, { code: "RendererMissing" });
  await pool.close();
  const before = compiled;
  await assert.rejects(pool.use(itself), { code: "RendererMissing" });
  assert.equal(compiled, before);
});
