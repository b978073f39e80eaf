/** What a release remembers between two decisions, and what it hears. */
import { jitteredMs } from "#machines/rules/backoff.ts";
import type { Counts, Next, Step } from "#machines/rules/release-next.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { Awaited, InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { ReleaseFacts } from "#protocol/messages/object.ts";
import type { ActInput, Attempt, ChartFound, ChartSeen, Composed, Gone, ReleaseCondition, ReleaseSnapshot, StorageSeen } from "#protocol/messages/release.ts";
import type { Artifact } from "#protocol/messages/source.ts";

export type ReleaseContext = {
  key: string;
  facts: ReleaseFacts | null;
  handling: string;
  handledAt: string;
  handledForceAt: string;
  handledResetAt: string;
  /** Of the object's requests, those that this run answers. */
  forced: boolean;
  resets: boolean;
  /** The HelmChart that stands for `spec.chart`, `namespace/name`; empty: there is none. */
  chart: string;
  /** Nothing is asked for it while its own actor sees the same one. Absent: it has to be looked at. */
  chartSeen?: ChartSeen | undefined;
  source: Artifact | null;
  /** What the sources held that files of its values are read from, by their actor ids. Absent: none are. */
  valuesFrom?: Record<string, Artifact> | undefined;
  ociDigest: string;
  traceparent: string;
  cluster?: string | undefined;
  user?: string | undefined;
  composed: Composed | null;
  /** What the object's status said was taken over. */
  takenOver: boolean;
  /** Newest first. */
  history: ReleaseSnapshot[];
  /** Where its storage is; empty: it was never released, or is uninstalled. */
  storageNamespace: string;
  /**
   * What storage held when it was last looked at; absent while an action writes there, and until it is looked at again.
   * `settled`: just what the history says, so that as long as nobody changes it nothing has to be read.
   */
  storage?: (StorageSeen & { settled: boolean }) | undefined;
  conditions: ReleaseCondition[];
  /** Failures since something changed. */
  counts: Counts;
  attempt?: Attempt | undefined;
  lastAction?: "install" | "upgrade" | undefined;
  lastTookMs?: number | undefined;
  postRenderersDigest: string;
  commonMetadataDigest: string;
  inventory: InventoryEntry[];
  /** How many actions were ever decided on: each has an intent of its own. */
  intents: number;
  /** The action that was decided on last and is not known to be done. */
  act?: ActInput | undefined;
  actingMs?: number | undefined;
  /** How often this run has waited for its chart. Absent: not yet. */
  pairings?: number | undefined;
  /** What this run has done. */
  done: Step[];
  next?: Next | undefined;
  /** When every object was last compared with the cluster. */
  comparedMs?: number | undefined;
  /** Not only what is known to differ is compared next. */
  compareAll: boolean;
  /** Some of what was applied cannot be watched: it has to be compared to be known. */
  blind?: boolean | undefined;
  drifted: boolean;
  /** What the condition Drifted says; absent: nothing differs. */
  driftSaid?: string | undefined;
  corrections: number;
  /** Revision of that source whose news were last tried, and that the release was last made of. */
  attempted: string;
  applied: string;
  observedGeneration: number;
  fault: FaultData | null;
  /** Why nothing is tried any more. */
  stalledBy?: { reason: string; message: string } | undefined;
  /** What an owner before had sent when it crashed may still arrive: while it carried out an action, or took the release away. */
  wary?: "acting" | "removing" | undefined;
  /** Deleted since then: looked for once more when that is over. Absent: nobody crashed. */
  suspects?: Gone[] | undefined;
  awaits?: Awaited[] | undefined;
  waitTold?: boolean | undefined;
  /** Consecutive runs that ended without the release being as it should. */
  failures: number;
  stale: boolean;
};

export type ReleaseEvent =
  | { type: "object"; facts: ReleaseFacts | null }
  | { type: "artifact"; revision: string; digest: string; path?: string | undefined }
  | { type: "look" }
  | { type: "drift" }
  | { type: "dependency" }
  /** A former owner crashed while a run was writing: the run itself finds out how far it came. */
  | { type: "recovered" }
  /** What was on its way then has arrived, or never will. */
  | { type: "calm" };

export const blank = {
  facts: null, handling: "", handledAt: "", handledForceAt: "", handledResetAt: "", forced: false, resets: false, chart: "", source: null, valuesFrom: undefined, ociDigest: "",
  traceparent: "", composed: null, takenOver: false, history: [], storageNamespace: "", conditions: [], counts: { failures: 0, installs: 0, upgrades: 0 },
  postRenderersDigest: "", commonMetadataDigest: "", inventory: [], intents: 0, done: [], compareAll: false, drifted: false, corrections: 0, attempted: "",
  applied: "", observedGeneration: -1, fault: null, failures: 0, stale: false,
} satisfies Omit<ReleaseContext, "key">;

