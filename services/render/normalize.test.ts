import assert from "node:assert/strict";
import test from "node:test";
import { normalize } from "./normalize.ts";
import type { KubeObject } from "./objects.ts";

type Fields = Record<string, unknown>;
const object = (apiVersion: string, kind: string, fields: Fields, metadata: Fields = {}): KubeObject => ({
  apiVersion,
  kind,
  metadata: { name: "x", ...metadata },
  ...fields,
});
const normal = (apiVersion: string, kind: string, fields: Fields) =>
  object(apiVersion, kind, fields, { creationTimestamp: null });

const open = {
  containers: [{ name: "a", ports: [{ containerPort: 80 }, { containerPort: 53, protocol: "UDP" }] }, { name: "b" }],
};
const closed = {
  containers: [
    {
      name: "a",
      ports: [
        { containerPort: 80, protocol: "TCP" },
        { containerPort: 53, protocol: "UDP" },
      ],
    },
    { name: "b" },
  ],
};
const template = (spec: unknown) => ({ spec: { template: { spec } } });

const rows: { what: string; kind: [string, string]; in: Fields; out: Fields }[] = [
  { what: "a pod's ports", kind: ["v1", "Pod"], in: { spec: open }, out: { spec: closed } },
  ...["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"].map((kind) => ({
    what: "ports of the template",
    kind: ["apps/v1", kind] as [string, string],
    in: template(open),
    out: template(closed),
  })),
  { what: "ports of the template", kind: ["batch/v1", "Job"], in: template(open), out: template(closed) },
  {
    what: "ports two templates down",
    kind: ["batch/v1", "CronJob"],
    in: { spec: { jobTemplate: template(open) } },
    out: { spec: { jobTemplate: template(closed) } },
  },
  {
    what: "not the ports of init containers",
    kind: ["v1", "Pod"],
    in: { spec: { initContainers: [{ ports: [{}] }] } },
    out: { spec: { initContainers: [{ ports: [{}] }] } },
  },
  {
    what: "not a look-alike of another group",
    kind: ["example.com/v1", "Deployment"],
    in: template(open),
    out: template(open),
  },
  {
    what: "a service's ports, an empty protocol too",
    kind: ["v1", "Service"],
    in: { spec: { ports: [{ port: 1 }, { port: 2, protocol: "" }, { port: 3, protocol: "SCTP" }] } },
    out: {
      spec: {
        ports: [
          { port: 1, protocol: "TCP" },
          { port: 2, protocol: "TCP" },
          { port: 3, protocol: "SCTP" },
        ],
      },
    },
  },
  {
    what: "a service of an unexpected shape stays",
    kind: ["v1", "Service"],
    in: { spec: { ports: "80" } },
    out: { spec: { ports: "80" } },
  },
  {
    what: "stringData over data",
    kind: ["v1", "Secret"],
    in: { data: { a: "b2xk", b: "Yg==" }, stringData: { a: "new", c: "ü" } },
    out: { data: { a: "bmV3", b: "Yg==", c: "w7w=" } },
  },
  {
    what: "stringData without data",
    kind: ["v1", "Secret"],
    in: { stringData: { a: "1" } },
    out: { data: { a: "MQ==" } },
  },
  { what: "empty stringData goes", kind: ["v1", "Secret"], in: { stringData: {} }, out: {} },
  {
    what: "stringData that is no text stays, for the API server to report",
    kind: ["v1", "Secret"],
    in: { stringData: { a: 1 } },
    out: { stringData: { a: 1 } },
  },
  {
    what: "status goes",
    kind: ["example.com/v1", "Thing"],
    in: { spec: {}, status: { ready: true } },
    out: { spec: {} },
  },
  {
    what: "status of a definition stays",
    kind: ["apiextensions.k8s.io/v1", "CustomResourceDefinition"],
    in: { status: { conditions: [] } },
    out: { status: { conditions: [] } },
  },
  {
    what: "a definition without status gets none",
    kind: ["apiextensions.k8s.io/v1", "CustomResourceDefinition"],
    in: {},
    out: {},
  },
];
for (const {
  what,
  kind: [apiVersion, kind],
  in: given,
  out,
} of rows)
  test(`[RN23] ${kind}: ${what}`, () => {
    const value = object(apiVersion, kind, given, { creationTimestamp: "2020-01-01T00:00:00Z" });
    const before = structuredClone(value);
    assert.deepEqual(normalize(value), normal(apiVersion, kind, out));
    assert.deepEqual(value, before, "the argument is left alone");
  });

for (const kind of ["Role", "ClusterRole"])
  test(`[RN23] ${kind} stays as it is`, () => {
    const role = object("rbac.authorization.k8s.io/v1", kind, { rules: [], status: {} });
    assert.deepEqual(normalize(role), role);
  });
