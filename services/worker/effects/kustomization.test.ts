import assert from "node:assert/strict";
import test from "node:test";
import type { Tenancy } from "#machines/rules/tenancy.ts";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import { finalizer } from "#protocol/api/annotations.ts";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { ApplyOutcome, BuildOutcome, InventoryEntry, PruneOutcome, RemoveOutcome } from "#protocol/messages/kustomization.ts";
import { partitionOf } from "#protocol/names/actor.ts";
import { Decryptor } from "#services/decrypt/decryptor.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { ApplyCall, ClusterPort, CompareCall, PruneCall } from "../cluster-port.ts";
import type { RawObject } from "../facts.ts";
import { featureGates } from "../feature-gates.ts";
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

const hubOf = (object: RawObject, finalizers: string[][] = []) => new HubObjects({
  cached: () => object,
  reread: async () => object,
  patchFinalizers: async (_key: unknown, _live: unknown, left: string[]) => void finalizers.push(left),
  secret: async () => ({}),
  inputsOf: () => ({}),
  kindOf: () => "Kustomization",
} as unknown as ConstructorParameters<typeof HubObjects>[0]);

/** What the effects ask of a cluster, and a unit to ask it for. */
function bed(ports: Partial<KustomizationPorts> = {}, cluster: Partial<ClusterPort> = {}) {
  const applied: ApplyCall[] = [];
  const compared: CompareCall[] = [];
  const prunes: PruneCall[] = [];
  const finalizers: string[][] = [];
  const rendered = new RenderedCache();
  const effects = kustomizationEffects({
    hub: hubOf(unit, finalizers),
    held: async () => "no source",
    dependencies: async () => ({ awaits: [] }), dependents: async () => [], nowMs: () => Date.parse("2026-01-01T00:10:00Z"),
    epochOf: () => 4,
    features: featureGates,
    artifacts: { get: async () => new Uint8Array() },
    cel: { compile: async () => undefined, evaluate: async () => ({ value: true }), evaluateAll: async (all) => all.map(() => ({ value: true })) },
    renderer: { render: async () => ({ unchanged: false, key: "k1", readSet: { files: [], dirs: [] }, objects: [object], confidential: [] }) },
    rendered, digestKey: async () => new Uint8Array(32), decryption: { decryptor: new Decryptor() },
    cluster: {
      reach: async () => ({ cluster: "", blind: false }),
      idsOf: async (_, objects) => objects.map(({ object: { metadata } }) => ({ id: `_${metadata.name}__Scoped`, v: "v1" })),
      apply: async (call): Promise<ApplyOutcome> => { applied.push(call); return { entries: [entry], changes: [] }; },
      compare: async (call) => { compared.push(call); return { differences: [] }; },
      prune: async (call): Promise<PruneOutcome> => { prunes.push(call); return { deleted: [], left: [] }; },
      drifted: () => [],
      storageOf: () => undefined,
      waitHealthy: async () => {},
      hasAccount: async () => true, within: () => assert.fail("asked"),
      ...cluster,
    },
    kindOf: () => "GitRepository",
    tenancy: {},
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
  return { run, applied, compared, prunes, finalizers, rendered };
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

test("[DR4] what does not differ costs no request; what does is compared in the unit's name, and everything only where that is due", async () => {
  const calm = bed();
  assert.deepEqual([await calm.run("compare"), calm.compared], [{ differences: [] }, []]);
  const { run, compared, applied } = bed({ hub: hubOf({ ...unit, spec: { ...(unit["spec"] as object), serviceAccountName: "robot" } }) }, { drifted: () => [{ id: entry.id, by: "somebody" }] });
  await run("compare");
  await run("compare", { compareAll: true });
  assert.deepEqual(compared.map(({ scope, drifted, target }) => [scope, [...drifted.keys()], target]), ["changed", "all"].map((scope) => [scope, [entry.id], { user: "system:serviceaccount:apps:robot" }]));
  assert.deepEqual(applied, []);
});

test("[DR7] values of Secrets that a build was made with are taken out of what is told", async () => {
  const render = async () => ({ unchanged: false as const, key: "k1", readSet: { files: [], dirs: [] }, objects: [object], confidential: ["s3cret"] });
  const { run, compared } = bed({ renderer: { render } }, { drifted: () => [{ id: entry.id, by: "" }] });
  await run("compare");
  assert.equal(compared[0]?.redact("a s3cret of ours"), "a ***** of ours");
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

const robot = { user: "system:serviceaccount:apps:robot" };
const acting: { why: string; serviceAccountName?: string; tenancy?: Tenancy; target: object }[] = [
  { why: "the worker itself, when nobody is named", target: {} },
  { why: "the account the unit names", serviceAccountName: "robot", target: robot },
  { why: "the default account, when the unit names none", tenancy: { defaultServiceAccount: "robot" }, target: robot },
  { why: "the account it names, whatever the default is", serviceAccountName: "robot", tenancy: { defaultServiceAccount: "other" }, target: robot },
];
for (const { why, serviceAccountName, tenancy = {}, target } of acting)
  test(`[${serviceAccountName || !tenancy.defaultServiceAccount ? "TN1" : "TN2"}] everything is done as ${why}`, async () => {
    const targets: unknown[] = [];
    const { run, applied, prunes } = bed({ tenancy, hub: hubOf({ ...unit, spec: { ...(unit["spec"] as object), serviceAccountName, wait: true } }) }, {
      idsOf: async (_, objects, as) => { targets.push(as); return objects.map(() => ({ id: "_a__Scoped", v: "v1" })); },
      waitHealthy: async (_, wait) => void targets.push(wait.target),
    });
    for (const src of ["build", "apply", "followHealth", "prune", "remove"]) await run(src);
    targets.push(...[...applied, ...prunes].map((call) => call.target));
    assert.deepEqual(targets, Array.from({ length: 5 }, () => target));
  });

for (const serviceAccountName of ["a:b", "Robot", "a/b", "a b", "a\nb", "-a", "x".repeat(254)])
  test(`[TN4] nothing is asked of the cluster as ${JSON.stringify(serviceAccountName.slice(0, 20))}`, async () => {
    const { run, applied, prunes } = bed({ hub: hubOf({ ...unit, spec: { ...(unit["spec"] as object), serviceAccountName } }) }, { hasAccount: () => assert.fail("asked") });
    for (const src of ["build", "apply", "followHealth", "prune"]) assert.equal(await codeOf(run(src)), "InvalidObject");
    assert.deepEqual((await run<RemoveOutcome>("remove")).abandoned, { account: { namespace: "apps", name: serviceAccountName }, ids: [entry.id] });
    assert.deepEqual([applied, prunes], [[], []]);
  });

test("[TN10] a source of another namespace is denied where references across namespaces are", async () => {
  const held = async () => ({ artifact: { revision: "r", digest: "d", sizeBytes: 1, path: "p", storedAt: "" }, traceparent: "" });
  const facts = (source: string) => ({ facts: { uid: "u1", source, deletion: "Delete" } as KustomizationContext["facts"] });
  const tenancy = { noCrossNamespaceRefs: true };
  assert.equal(await codeOf(bed({ held, tenancy }).run("findSource", facts("gitrepository/fleet/shop"))), "AccessDenied");
  assert.equal(await codeOf(bed({ held, tenancy }).run("findSource", facts("gitrepository/apps/shop"))), "");
  assert.equal(await codeOf(bed({ held }).run("findSource", facts("gitrepository/fleet/shop"))), "");
});

test("[TN20] when its account is gone nothing is deleted and the finalizer stays until that is told", async () => {
  const { run, prunes, finalizers } = bed({ tenancy: { defaultServiceAccount: "robot" } }, { hasAccount: async () => false });
  assert.deepEqual(await run("remove"), { late: false, abandoned: { account: { namespace: "apps", name: "robot" }, ids: [entry.id] } });
  assert.deepEqual([prunes, finalizers], [[], []]);
  await run("release");
  assert.deepEqual(finalizers, [[]]);
});

test("[TN20] what has applied nothing, or leaves its objects, asks for no account", async () => {
  const tenancy = { defaultServiceAccount: "robot" };
  const { run, finalizers } = bed({ tenancy }, { hasAccount: () => assert.fail("asked") });
  await run("remove", { inventory: [] });
  await run("remove", { facts: { uid: "u1", deletion: "Orphan" } as KustomizationContext["facts"] });
  assert.deepEqual(finalizers, [[], []]);
});

test("[TN21] an account that could not be looked up is not a missing one", async () => {
  const { run, finalizers } = bed({ tenancy: { defaultServiceAccount: "robot" } }, { hasAccount: async () => { throw new Fault("ClusterUnreachable", "api"); } });
  assert.equal(await codeOf(run("remove")), "ClusterUnreachable");
  assert.deepEqual(finalizers, []);
});

const sources = [
  { held: "no source", code: "SourceMissing" },
  { held: "no artifact", code: "ArtifactMissing" },
] as const;
for (const { held, code } of sources)
  test(`[RC9] a source that is held as "${held}": ${code}`, async () => assert.equal(await codeOf(bed({ held: async () => held }).run("findSource")), code));

const deletedMs = Date.parse("2026-01-01T00:00:00Z");
const ordered = { ...unit, metadata: { ...unit.metadata, annotations: { "flotilla.dev/deletion-order": "dependents-first" } } };
const orders: { what: string; object: typeof unit; afterMs: number; waits: boolean }[] = [
  { what: "waits for them where its object asks for that", object: ordered, afterMs: 1_000, waits: true },
  { what: "waits no longer than its timeout", object: ordered, afterMs: 60_001, waits: false },
  { what: "does not wait otherwise", object: unit, afterMs: 1_000, waits: false },
];
for (const { what, object: live, afterMs, waits } of orders)
  test(`[DP13] a unit with dependents that are being deleted too ${what}`, async () => {
    const top = "kustomization/apps/top";
    const { run, prunes } = bed({
      hub: new HubObjects({ cached: () => live, reread: async () => live, patchFinalizers: async () => undefined } as unknown as ConstructorParameters<typeof HubObjects>[0]),
      dependents: async () => [top], nowMs: () => deletedMs + afterMs,
    });
    const facts = { uid: "u1", deletion: "Delete", timeoutMs: 60_000 } as KustomizationContext["facts"];
    const { awaits } = await run<RemoveOutcome>("remove", { facts });
    assert.deepEqual([awaits, prunes.length], waits ? [[{ id: top, any: true }], 0] : [undefined, 1]);
  });
