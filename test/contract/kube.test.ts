import { fieldManagers } from "#protocol/api/annotations.ts";
import { SimulatedKube } from "../simulate/kube.ts";
import { kubeContract } from "./kube.ts";

const by = { worker: "contract" };
const namespace = "apps";

kubeContract("simulated", async () => {
  const kube = new SimulatedKube(() => 1_700_000_000_000);
  const path = (name: string) => `ConfigMap/${namespace}/${name}`;
  return {
    name: "simulated", namespace,
    apply: async (object, { dryRun = false } = {}) => kube.apply({ object, manager: fieldManagers.kustomization, dryRun }, by),
    get: async (name) => kube.get(path(name)),
    edit: async (name, data) =>
      kube.update(path(name), (live) => ({ ...live, data: { ...(live["data"] as object), ...data } }), "somebody", by),
    delete: async (name, condition) => kube.delete(path(name), by, condition),
  };
});
