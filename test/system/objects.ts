/** Objects as users write them into Git. */
import { apiVersionOf, type KubeObject, type Metadata } from "./kube.ts";

/** @param rest what follows name and kind; its metadata is added to the name */
export function object(kind: string, name: string, rest: { metadata?: Partial<Metadata>; [field: string]: unknown } = {}): KubeObject {
  return { apiVersion: apiVersionOf(kind), kind, ...rest, metadata: { name, ...rest.metadata } };
}

/** A file of manifests; JSON is YAML. */
export const file = (...objects: KubeObject[]): string => objects.map((object) => `${JSON.stringify(object, undefined, 2)}\n`).join("---\n");

export const configMap = (name: string, data: Record<string, string>, metadata: Partial<Metadata> = {}): KubeObject =>
  object("ConfigMap", name, { data, metadata });

/** @param image one tagged `:missing` never starts; `:1` does. */
export const deployment = (name: string, image = "example.com/web:1", spec: Record<string, unknown> = {}): KubeObject =>
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

/** A chart in directory `chart`, with one template. */
export const chartFiles = (template: string): Record<string, string> => ({
  "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "chart/templates/all.yaml": template,
});

/** A kustomization.yaml. */
export const kustomizationFile = (fields: Record<string, unknown>): string =>
  JSON.stringify({ apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization", ...fields });
