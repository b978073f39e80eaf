/** A cluster as the effects of a kustomization use it. services/cluster is behind it; the simulator has its own. */
import type { Health } from "#machines/rules/health-reading.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import type { Account } from "#machines/rules/tenancy.ts";
import type { ApplyOutcome, ApplyScope, CompareOutcome, InventoryEntry, PruneOutcome } from "#protocol/messages/kustomization.ts";
import type { AppliedTable } from "#services/cluster/apply.ts";
import type { IgnoreRule } from "#services/cluster/ignore.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { KubeConfigRef } from "#services/cluster/kubeconfig.ts";
import type { RenderedObject } from "#services/render/objects.ts";

/** Where a unit acts, and as whom. */
export type Target = {
  /** The name under which the API server judges every request: that of the credentials themselves when absent. */
  user?: string | undefined;
  /** Another cluster than the hub. */
  remote?: RemoteTarget | undefined;
};

export type RemoteTarget = {
  /** Of the unit: what `ref` names lies in it. */
  namespace: string;
  ref: KubeConfigRef;
  /** One apply, or one prune, may take so long there. */
  timeoutMs: number;
};

/** `cluster`: which one it is, whatever the credentials; empty for the hub. */
export type Reached = {
  cluster: string;
  /** Some of what was applied cannot be watched: it has to be compared to be known. */
  blind: boolean;
};

export type ApplyCall = {
  /** The unit, for its trace. */
  key: ActorKey;
  target: Target;
  objects: RenderedObject[];
  owner: Owner;
  /** What the last apply left. */
  inventory: InventoryEntry[];
  scope: ApplyScope;
  /** Objects that are not as applied any more, and who changed them. */
  drifted: ReadonlyMap<string, string>;
  force: boolean;
  /** `spec.ignore`. */
  ignore?: readonly IgnoreRule[] | undefined;
  /** The owner before crashed: what needs no write is made safe from what it had sent, under this `<partition>:<epoch>`. */
  touch?: { epoch: string } | undefined;
  /** Put on whatever is written, where the admission policy of deploy/policy is in use. */
  stamp?: string | undefined;
  signal: AbortSignal;
  /** By inventory id: under which change a request is traced. */
  traceparent?: ((id: string) => string | undefined) | undefined;
};

export type CompareCall = Pick<ApplyCall, "key" | "target" | "objects" | "owner" | "inventory" | "scope" | "drifted" | "ignore" | "stamp" | "signal"> & {
  /** Takes known secrets out of a text. */
  redact(text: string): string;
};

export type PruneCall = {
  key: ActorKey;
  target: Target;
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
  key: ActorKey;
  target: Target;
  timeoutMs: number;
  signal: AbortSignal;
  /** Objects that may be gone when they are done: Jobs that clean up after themselves. */
  mayBeGone: ReadonlySet<string>;
  /** Objects no unit applied: another controller's, named in spec.healthChecks. */
  foreign: { id: string; v: string }[];
  /** How an object's health is told, where not by its kind. */
  judge?: ((id: string) => Judge | undefined) | undefined;
  /** Whether the first object that failed for good ends the wait. */
  failFast: boolean;
};

/** Tells the health of an object from all of it. */
export type Judge = (object: KubeObject) => Promise<Health>;

export type ClusterPort = {
  /**
   * Opens the way to where the unit acts, as its references say now, and follows what it applied there.
   *
   * @param storage where Helm's storage of a release lies (`storagePlace`): what stands there is followed too
   * @throws Fault KubeConfigMissing, KubeConfigInvalid
   */
  reach(unit: ActorKey, target: Target, entries: InventoryEntry[], storage?: string): Promise<Reached>;
  /** Rendered objects as the inventory names them, in their order (`identify` of services/cluster). */
  idsOf(unit: ActorKey, objects: RenderedObject[], target: Target): Promise<{ id: string; v: string }[]>;
  /** Compares and writes what differs, in stages; what was applied before a failure is in the outcome. */
  apply(call: ApplyCall): Promise<ApplyOutcome>;
  /** In what objects are not as an apply would leave them: what drifted, or with scope `all` everything. Nothing is written. */
  compare(call: CompareCall): Promise<CompareOutcome>;
  /** Deletes what still carries the owner's labels. With `waitMs`, until it is gone. */
  prune(call: PruneCall): Promise<PruneOutcome>;
  /** Entries of the unit that are no longer as applied, and who changed them, as far as this worker was told. */
  drifted(unit: ActorKey, entries: InventoryEntry[]): { id: string; by: string }[];
  /** What stands in Helm's storage at that place, which the unit's release has there, as `storageMark` says it; undefined: that is not known without asking. */
  storageOf(unit: ActorKey, place: string): string | undefined;
  /** @throws Fault HealthCheckFailed, naming what is not healthy */
  waitHealthy(objects: { id: string; v: string }[], wait: HealthWait): Promise<void>;
  /**
   * Lets a release act where its target says, and in whose name; `guard` throws Fault LeaseLost when this worker may not write
   * for the unit now, and is called in the tick of each write. `table` is told of what is written, so that it is no drift.
   *
   * @throws Fault KubeConfigMissing, KubeConfigInvalid
   */
  within<T>(unit: ActorKey, target: Target, run: (cluster: ClusterHandle, guard: () => void, table: AppliedTable) => Promise<T>): Promise<T>;
  /** Whether the hub has this ServiceAccount. */
  hasAccount(account: Account): Promise<boolean>;
};
