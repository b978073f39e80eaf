/**
 * The ConfigMaps and Secrets that a Flux object refers to, always of its own namespace: whoever watches the hub follows those
 * of them that ask for it by their label, and tells their versions with the object (docs/spec/feed.md).
 */
import { hash } from "node:crypto";
import { releasePlace } from "#machines/rules/release-name.ts";
import { storageMark, storagePlace } from "#machines/rules/release-storage.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { DataRef } from "#services/cluster/objects.ts";
import type { RawObject } from "./facts.ts";

/** `ConfigMap/namespace/name` */
export const referenceId = ({ kind, namespace, name }: DataRef): string => `${kind}/${namespace}/${name}`;

/** As far as they can be read: what is wrong with the object is said elsewhere. */
export function referencesOf({ kind, namespace }: ActorKey, object: RawObject): string[] {
  if (kind !== "kustomization" && kind !== "helmrelease") return [];
  const spec = record(object["spec"]);
  const from = kind === "kustomization" ? record(spec["postBuild"])["substituteFrom"] : spec["valuesFrom"];
  const kubeConfig = record(spec["kubeConfig"]);
  const found: unknown[][] = [
    ...(Array.isArray(from) ? from.map(record).map((each) => [each["kind"], each["name"]]) : []),
    ["Secret", record(record(spec["decryption"])["secretRef"])["name"]],
    ["Secret", record(kubeConfig["secretRef"])["name"]],
    ["ConfigMap", record(kubeConfig["configMapRef"])["name"]],
  ];
  const ids = found.flatMap(([of, name]) =>
    ((of === "ConfigMap" || of === "Secret") && typeof name === "string" && name !== "" ? [referenceId({ kind: of, namespace, name })] : []));
  return [...new Set(ids)].sort();
}

/**
 * What a HelmRelease refers to beside: its storage, of which the version is what stands there, and whether storage is watched.
 * On another cluster than the hub its unit's worker sees to both.
 */
export function storageReferencesOf({ kind, namespace, name }: ActorKey, object: RawObject): string[] {
  const spec = record(object["spec"]);
  if (kind !== "helmrelease" || spec["kubeConfig"] !== undefined) return [];
  const text = (field: string) => (typeof spec[field] === "string" ? { [field]: spec[field] } : {});
  const place = releasePlace({ namespace, name }, { ...text("releaseName"), ...text("targetNamespace"), ...text("storageNamespace") }, (full) => hash("sha256", full));
  return [storageWatched, storageReference(storagePlace(place))];
}

export const storageWatched = "helm";
export const storageReference = (place: string): string => `${storageWatched}/${place}`;
export const isStorage = (reference: string): boolean => reference.startsWith(storageWatched);

/** What stands in a place's storage, by the versions of what a release refers to; undefined: that is not known. */
export function markIn(versions: Record<string, string>, place: string): string | undefined {
  return versions[storageWatched] === undefined ? undefined : (versions[storageReference(place)] ?? storageMark([]));
}

const record = (value: unknown): Record<string, unknown> =>
  (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {});
