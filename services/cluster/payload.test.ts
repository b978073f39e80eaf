import assert from "node:assert/strict";
import test from "node:test";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { payloadOf } from "./payload.ts";

const owner = { name: "apps", namespace: "flux-system" };
const labels = { "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system" };
const port = { containerPort: 80 };
const tcp = { containerPort: 80, protocol: "TCP" };
const pods = (ports: object[]) => ({ containers: [{ name: "a", ports }, { name: "b" }], initContainers: [{ name: "i", ports: [port] }] });
const crd = (caBundle: string) => ({ conversion: { strategy: "Webhook", webhook: { clientConfig: { url: "https://x", caBundle } } } });
const bare = { conversion: { strategy: "Webhook", webhook: { clientConfig: { url: "https://x" } } } };

const rows: { name: string; kind: string; fields: object; becomes: object }[] = [
  { name: "stringData becomes data, and wins", kind: "v1/Secret", fields: { data: { a: "eA==", b: "eA==" }, stringData: { a: "y", c: "z" } }, becomes: { data: { a: "eQ==", b: "eA==", c: "eg==" } } },
  { name: "a Secret without stringData stays", kind: "v1/Secret", fields: { data: { a: "eA==" } }, becomes: { data: { a: "eA==" } } },
  { name: "container ports get TCP, those of init containers do not", kind: "apps/v1/Deployment", fields: { spec: { template: { spec: pods([port]) } } }, becomes: { spec: { template: { spec: pods([tcp]) } } } },
  { name: "a CronJob's too", kind: "batch/v1/CronJob", fields: { spec: { jobTemplate: { spec: { template: { spec: pods([port]) } } } } }, becomes: { spec: { jobTemplate: { spec: { template: { spec: pods([tcp]) } } } } } },
  { name: "a pod's UDP stays", kind: "v1/Pod", fields: { spec: pods([{ ...port, protocol: "UDP" }]) }, becomes: { spec: pods([{ ...port, protocol: "UDP" }]) } },
  { name: "service ports get TCP", kind: "v1/Service", fields: { spec: { ports: [{ port: 80 }] } }, becomes: { spec: { ports: [{ port: 80, protocol: "TCP" }] } } },
  { name: "a service of somebody's group stays", kind: "serving.example.com/v1/Service", fields: { spec: { ports: [{ port: 80 }] } }, becomes: { spec: { ports: [{ port: 80 }] } } },
  { name: "status goes", kind: "apps/v1/Deployment", fields: { spec: {}, status: { replicas: 3 } }, becomes: { spec: {} } },
  { name: "a definition's status stays, its unusable authority goes", kind: "apiextensions.k8s.io/v1/CustomResourceDefinition", fields: { spec: crd("Cg=="), status: { x: 1 } }, becomes: { spec: bare, status: { x: 1 } } },
  { name: "a definition without webhook stays", kind: "apiextensions.k8s.io/v1/CustomResourceDefinition", fields: { spec: { group: "g" } }, becomes: { spec: { group: "g" } } },
];
for (const { name, kind, fields, becomes } of rows)
  test(`[AP19] ${name}`, () => {
    const at = kind.lastIndexOf("/");
    const object = { apiVersion: kind.slice(0, at), kind: kind.slice(at + 1), metadata: { name: "x" }, ...fields } as KubeObject;
    const before = structuredClone(object);
    const { apiVersion: _, kind: __, metadata, ...rest } = payloadOf(object, owner);
    assert.deepEqual(rest, becomes);
    assert.deepEqual(metadata, { name: "x", labels });
    assert.deepEqual(object, before, "the rendered object stays as it is");
  });

test("[AP19] what only the server writes is not sent", () => {
  const metadata = {
    name: "x", namespace: "apps", uid: "u", resourceVersion: "7", generation: 2, creationTimestamp: null, managedFields: [], selfLink: "/x",
    labels: { app: "x" }, annotations: { a: "b" },
  };
  const payload = payloadOf({ apiVersion: "v1", kind: "ConfigMap", metadata }, owner);
  assert.deepEqual(payload.metadata, { name: "x", namespace: "apps", labels: { app: "x", ...labels }, annotations: { a: "b" } });
});

test("[AP4] a cluster-scoped object is sent without a namespace", () => {
  const object = { apiVersion: "v1", kind: "Namespace", metadata: { name: "x", namespace: "apps" } };
  assert.equal(payloadOf(object, owner, { namespaced: false }).metadata.namespace, undefined);
});

test("[AP47] an exported object's marks of earlier tools are not sent", () => {
  const annotations = { "kubectl.kubernetes.io/last-applied-configuration": "{}", mine: "stays" };
  const sent = payloadOf({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x", namespace: "n", annotations, labels: { "fluxcd.io/sync-gc-mark": "y" } } }, owner);
  assert.deepEqual([sent.metadata.annotations, sent.metadata.labels], [{ mine: "stays" }, labels]);
});
