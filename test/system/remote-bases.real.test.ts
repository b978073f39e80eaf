/** A base in another repository, from a push to objects, on one `flotilla up --allow-remote-bases`. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ownCluster } from "../kit/cluster.ts";
import { configMap, file } from "./objects.ts";
import { startSystem } from "./system.ts";
import { conditionOf } from "./tenant.ts";

const { kubeconfig, auditLog } = await ownCluster();
const system = await startSystem({ kubeconfig, auditLog, args: ["--allow-remote-bases", "--remote-base-hosts", "127.0.0.1"] });
after(() => system.close());

test("[RN61] [RN62] [RN63] a remote base is applied, its next commit with the next run, and one that cannot be had is told", async () => {
  const t = await system.tenant();
  const platform = `${t.namespace}-platform`;
  await system.git.createRepo(platform);
  const base = (n: string) => system.git.commit(platform, { files: { "base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": file(configMap("a", { n })) }, message: n });
  await base("1");
  await t.commit({ "shop/kustomization.yaml": `resources: ['${system.git.repoUrl(platform)}//base?ref=main']\n` });
  await t.source();
  await t.unit("shop");
  await t.ready("Kustomization", "shop");
  assert.deepEqual((await t.get("ConfigMap", "a"))["data"], { n: "1" });

  await base("2");
  await t.edit("Kustomization", "shop", { spec: { interval: "59m" } }); // a run for the same revision of the source
  await t.ready("Kustomization", "shop");
  assert.deepEqual((await t.get("ConfigMap", "a"))["data"], { n: "2" });

  await t.push({ "shop/kustomization.yaml": "resources: ['https://10.0.0.1/org/repo//base']\n" });
  const failing = await t.failing("Kustomization", "shop", "BuildFailed");
  assert.match(conditionOf(failing, "Ready")?.message ?? "", /remote base "https:\/\/10\.0\.0\.1\/org\/repo\/\/base": 10\.0\.0\.1 is not among the hosts of --remote-base-hosts/);
  assert.deepEqual((await t.get("ConfigMap", "a"))["data"], { n: "2" }, "nothing is pruned by a build that failed");
});
