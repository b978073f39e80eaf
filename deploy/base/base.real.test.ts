import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { cluster } from "../../test/kit/cluster.ts";

const namespace = JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name: "flux-system" } });
const names = [
  "serviceaccount/flotilla", "clusterrolebinding.rbac.authorization.k8s.io/flotilla", "persistentvolumeclaim/flotilla",
  "service/source-controller", "deployment.apps/flotilla",
];

const fleet = [
  ...names.filter((name) => !name.startsWith("persistentvolumeclaim/")), "configmap/nats", "service/nats", "statefulset.apps/nats",
  "poddisruptionbudget.policy/flotilla", "poddisruptionbudget.policy/nats",
];

for (const { folder, expected } of [{ folder: ".", expected: names }, { folder: "../overlays/fleet", expected: fleet }])
  test(`the manifests of deploy/base/${folder} pass the API server's strict validation`, async () => {
    const { kubectl } = await cluster();
    await kubectl(["apply", "-f", "-"], namespace); // a dry-run creates none for what follows
    const told = await kubectl(["apply", "-k", join(import.meta.dirname, folder), "--dry-run=server", "--validate=strict"]);
    const lines = told.split("\n").filter((line) => line.endsWith(" created (server dry run)") && !line.startsWith("secret/flotilla-tokens-"));
    assert.deepEqual(lines.map((line) => line.split(" ")[0]).sort(), expected.toSorted());
  });
