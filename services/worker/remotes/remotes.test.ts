/** Which units share a cluster's connection and watches, and that clusters are never mixed up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { storageMark } from "#machines/rules/release-storage.ts";
import type { StorageListener } from "#services/release/storage-watch.ts";
import type { Managed } from "#services/cluster/managed-record.ts";
import { createLog } from "#services/telemetry/log.ts";
import { Process, VirtualTime } from "../../../test/simulate/time.ts";
import type { Target } from "../cluster-port.ts";
import { ManagedViews } from "../feed/managed-views.ts";
import type { KindRef, UnitRequests } from "../feed/ports.ts";
import type { RemoteListener } from "./ports.ts";
import { Remotes } from "./remotes.ts";

const unit = (name: string): ActorKey => ({ kind: "kustomization", namespace: "apps", name });
const target = (secret: string, user?: string): Target => ({ user, remote: { namespace: "apps", ref: { secretRef: { name: secret } }, timeoutMs: 60_000 } });
const id = "default_a__ConfigMap";
const entry = { id, v: "v1", uid: "u1", digest: "d", owned: "o1" };
const managed = (owner: string, changes: Partial<Managed> = {}): Managed => ({
  uid: "u1", resourceVersion: "5", generation: 1, owned: "o1", appliedAtS: 0, by: "", others: "", status: "Current", message: "", owner, deleting: false, ...changes,
});

type Watch = { key: string; listener: RemoteListener; followed: KindRef[]; signal: AbortSignal };

function open() {
  const time = new VirtualTime();
  const { clock } = new Process(time, "w1");
  /** By Secret: which credentials it holds. */
  const secrets = new Map([["east", "east-1"], ["east-too", "east-1"], ["west", "west-1"]]);
  const opened: string[] = [];
  const closed: string[] = [];
  const watches: Watch[] = [];
  const drift: string[] = [];
  const compared: string[] = [];
  const storages = new Map<string, StorageListener>();
  const stored: string[] = [];
  const state = { located: 0, fault: undefined as Fault | undefined };
  const stop = new AbortController();
  const remotes = new Remotes({
    port: {
      async locate(_, { secretRef }) {
        state.located++;
        if (state.fault) throw state.fault;
        const digest = secrets.get(secretRef?.name ?? "") ?? "";
        return {
          digest, server: `https://${digest.split("-")[0]}`,
          open: () => {
            opened.push(digest);
            return {
              requests: {} as UnitRequests, check: async () => {}, close: async () => void closed.push(digest),
              watchStorage: (user, namespace, listener) => void storages.set(`${digest} ${user ?? ""} ${namespace}`, listener),
              watch(user, listener, signal) {
                const watch: Watch = { key: `${digest} ${user ?? ""}`, listener, followed: [], signal };
                watches.push(watch);
                return { follow: (kind) => void watch.followed.push(kind) };
              },
            };
          },
        };
      },
    },
    clock, signal: stop.signal, onDrift: ({ name }, changed) => drift.push(`${name} ${changed}`), onCompare: ({ name }) => compared.push(name), onStorage: ({ name }) => stored.push(name),
    log: createLog({ sink: { write() {} } }),
  });
  const hub = new ManagedViews({ clock, isShown: () => true, isAllShown: () => true, onNeed() {} });
  const watchOf = (key: string) => watches.find((watch) => watch.key === key) ?? assert.fail(`nothing watches ${key}`);
  const run = (ms: number) => time.run(ms, () => false);
  return { remotes, hub, secrets, opened, closed, watches, watchOf, drift, compared, storages, stored, state, stop, run };
}

test("[TN40] one connection for the same credentials, one set of watches for the same credentials and user", async () => {
  const { remotes, opened, watches } = open();
  await remotes.attach(unit("a"), target("east"), true);
  await remotes.attach(unit("b"), target("east-too"), true);
  await remotes.attach(unit("c"), target("east", "robot"), true);
  await remotes.attach(unit("d"), target("west"), true);
  assert.deepEqual([opened, watches.map(({ key }) => key)], [["east-1", "west-1"], ["east-1 ", "east-1 robot", "west-1 "]]);
  assert.deepEqual(remotes.counts(), { connections: 2, places: 3, units: 4 });
});

test("[TN40] credentials are read at the beginning of a run, and not by every step of it", async () => {
  const { remotes, state } = open();
  const place = await remotes.attach(unit("a"), target("east"), true);
  for (let i = 0; i < 3; i++) assert.equal(await remotes.attach(unit("a"), target("east"), false), place);
  assert.equal(state.located, 1);
  assert.notEqual(await remotes.attach(unit("a"), target("west"), false), place, "the unit asks for another cluster");
  assert.equal(state.located, 2);
});

