import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { DependencyOutcome } from "#protocol/messages/kustomization.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { dependencyCheck, type DependencyPorts } from "./dependencies.ts";

const unit = (name: string): ActorKey => ({ kind: "kustomization", namespace: "apps", name });
const revision = "main@sha1:2";
const source = "gitrepository/apps/shop";

const object = (name: string, { generation = 1, ...spec }: { generation?: number; [field: string]: unknown } = {}): RawObject =>
  ({ kind: "Kustomization", metadata: { name, namespace: "apps", uid: `uid-${name}`, generation }, spec });
/** Of a unit that is through with a revision. */
const record = (name: string, applied = revision, value = "settled"): ActorRecord => ({
  v: 1, machine: "kustomization", timers: [], runs: [], attempts: 0, outbox: [], seen: {},
  snapshot: { status: "active", value, context: { applied, observedGeneration: 1, handledAt: "", fault: null, inventory: [], leftovers: [], facts: { uid: `uid-${name}`, generation: 1, source } } },
} as unknown as ActorRecord);

function check(dependsOn: object[], { objects = {}, records = {}, depends, readObject, ...ports }: Partial<DependencyPorts> & Partial<DependencyPorts["wires"]> & { objects?: Record<string, RawObject>; records?: Record<string, ActorRecord> } = {}) {
  const asked: string[] = [];
  const self = object("app", { dependsOn, serviceAccountName: "robot" });
  const run = dependencyCheck({
    clock: { nowMs: () => 0, monoMs: () => 0, at: (_, then) => { queueMicrotask(then); return () => undefined; } },
    hub: { need: async () => self, find: async (key) => { asked.push(actorId(key)); return objects[key.name]; } },
    recordOf: async ({ name }) => records[name],
    wires: { depends: depends ?? (async () => ({ known: true, cycle: [], goFirst: [] })), readObject: readObject ?? (async () => ({ resource: "deployments.apps" })) },
    cel: { compile: async () => undefined, evaluate: async () => ({ value: true }) },
    tenancy: {}, additive: false, ...ports,
  });
  const context = { source: { revision }, facts: { source } };
  const call = { key: unit("app"), context, input: null, run: {}, signal: new AbortController().signal, recovered: false } as unknown as EffectCall;
  return { run: () => run(call), asked };
}

const why = ({ fault, awaits }: DependencyOutcome) => [fault?.code, fault?.detail, awaits];
const infra = [{ name: "infra" }];

test("[DP1] a unit that is through with the same revision lets others go on", async () => {
  const { run } = check(infra, { records: { infra: record("infra") }, objects: { infra: object("infra") } });
  assert.deepEqual(await run(), { awaits: [] });
});

const refusals: { what: string; record?: ActorRecord; object?: RawObject; detail: string; asks?: boolean }[] = [
  { what: "whose record says no: without a request", record: record("infra", revision, "applying"), object: object("infra"), detail: "dependency 'apps/infra' is not ready", asks: false },
  { what: "that was edited a moment ago", record: record("infra"), object: object("infra", { generation: 2 }), detail: "dependency 'apps/infra' is not ready" },
  { what: "that was made anew under the same name", record: record("infra"), object: { ...object("infra"), metadata: { ...object("infra").metadata, uid: "another" } }, detail: "dependency 'apps/infra' is not ready" },
  { what: "that is gone", record: record("infra"), detail: `dependency 'apps/infra' not found: kustomizations.kustomize.toolkit.fluxcd.io "infra" not found` },
  { what: "nobody has begun with", object: object("infra"), detail: "dependency 'apps/infra' is not ready" },
  { what: "of an older revision", record: record("infra", "main@sha1:1"), object: object("infra"), detail: "dependency 'apps/infra' revision is not up to date" },
];
for (const { what, record: known, object: live, detail, asks = true } of refusals)
  test(`[DP1] a unit ${what} holds others up`, async () => {
    const { run, asked } = check(infra, { ...(known && { records: { infra: known } }), ...(live && { objects: { infra: live } }) });
    assert.deepEqual(why(await run()), ["DependencyNotReady", detail, [{ id: "kustomization/apps/infra" }]]);
    assert.equal(asked.length > 0, asks);
  });

test("[DP7] it waits for the first that is not ready, in the order of the spec", async () => {
  const { run } = check([{ name: "a" }, { name: "b" }, { name: "c" }], { records: { a: record("a") }, objects: { a: object("a") } });
  assert.deepEqual((await run()).awaits, [{ id: "kustomization/apps/b" }]);
});

