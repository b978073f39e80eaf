/** What actors at rest cost their host. Time is virtual and the store a function: what is measured is the host alone. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { kustomization } from "#machines/kustomization/machine.ts";
import { answered, begin, step } from "#machines/step.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import { parseActorRecord, type ActorRecord } from "#protocol/records/actor.ts";
import { Host } from "#services/worker/host.ts";
import { Process, VirtualTime } from "../simulate/time.ts";
import { rounded } from "./meters.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const intervalMs = 600_000;
const entries = Array.from({ length: 4 }, (_, i) => ({
  id: `apps_object-${i}__ConfigMap`, v: "v1", uid: `11111111-2222-3333-4444-00000000000${i}`, digest: `sha256:${"a".repeat(64)}`, owned: "",
}));
const artifact = { revision: "main@sha1:4c1d", digest: `sha256:${"b".repeat(64)}`, path: "p", sizeBytes: 1, storedAt: "" };
/** What the effects of an unchanged unit answer. */
const answers: Record<string, unknown> = {
  findSource: { artifact, traceparent: "", inventory: [] }, build: { renderKey: "k", readSet: { files: [], dirs: [] } },
  apply: { entries, changes: [] }, prune: { deleted: [], left: [] },
};

export async function measure(count: number): Promise<Record<string, number>> {
  const time = new VirtualTime();
  const { clock } = new Process(time, "worker");
  const template = JSON.stringify(settled(clock.nowMs()));
  const keyOf = (i: number): ActorKey => ({ kind: "kustomization", namespace: `team-${i % 100}`, name: `application-${i}` });
  const stored = new Map<string, string>();
  let [runs, loads] = [0, 0];
  /** As the store has it: due some time within the interval. */
  const recordOf = (key: ActorKey, dueMs: number): ActorRecord => {
    const record = parseActorRecord(JSON.parse(template));
    const { context } = record.snapshot;
    return { ...record, snapshot: { ...record.snapshot, context: { ...context, key: actorId(key) } }, timers: record.timers.map((timer) => ({ ...timer, dueMs })) };
  };
  const beganMs = clock.nowMs();
  const firstDueMs = (i: number) => beganMs + 65_000 + ((i * 7_919) % count) * (intervalMs / count);
  const numberOf = ({ name }: ActorKey) => Number(name.slice("application-".length));
  const host = new Host({
    clock,
    machineOf: () => kustomization,
    commit: ({ key, text = "" }) => { stored.set(actorId(key), text); return Promise.resolve(); },
    load: (key) => {
      loads++;
      const text = stored.get(actorId(key));
      return Promise.resolve(text ? parseActorRecord(JSON.parse(text)) : recordOf(key, firstDueMs(numberOf(key))));
    },
    perform: (src) => { runs++; return Promise.resolve(answers[src] ?? null); },
    route: () => [], tell: () => Promise.resolve(), ended: () => {}, kept: () => {}, quarantined: (_, fault) => { throw new Error(fault.code, { cause: fault }); },
  });

  const before = held();
  let adoptCpuMs = 0;
  const batch = 1_000; // so that what is adopted need not be in memory all at once
  const adopt = (from: number) => {
    const records = Array.from({ length: Math.min(batch, count - from) }, (_, i) => ({ key: keyOf(from + i), record: recordOf(keyOf(from + i), firstDueMs(from + i)) }));
    adoptCpuMs += cpuMs(() => { for (const { key, record } of records) host.adopt(key, record); });
  };
  for (let from = 0; from < count; from += batch) adopt(from);
  const bytesPerActor = (held() - before) / count;
  const { indexBytes, cold } = host.sizes;

  const quiet = await cpuMsOf(() => time.run(60_000, () => false)); // nothing is due in this one
  const listCpuMs = cpuMs(() => { for (const _ of host.all()); });
  const due = await cpuMsOf(() => time.run(60_000, () => false));
  const figures = {
    actors: count, cold, bytes_per_actor: rounded(bytesPerActor, 1), index_bytes_per_actor: rounded(indexBytes / count, 1),
    adopt_cpu_ms: rounded(adoptCpuMs, 1), adopt_us_per_actor: rounded((adoptCpuMs * 1000) / count, 2), list_cpu_ms: rounded(listCpuMs, 1),
    idle_minute_cpu_ms: rounded(quiet, 2), due_minute_cpu_ms: rounded(due, 1), due_minute_loads: loads, due_minute_runs: runs,
    due_us_per_actor: rounded((due * 1000) / Math.max(1, loads), 1), resident_after: host.sizes.resident,
  };
  host.stop();
  return figures;
}

/** A unit of four objects that is as it should be. */
export function settled(nowMs: number): ActorRecord {
  let { record } = begin(kustomization, { key: "kustomization/apps/unit" }, nowMs);
  const facts = {
    uid: "11111111-2222-3333-4444-555555555555", generation: 1, deleting: false, finalizer: true, suspended: false, requestedAt: "", handledAt: "",
    intervalMs, retryMs: 60_000, timeoutMs: 60_000, source: "gitrepository/apps/fleet", prune: true, health: false, deletion: "Delete",
  };
  record = step(kustomization, record, { type: "object", facts }, nowMs).record;
  for (let [run] = record.runs; run; [run] = record.runs) record = step(kustomization, record, answered(run, answers[run.src] ?? null), nowMs).record;
  return { ...record, outbox: [] };
}

function held(): number {
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function cpuSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

function cpuMs(run: () => void): number {
  const start = process.cpuUsage();
  run();
  return cpuSince(start);
}

async function cpuMsOf(run: () => Promise<void>): Promise<number> {
  const start = process.cpuUsage();
  await run();
  return cpuSince(start);
}
