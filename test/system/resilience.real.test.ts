/** Whatever dies comes back, and goes on where it was. On a control plane of its own, because that is killed too. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "nats";
import { fieldManagers } from "#protocol/api/annotations.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import { startControlPlane } from "../../deploy/local/control-plane.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { startChild, whileAlive, type Child } from "../../deploy/local/processes.ts";
import { scratchFolder } from "../kit/cluster.ts";
import { isWrite } from "./audit.ts";
import { isAlive, startFlotilla } from "./flotilla.ts";
import { pathOf, type KubeObject } from "./kube.ts";
import { configMap, file } from "./objects.ts";
import { startSystem, type System } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const dir = scratchFolder();
const plane = await startControlPlane({ dir: join(dir, "plane"), audit: true });
const options = { kubeconfig: plane.kubeconfig, auditLog: join(dir, "plane/audit.log") };
const restarted: Child[] = [];
after(() => Promise.all([plane, ...restarted].map((each) => each.stop())));

const app = (version: string) => ({ "shop/a.yaml": file(configMap("settings", { version })) });

/** Starts `up` again as it was started: on the same data and address. */
async function again(system: System, args: string[] = []): Promise<void> {
  const { data, url } = system.flotilla;
  system.flotilla = await startFlotilla({ kubeconfig: system.kubeconfig, data, listen: new URL(url).host, args });
}

