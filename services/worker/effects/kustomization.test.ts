import assert from "node:assert/strict";
import test from "node:test";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import { finalizer } from "#protocol/api/annotations.ts";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { ApplyOutcome, BuildOutcome, InventoryEntry, PruneOutcome, RemoveOutcome } from "#protocol/messages/kustomization.ts";
import { partitionOf } from "#protocol/names/actor.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { ApplyCall, ClusterPort, PruneCall } from "../cluster-port.ts";
import type { RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { RenderedCache } from "../rendered-cache.ts";
import { HubObjects } from "./hub-objects.ts";
import { kustomizationEffects, type KustomizationPorts } from "./kustomization.ts";

const key = { kind: "kustomization", namespace: "apps", name: "shop" };
const unit: RawObject = {
  apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization",
  metadata: { name: "shop", namespace: "apps", uid: "u1", generation: 1, resourceVersion: "5", deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [finalizer] },
  spec: { interval: "1m", prune: true, path: "./", sourceRef: { kind: "GitRepository", name: "shop" } },
};
const object: RenderedObject = { object: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "apps" } }, digest: "d" };
const entry: InventoryEntry = { id: "apps_a__ConfigMap", v: "v1", uid: "u", digest: "d", owned: "o" };
const wholeBuild: BuildOutcome = { renderKey: "k1", readSet: { files: [], dirs: [] } };
const change = "00-11111111111111111111111111111111-2222222222222222-01";

/** What the effects ask of a cluster, and a unit to ask it for. */
function bed(ports: Partial<KustomizationPorts> = {}, cluster: Partial<ClusterPort> = {}) {
  const applied: ApplyCall[] = [];
  const prunes: PruneCall[] = [];
  const finalizers: string[][] = [];
  const rendered = new RenderedCache();
  const effects = kustomizationEffects({
    hub: new HubObjects({
      cached: () => unit,
      reread: async () => unit,
      patchFinalizers: async (_key: unknown, _live: unknown, left: string[]) => void finalizers.push(left),
      secret: async () => ({}),
      kindOf: () => "Kustomization",
    } as unknown as ConstructorParameters<typeof HubObjects>[0]),
    held: async () => "no source",
    epochOf: () => 4,
    artifacts: { get: async () => new Uint8Array() },
    renderer: { render: async () => ({ unchanged: false, key: "k1", readSet: { files: [], dirs: [] }, objects: [object] }) },
    rendered,
    cluster: {
      idsOf: async (objects) => objects.map(({ object: { metadata } }) => ({ id: `_${metadata.name}__Scoped`, v: "v1" })),
      apply: async (call): Promise<ApplyOutcome> => { applied.push(call); return { entries: [entry], changes: [] }; },
      prune: async (call): Promise<PruneOutcome> => { prunes.push(call); return { deleted: [], left: [] }; },
      drifted: () => [],
      waitHealthy: async () => {},
      ...cluster,
    },
    kindOf: () => "GitRepository",
    ...ports,
  });
  const run = async <T>(src: string, context: Partial<KustomizationContext> = {}, recovered = false): Promise<T> => {
    const { signal } = new AbortController();
    const whole = {
      source: { revision: "r1", digest: "d1", sizeBytes: 1, path: "p", storedAt: "" }, build: wholeBuild, appliedKey: "", inventory: [entry], leftovers: [],
      facts: { uid: "u1", source: "gitrepository/apps/shop", deletion: "Delete" }, traceparent: change, attempted: "r1", applied: "", ...context,
    };
    const call = { key, context: whole, input: { scope: "changed" }, run: { id: src, src, input: null, attempt: 1, sinceMs: 0 }, signal, recovered };
    return (await effects[src]?.(call as unknown as EffectCall)) as T;
  };
  return { run, applied, prunes, finalizers, rendered };
}

const failing = (code: FaultCode) => async () => ({ entries: [], changes: [], deleted: [], left: [], fault: { code, subject: "it" } });
const codeOf = (work: Promise<unknown>) => work.then(() => "", (thrown: unknown) => (thrown as Fault).code);

test("[FN1] a build says what an apply of it will create, as the cluster names it; one that stands applied asks nothing", async () => {
  const { run, rendered } = bed();
  assert.deepEqual((await run<BuildOutcome>("build")).objects, [{ id: "_a__Scoped", v: "v1" }]);
  assert.equal((await run<BuildOutcome>("build", { appliedKey: "k1" })).objects, undefined);
  const unchanged = bed({ rendered, renderer: { render: async () => ({ unchanged: true }) as never } });
  assert.deepEqual((await unchanged.run<BuildOutcome>("build")).objects, [{ id: "_a__Scoped", v: "v1" }], "also when nothing was built anew");
});

