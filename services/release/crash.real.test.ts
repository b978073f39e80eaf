/** Whoever dies between two writes of an action leaves what the next can go on with: on a real API server, at every write. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { cluster, type Cluster } from "../../test/kit/cluster.ts";
import type { Acted, ReleaseCall } from "./call.ts";
import { make, type Composition } from "./make.ts";
import { composition, configMap, deployment, hook, job, openBed, placeIn, usual, type Bed } from "./sample-release.ts";
import { listRevisions, readRevision } from "./storage.ts";
import { testRelease } from "./test-release.ts";
import { uninstall } from "./uninstall.ts";
import { unlock } from "./unlock.ts";

let real: Cluster;
let bed: Bed;
before(async () => {
  real = await cluster();
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const none = { files: [], policy: "Create" as const };
const one: Composition = composition([configMap("map", { v: "1" }), configMap("old"), deployment("web")], {
  hooks: [
    hook(job("before"), ["pre-install", "pre-upgrade", "pre-rollback", "pre-delete"]),
    hook(job("both"), ["pre-install", "post-install"], { weight: 1, delete_policies: ["before-hook-creation", "hook-succeeded"] }),
    hook(job("after"), ["post-install", "post-upgrade", "post-rollback"]),
    hook(job("check"), ["test"]),
  ],
});
const two: Composition = { ...composition([configMap("map", { v: "2" }), configMap("new"), deployment("web")], { version: "1.1.0" }), hooks: one.hooks };
const removal = { timeoutMs: 60_000, hooks: true, wait: "poller", keepHistory: true, propagation: "background" } as const;

/** One action, and how the release stands when it is done. */
type Case = {
  name: string;
  prepare?: (call: () => ReleaseCall) => Promise<unknown>;
  act: (call: ReleaseCall) => Promise<Acted>;
  /** By version, newest first. */
  statuses: string[];
  /** The ConfigMaps that are there in the end, and what they hold. */
  maps: Record<string, string>;
  /** Hooks that must not have run twice. */
  jobs: string[];
};

const install = (call: ReleaseCall) => make(call, { action: "install", version: 1, composition: one, definitions: none, createNamespace: false }, usual);
const upgrade = (call: ReleaseCall) => make(call, { action: "upgrade", version: 2, composition: two, definitions: none, createNamespace: false }, usual);
const quick = (call: ReleaseCall) => make(call, { action: "install", version: 1, composition: one, definitions: none, createNamespace: false }, { ...usual, hooks: false });

const cases: Case[] = [
  { name: "install", act: install, statuses: ["deployed"], maps: { map: "1", old: "" }, jobs: ["before", "after"] },
  { name: "upgrade", prepare: (call) => quick(call()), act: upgrade, statuses: ["deployed", "superseded"], maps: { map: "2", new: "" }, jobs: ["before", "after"] },
  {
    name: "rollback", prepare: async (call) => [await quick(call()), await make(call(), { action: "upgrade", version: 2, composition: two, definitions: none, createNamespace: false }, { ...usual, hooks: false })],
    act: (call) => make(call, { action: "rollback", version: 3, to: 1 }, usual), statuses: ["deployed", "superseded", "superseded"], maps: { map: "1", old: "" }, jobs: ["before", "after"],
  },
  { name: "test", prepare: (call) => quick(call()), act: (call) => testRelease(call, 1, { timeoutMs: 60_000, filters: [] }), statuses: ["deployed"], maps: { map: "1", old: "" }, jobs: ["check"] },
  { name: "uninstall", prepare: (call) => quick(call()), act: (call) => uninstall(call, 1, removal), statuses: ["uninstalled"], maps: {}, jobs: ["before"] },
  {
    name: "uninstall without history", prepare: async (call) => [await quick(call()), await make(call(), { action: "upgrade", version: 2, composition: two, definitions: none, createNamespace: false }, { ...usual, hooks: false })],
    act: (call) => uninstall(call, 2, { ...removal, keepHistory: false, hooks: false }), statuses: [], maps: {}, jobs: [],
  },
];

const died = new Fault("LeaseLost", "worker");

for (const each of cases)
  test(`[RL20] ${each.name}: cut short before any of its writes it is finished by whoever comes next, in one revision`, async () => {
    const writes = await cutShort(each, Infinity);
    assert.ok(writes >= 4);
    // Most of the time is the controllers' own.
    const deadlines = Array.from({ length: writes }, (_, index) => index + 1);
    await Promise.all(Array.from({ length: 8 }, async () => {
      for (let deadline = deadlines.shift(); deadline !== undefined; deadline = deadlines.shift()) await cutShort(each, deadline);
    }));
  });

/** @returns how many writes it had come to */
async function cutShort({ name, prepare, act, statuses, maps, jobs }: Case, deadline: number): Promise<number> {
  const namespace = await real.namespace("crash");
  const place = placeIn(namespace, "shop");
  await prepare?.(() => bed.call(place));
  const { intent } = bed.call(place);
  let writes = 0;
  const guard = () => { if (++writes >= deadline) throw died; };
  const first = await act(bed.call(place, { intent, guard })).catch((thrown: unknown) => {
    assert.equal((thrown as Fault).code, "LeaseLost");
    return undefined;
  });
  assert.equal(first === undefined, deadline !== Infinity);
  const left = await uids(namespace, jobs);
  const second = await act(bed.call(place, { intent }));

  const where = `when it died before write ${deadline}`;
  assert.equal(second.fault, undefined, where);
  const revisions = await listRevisions(bed.call(place));
  assert.deepEqual(revisions.map(({ status }) => status), statuses, where);
  assert.deepEqual(await mapsIn(namespace), maps, where);
  const now = await uids(namespace, jobs);
  for (const [job, uid] of Object.entries(left)) assert.equal(now[job], uid, `${job} ran once ${where}`);
  assert.deepEqual(Object.keys(now), jobs, where);
  for (const { version } of revisions) await assertRan(place, version, name);
  return writes;
}

