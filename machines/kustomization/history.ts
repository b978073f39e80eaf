/** What `status.history` keeps: the last builds and how they went, newest first (fluxcd/pkg apis/meta/history.go). */
import { formatDuration } from "#protocol/api/duration.ts";
import { faults, isPassing } from "#protocol/errors/fault.ts";
import type { Snapshot } from "#protocol/messages/kustomization.ts";
import { originOf } from "#protocol/messages/source.ts";
import type { KustomizationContext } from "./context.ts";

/** Of a run that wrote something, or that moves the unit to another revision: what merely looked is not worth a write. */
export function afterSuccess(c: KustomizationContext, atMs: number): Snapshot[] {
  const news = c.worked || c.applied !== c.source?.revision || c.fault !== null;
  return news ? outcome(c, "ReconciliationSucceeded", atMs) : (c.history ?? []);
}

/** What passes by itself is tried again within seconds, and says nothing about the build. */
export function afterFailure(c: KustomizationContext, atMs: number): Snapshot[] {
  return c.fault === null || isPassing(c.fault.code) ? (c.history ?? []) : outcome(c, faults[c.fault.code].reason, atMs);
}

function outcome(c: KustomizationContext, status: string, atMs: number): Snapshot[] {
  const { history = [], build, source, startedMs = atMs } = c;
  if (!build?.digest || !source) return history;
  const originRevision = originOf(source);
  const metadata = { revision: source.revision, ...(originRevision && { originRevision }) };
  return remembered(history, { digest: build.digest, status, atMs, tookMs: atMs - startedMs, metadata });
}

const mostSnapshots = 5;

export type Outcome = {
  /** `sha256:<hex>` of what was built. */
  digest: string;
  /** Reason of the condition Ready. */
  status: string;
  atMs: number;
  tookMs: number;
  metadata: Record<string, string>;
};

/** A build that ended like this before moves to the front and counts once more; another one is put there. */
export function remembered(history: Snapshot[], { digest, status, atMs, tookMs, metadata }: Outcome): Snapshot[] {
  const isSame = (each: Snapshot) => each.digest === digest && each.lastReconciledStatus === status;
  const before = history.find(isSame);
  const lastReconciled = new Date(atMs).toISOString().replace(/\.\d+Z$/, "Z");
  const now: Snapshot = {
    digest,
    firstReconciled: before?.firstReconciled ?? lastReconciled,
    lastReconciled,
    lastReconciledDuration: formatDuration(Math.max(0, tookMs)),
    lastReconciledStatus: status,
    totalReconciliations: (before?.totalReconciliations ?? 0) + 1,
    metadata,
  };
  return [now, ...history.filter((each) => !isSame(each))].slice(0, mostSnapshots);
}
