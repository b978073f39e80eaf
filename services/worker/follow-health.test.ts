import assert from "node:assert/strict";
import test from "node:test";
import type { Health, Standing } from "#machines/rules/health-reading.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import type { HealthWait } from "./cluster-port.ts";
import type { ManagedListener } from "./feed/managed-view.ts";
import { followHealth } from "./follow-health.ts";

const judgedId = "apps_db_db.example_Cluster";
const toldId = "apps_web_apps_Deployment";
const foreignId = "other_their_apps_Deployment";
const current: Standing = { status: "Current", message: "" };
const inProgress: Standing = { status: "InProgress", message: "" };

/** A feed that tells what it is told to, and a server that counts what it is asked. */
function bed({ synced = true, wait = {} }: { synced?: boolean; wait?: Partial<HealthWait> } = {}) {
  const time = new VirtualTime();
  const { clock } = new Process(time, "w1");
  const listeners = new Set<ManagedListener>();
  const told = new Map<string, Standing>();
  const live = new Map<string, Health | Error>();
  const reads: string[] = [];
  const stop = new AbortController();
  const run = (...ids: string[]) => followHealth(ids.map((id) => ({ id, v: "v1" })), {
    target: {}, timeoutMs: 60_000, signal: stop.signal, mayBeGone: new Set(), foreign: [], failFast: true, ...wait,
  }, {
    clock,
    managed: {
      health: (id) => told.get(id),
      isSynced: () => synced,
      subscribe: (listener) => { listeners.add(listener); return () => void listeners.delete(listener); },
    },
    requests: {
      async healthOf(id, _v, _target, judge) {
        reads.push(id);
        const health = live.get(id) ?? ({ status: "NotFound", message: "" } as const);
        if (health instanceof Error) throw health;
        return judge ? judge({ apiVersion: "v1", kind: "X", metadata: { name: health.status } }) : health;
      },
    },
  });
  const tell = (id: string) => { for (const each of listeners) each.change({ id, owner: { namespace: "", name: "" }, now: undefined, drift: false }); };
  const synchronize = () => { for (const each of listeners) each.synced(); };
  return { time, told, live, reads, run, tell, synchronize, stop, listeners };
}

const judge: NonNullable<HealthWait["judge"]> = (id) => (id === judgedId ? async ({ metadata }) => ({ status: metadata.name, message: "judged" }) as Health : undefined);
const settle = () => new Promise<void>((resolve) => void setImmediate(resolve));
const failure = async (wait: Promise<unknown>) => wait.then(() => "it passed", (thrown: unknown) => (thrown as Fault).message);

test("[HL18] what the feed tells costs no request", async () => {
  const { told, reads, run, tell } = bed();
  told.set(toldId, inProgress);
  const wait = run(toldId);
  told.set(toldId, current);
  tell(toldId);
  await wait;
  assert.deepEqual(reads, []);
});

test("[HL21] a judged object is read at once, again when the feed says it changed, and not in between", async () => {
  const { time, live, reads, run, tell } = bed({ wait: { judge } });
  live.set(judgedId, inProgress);
  const wait = run(judgedId);
  await settle();
  await time.run(30_000, () => false);
  assert.deepEqual(reads, [judgedId]);
  live.set(judgedId, current);
  tell(judgedId);
  await wait;
  assert.deepEqual(reads, [judgedId, judgedId]);
});

test("[HL21] one that changes while it is read is read once more, after a moment", async () => {
  const { time, live, reads, run, tell } = bed({ wait: { judge } });
  live.set(judgedId, inProgress);
  const wait = run(judgedId);
  for (let i = 0; i < 10; i++) tell(judgedId);
  await settle();
  assert.equal(reads.length, 1);
  live.set(judgedId, current);
  await time.run(1_000, () => false);
  await wait;
  assert.equal(reads.length, 2);
});

test("[HL21] where the feed is silent it is read from time to time, and after a new list at once", async () => {
  const silent = bed({ synced: false, wait: { judge } });
  silent.live.set(judgedId, inProgress);
  const wait = silent.run(judgedId);
  await settle();
  for (let i = 0; i < 3; i++) {
    await silent.time.run(2_000, () => false);
  }
  assert.equal(silent.reads.length, 4);
  silent.live.set(judgedId, current);
  silent.synchronize();
  await wait;
});

test("[HL21] an object that cannot be judged is Unknown until the time is over, and its trouble is named", async () => {
  const { time, run } = bed({ wait: { judge: () => async () => ({ status: "Unknown", message: "no such key: status" }) } });
  const wait = failure(run(judgedId));
  await settle();
  await time.run(60_000, () => false);
  assert.match(await wait, /health check failed after 1m0s: timeout waiting for: \[Cluster\/apps\/db status: 'Unknown'\]; Cluster\/apps\/db: no such key: status/);
});

test("[HL14] one that the expressions call failed ends the wait, unless that is switched off", async () => {
  const early = bed({ wait: { judge } });
  early.live.set(judgedId, { status: "Failed", message: "" });
  assert.match(await failure(early.run(judgedId)), /failed early due to stalled resources: \[Cluster\/apps\/db status: 'Failed'\]/);
  const patient = bed({ wait: { judge, failFast: false } });
  patient.live.set(judgedId, { status: "Failed", message: "" });
  const wait = failure(patient.run(judgedId));
  await settle();
  await patient.time.run(60_000, () => false);
  assert.match(await wait, /timeout waiting for: \[Cluster\/apps\/db status: 'Failed'\]/);
});

test("[HL15] all that is not healthy is named together, whoever applied it", async () => {
  const { time, told, live, run } = bed({ wait: { judge, foreign: [{ id: foreignId, v: "v1" }] } });
  told.set(toldId, inProgress);
  live.set(judgedId, inProgress);
  const wait = failure(run(toldId, judgedId));
  for (let i = 0; i < 60; i++) {
    await time.run(1_000, () => false);
  }
  assert.match(await wait, /\[Deployment\/apps\/web status: 'InProgress', Cluster\/apps\/db status: 'InProgress', Deployment\/other\/their status: 'NotFound'\]/);
});

test("[HL21] an object that may not be looked at ends the wait at once", async () => {
  const { live, run } = bed({ wait: { foreign: [{ id: foreignId, v: "v1" }] } });
  live.set(foreignId, new Fault("HealthCheckFailed", "Deployment/other/their", { detail: "deployments is forbidden" }));
  assert.match(await failure(run()), /deployments is forbidden/);
});

test("[HL21] a wait that is over reads nothing more, and listens to nobody", async () => {
  const { time, live, reads, run, stop, listeners } = bed({ synced: false, wait: { judge } });
  live.set(judgedId, inProgress);
  const wait = failure(run(judgedId));
  await settle();
  stop.abort(new Error("no longer wanted"));
  assert.equal(await wait, "no longer wanted");
  const { length } = reads;
  await time.run(60_000, () => false);
  assert.deepEqual([reads.length, listeners.size], [length, 0]);
});