test("[TN41] objects of one name on two clusters and the hub are never mixed up", async () => {
  const { remotes, hub, watchOf, drift } = open();
  const [east, west, here] = [unit("east"), unit("west"), unit("here")];
  await remotes.attach(east, target("east"), true);
  await remotes.attach(west, target("west"), true);
  hub.put(id, managed("apps/here", { owned: "other", by: "kubectl" }));
  watchOf("east-1 ").listener.managed(id, managed("apps/east"));
  watchOf("west-1 ").listener.managed(id, managed("apps/west", { uid: "u2", by: "helm" }));
  const seen = (key: ActorKey) => [...(remotes.viewOf(key, hub)?.drifted(key, [entry]) ?? [])];
  assert.deepEqual([seen(east), seen(west), seen(here)], [[], [[id, "helm"]], [[id, "kubectl"]]]);
  drift.length = 0;
  watchOf("east-1 ").listener.managed(id, managed("apps/east", { resourceVersion: "6", owned: "o2" }));
  assert.deepEqual(drift, [`east ${id}`]);
  watchOf("east-1 ").listener.managed(id, managed("apps/west", { resourceVersion: "7", owned: "o3" }));
  watchOf("east-1 ").listener.managed(id, managed("apps/stranger", { resourceVersion: "8", owned: "o4" }));
  assert.deepEqual(drift, [`east ${id}`], "a unit is told of its own cluster alone, and strangers of none");
});

test("[TN41] of a unit that acts elsewhere and is not attached yet nothing is known, whatever stands on the hub", async () => {
  const { remotes, hub } = open();
  hub.put(id, managed("apps/a", { owned: "other" }));
  assert.equal(remotes.viewOf(unit("a"), hub), hub.of(unit("a")));
  remotes.seen(unit("a"), { metadata: { name: "a" }, spec: { kubeConfig: { secretRef: { name: "east" } } } });
  assert.deepEqual([remotes.isElsewhere(unit("a")), remotes.viewOf(unit("a"), hub)], [true, undefined]);
  remotes.seen(unit("a"), { metadata: { name: "a" }, spec: {} });
  assert.deepEqual([remotes.isElsewhere(unit("a")), remotes.viewOf(unit("a"), hub)], [false, hub.of(unit("a"))]);
});

test("[TN43] other credentials under the same name open another connection; the former goes when nobody needs it", async () => {
  const { remotes, secrets, opened, closed, watchOf, run } = open();
  const before = await remotes.attach(unit("a"), target("east"), true);
  await remotes.attach(unit("b"), target("east-too"), true);
  secrets.set("east", "east-2");
  const after = await remotes.attach(unit("a"), target("east"), true);
  assert.deepEqual([opened, after === before, after.cluster === before.cluster], [["east-1", "east-2"], false, true]);
  await run(120_000);
  assert.deepEqual(closed, [], "b is still there");
  secrets.set("east-too", "east-2");
  await remotes.attach(unit("b"), target("east-too"), true);
  await run(30_000);
  assert.deepEqual(closed, []);
  await run(60_000);
  assert.deepEqual([closed, watchOf("east-1 ").signal.aborted, remotes.counts()], [["east-1"], true, { connections: 1, places: 1, units: 2 }]);
});

test("[TN43] credentials that were taken away are used no longer; those that cannot be read just now are", async () => {
  const { remotes, hub, state } = open();
  await remotes.attach(unit("a"), target("east"), true);
  state.fault = new Fault("ClusterUnreachable", "hub");
  await assert.rejects(remotes.attach(unit("a"), target("east"), true), { code: "ClusterUnreachable" });
  assert.notEqual(remotes.viewOf(unit("a"), hub), undefined);
  state.fault = new Fault("KubeConfigMissing", "Secret/apps/east");
  for (const afresh of [true, false]) await assert.rejects(remotes.attach(unit("a"), target("east"), afresh), { code: "KubeConfigMissing" });
  assert.deepEqual([remotes.viewOf(unit("a"), hub), remotes.counts().units], [undefined, 0]);
});

test("[TN44] units that go, and partitions that are given up, leave nothing behind", async () => {
  const { remotes, hub, closed, run } = open();
  await remotes.attach(unit("a"), target("east"), true);
  await remotes.attach(unit("b"), target("west"), true);
  remotes.seen(unit("a"), undefined);
  remotes.keep(new Set([partitionOf(unit("b")) + 1]));
  assert.deepEqual([remotes.counts().units, remotes.viewOf(unit("b"), hub)], [0, hub.of(unit("b"))]);
  await run(120_000);
  assert.deepEqual([closed.sort(), remotes.counts()], [["east-1", "west-1"], { connections: 0, places: 0, units: 0 }]);
});

test("[TN44] a unit whose deletion goes on keeps its connection until it is gone", async () => {
  const { remotes } = open();
  await remotes.attach(unit("a"), target("east"), true);
  remotes.seen(unit("a"), { metadata: { name: "a", deletionTimestamp: "2026-01-01T00:00:00Z" }, spec: { kubeConfig: { secretRef: { name: "east" } } } });
  assert.equal(remotes.counts().units, 1);
});

