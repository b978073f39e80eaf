/** What people have written: a repository, and three units of it that differ in what they ask for. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { parseActorId } from "#protocol/names/actor.ts";

export const repository = "https://git.example.com/shop.git";

export const gitRepository = (): KubeObject => ({
  apiVersion: "source.toolkit.fluxcd.io/v1", kind: "GitRepository", metadata: { name: "shop", namespace: "apps" },
  spec: { url: repository, interval: "1m", timeout: "60s", ref: { branch: "main" } },
});

/** Made from the repository, and so slow to look by itself that only its news can bring it up to date. */
export const madeSource = (): KubeObject => ({
  apiVersion: "source.toolkit.fluxcd.io/v1", kind: "HelmChart", metadata: { name: "made", namespace: "apps" },
  spec: { chart: "a", interval: "10h", sourceRef: { kind: "GitRepository", name: "shop" } },
});

/** `unit`, or `gate`: a ConfigMap of nobody's that may come and go. */
export const dependency = (of: string) => (of === gate ? { apiVersion: "v1", kind: "ConfigMap", name: gate } : { name: parseActorId(of).name });
export const gate = "gate";

export const kustomization = (unit: string, dependsOn: string[] = []): KubeObject => {
  const { name, namespace } = parseActorId(unit);
  return {
    apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: { name, namespace },
    spec: { interval: "5m", retryInterval: "30s", timeout: "40s", path: name, prune: name !== "c", wait: name === "a", sourceRef: { kind: "GitRepository", name: "shop" }, ...(dependsOn.length > 0 && { dependsOn: dependsOn.map(dependency) }) },
  };
};
