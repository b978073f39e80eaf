/** What people have written: a repository, and three units of it that differ in what they ask for. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { parseActorId } from "#protocol/names/actor.ts";

export const repository = "https://git.example.com/shop.git";

export const gitRepository = (): KubeObject => ({
  apiVersion: "source.toolkit.fluxcd.io/v1", kind: "GitRepository", metadata: { name: "shop", namespace: "apps" },
  spec: { url: repository, interval: "1m", timeout: "60s", ref: { branch: "main" } },
});

export const kustomization = (unit: string): KubeObject => {
  const { name, namespace } = parseActorId(unit);
  return {
    apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: { name, namespace },
    spec: { interval: "5m", retryInterval: "30s", timeout: "40s", path: name, prune: name !== "c", wait: name === "a", sourceRef: { kind: "GitRepository", name: "shop" } },
  };
};