test("[FN2] a prune names what is to be kept", async () => {
  const { run, prunes } = bed();
  await run("prune", { leftovers: [{ ...entry, id: "apps_b__ConfigMap" }] });
  assert.deepEqual([...(prunes[0]?.keep ?? [])], [entry.id]);
});

const touching = [
  { why: "it took over from a crashed owner", context: {}, recovered: true, touch: { epoch: `${partitionOf(key)}:4` } },
  { why: "an earlier one that did was not through", context: { unfenced: true }, recovered: false, touch: { epoch: `${partitionOf(key)}:4` } },
  { why: "(it does not) nothing crashed", context: { wary: "interrupted" as const }, recovered: false, touch: undefined },
];
for (const { why, context, recovered, touch } of touching)
  test(`[FN5] an apply touches what it does not write when ${why}`, async () => {
    const { run, applied } = bed();
    await run("apply", context, recovered);
    assert.deepEqual([applied[0]?.touch, applied[0]?.stamp], [touch, undefined]);
  });

test("[FN10] writes are stamped only where that is asked for", async () => {
  const { run, applied } = bed({ stamps: true });
  await run("apply");
  assert.equal(applied[0]?.stamp, `${partitionOf(key)}:4`);
});

for (const src of ["apply", "prune"]) {
  test(`[FN12] ${src} says that it took over, also when it failed, in whatever way`, async () => {
    assert.equal((await bed().run<ApplyOutcome>(src, {}, true)).recovered, true);
    assert.equal((await bed().run<ApplyOutcome>(src)).recovered, undefined);
    const told = bed({}, { [src]: failing("ObjectForbidden") });
    assert.deepEqual(await told.run<ApplyOutcome>(src, {}, true).then(({ recovered, fault }) => [recovered, fault?.code]), [true, "ObjectForbidden"]);
    const thrown = bed({}, { [src]: async () => { throw new Fault("ClusterUnreachable", "api"); } });
    assert.deepEqual(await thrown.run<ApplyOutcome>(src, {}, true).then(({ recovered, fault }) => [recovered, fault?.code]), [true, "ClusterUnreachable"]);
    assert.equal(await codeOf(thrown.run(src)), "ClusterUnreachable");
  });
  test(`[FN12] ${src} that lost its lease has no outcome`, async () => {
    assert.equal(await codeOf(bed({}, { [src]: failing("LeaseLost") }).run(src, {}, true)), "LeaseLost");
    assert.equal(await codeOf(bed({}, { [src]: async () => { throw new Fault("LeaseLost", "p"); } }).run(src, {}, true)), "LeaseLost");
  });
  test(`[FN13] ${src} carries the trace of the change that caused it, and of no other`, async () => {
    const traced = async (context: Partial<KustomizationContext>) => {
      const { run, applied, prunes } = bed();
      await run(src, context);
      return (applied[0] ?? prunes[0])?.traceparent?.("any");
    };
    assert.deepEqual([await traced({}), await traced({ applied: "r1" }), await traced({ traceparent: "" })], [change, undefined, undefined]);
  });
}

const unfinished = { build: wholeBuild, appliedKey: "" };
const removals: { why: string; context: Partial<KustomizationContext>; recovered: boolean; late: boolean }[] = [
  { why: "nothing crashed", context: unfinished, recovered: false, late: false },
  { why: "a former owner crashed less than a minute ago", context: { appliedKey: "k1", wary: "crashed" }, recovered: false, late: true },
  { why: "its removal was taken over while an apply was not through", context: unfinished, recovered: true, late: true },
  { why: "its removal was taken over and did nothing but delete", context: { appliedKey: "k1" }, recovered: true, late: false },
  { why: "an apply was cut short without a crash", context: { ...unfinished, wary: "interrupted" }, recovered: false, late: false },
  { why: "its objects stay", context: { wary: "crashed", facts: { uid: "u1", deletion: "Orphan" } as KustomizationContext["facts"] }, recovered: false, late: false },
];
for (const { why, context, recovered, late } of removals)
  test(`[FN7] the finalizer ${late ? "stays" : "goes"} when ${why}`, async () => {
    const { run, finalizers } = bed();
    const outcome = await run<RemoveOutcome>("remove", context, recovered);
    assert.deepEqual([outcome.late, finalizers], [late, late ? [] : [[]]]);
  });

const sources = [
  { held: "no source", code: "SourceMissing" },
  { held: "no artifact", code: "ArtifactMissing" },
] as const;
for (const { held, code } of sources)
  test(`[RC9] a source that is held as "${held}": ${code}`, async () => assert.equal(await codeOf(bed({ held: async () => held }).run("findSource")), code));
