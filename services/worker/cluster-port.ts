/** A cluster as the effects of a kustomization use it. services/cluster is behind it; the simulator has its own. */
import type { Owner } from "#machines/rules/prune.ts";
import type { ApplyOutcome, ApplyScope, InventoryEntry, PruneOutcome } from "#protocol/messages/kustomization.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { RenderedObject } from "#services/render/objects.ts";

export type ApplyCall = {
  /** The unit, for its trace. */
  key: ActorKey;
  objects: RenderedObject[];
  owner: Owner;
  /** What the last apply left. */
  inventory: InventoryEntry[];
  scope: ApplyScope;
  /** Objects that are not as applied any more, and who changed them. */
  drifted: ReadonlyMap<string, string>;
  force: boolean;
  signal: AbortSignal;
};

export type HealthWait = {
  timeoutMs: number;
  signal: AbortSignal;
  /** Objects that may be gone when they are done: Jobs that clean up after themselves. */
  mayBeGone: ReadonlySet<string>;
  /** Objects no unit applied: another controller's, named in spec.healthChecks. */
  foreign: { id: string; v: string }[];
};

export type ClusterPort = {
  /** Compares and writes what differs, in stages; what was applied before a failure is in the outcome. */
  apply(call: ApplyCall): Promise<ApplyOutcome>;
  /** Deletes what still carries the owner's labels. With `waitMs`, until it is gone. */
  prune(call: { key: ActorKey; entries: InventoryEntry[]; owner: Owner; signal: AbortSignal; waitMs?: number }): Promise<PruneOutcome>;
  /** Entries that are no longer as applied, and who changed them, as far as the watches tell. */
  drifted(entries: InventoryEntry[]): { id: string; by: string }[];
  /** @throws Fault HealthCheckFailed, naming what is not healthy */
  waitHealthy(ids: string[], wait: HealthWait): Promise<void>;
};