const urlOf = (file: string) => JSON.stringify(pathToFileURL(join(import.meta.dirname, file)).href);

for (const place of [2, 4, 7, 10])
  test(`[RL20] a process that is killed as it sends write ${place} of an upgrade leaves what another finishes`, async () => {
    const namespace = await real.namespace("killed");
    const at = placeIn(namespace, "shop");
    await quick(bed.call(at));
    const { intent } = bed.call(at);
    const program = `
      const { make } = await import(${urlOf("make.ts")});
      const { openBed } = await import(${urlOf("sample-release.ts")});
      const { kubeconfig, at, intent, two, usual } = JSON.parse(process.env.TOLD);
      const bed = await openBed(kubeconfig);
      const guard = () => console.log("write");
      await make(bed.call(at, { intent, guard }), { action: "upgrade", version: 2, composition: two, definitions: { files: [], policy: "Create" }, createNamespace: false }, usual);
      process.exit();`;
    const told = JSON.stringify({ kubeconfig: real.kubeconfig, at, intent, two, usual });
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: import.meta.dirname, env: { ...process.env, TOLD: told }, stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    let writes = 0;
    for await (const _ of createInterface(child.stdout)) if (++writes === place) child.kill("SIGKILL");
    assert.equal((await ended)[1], "SIGKILL");

    assert.equal((await upgrade(bed.call(at, { intent }))).fault, undefined);
    assert.deepEqual((await listRevisions(bed.call(at))).map(({ status }) => status), ["deployed", "superseded"]);
    assert.deepEqual(await mapsIn(namespace), { map: "2", new: "" });
    await assertRan(at, 2, "upgrade");
  });

test("[RL24] a write that a dead owner had sent, and that arrives when another has finished the upgrade, changes nothing", async () => {
  const each = cases.find(({ name }) => name === "upgrade") as Case;
  const deadlines = Array.from({ length: await cutShort(each, Infinity) }, (_, index) => index + 1);
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let deadline = deadlines.shift(); deadline !== undefined; deadline = deadlines.shift()) await arrivesLate(each, deadline);
  }));
});

async function arrivesLate({ prepare, act, statuses, maps, jobs }: Case, place: number): Promise<void> {
  const namespace = await real.namespace("late");
  const at = placeIn(namespace, "shop");
  await prepare?.(() => bed.call(at));
  const { intent } = bed.call(at);
  const [held, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let writes = 0;
  const client: KubeClient = {
    ...bed.client,
    async request(request) {
      if (request.guard && ++writes > place) throw died;
      if (request.guard && writes === place) {
        held.resolve();
        await released.promise;
      }
      return bed.client.request(request);
    },
  };
  const dead = act(bed.call(at, { intent, cluster: { ...bed.handle, client } })).catch(() => undefined);
  await held.promise;
  const second = await act(bed.call(at, { intent }));
  const before = await uids(namespace, jobs);
  released.resolve();
  await dead;

  const where = `when write ${place} came late`;
  assert.equal(second.fault, undefined, where);
  assert.deepEqual((await listRevisions(bed.call(at))).map(({ status }) => status), statuses, where);
  assert.deepEqual(await mapsIn(namespace), maps, where);
  assert.deepEqual(await uids(namespace, jobs), before, where);
}

test("[RL21] what somebody else left pending is unlocked, and then upgraded", async () => {
  const namespace = await real.namespace("crash");
  const place = placeIn(namespace, "shop");
  let writes = 0;
  const guard = () => { if (++writes >= 4) throw died; };
  await assert.rejects(install(bed.call(place, { guard })));
  await assert.rejects(upgrade(bed.call(place)), (thrown: Fault) => thrown.code === "ReleaseChanged" && /in progress/.test(thrown.message));
  const unlocked = await unlock(bed.call(place), 1);
  assert.deepEqual([unlocked.written[0]?.document.info.status, unlocked.written[0]?.document.info.description], ["failed", "Release unlocked from stale 'pending-install' state"]);
  assert.equal((await upgrade(bed.call(place))).fault, undefined);
  assert.deepEqual((await listRevisions(bed.call(place))).map(({ status }) => status), ["deployed", "superseded"]);
});

/** Every hook that ran has ended well. */
async function assertRan(place: Parameters<Bed["call"]>[0], version: number, name: string): Promise<void> {
  const { document } = (await readRevision(bed.call(place), version)) ?? {};
  const phases = (document?.hooks ?? []).map(({ last_run: { phase } }) => phase);
  assert.ok(phases.every((phase) => phase === "" || phase === "Succeeded"), `${name}: ${phases.join()}`);
}

async function uids(namespace: string, jobs: string[]): Promise<Record<string, string | undefined>> {
  const found = await Promise.all(jobs.map(async (name) => [name, await bed.read(`/apis/batch/v1/namespaces/${namespace}/jobs/${name}`)] as const));
  return Object.fromEntries(found.flatMap(([name, live]) => (live ? [[name, live.metadata.uid]] : [])));
}

async function mapsIn(namespace: string): Promise<Record<string, string>> {
  const { body } = await bed.client.request<{ items: (KubeObject & { data?: { v?: string } })[] }>({ method: "GET", path: `/api/v1/namespaces/${namespace}/configmaps` });
  return Object.fromEntries(body.items.filter(({ metadata }) => metadata.name !== "kube-root-ca.crt").map(({ metadata, data }) => [metadata.name, data?.v ?? ""]));
}
