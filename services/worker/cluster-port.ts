/** A cluster as the effects of a kustomization use it. services/cluster is behind it; the simulator has its own. */
import type { Owner } from "#machines/rules/prune.ts";
import type { ApplyOutcome, InventoryEntry, PruneOutcome } from "#protocol/messages/kustomization.ts";
import type { RenderedObject } from "#services/render/objects.ts";

export type ClusterPort = {
  /** Compares and writes these objects, in stages; what was applied before a failure is in the outcome. */
  apply(call: { objects: RenderedObject[]; owner: Owner; force: boolean; signal: AbortSignal; traceparent: string | undefined }): Promise<ApplyOutcome>;
  /** Deletes what still carries the owner's labels. With `waitMs`, until it is gone. */
  prune(call: { entries: InventoryEntry[]; owner: Owner; signal: AbortSignal; waitMs?: number }): Promise<PruneOutcome>;
  /** Entries that are no longer as applied, and who changed them, as far as the watches tell. */
  drifted(entries: InventoryEntry[]): { id: string; by?: string }[];
  /** Watches an object that is not ours, for a health check. */
  follow(object: { id: string; v: string }): void;
  /** @throws Fault HealthCheckFailed, naming what is not healthy */
  waitHealthy(ids: string[], options: { timeoutMs: number; signal: AbortSignal }): Promise<void>;
};
