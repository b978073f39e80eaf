/**
 * Rewrites an object to what a dry-run compares equal to (fluxcd/pkg ssa/normalize): without it an unchanged object
 * would look drifted. Pure; what has an unexpected shape is left for the API server to judge.
 */
import { Buffer } from "node:buffer";
import type { KubeObject } from "./objects.ts";

export function normalize(object: KubeObject): KubeObject {
  const { apiVersion, kind } = object;
  if (apiVersion === "rbac.authorization.k8s.io/v1" && (kind === "Role" || kind === "ClusterRole")) return object;
  const podSpec = podSpecs[`${apiVersion} ${kind}`];
  if (podSpec) return common(update(object, podSpec, withPodPorts));
  if (apiVersion === "v1" && kind === "Service") return common(update(object, ["spec", "ports"], withProtocols));
  if (apiVersion === "v1" && kind === "Secret") return common(withData(object));
  return common(object);
}

/** Where each built-in kind keeps its pods' spec. */
const podSpecs: Record<string, string[]> = {
  "v1 Pod": ["spec"],
  "apps/v1 Deployment": ["spec", "template", "spec"],
  "apps/v1 StatefulSet": ["spec", "template", "spec"],
  "apps/v1 DaemonSet": ["spec", "template", "spec"],
  "apps/v1 ReplicaSet": ["spec", "template", "spec"],
  "batch/v1 Job": ["spec", "template", "spec"],
  "batch/v1 CronJob": ["spec", "jobTemplate", "spec", "template", "spec"],
};

/** The status of a CRD stays: health is judged by it. */
function common(object: KubeObject): KubeObject {
  const { status, ...rest } = object;
  const isCrd =
    object.kind.toLowerCase() === "customresourcedefinition" && object.apiVersion.startsWith("apiextensions.k8s.io/");
  const metadata = { ...object.metadata, creationTimestamp: null };
  return isCrd && status !== undefined ? { ...rest, metadata, status } : { ...rest, metadata };
}

/** stringData is written over data, as the API server does. */
function withData(secret: KubeObject): KubeObject {
  const { stringData, ...rest } = secret;
  if (!isRecord(stringData) || !Object.values(stringData).every((text) => typeof text === "string")) return secret;
  const added = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(String(text)).toString("base64")]);
  const data = isRecord(secret["data"]) ? secret["data"] : {};
  return added.length === 0 ? rest : { ...rest, data: { ...data, ...Object.fromEntries(added) } };
}

const withPodPorts = (spec: unknown) =>
  update(spec, ["containers"], (containers) =>
    Array.isArray(containers) ? containers.map((container) => update(container, ["ports"], withProtocols)) : containers,
  );

const withProtocols = (ports: unknown) =>
  Array.isArray(ports)
    ? ports.map((port) => (isRecord(port) && !port["protocol"] ? { ...port, protocol: "TCP" } : port))
    : ports;

/** A copy with the value at a path changed; the same value when the path is not there. */
function update<T>(value: T, [field, ...rest]: string[], change: (value: unknown) => unknown): T {
  if (field === undefined) return change(value) as T;
  if (!isRecord(value) || value[field] === undefined) return value;
  return { ...value, [field]: update(value[field], rest, change) };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
