/** Whose turn is counted when an actor works: its namespace's, or that of the tenant which a label of its object names. */
import type { ActorKey } from "#protocol/names/actor.ts";
import type { RawObject } from "./facts.ts";

export function tenantOf({ namespace }: ActorKey, label: string | undefined, object: () => RawObject | undefined): string {
  if (label === undefined) return namespace;
  const { labels } = (object()?.metadata ?? {}) as { labels?: Record<string, string> };
  return labels?.[label] || namespace;
}