/** Nothing of an object that went counts for another one under its name. */
export const forgotten = ({ key, intents, wary, suspects }: ReleaseContext): ReleaseContext => ({ ...blank, key, intents, wary, suspects });

/** Of an annotation beside `requestedAt` (flux.md 0.4): it counts only together with a request that is new, and once. */
export const isAsked = (value: string | undefined, handled: string, { facts, handledAt }: ReleaseContext): boolean =>
  value !== undefined && value !== "" && value === facts?.requestedAt && value !== handled && value !== handledAt;

/** Watches tell of every change as it happens; that they do is not believed for longer than so. */
const resyncMs = 10 * 3_600_000;

const isRequested = ({ facts, handledAt }: ReleaseContext): boolean => facts !== null && facts.requestedAt !== "" && facts.requestedAt !== handledAt;

const isLongAgo = (thenMs: number | undefined, key: string, nowMs: number): boolean => thenMs === undefined || nowMs - thenMs >= jitteredMs(resyncMs, key);

export const mustCompareAll = (c: ReleaseContext, nowMs: number): boolean => c.blind === true || isLongAgo(c.comparedMs, c.key, nowMs) || isRequested(c);

/** What is known of its HelmChart, while that may still be believed. */
export const chartSeenBy = (c: ReleaseContext, nowMs: number): ChartSeen | undefined =>
  isLongAgo(c.chartSeen?.atMs, c.key, nowMs) || isRequested(c) ? undefined : c.chartSeen;

/** Whether it was made of this artifact. Two sources may hold one of the same revision and digest: the path tells them apart. */
export const isHeld = ({ source, valuesFrom = {} }: Pick<ReleaseContext, "source" | "valuesFrom">, { revision, digest, path }: Pick<Artifact, "revision" | "digest"> & { path?: string | undefined }): boolean =>
  [source, ...Object.values(valuesFrom)].some((held) => held !== null && held.revision === revision && held.digest === digest && (path === undefined || held.path === path));

/** The change a run is for: that of the artifact which is new, the latest stored where several are; else the one before. */
function causeOf(c: ReleaseContext, { artifact, traceparent, values = {} }: ChartFound): Pick<ReleaseContext, "traceparent" | "attempted"> {
  const [first, ...others] = [{ artifact, traceparent }, ...Object.values(values)].filter((each) => !isHeld(c, each.artifact));
  if (!first) return { traceparent: c.traceparent, attempted: c.attempted };
  const latest = others.reduce((a, b) => (Date.parse(b.artifact.storedAt) > Date.parse(a.artifact.storedAt) ? b : a), first);
  return { traceparent: latest.traceparent, attempted: latest.artifact.revision };
}

/** What storage and status of before say, where this store has nothing of its own. */
export function taken(c: ReleaseContext, chart: ChartFound): Partial<ReleaseContext> {
  const { artifact, values, ociDigest, cluster, user, blind, known } = chart;
  const found = {
    ...causeOf(c, chart), source: artifact, valuesFrom: values && Object.fromEntries(Object.entries(values).map(([id, held]) => [id, held.artifact])),
    ociDigest, cluster, user, blind, ...(cluster !== c.cluster && { comparedMs: undefined }),
  };
  if (c.takenOver) return found;
  return {
    ...found,
    takenOver: true,
    history: known.history, storageNamespace: known.storageNamespace, conditions: known.conditions,
    ...(c.chart === "" && { chart: known.chart }),
    counts: { failures: known.failures, installs: known.installFailures, upgrades: known.upgradeFailures },
    attempt: known.attempted, lastAction: known.lastAction,
    postRenderersDigest: known.postRenderersDigest, commonMetadataDigest: known.commonMetadataDigest,
    inventory: known.inventory.map(({ id, v }) => ({ id, v, uid: "", digest: "", owned: "" })),
    observedGeneration: known.observedGeneration,
    ...(c.handledForceAt === "" && { handledForceAt: known.handledForceAt }),
    ...(c.handledResetAt === "" && { handledResetAt: known.handledResetAt }),
  };
}

/** Failures are counted anew when what failed is no longer what is tried (helm-controller internal/action/reset.go). */
export function attempting(c: ReleaseContext, composed: Composed): Partial<ReleaseContext> {
  const attempt = { generation: c.facts?.generation ?? -1, revision: composed.chartVersion, revisionDigest: c.ociDigest, configDigest: composed.configDigest };
  const before = c.attempt;
  const isNew = before?.generation !== attempt.generation || before.revision !== attempt.revision || before.configDigest !== attempt.configDigest;
  return {
    composed, attempt, storageNamespace: c.facts?.place.storageNamespace ?? "",
    ...((isNew || c.resets) && { counts: { failures: 0, installs: 0, upgrades: 0 } }),
    resets: false,
  };
}