describe("with an embedded NATS", () => {
  let system: System;
  before(async () => {
    system = await startSystem(options);
  });
  after(() => system.close());

  test("[SY70] killed in the middle of an apply and started again, it finishes: nothing lost, nothing made twice, one nats-server", async () => {
    const t = await system.tenant();
    await t.start(app("1"), "shop");
    const names = Array.from({ length: 80 }, (_, i) => `c${i}`);
    const audit = await system.audit();
    const sha = await t.push({ "shop/many.yaml": file(...names.map((name) => configMap(name, { name }))) });
    const made = async () => (await system.kube.get<{ items: KubeObject[] }>(pathOf("ConfigMap", t.namespace))).items.filter(({ metadata }) => names.includes(metadata.name));
    await eventually("the first of them written", async () => (await made()).length > 0);
    await system.flotilla.crash();
    const before = await made();
    assert.ok(before.length < names.length, "it was killed before the end");
    await again(system);
    await t.ready("Kustomization", "shop", sha);

    const after = new Map((await made()).map(({ metadata }) => [metadata.name, metadata]));
    assert.equal(after.size, names.length);
    for (const { metadata } of before) {
      assert.equal(after.get(metadata.name)?.uid, metadata.uid);
      // Touched, against requests of the one that was killed, but not applied again.
      const applies = (await audit.requests()).filter(({ name, path, dryRun }) => name === metadata.name && !dryRun && path.includes(`fieldManager=${fieldManagers.kustomization}`));
      assert.equal(applies.length, 1, `${metadata.name} was not written again`);
    }
    const { status } = await t.get("Kustomization", "shop");
    assert.equal(status?.inventory?.entries.length, names.length + 1);
    assert.deepEqual((await audit.requests()).filter(({ verb, namespace }) => verb === "delete" && namespace === t.namespace), []);
    assert.equal(natsServersOf(system).length, 1);
  });

  test("[SY71] stopped, it ends with its children and exit code 0; started again with nothing to do, it writes nothing", async () => {
    const t = await system.tenant();
    await t.start(app("1"), "shop");
    const marker = await system.tenant();
    await marker.start(app("1"), "shop");
    assert.equal(await system.flotilla.stop(), "exit code 0");
    assert.deepEqual(natsServersOf(system), []);

    const audit = await system.audit();
    await again(system);
    const sha = await marker.push(app("2"));
    await marker.ready("Kustomization", "shop", sha);
    // Which cluster it works on is asked once at the start.
    const idle = (await audit.requests()).filter(({ namespace }) => !["", "kube-system", marker.namespace].includes(namespace));
    assert.deepEqual(idle, []);
  });

  test("[SB17] started again after a crash, it knows objects with values from Secrets by their keyed digests: a commit touches what it changes, and nothing else", async () => {
    const t = await system.tenant();
    await t.create("Secret", "keys", { stringData: { pin: "1234" } });
    const files = { "shop/a.yaml": file(configMap("a", { k: "v-${pin}" })), "shop/b.yaml": file(configMap("b", { k: "v-${pin}" })) };
    await t.commit(files);
    await t.source();
    await t.unit("shop", { postBuild: { substituteFrom: [{ kind: "Secret", name: "keys" }] } });
    await t.ready("Kustomization", "shop");
    await system.flotilla.crash();
    await again(system);
    const audit = await system.audit();
    const sha = await t.push({ "shop/b.yaml": file(configMap("b", { k: "w-${pin}" })) });
    await t.ready("Kustomization", "shop", sha);
    const touched = (await audit.requests()).filter(({ namespace, resource, verb }) => namespace === t.namespace && resource === "configmaps" && verb !== "watch" && verb !== "list");
    assert.deepEqual([...new Set(touched.map(({ name }) => name))], ["b"], "not even a dry-run of the other");
  });

  test("[SY71] stopped by Ctrl-C, which reaches its children too, it ends just so", async () => {
    const before = system.flotilla;
    const ended = await before.stop("Ctrl-C");
    const left = natsServersOf(system);
    await again(system); // for whatever comes after this test
    assert.equal(ended, "exit code 0");
    assert.deepEqual(left, []);
    assert.deepEqual(before.logs().filter(({ level }) => level === "error"), []);
    assert.deepEqual(system.flotilla.logs().filter(({ msg }) => /standing by/.test(msg)), []);
  });

  test("[SY72] what changed while it was away is found when it is back: a commit, a drifted and a deleted object, a deleted unit", async () => {
    const t = await system.tenant();
    const two = { ...app("1"), "shop/b.yaml": file(configMap("b", { n: "1" })), "gone/c.yaml": file(configMap("c", {})) };
    await t.start(two, "shop", "gone");
    await system.flotilla.stop();
    await t.edit("ConfigMap", "settings", { data: { version: "by hand" } });
    await t.remove("ConfigMap", "b");
    await t.remove("Kustomization", "gone");
    await again(system);
    await eventually("the edit put back", async () => (await t.get("ConfigMap", "settings")).data?.["version"] === "1");
    await eventually("the object made again", () => t.find("ConfigMap", "b"));
    await t.untilGone("Kustomization", "gone");
    await eventually("its object gone", async () => !(await t.find("ConfigMap", "c")));
    const sha = await t.push(app("2"));
    await t.ready("Kustomization", "shop", sha);
  });

  test("[SY72] its data lost, it takes over from what the objects' status says: nothing is written to what is as it should be, and what is dropped is deleted", async () => {
    const t = await system.tenant();
    await t.start({ ...app("1"), "shop/b.yaml": file(configMap("b", {})) }, "shop");
    const before = await Promise.all(["settings", "b"].map((name) => t.get("ConfigMap", name)));
    await system.flotilla.stop();
    const data = `${system.flotilla.data}-new`;
    const audit = await system.audit();
    system.flotilla = await startFlotilla({ kubeconfig: system.kubeconfig, data, listen: new URL(system.flotilla.url).host });
    await t.reconciled("Kustomization", "shop");
    await t.ready("Kustomization", "shop");
    const after = await Promise.all(["settings", "b"].map((name) => t.get("ConfigMap", name)));
    assert.deepEqual(after.map(({ metadata }) => metadata.resourceVersion), before.map(({ metadata }) => metadata.resourceVersion));
    const sha = await t.push({ "shop/b.yaml": null });
    await t.ready("Kustomization", "shop", sha);
    assert.equal(await t.find("ConfigMap", "b"), undefined);
    const deletions = (await audit.requests()).filter(({ verb }) => verb.startsWith("delete"));
    assert.deepEqual(deletions.map(({ resource, name }) => `${resource}/${name}`), ["configmaps/b"]);
  });

  test("[SY73] its nats-server killed, it starts another one and goes on", async () => {
    const t = await system.tenant();
    await t.start(app("1"), "shop");
    const [pid = assert.fail("no nats-server")] = natsServersOf(system);
    process.kill(pid, "SIGKILL");
    const sha = await t.commit(app("2"));
    await eventually("another nats-server", () => natsServersOf(system).some((other) => other !== pid));
    await eventually("the webhook answered", async () => (await system.flotilla.announce(t.url)).status === 202);
    await t.ready("Kustomization", "shop", sha);
    await eventually("/readyz", async () => (await fetch(`${system.flotilla.url}/readyz`)).ok);
    assert.ok(isAlive(system.flotilla.pid));
  });

  test("[SY74] the API server killed and started again, watches and writes go on", async () => {
    const t = await system.tenant();
    await t.start(app("1"), "shop");
    await (await killApiServer(system))();
    const sha = await t.push(app("2"));
    await t.ready("Kustomization", "shop", sha);
    await t.edit("ConfigMap", "settings", { data: { version: "by hand" } });
    await eventually("the drift put back", async () => (await t.get("ConfigMap", "settings")).data?.["version"] === "2");
  });

  test("[SY74] started while the API server is away, it says so and waits", async () => {
    const t = await system.tenant();
    await t.start(app("1"), "shop");
    const { data } = system.flotilla;
    await system.flotilla.stop();
    const startApiServer = await killApiServer(system);
    const before = new Set(logsIn(data));
    const starting = again(system);
    await eventually("a line in the log", () => logsIn(data).some((log) => !before.has(log) && /ECONNREFUSED.*API server is away/.test(readFileSync(log, "utf8"))));
    await startApiServer();
    await starting;
    const sha = await t.push(app("2"));
    await t.ready("Kustomization", "shop", sha);
  });

  for (const { title, trouble } of [
    { title: "answers 503", trouble: { status: 503, body: "maintenance" } },
    { title: "breaks off its answers", trouble: { truncateAfterBytes: 40 } },
  ])
    test(`[SY75] a Git server that ${title} for a while costs time and nothing else`, async () => {
      const t = await system.tenant();
      await t.start(app("1"), "shop");
      system.git.spoil = () => trouble;
      const sha = await t.push(app("2"));
      await t.failing("GitRepository", "app", "GitOperationFailed");
      await t.untilTold("GitRepository", "app", "Warning", "GitOperationFailed");
      assert.equal(conditionOf(t.seen("Kustomization", "shop") ?? assert.fail("gone"), "Ready")?.status, "True");
      assert.equal((await t.get("ConfigMap", "settings")).data?.["version"], "1");
      system.git.spoil = undefined;
      await t.ready("GitRepository", "app", sha);
      await t.ready("Kustomization", "shop", sha);
    });

  test("[SY76] objects that slipped past validation stall with the field named; their neighbours work, and corrected they do too", async () => {
    const t = await system.tenant();
    await t.start({ ...app("1"), "odd/b.yaml": file(configMap("odd", {})) }, "shop");
    await withoutValidation(system, ["gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io"]);
    const sourceRef = { kind: "GitRepository", name: "app" };
    const good = { sourceRef, path: "./odd", prune: true, interval: "1h", targetNamespace: t.namespace };
    const odd: Record<string, { spec: unknown; message: RegExp }> = {
      "no-spec": { spec: undefined, message: /spec/ },
      "text-for-spec": { spec: "everything", message: /spec/ },
      "odd-interval": { spec: { ...good, interval: "soon" }, message: /interval/ },
      "odd-source": { spec: { ...good, sourceRef: 5 }, message: /sourceRef/ },
      "odd-prune": { spec: { ...good, prune: "yes" }, message: /prune/ },
      "odd-patches": { spec: { ...good, patches: [{ patch: { a: 1 } }] }, message: /patches/ },
    };
    for (const [name, { spec }] of Object.entries(odd)) await t.create("Kustomization", name, { ...(spec !== undefined && { spec }) });
    await t.create("GitRepository", "odd-url", { spec: { url: { host: "x" }, interval: "1h" } });

    for (const [name, { message }] of Object.entries(odd)) await stalls(t, "Kustomization", name, message);
    await stalls(t, "GitRepository", "odd-url", /url/);
    const sha = await t.push(app("2"));
    await t.ready("Kustomization", "shop", sha);

    await Promise.all(Object.keys(odd).map((name) => system.kube.merge(pathOf("Kustomization", t.namespace, name), { spec: null })));
    await Promise.all(Object.keys(odd).map((name) => t.edit("Kustomization", name, { spec: good })));
    await t.edit("GitRepository", "odd-url", { spec: { url: t.url, ref: { branch: "main" } } });
    for (const name of Object.keys(odd)) await t.ready("Kustomization", name, sha);
    await t.ready("GitRepository", "odd-url", sha);
  });

  test("[SY76] a status somebody garbled is written anew", async () => {
    const t = await system.tenant();
    await t.start(app("1"), "shop");
    await withoutValidation(system, ["kustomizations.kustomize.toolkit.fluxcd.io"]);
    await system.kube.merge(`${pathOf("Kustomization", t.namespace, "shop")}/status`, { status: { conditions: "none", inventory: 7, lastHandledReconcileAt: { a: 1 } } });
    const sha = await t.push(app("2"));
    await t.until("Kustomization", "shop", `Ready at ${sha}`, ({ status }) =>
      Array.isArray(status?.conditions) && status.lastAppliedRevision?.endsWith(sha) && Array.isArray(status.inventory?.entries));
  });
});

