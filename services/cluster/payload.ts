/** What is sent for a rendered object: as Flux normalises it, and with the labels of its owner (flux.md 2.6.5). */
import { X509Certificate } from "node:crypto";
import { groupOf, type KubeObject } from "#machines/rules/inventory.ts";
import { legacyKeys } from "#machines/rules/takeover.ts";
import { kustomizationApplier, type Applier } from "#machines/rules/applier.ts";
import type { Owner } from "#machines/rules/prune.ts";
import type { Resource } from "./discovery.ts";

/** Fields that only the server writes; in a manifest they come from an export of a live object and would be refused. */
const serverFields = ["creationTimestamp", "managedFields", "uid", "resourceVersion", "generation", "selfLink", "deletionTimestamp"];

/** A copy; the rendered object stays as it is. @param resource undefined while the cluster does not know the kind */
export function payloadOf(object: KubeObject, owner: Owner, resource?: Pick<Resource, "namespaced">, applier: Applier = kustomizationApplier): KubeObject {
  // What a YAML alias shares is no longer shared in the copy, which is changed in place below.
  const copy = JSON.parse(JSON.stringify(object)) as KubeObject;
  if (resource?.namespaced === false) delete copy.metadata.namespace;
  for (const field of serverFields) delete copy.metadata[field];
  for (const field of ["annotations", "labels"] as const) for (const key of legacyKeys[field]) delete copy.metadata[field]?.[key];
  const marks = applier.marks(owner);
  for (const field of ["annotations", "labels"] as const)
    if (Object.keys(marks[field]).length > 0) copy.metadata[field] = { ...copy.metadata[field], ...marks[field] };
  const kind = `${groupOf(copy.apiVersion)}/${copy.kind}`;
  if (kind === "apiextensions.k8s.io/CustomResourceDefinition") dropUnusableAuthority(copy);
  else delete copy["status"];
  if (kind === "/Secret") mergeStringData(copy);
  if (kind === "/Service") for (const port of listAt(copy, ["spec", "ports"])) port["protocol"] ??= "TCP";
  const pods = podSpecs.get(kind);
  if (pods)
    for (const container of listAt(copy, [...pods, "containers"]))
      for (const port of listAt(container, ["ports"])) port["protocol"] ??= "TCP";
  return copy;
}

/** Where a kind keeps its pod spec. Lists keyed by protocol merge wrongly when the default is left out (structured-merge-diff#130). */
const podSpecs = new Map<string, string[]>([
  ["/Pod", ["spec"]],
  ...["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"].map((kind) => [`apps/${kind}`, ["spec", "template", "spec"]] satisfies [string, string[]]),
  ["batch/Job", ["spec", "template", "spec"]],
  ["batch/CronJob", ["spec", "jobTemplate", "spec", "template", "spec"]],
]);

// The server merges stringData into data itself, but then nobody owns the result (kubernetes#108008).
function mergeStringData(secret: KubeObject): void {
  const plain = asRecord(secret["stringData"]);
  delete secret["stringData"];
  if (Object.keys(plain).length === 0) return;
  const encoded = Object.entries(plain).map(([key, value]) => [key, Buffer.from(String(value)).toString("base64")]);
  secret["data"] = { ...asRecord(secret["data"]), ...Object.fromEntries(encoded) };
}

// Manifests in the wild carry placeholders here, which API servers since 1.31 refuse.
function dropUnusableAuthority(definition: KubeObject): void {
  const config = ["spec", "conversion", "webhook", "clientConfig"].reduce(
    (at: Record<string, unknown>, field) => asRecord(at[field]), definition,
  );
  const bundle = config["caBundle"];
  if (typeof bundle === "string" && bundle !== "" && !isCertificate(bundle)) delete config["caBundle"];
}

function isCertificate(base64: string): boolean {
  try {
    return new X509Certificate(Buffer.from(base64, "base64")).subject !== undefined;
  } catch {
    return false;
  }
}

function listAt(from: Record<string, unknown>, path: string[]): Record<string, unknown>[] {
  const [last = "", ...rest] = path.toReversed();
  const list = rest.toReversed().reduce((at: Record<string, unknown>, field) => asRecord(at[field]), from)[last];
  return Array.isArray(list) ? list.map(asRecord) : [];
}

const asRecord = (value: unknown) => (typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {});
