/** One live object, reduced to what drift and health need: a few hundred bytes, and nothing of its contents. */
import { appliedAtS, othersOf, ownershipOf, takenBy } from "#machines/rules/drift.ts";
import { kustomizationApplier, type Applier } from "#machines/rules/applier.ts";
import { health } from "#machines/rules/health.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import type { ManagedRecord } from "#protocol/messages/feed.ts";
import type { Resource } from "./discovery.ts";

export type Managed = ManagedRecord;

/**
 * @param whole the object came with spec and status; metadata alone tells only whether it exists and is being deleted
 * @param before what was known of it so far
 * @param overridden managers whose fields an apply takes over
 * @param applier in whose name the object was applied
 */
export function reduce(
  object: KubeObject, { apiVersion, kind }: Resource, whole: boolean, nowMs: number, before?: Managed, overridden?: readonly string[], applier: Applier = kustomizationApplier,
): Managed {
  const { metadata } = object;
  const owned = ownershipOf(metadata, overridden, applier);
  const others = othersOf(metadata.managedFields, applier.manager);
  const { status, message } = whole ? health({ ...object, apiVersion, kind }, nowMs) : bareHealth(metadata.deletionTimestamp);
  return {
    uid: metadata.uid ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
    generation: metadata.generation ?? 0,
    owned,
    appliedAtS: appliedAtS(metadata.managedFields, applier.manager),
    by: intern(!before ? others.last : before.owned === owned ? before.by : takenBy({ last: before.by, mark: before.others }, others)),
    others: others.mark,
    status,
    message: intern(message),
    owner: intern(`${metadata.labels?.[applier.owner.namespace] ?? ""}/${metadata.labels?.[applier.owner.name] ?? ""}`),
    deleting: metadata.deletionTimestamp !== undefined,
    ...(applier.unit !== "kustomization" && { unit: applier.unit }),
  };
}

/** The same record, with the texts it shares with thousands of others kept once. */
export const interned = (record: Managed): Managed =>
  ({ ...record, by: intern(record.by), message: intern(record.message), owner: intern(record.owner) });

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