describe("with a NATS of the user's own", () => {
  let nats: Nats;
  let system: System;
  let args: string[];
  before(async () => {
    nats = await startNats({ dir: join(dir, "nats") });
    args = ["--nats", nats.url.replace("//", `//${nats.token}@`)];
    system = await startSystem({ ...options, args });
  });
  after(async () => {
    await system.close();
    await nats.stop();
  });
  const publish = async (name: string, data: string) => {
    const connection = await connect({ servers: nats.url, token: nats.token });
    await jetstream(connection).publish(name, data);
    await connection.close();
  };
  const keyOf = (t: Tenant, kind: string, name: string): ActorKey => ({ kind, namespace: t.namespace, name });

  test("[SY77] messages nobody of ours wrote are set aside", async () => {
    const t = await system.tenant();
    await t.start(app("1"), "shop");
    const unit = keyOf(t, "kustomization", "shop");
    const elsewhere = subject.mailbox(unit, "look").replace(/^fl\.\d+/, (head) => (head === "fl.7" ? "fl.8" : "fl.7"));
    const garbage: [string, string][] = [
      [subject.mailbox(unit, "object"), "not JSON"],
      [subject.mailbox(unit, "object"), '{"facts":42}'],
      [subject.mailbox(unit, "object"), '{"facts":{"generation":"many"}}'],
      [subject.mailbox(unit, "artifact"), '{"revision":[],"digest":null}'],
      [subject.mailbox(unit, "drift"), "null"],
      [subject.mailbox(keyOf(t, "gitrepository", "nobody"), "look"), "{}"],
      [subject.mailbox(keyOf(t, "teapot", "shop"), "look"), "{}"],
      [elsewhere, "{}"],
    ];
    for (const [name, data] of garbage) await publish(name, data);
    await eventually("a line in the log", () => system.flotilla.logs().some(({ msg, error, subject: about, actor }) => /set aside/.test(msg) && JSON.stringify([error, about, actor]).includes(t.namespace)));
    const sha = await t.push(app("2"));
    await t.ready("Kustomization", "shop", sha);
  });

  test("[SY78] a damaged record is set aside with an event, and its object alone begins afresh: nothing is deleted", async () => {
    const t = await system.tenant();
    await t.start({ ...app("1"), "other/b.yaml": file(configMap("other", { n: "1" })) }, "shop", "other");
    const before = await t.get("ConfigMap", "settings");
    await system.flotilla.stop();
    await publish(subject.snapshot(keyOf(t, "kustomization", "shop")), '{"v":1,"machine":"kustomization","snapshot":{');
    await again(system, args);

    await t.untilTold("Kustomization", "shop", "Warning", "Quarantined", /set aside/);
    const second = await t.push({ ...app("2"), "other/b.yaml": file(configMap("other", { n: "2" })) });
    await t.ready("Kustomization", "other", second);
    await t.ready("Kustomization", "shop", second);
    const after = await t.get("ConfigMap", "settings");
    assert.equal(after.metadata.uid, before.metadata.uid);
    assert.equal(after.data?.["version"], "2");
  });

  test("[SY79] its NATS away for a while, it writes nothing; with NATS back, it goes on", async () => {
    const t = await system.tenant();
    await t.start(app("1"), "shop");
    await nats.kill();
    await eventually("not ready", async () => (await fetch(`${system.flotilla.url}/readyz`)).status === 503);
    const audit = await system.audit();
    await t.edit("ConfigMap", "settings", { data: { version: "by hand" } });
    assert.equal((await t.get("ConfigMap", "settings")).data?.["version"], "by hand");
    assert.deepEqual((await audit.requests()).filter(isWrite), []);
    nats = await startNats({ dir: join(dir, "nats"), port: nats.port, token: nats.token });
    await eventually("the drift put back", async () => (await t.get("ConfigMap", "settings")).data?.["version"] === "1");
    const sha = await t.commit(app("2"));
    await eventually("the webhook answered", async () => (await system.flotilla.announce(t.url)).status === 202);
    await t.ready("Kustomization", "shop", sha);
  });
});

