/** What a unit remembers between two decisions, and what it hears. */
import { jitteredMs } from "#machines/rules/backoff.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { ApplyScope, Awaited, BuildOutcome, InventoryEntry, Snapshot, SourceFound } from "#protocol/messages/kustomization.ts";
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
  /** On which cluster the inventory stands: the hub when absent. */
  cluster?: string | undefined;
  /** As whom it was applied last, or is about to be. */
  user?: string | undefined;
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
  /** This run applies: what it finds is not what stands. Absent: no. */
  worked?: boolean | undefined;
  /** Something was created, changed or deleted since the unit was last ready. Absent: no. */
  changed?: boolean | undefined;
  /** When this run began, and its look at health. */
  startedMs?: number;
  checkingMs?: number;
  /** What the condition Healthy says since it last became true. */
  healthSaid?: string | undefined;
  history?: Snapshot[];
  scope: ApplyScope;
  /** When every object was last compared with the cluster. Absent: not since the first apply. */
  comparedMs?: number | undefined;
  attempted: string;
  applied: string;
  /** What that revision was made of; absent where no source ever said. */
  appliedOrigin?: string;
  observedGeneration: number;
  handling: string;
  handledAt: string;
  fault: FaultData | null;
  /** What has to change before the unit can go on: kept beside each of them, so that its change wakes the unit. Absent: nothing. */
  awaits?: Awaited[] | undefined;
  /** People were told that it waits. Absent: no. */
  waitTold?: boolean | undefined;
  /** Consecutive runs that ended in a fault. */
  failures: number;
  /** A hint came while busy: look once more. */
  stale: boolean;
  /** A watch reported an applied object that is no longer as applied. */
  drifted: boolean;
  /** What drift was told of last, where it is only told (`markOf`); empty while it is looked at. Absent: none. */
  driftTold?: string | undefined;
  /** Not only what is known to differ is compared next. Absent: no. */
  compareAll?: true | undefined;
  /** Drift put back, or looked at, since the last quiet interval. */
  corrections: number;
};

export type KustomizationEvent =
  | { type: "object"; facts: KustomizationFacts | null }
  | { type: "artifact"; revision: string; digest: string }
  | { type: "look" }
  | { type: "drift" }
  /** Something the unit waits for is not as it was. */
  | { type: "dependency" }
  /** A former owner crashed while a run of this unit was writing. */
  | { type: "recovered" }
  /** What was on its way then has arrived, or never will. */
  | { type: "calm" };

/** An apply was begun, and not everything that came of it is known. */
export const isUnfinished = ({ appliedKey, build }: Pick<KustomizationContext, "appliedKey" | "build">): boolean => appliedKey === "" && build !== null;

/** Watches tell of every change as it happens; that they do is not believed for longer than so. */
const resyncMs = 10 * 3_600_000;

export const resyncDue = ({ comparedMs, key }: KustomizationContext, nowMs: number): boolean =>
  comparedMs !== undefined && nowMs - comparedMs >= jitteredMs(resyncMs, key);

/**
 * On another cluster than before nothing is known of what stands there; what somebody else applied says nothing of what
 * this one may; and of what cannot be watched nothing is known but by looking.
 */
export function found(c: KustomizationContext, { cluster, user, blind = false }: SourceFound): Partial<KustomizationContext> {
  if (cluster !== c.cluster) return { cluster, user, appliedKey: "", scope: "all" };
  if (user !== c.user) return { user, scope: "all" };
  if (!blind) return {};
  return warns(c) ? { drifted: true, compareAll: true } : { scope: "all" };
}

/** Drift is told and left as it is. */
export const warns = ({ facts }: Pick<KustomizationContext, "facts">): boolean => facts?.drift === "warn";

export const suspectsDue = ({ wary, suspects = [] }: KustomizationContext): boolean => wary === undefined && suspects.length > 0;
