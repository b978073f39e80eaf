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

export type SourceFound = {
  artifact: Artifact;
  traceparent: string;
  /** What the object's status lists as applied: by a former store of ours, or by Flux. */
  inventory: InventoryEntry[];
};

/** What a build leaves behind. The objects themselves stay in the process that rendered them. */
export type BuildOutcome = {
  /** sha256 over everything the build depended on: settings and the contents it read. */
  renderKey: string;
  readSet: { files: string[]; dirs: string[] };
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

/** Of what counts as deleted, `missing` was not there to begin with. */
export type PruneOutcome = Recovered & { deleted: string[]; left: InventoryEntry[]; missing?: string[]; fault?: FaultData };

/** `late`: something that was deleted may come back by a request of a crashed owner; the unit must not go yet. */
export type RemoveOutcome = Recovered & { late: boolean };
