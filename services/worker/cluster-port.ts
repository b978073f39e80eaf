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
  /** The owner before crashed: what needs no write is made safe from what it had sent, under this `<partition>:<epoch>`. */
  touch?: { epoch: string } | undefined;
  /** Put on whatever is written, where the admission policy of deploy/policy is in use. */
  stamp?: string | undefined;
  signal: AbortSignal;
  /** By inventory id: under which change a request is traced. */
  traceparent?: ((id: string) => string | undefined) | undefined;
};

export type PruneCall = {
  key: ActorKey;
  entries: InventoryEntry[];
  /** Never deleted, by whatever name an entry calls it. */
  keep?: ReadonlySet<string> | undefined;
  owner: Owner;
  signal: AbortSignal;
  traceparent?: ((id: string) => string | undefined) | undefined;
  /** Until they are gone, but no longer than this. */
  waitMs?: number;
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
  /** Rendered objects as the inventory names them, in their order (`identify` of services/cluster). */
  idsOf(objects: RenderedObject[]): Promise<{ id: string; v: string }[]>;
  /** Compares and writes what differs, in stages; what was applied before a failure is in the outcome. */
  apply(call: ApplyCall): Promise<ApplyOutcome>;
  /** Deletes what still carries the owner's labels. With `waitMs`, until it is gone. */
  prune(call: PruneCall): Promise<PruneOutcome>;
  /** Entries of the unit that are no longer as applied, and who changed them, as far as this worker was told. */
  drifted(unit: ActorKey, entries: InventoryEntry[]): { id: string; by: string }[];
  /** @throws Fault HealthCheckFailed, naming what is not healthy */
  waitHealthy(ids: string[], wait: HealthWait): Promise<void>;
};
