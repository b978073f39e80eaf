/** Between a kustomization and its effects. */
import type { FaultData } from "#protocol/errors/fault.ts";
import type { Artifact } from "./source.ts";

/** One applied object. `id` and `v` are Flux's (`<ns>_<name>_<group>_<Kind>`, version); the rest is how we know it again. */
export type InventoryEntry = {
  id: string;
  v: string;
  /** The object that was applied: a later object of the same name with another uid is not ours. Empty when unknown. */
  uid: string;
  /** sha256 hex of the rendered object that was last applied; empty when unknown (adopted from Flux). */
  digest: string;
  /** Hash of the fields our manager owned after the apply; another value seen by a watch means drift. */
  owned: string;
};

/** One entry of `status.history`, as the API has it. */
export type Snapshot = {
  digest: string;
  firstReconciled: string;
  lastReconciled: string;
  lastReconciledDuration: string;
  lastReconciledStatus: string;
  totalReconciliations: number;
  metadata?: Record<string, string> | undefined;
};

export type SourceFound = {
  artifact: Artifact;
  traceparent: string;
  /** What the object's status lists as applied: by a former store of ours, or by Flux. */
  inventory: InventoryEntry[];
  /** What it says of earlier builds. */
  history?: Snapshot[];
  /** On which cluster the unit acts: the hub when absent. */
  cluster?: string;
  /** As whom it acts there: Flotilla itself when absent. */
  user?: string;
  /** Some of what it applied cannot be watched: only a comparison tells how that is. */
  blind?: boolean;
};

/** Whoever waits for the unit may look again. */
export type UnitReady = { type: "unitReady" };

/** What has to change before another look is worth it: `any` change of the object, or else that it becomes ready. */
export type Awaited = { id: string; any?: true };

/** `awaits` is empty when nothing stands in the way. */
export type DependencyOutcome = { awaits: Awaited[]; fault?: FaultData };

/** What a build leaves behind. The objects themselves stay in the process that rendered them. */
export type BuildOutcome = {
  /** sha256 over everything the build depended on: settings and the contents it read. */
  renderKey: string;
  readSet: { files: string[]; dirs: string[]; /** Remote bases and their commits. */ bases?: { reference: string; commit: string }[] };
  /** `sha256:<hex>` over the rendered objects in their order. Absent in records of before. */
  digest?: string;
  /** Every rendered object, as the inventory will name it: noted before any of them is created. */
  objects?: { id: string; v: string }[];
};

export type ChangeAction = "created" | "configured" | "unchanged" | "skipped" | "deleted";
export type Change = { id: string; action: ChangeAction; /** Who had changed it, when drift was put back. */ by?: string };

/** `all`: every object is compared with the cluster; `changed`: those whose digest moved, and those that drifted. */
export type ApplyScope = "all" | "changed";

/** `recovered`: the run took over from an owner that crashed; whatever that one had sent may still be on its way. */
type Recovered = { recovered?: boolean };

/**
 * Partial success is data: what was applied before the fault stays tracked. `unsure`: ids of those whose write was begun and
 * brought no answer that settles it.
 */
export type ApplyOutcome = Recovered & { entries: InventoryEntry[]; changes: Change[]; unsure?: string[]; fault?: FaultData };

/** In what an object is not as an apply would leave it. Values are JSON, shortened, and masked where they are secret. */
export type Difference = {
  id: string;
  /** Managers of the fields that differ; absent when none left a trace. */
  by?: string;
  /** It is gone. */
  missing?: true;
  /** By JSON pointer; a value that is not there is absent. */
  fields: { pointer: string; wanted?: string; is?: string }[];
  /** How many fields differ beside those. */
  more?: number;
  /** What the server said instead of telling. */
  refused?: string;
};

export type CompareOutcome = { differences: Difference[]; fault?: FaultData };

/** Of what counts as deleted, `missing` was not there to begin with. */
export type PruneOutcome = Recovered & { deleted: string[]; left: InventoryEntry[]; missing?: string[]; /** Still there when the time to wait for their end was over. */ outlasting?: string[]; fault?: FaultData };

/**
 * `late`: something that was deleted may come back by a request of a crashed owner; the unit must not go yet. `abandoned`:
 * nothing was deleted, because the account in whose name it would have been is gone. `awaits`: units that depend on it and
 * are being deleted too; they go first.
 */
export type RemoveOutcome = Recovered & {
  late: boolean;
  abandoned?: { account: { namespace: string; name: string }; ids: string[] };
  /** What was deleted just now, and what of it was not gone in time. The finalizer is still there. */
  removed?: { ids: string[]; outlasting: string[] };
  /** Units that depend on it and are being deleted too: they go first. */
  awaits?: Awaited[];
};