const expressions: { what: string; compile?: string; answer?: { value: unknown } | { error: string }; additive?: boolean; ready?: boolean; code?: string; detail?: string }[] = [
  { what: "that holds is enough", answer: { value: true } },
  { what: "that does not hold is not", answer: { value: false }, ready: true, code: "DependencyNotReady", detail: "dependency 'apps/infra' is not ready according to readyExpr eval" },
  { what: "that fails has no answer now", answer: { error: "no such key: x" }, ready: true, code: "DependencyNotReady", detail: "failed to evaluate dependency infra: no such key: x" },
  { what: "that holds is not enough with the gate", answer: { value: true }, additive: true, code: "DependencyNotReady", detail: "dependency 'apps/infra' is not ready" },
];
for (const { what, answer = { value: true }, additive = false, ready = false, code, detail } of expressions)
  test(`[DP1] [DP11] an expression ${what}`, async () => {
    const { run } = check([{ name: "infra", readyExpr: "x" }], {
      objects: { infra: object("infra") }, records: { infra: record("infra", revision, ready ? "settled" : "applying") }, additive,
      cel: { compile: async () => undefined, evaluate: async () => answer },
    });
    const outcome = await run();
    assert.deepEqual(why(outcome), [code, detail, code ? [{ id: "kustomization/apps/infra", any: true }] : []]);
  });

test("[DP11] one that does not compile ends the matter", async () => {
  const { run } = check([{ name: "infra", readyExpr: "(" }], { objects: { infra: object("infra") }, cel: { compile: async () => "Syntax error", evaluate: async () => ({ value: true }) } });
  await assert.rejects(run(), (thrown) => thrown instanceof Fault && thrown.code === "InvalidCELExpression" && /dependency infra: Syntax error/.test(thrown.message));
});

test("[DP8] a cycle goes before everything else, and every other member is waited for", async () => {
  const ids = ["kustomization/apps/app", "kustomization/apps/infra"];
  const { run } = check(infra, { depends: async () => ({ known: true, cycle: ids, goFirst: [] }), records: { infra: record("infra") }, objects: { infra: object("infra") } });
  assert.deepEqual(why(await run()), ["DependencyCycle", "dependency cycle: apps/app → apps/infra → apps/app", [{ id: ids[1], any: true }]]);
});

test("[DP8] whoever watches for all may be changing just now: it is asked again", async () => {
  let asks = 0;
  const { run } = check([], { depends: async () => { if (++asks < 3) throw new Fault("ClusterUnreachable", "hub"); return { known: true, cycle: [], goFirst: [] }; } });
  assert.deepEqual([await run(), asks], [{ awaits: [] }, 3]);
  const never = check([], { depends: () => Promise.reject(new Fault("ClusterUnreachable", "hub")) });
  await assert.rejects(never.run(), (thrown) => thrown instanceof Fault && thrown.code === "ClusterUnreachable");
});

const web = [{ apiVersion: "apps/v1", kind: "Deployment", name: "web", namespace: "shop" }];
const key = { id: "Deployment@apps@v1/shop/web", any: true };

test("[DP9] an object of another kind is read in the name of the unit's account", async () => {
  const users: unknown[] = [];
  const live = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web", namespace: "shop", generation: 1 }, status: { observedGeneration: 0 } };
  const { run } = check(web, { readObject: async (_, { user }) => { users.push(user); return { resource: "deployments.apps", object: live }; } });
  const [code, detail, awaits] = why(await run());
  assert.deepEqual([code, awaits, users], ["DependencyNotReady", [key], ["system:serviceaccount:apps:robot"]]);
  assert.match(String(detail), /^dependency 'shop\/web' is not ready: /);
  const forbidden = check(web, { readObject: async () => ({ resource: "deployments.apps", refused: "forbidden" }) });
  assert.deepEqual(why(await forbidden.run()).slice(0, 2), ["DependencyNotReady", "dependency 'shop/web' may not be read: forbidden"]);
});

test("[DP9] of another namespace only where that is not locked down", async () => {
  const { run } = check(web, { tenancy: { noCrossNamespaceRefs: true }, readObject: () => assert.fail("it was read") });
  await assert.rejects(run(), (thrown) => thrown instanceof Fault && thrown.code === "AccessDenied");
});
