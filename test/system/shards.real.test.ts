/** `sharding.fluxcd.io/key` with workers that are there for a key, all real: who hosts what, and that no move touches an object. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ActorView } from "#protocol/messages/fleet.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { ownCluster, scratchFolder } from "../kit/cluster.ts";
import { isWrite } from "./audit.ts";
import { startWorker, type RunningWorker } from "./flotilla.ts";
import { configMap, file } from "./objects.ts";
import { startSystem, type System } from "./system.ts";
import type { Tenant } from "./tenant.ts";

const dir = scratchFolder();
const { kubeconfig, auditLog } = await ownCluster();
let nats: Nats;
let system: System;
let heavy: RunningWorker | undefined;
let address = "";

before(async () => {
  nats = await startNats({ dir: join(dir, "nats") });
  address = nats.url.replace("//", `//${nats.token}@`);
  system = await startSystem({ kubeconfig, auditLog, args: ["--nats", address] });
});
after(async () => {
  await heavy?.crash();
  await system.close();
  await nats.stop();
});

const startHeavy = () => startWorker({
  kubeconfig: system.kubeconfig, nats: address, data: join(dir, "workers"),
  tokens: { token: system.flotilla.token, webhookToken: system.flotilla.webhookToken }, args: ["--shard", "heavy"],
});

async function hostOf(t: Tenant, kind: string, name: string): Promise<string | undefined> {
  const { url, token } = system.flotilla;
  const response = await fetch(`${url}/api/v1/actors`, { headers: { authorization: `Bearer ${token}` } });
  const { actors } = (await response.json()) as { actors: ActorView[] };
  const found = actors.filter(({ id }) => id === `${kind}/${t.namespace}/${name}`);
  return found.length === 1 ? found[0]?.worker : undefined;
}

const hosts = (t: Tenant, kind: string, name: string, who: string | undefined) =>
  eventually(`${kind}/${name} hosted by ${who ?? "another"}`, async () => {
    const host = await hostOf(t, kind, name);
    return host !== undefined && (who === undefined ? host !== heavy?.name : host === who);
  });
const app = (version: string) => ({ "shop/a.yaml": file(configMap("settings", { version })), "other/b.yaml": file(configMap("other", { version })) });

test("[SH1] [SH3] [SH4] objects of a key go to its workers and come back, from label to label and from crash to crash, and nothing is applied again", async () => {
  const t = await system.tenant();
  await t.start(app("1"), "shop", "other");
  const label = (kind: "Kustomization" | "GitRepository", name: string, key: string | null) => t.edit(kind, name, { metadata: { labels: { "sharding.fluxcd.io/key": key } } });
  await label("Kustomization", "shop", "heavy");
  const audit = await system.audit();
  const writes = async () => (await audit.requests()).filter((request) => isWrite(request) && !request.dryRun && request.namespace === t.namespace && request.resource === "configmaps");

  heavy = await startHeavy();
  await hosts(t, "kustomization", "shop", heavy.name);
  await hosts(t, "kustomization", "other", undefined);
  assert.deepEqual(await writes(), []);

  // Its source is elsewhere, and wakes it all the same; then the source comes after it.
  await t.ready("Kustomization", "shop", await t.push(app("2")));
  await label("GitRepository", "app", "heavy");
  await hosts(t, "gitrepository", "app", heavy.name);
  const third = await t.push(app("3"));
  await Promise.all(["shop", "other"].map((name) => t.ready("Kustomization", name, third)));
  assert.equal((await writes()).length, 4);

  await heavy.crash();
  await hosts(t, "kustomization", "shop", undefined);
  await t.ready("Kustomization", "shop", await t.push(app("4")));
  heavy = await startHeavy();
  await hosts(t, "kustomization", "shop", heavy.name);

  await label("Kustomization", "shop", null);
  await hosts(t, "kustomization", "shop", undefined);
  const fifth = await t.push(app("5"));
  await Promise.all(["shop", "other"].map((name) => t.ready("Kustomization", name, fifth)));
  assert.equal((await writes()).length, 8);

  // Deleted in its shard, it leaves nothing behind.
  await label("Kustomization", "other", "heavy");
  await hosts(t, "kustomization", "other", heavy.name);
  await t.remove("Kustomization", "other");
  await t.untilGone("Kustomization", "other");
  await eventually("what it applied gone", async () => !(await t.find("ConfigMap", "other")));
});
