import assert from "node:assert/strict";
import test from "node:test";
import { cluster } from "../../test/kit/cluster.ts";

const namespace = JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name: "flux-system" } });
const names = [
  "serviceaccount/flotilla", "clusterrolebinding.rbac.authorization.k8s.io/flotilla", "persistentvolumeclaim/flotilla",
  "service/source-controller", "deployment.apps/flotilla",
];

test("the manifests pass the API server's strict validation", async () => {
  const { kubectl } = await cluster();
  await kubectl(["apply", "-f", "-"], namespace); // a dry-run creates none for what follows
  const told = await kubectl(["apply", "-k", import.meta.dirname, "--dry-run=server", "--validate=strict"]);
  const lines = told.split("\n").filter((line) => line.endsWith(" created (server dry run)"));
  assert.deepEqual(lines.map((line) => line.split(" ")[0]).sort(), names.toSorted());
});