const logsIn = (data: string) => readdirSync(data).filter((name) => name.endsWith(".log")).map((name) => join(data, name));

/** Process ids of the nats-servers on the folder of this `up`. */
function natsServersOf({ flotilla }: System): number[] {
  return readdirSync("/proc").map(Number).filter((pid) => pid > 0 && isAlive(pid) && commandOf(pid).some((word) => word.startsWith(join(flotilla.data, "nats"))));
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return []; // it ended meanwhile
  }
}

/** Kills it; what is returned starts the very same command again. */
async function killApiServer({ kube }: System): Promise<() => Promise<void>> {
  const pid = plane.pids["kube-apiserver"] ?? assert.fail("no kube-apiserver");
  const [command = "", ...args] = commandOf(pid);
  process.kill(pid, "SIGKILL");
  await eventually("the API server gone", () => !isAlive(pid));
  return async () => {
    const child = startChild({ name: "kube-apiserver", command, args, logFile: join(dir, "apiserver-again.log"), cwd: join(dir, "plane") });
    plane.pids["kube-apiserver"] = child.pid;
    restarted.push(child);
    await whileAlive([child], (signal) => eventually("the API server back", () => kube.get("/version"), { signal }));
  };
}

/** Lets anything pass that has metadata, as a definition from elsewhere might. */
async function withoutValidation({ kube }: System, names: string[]): Promise<void> {
  const anything = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  for (const name of names) {
    const path = pathOf("CustomResourceDefinition", undefined, name);
    const { spec = {} } = await kube.get(path);
    const versions = (spec["versions"] as object[]).map((version) => ({ ...version, schema: { openAPIV3Schema: anything } }));
    await kube.merge(path, { spec: { versions } });
  }
}

async function stalls(t: Tenant, kind: "GitRepository" | "Kustomization", name: string, message: RegExp): Promise<void> {
  const object = await t.failing(kind, name, "InvalidObject");
  assert.equal(conditionOf(object, "Stalled")?.status, "True");
  assert.match(conditionOf(object, "Ready")?.message ?? "", message);
  await t.untilTold(kind, name, "Warning", "InvalidObject", message);
}
