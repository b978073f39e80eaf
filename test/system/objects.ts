/** Objects as users write them into Git. */
import type { KubeObject } from "./kube.ts";
import { apiVersionOf } from "./kube.ts";

type Manifest = Omit<KubeObject, "metadata"> & { metadata: Partial<KubeObject["metadata"]> };

/** A file of manifests; JSON is YAML. */
export const file = (...objects: Manifest[]): string => objects.map((object) => `${JSON.stringify(object, undefined, 2)}\n`).join("---\n");

export const object = (kind: string, name: string, rest: Omit<Partial<Manifest>, "kind"> = {}): Manifest => ({
  apiVersion: apiVersionOf(kind),
  kind,
  ...rest,
  metadata: { name, ...rest.metadata },
});

export const configMap = (name: string, data: Record<string, string>, metadata: Manifest["metadata"] = {}): Manifest =>
  object("ConfigMap", name, { data, metadata });

/** @param image one tagged `:missing` never starts; `:1` does. */
export const deployment = (name: string, image = "example.com/web:1", spec: Record<string, unknown> = {}): Manifest =>
  object("Deployment", name, {
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "main", image }] },
      },
      ...spec,
    },
  });

/** A kustomization.yaml. */
export const kustomizationFile = (fields: Record<string, unknown>): string =>
  JSON.stringify({ apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization", ...fields });
