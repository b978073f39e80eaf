/** What a unit remembers between two decisions, and what it hears. */
import type { FaultData } from "#protocol/errors/fault.ts";
import type { ApplyScope, BuildOutcome, Change, InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { KustomizationFacts } from "#protocol/messages/object.ts";
import type { Artifact } from "#protocol/messages/source.ts";

export type KustomizationContext = {
  key: string;
  facts: KustomizationFacts | null;
  source: Artifact | null;
  traceparent: string;
  /** What the last build depended on; a newer artifact with the same contents there needs no build. */
  build: BuildOutcome | null;
  /** Key of the build whose objects are all applied and whose leftovers are all pruned; empty when there is none. */
  appliedKey: string;
  inventory: InventoryEntry[];
  /** An apply was begun of which nothing has been heard yet: what the inventory says of its objects may be old. Absent: no. */
  writing?: boolean | undefined;
  /** Objects of former builds that are to be pruned. */
  leftovers: InventoryEntry[];
  /** What an apply that never reported back may have created: noted before it began, pruned when it is not wanted. */
  intended: InventoryEntry[];
  /**
   * Whether requests may still be on their way that nobody waits for any more: an apply before this one was cut short, or
   * the owner before crashed. What is pruned meanwhile is a suspect. Absent: no.
   */
  wary?: "interrupted" | "crashed" | undefined;
  /** The owner before crashed while it wrote, and no apply has been through since: the next one makes every object safe from it. */
  unfenced?: boolean | undefined;
  /** Pruned, and pruned again when nothing can come late any more. */
  suspects?: InventoryEntry[] | undefined;
  /** What was done since the unit last became ready: told in one notice. */
  changes: Change[];
  scope: ApplyScope;
  attempted: string;
  applied: string;
  observedGeneration: number;
  handling: string;
  handledAt: string;
  fault: FaultData | null;
  /** Consecutive runs that ended in a fault. */
  failures: number;
  /** A hint came while busy: look once more. */
  stale: boolean;
  /** A watch reported an applied object that is no longer as applied. */
  drifted: boolean;
  /** Drift put back since the last quiet interval. */
  corrections: number;
};

export type KustomizationEvent =
  | { type: "object"; facts: KustomizationFacts | null }
  | { type: "artifact"; revision: string; digest: string }
  | { type: "look" }
  | { type: "drift" }
  /** A former owner crashed while a run of this unit was writing. */
  | { type: "recovered" }
  /** What was on its way then has arrived, or never will. */
  | { type: "calm" };

/** An apply was begun, and not everything that came of it is known. */
export const isUnfinished = ({ appliedKey, build }: Pick<KustomizationContext, "appliedKey" | "build">): boolean => appliedKey === "" && build !== null;

export const suspectsDue = ({ wary, suspects = [] }: KustomizationContext): boolean => wary === undefined && suspects.length > 0;
