/** A worker of its own process for `residence`: takes over everything a NATS holds, and says how long it took and what it needs. */
import { setTimeout as pause } from "node:timers/promises";
import { inventoryId } from "#machines/rules/inventory.ts";
import { finalizer } from "#protocol/api/annotations.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { systemClock } from "#services/store/clock.ts";
import { startHeartThread } from "#services/store/heart-thread.ts";
import { openNatsBus } from "#services/store/nats-bus.ts";
import { connectNats } from "#services/store/nats-connect.ts";
import { openNatsLog } from "#services/store/nats-log.ts";
import { createLog } from "#services/telemetry/log.ts";
import { createMetrics } from "#services/telemetry/metrics.ts";
import type { Spans } from "#services/telemetry/spans.ts";
import { kindKey, type RequestPort, type WatchPort } from "#services/worker/feed/ports.ts";
import { createHub } from "#services/worker/hub.ts";
import { factsOf, type RawObject } from "#services/worker/facts.ts";
import { statusOf } from "#services/worker/shown.ts";
import { statusPatch } from "#services/worker/status-patch.ts";
import { Worker } from "#services/worker/worker.ts";
import type { WorkerOptions } from "#services/worker/worker-options.ts";
import { settled } from "./idle.ts";

export const unitKey = (i: number): ActorKey => ({ kind: "kustomization", namespace: `team-${i % 100}`, name: `application-${i}` });

const uid = "11111111-2222-3333-4444-555555555555";
const idleMs = 20_000;

/** What the unit applied: four objects of its own. */
export const inventoryOfUnit = (i: number): InventoryEntry[] => Array.from({ length: 4 }, (_, k) => ({
  id: inventoryId({ namespace: unitKey(i).namespace, name: `object-${i}-${k}`, group: "", kind: "ConfigMap" }), v: "v1", uid: `${uid.slice(0, -1)}${k}`,
  digest: `sha256:${"a".repeat(64)}`, owned: "owned",
}));

/** As users write it. */
function declaredUnit(i: number): RawObject {
  const { namespace, name } = unitKey(i);
  return {
    apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: { name, namespace, uid, generation: 1, resourceVersion: "7", finalizers: [finalizer] },
    spec: { interval: "10m", retryInterval: "1m", timeout: "1m", path: `./apps/${name}`, prune: true, sourceRef: { kind: "GitRepository", name: "fleet", namespace: "apps" } },
  };
}

/** A unit that is as it should be, due in an hour. */
export function recordOfUnit(i: number, template: ActorRecord): ActorRecord {
  const key = unitKey(i);
  const facts = { ...factsOf(key.kind, declaredUnit(i)), handledAt: "" };
  const context = { ...template.snapshot.context, key: actorId(key), facts, inventory: inventoryOfUnit(i) };
  return { ...template, timers: template.timers.map((timer) => ({ ...timer, dueMs: Date.now() + 3_600_000 })), snapshot: { ...template.snapshot, context } };
}

/** Its object, which says what the record says. */
function unitObject(i: number, template: ActorRecord): RawObject {
  const wanted = statusOf(unitKey(i), recordOfUnit(i, template), null);
  const status = wanted && statusPatch(wanted, {}, 1, "2026-01-01T00:00:00Z", (path) => path);
  return { ...declaredUnit(i), ...(status && { status }) };
}

/** The API server's part: shows everything once. Status writes and the like go nowhere. */
function hubOf(count: number, template: ActorRecord): { watch: WatchPort; requests: RequestPort; written(): number } {
  let writes = 0;
  const wrote = <T>(value: T) => { writes++; return Promise.resolve(value); };
  return {
    written: () => writes,
    watch: {
      prepare: () => Promise.resolve(),
      start(listener) {
        for (let i = 0; i < count; i++) {
          const key = unitKey(i);
          listener.flux(key, unitObject(i, template));
          for (const { id, uid: objectUid, owned } of inventoryOfUnit(i))
            listener.managed(id, {
              uid: objectUid, resourceVersion: "3", generation: 1, owned, appliedAtS: 0, by: "", others: "", status: "Current", message: "",
              owner: `${key.namespace}/${key.name}`, deleting: false,
            });
        }
        listener.fluxSynced();
        return { follow: (kind) => listener.kind(kindKey(kind), "synced") };
      },
    },
    requests: {
      get: () => Promise.resolve(undefined), patchStatus: () => wrote(unitObject(0, template)), patchMetadata: () => wrote(unitObject(0, template)), event: () => wrote(undefined),
      data: () => Promise.resolve(undefined), secret: () => Promise.resolve({}), list: () => Promise.resolve([]), applyOwned: () => Promise.reject(new Error("not here")), removeOwned: () => Promise.resolve(), pullSecretNames: () => Promise.resolve([]), idsOf: () => Promise.resolve([]), healthOf: () => Promise.resolve({ status: "Current", message: "" }), hasAccount: () => Promise.resolve(true), handleOf: () => { throw new TypeError("nothing is released"); }, raiseEpoch: () => Promise.resolve(),
      readObject: () => Promise.resolve({ resource: "" }), followObject() {},
      apply: () => wrote({ entries: [], changes: [] }), compare: () => Promise.resolve({ differences: [] }), prune: () => wrote({ deleted: [], left: [] }),
    },
  };
}

async function main([url = "", token = "", wanted = ""]: string[]): Promise<void> {
  const count = Number(wanted);
  const name = "bench";
  const connection = await connectNats({ url, name, token });
  const hub = hubOf(count, settled(Date.now()));
  const before = memory();
  const startMs = performance.now();
  const worker = new Worker({
    name, clock: systemClock, cellLog: await openNatsLog(connection, "FL_main"), bus: openNatsBus(connection), hubId: "bench", capacity: 1,
    startHeart: (callbacks) => startHeartThread({ url, name, token }, {
      stream: "FL_main", worker: name, about: { capacity: 1, actors: 0, load: 0, draining: false, refuses: [] }, ...callbacks,
    }),
    openHub: (wires) => createHub({ ...wires, ...hub }),
    artifacts: {} as WorkerOptions["artifacts"], renderer: {} as WorkerOptions["renderer"], cel: {} as WorkerOptions["cel"], digestKey: async () => new Uint8Array(32), helm: {} as WorkerOptions["helm"], engine: {} as WorkerOptions["engine"], decryption: {} as WorkerOptions["decryption"], spans: { recordSpan: () => "", droppedTotal: () => 0 } as unknown as Spans,
    metrics: createMetrics({ version: "bench" }), log: createLog({ level: "error", name: "bench" }), artifactUrl: (path) => path,
    onLost: (reason) => { console.error(reason); process.exit(1); },
  });
  await worker.start();
  const takeOverMs = performance.now() - startMs;
  await pause(3_000); // what is compared in the background
  const after = memory();
  const cpu = process.cpuUsage();
  await pause(idleMs);
  const { user, system } = process.cpuUsage(cpu);
  const [view] = await worker.fleet();
  console.log(JSON.stringify({
    take_over_ms: Math.round(takeOverMs), taken_over: view?.actors ?? 0, worker_rss_mb: Math.round(after.rss / 2 ** 20), worker_bytes_per_unit: Math.round((after.heap - before.heap) / count),
    worker_idle_minute_cpu_ms: Math.round(((user + system) / 1000) * (60_000 / idleMs)), worker_writes: hub.written(),
  }));
  process.exit(0);
}

function memory(): { rss: number; heap: number } {
  globalThis.gc?.();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { rss, heap: heapUsed + arrayBuffers };
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2));
