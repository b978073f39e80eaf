import { after } from "node:test";
import { fieldManagers } from "#protocol/api/annotations.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { createKubeClient } from "#services/clients/kubernetes/client.ts";
import { loadClusterConfig } from "#services/clients/kubernetes/config.ts";
import { isNotFound } from "#services/clients/kubernetes/error.ts";
import { cluster } from "../kit/cluster.ts";
import { kubeContract } from "./kube.ts";

const { kubeconfig, namespace: newNamespace } = await cluster();
const client = createKubeClient(await loadClusterConfig({ path: kubeconfig }));
const namespace = await newNamespace("contract");
after(() => client.close());

const path = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;

kubeContract("kube-apiserver", async () => ({
  name: "kube-apiserver", namespace,
  async apply(object, { dryRun = false } = {}) {
    const { code, body } = await client.request<KubeObject>({
      method: "PATCH", path: path(object.metadata.name), body: object, contentType: "application/apply-patch+yaml",
      query: { fieldManager: fieldManagers.kustomization, force: true, ...(dryRun && { dryRun: "All" }) },
    });
    return { code, object: body };
  },
  get: (name) =>
    client.request<KubeObject>({ method: "GET", path: path(name) }).then(({ body }) => body, (thrown: unknown) => {
      if (isNotFound(thrown)) return undefined;
      throw thrown;
    }),
  edit: async (name, data) => {
    const query = { fieldManager: "somebody" };
    return (await client.request<KubeObject>({ method: "PATCH", path: path(name), query, body: { data }, contentType: "application/merge-patch+json" })).body;
  },
  delete: async (name, preconditions) => {
    await client.request({ method: "DELETE", path: path(name), body: { kind: "DeleteOptions", apiVersion: "v1", ...(preconditions && { preconditions }) } });
  },
}));
