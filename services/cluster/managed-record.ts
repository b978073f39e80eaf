/** One live object, reduced to what drift and health need: a few hundred bytes, and nothing of its contents. */
import { labels } from "#protocol/api/annotations.ts";
import { appliedAtS, othersOf, ownershipOf, takenBy } from "#machines/rules/drift.ts";
import { health, type HealthStatus } from "#machines/rules/health.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import type { Resource } from "./discovery.ts";

export type Managed = {
  uid: string;
  resourceVersion: string;
  generation: number;
  /** Hash of the fields our applies own, as in the inventory. */
  owned: string;
  /** When our last apply changed a field, in seconds since 1970. */
  appliedAtS: number;
  /** Who took fields from us, as far as that was seen; empty when nobody did, or left no trace. */
  by: string;
  /** Changes when managers other than us come to own other fields. */
  others: string;
  status: HealthStatus;
  message: string;
  /** `namespace/name` of the Kustomization in its labels. */
  owner: string;
  deleting: boolean;
};

/**
 * @param whole the object came with spec and status; metadata alone tells only whether it exists and is being deleted
 * @param before what was known of it so far
 */
export function reduce(object: KubeObject, { apiVersion, kind }: Resource, whole: boolean, nowMs: number, before?: Managed): Managed {
  const { metadata } = object;
  const owned = ownershipOf(metadata);
  const others = othersOf(metadata.managedFields);
  const { status, message } = whole ? health({ ...object, apiVersion, kind }, nowMs) : bareHealth(metadata.deletionTimestamp);
  return {
    uid: metadata.uid ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
    generation: metadata.generation ?? 0,
    owned,
    appliedAtS: appliedAtS(metadata.managedFields),
    by: intern(!before ? others.last : before.owned === owned ? before.by : takenBy({ last: before.by, mark: before.others }, others)),
    others: others.mark,
    status,
    message: intern(message),
    owner: intern(`${metadata.labels?.[labels.ownerNamespace] ?? ""}/${metadata.labels?.[labels.ownerName] ?? ""}`),
    deleting: metadata.deletionTimestamp !== undefined,
  };
}

export function ownerOf(text: string): Owner {
  const [namespace = "", name = ""] = text.split("/");
  return { namespace, name };
}

/** Whether a version is the other or later; versions of one kind are whole numbers that grow. */
export const isAtLeast = (version: string, other: string): boolean =>
  version.length === other.length ? version >= other : version.length > other.length;

const bareHealth = (deletionTimestamp: string | undefined) =>
  deletionTimestamp
    ? ({ status: "Terminating", message: "Resource scheduled for deletion" } as const)
    : ({ status: "Current", message: "Resource is current" } as const);

// Thousands of objects say the same few things.
const texts = new Map<string, string>();
const mostTexts = 10_000;

function intern(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size < mostTexts) texts.set(text, text);
  return text;
}