test("[TN42] once all is known there the unit is compared, at the first look and after each new list", async () => {
  const { remotes, watchOf, compared, run } = open();
  const place = await remotes.attach(unit("a"), target("east"), true);
  remotes.follow(unit("a"), place, [entry]);
  await run(1_000);
  assert.deepEqual([watchOf("east-1 ").followed, compared], [[{ group: "", kind: "ConfigMap", v: "v1" }], []]);
  watchOf("east-1 ").listener.kind("/ConfigMap", "synced");
  await run(1_000);
  assert.deepEqual(compared, ["a", "a"]);
  assert.deepEqual([...place.managed.of(unit("a")).drifted(unit("a"), [entry])], [[id, ""]], "what is not there has drifted");
});

test("[TN45] what may not be watched is tried again, ever more rarely; until then an object's absence is not known", async () => {
  const { remotes, watchOf, run } = open();
  const place = await remotes.attach(unit("a"), target("east"), true);
  remotes.follow(unit("a"), place, [entry]);
  const { listener, followed } = watchOf("east-1 ");
  for (const waited of [1_000, 2_000, 4_000]) {
    listener.kind("/ConfigMap", "absent");
    const before = followed.length;
    await run(waited - 10);
    assert.equal(followed.length, before);
    await run(20);
    assert.equal(followed.length, before + 1);
  }
  assert.deepEqual([place.managed.of(unit("a")).isBlind(id), [...place.managed.of(unit("a")).drifted(unit("a"), [entry])]], [true, []]);
});

test("[TN40] without a way to other clusters they are refused", async () => {
  const { clock } = new Process(new VirtualTime(), "w1");
  const remotes = new Remotes({ port: undefined, clock, signal: new AbortController().signal, onDrift() {}, onCompare() {}, onStorage() {}, log: createLog({ sink: { write() {} } }) });
  await assert.rejects(remotes.attach(unit("a"), target("east"), true), { code: "KubeConfigInvalid" });
});

test("[TN44] when the worker ends every connection is closed at once, and nothing is left to wait for", async () => {
  const { remotes, closed, watches, stop, run } = open();
  await remotes.attach(unit("a"), target("east"), true);
  await remotes.attach(unit("b"), target("west"), true);
  remotes.seen(unit("b"), undefined);
  watches[0]?.listener.kind("/ConfigMap", "absent");
  const before = watches[0]?.followed.length;
  stop.abort();
  assert.deepEqual([closed, watches.every(({ signal }) => signal.aborted)], [["east-1", "west-1"], true]);
  await run(120_000);
  assert.deepEqual([closed.length, watches[0]?.followed.length], [2, before]);
  await assert.rejects(remotes.attach(unit("c"), target("east"), true));
});

test("[TN42] a release's storage on another cluster is watched in its namespace and its user's name, for as long as one of its releases is there", async () => {
  const { remotes, storages, stored, stop } = open();
  const [a, b, c] = ["a", "b", "c"].map((name): ActorKey => ({ kind: "helmrelease", namespace: "apps", name })) as [ActorKey, ActorKey, ActorKey];
  for (const [key, place] of [[a, "store/one"], [b, "store/two"], [c, "other/one"]] as const) (await remotes.attach(key, target("east", "robot"), true)).storage.follow(key, place);
  assert.deepEqual([...storages.keys()], ["east-1 robot store", "east-1 robot other"]);
  const store = storages.get("east-1 robot store");
  assert.equal(remotes.storageOf(a, "store/one"), undefined, "nothing was told yet");
  store?.changed("store/one", "m1");
  store?.known(true);
  assert.deepEqual([remotes.storageOf(a, "store/one"), remotes.storageOf(b, "store/two"), remotes.storageOf(c, "other/one")], ["m1", storageMark([]), undefined]);
  stored.length = 0;
  store?.changed("store/two", "m2");
  assert.deepEqual([stored, remotes.storageOf(b, "store/two")], [["b"], "m2"]);
  store?.changed("store/one", undefined);
  assert.equal(remotes.storageOf(a, "store/one"), storageMark([]), "all of it was removed");
  store?.known(false);
  assert.equal(remotes.storageOf(a, "store/one"), undefined, "it may not be watched any more");
  stop.abort();
});

test("[TN42] drift of a release on another cluster is told to the release, and not to a Kustomization of its name", async () => {
  const { remotes, watchOf, drift, stop } = open();
  const key: ActorKey = { kind: "helmrelease", namespace: "apps", name: "a" };
  const place = await remotes.attach(key, target("east"), true);
  await remotes.attach(unit("a"), target("east"), true);
  remotes.follow(key, place, [entry]);
  const { followed, listener } = watchOf("east-1 ");
  assert.deepEqual(followed, [{ unit: "helmrelease", group: "", kind: "ConfigMap", v: "v1" }]);
  listener.managed(`helmrelease:${id}`, managed("apps/a", { unit: "helmrelease", owned: "o2" }));
  assert.deepEqual(drift, [`a ${id}`]);
  assert.deepEqual([[...place.managed.of(key).drifted(key, [entry])], place.managed.of(unit("a")).get(id)], [[[id, ""]], undefined]);
  stop.abort();
});
