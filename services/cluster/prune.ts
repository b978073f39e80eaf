/**
 * Deletes what is no longer rendered: backwards, only what still carries its owner's labels, and only the very version
 * that was looked at.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { InventoryEntry, PruneOutcome } from "#protocol/messages/kustomization.ts";
import { displayName, parseInventoryId, type ObjectId } from "#machines/rules/inventory.ts";
import { pruneWaves } from "#machines/rules/order.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { isConflict, isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import { pathOf, type Resource } from "./discovery.ts";
import { applierOf, metadataOnly, readMetadata, type ClusterHandle } from "./handle.ts";

export type PruneCall = {
  cluster: ClusterHandle;
  owner: Owner;
  entries: InventoryEntry[];
  /** What stands and is wanted: never deleted, by whatever name an entry calls it. */
  keep?: ReadonlySet<string> | undefined;
  /** What becomes of objects that a deleted one owns; in the background when absent. */
  propagation?: "Background" | "Foreground" | "Orphan";
  guard: () => void;
  signal: AbortSignal;
  traceparent?: (id: string) => string | undefined;
  onObject?: (id: string, action: "deleted" | "skipped", startMs: number, endMs: number) => void;
};

/** `skipped` objects opted out or belong to somebody else: they are neither deleted nor kept in the inventory. */
export type PruneReport = PruneOutcome & { skipped: string[]; missing: string[] };

const mostTries = 4;

/** Never rejects for what the cluster says: what could not be deleted is in `left`, and the fault says why. */
export async function prune(call: PruneCall): Promise<PruneReport> {
  const report: PruneReport = { deleted: [], left: [], skipped: [], missing: [] };
  const failures: Fault[] = [];
  for (const wave of pruneWaves(call.entries, ({ id }) => parseInventoryId(id))) {
    const outcomes = await Promise.all(wave.map(async (entry) => ({ entry, outcome: await attempt(call, entry) })));
    for (const { entry, outcome } of outcomes)
      if (outcome === "deleted" || outcome === "missing") report.deleted.push(entry.id);
      else if (outcome === "skipped") report.skipped.push(entry.id);
      else {
        report.left.push(entry);
        failures.push(outcome);
      }
    report.missing.push(...outcomes.filter(({ outcome }) => outcome === "missing").map(({ entry }) => entry.id));
  }
  const [first] = failures;
  if (first) report.fault = summary(first, failures).toJSON();
  return report;
}

/**
 * Waits until deleted objects are really gone, finalizers and all.
 *
 * @returns the ids of those that are still there when the time is over: Flux lets them go (flux.md 2.6.5)
 */
export async function waitTermination(
  { cluster, signal }: Pick<PruneCall, "cluster" | "signal">, ids: string[], timeoutMs: number,
): Promise<string[]> {
  const deadlineMs = performance.now() + timeoutMs;
  let waiting = ids;
  for (let waitMs = 100; ; waitMs = Math.min(2_000, waitMs * 2)) {
    const there = await Promise.all(waiting.map(async (id) => ((await isThere(cluster, id, signal)) ? id : undefined)));
    waiting = there.filter((id) => id !== undefined);
    if (waiting.length === 0 || performance.now() > deadlineMs) return waiting;
    await sleep(waitMs, undefined, { signal });
  }
}

type Ending = "deleted" | "missing" | "skipped";

async function attempt(call: PruneCall, entry: InventoryEntry): Promise<Ending | Fault> {
  const id = parseInventoryId(entry.id);
  const startMs = clockMs();
  try {
    const resource = await resourceOf(call.cluster, id, entry.v);
    const outcome = !resource ? "missing" : isKept(call, entry, resource) ? "skipped" : await remove(call, entry, id, resource);
    call.onObject?.(entry.id, outcome === "deleted" ? "deleted" : "skipped", startMs, clockMs());
    return outcome;
  } catch (error) {
    if (error instanceof Fault && error.code === "LeaseLost") return error;
    const detail = error instanceof KubeError ? `delete failed${error.reason ? ` (${error.reason})` : ""}: ${error.message}` : undefined;
    return new Fault("PruneFailed", displayName(id), { detail: detail ?? Fault.from(error, "").detail, cause: error });
  }
}

/** An entry that was noted before its kind was known may name a cluster-scoped object with the namespace of its manifest. */
const isKept = ({ keep }: PruneCall, { id }: InventoryEntry, { namespaced }: Resource): boolean =>
  keep !== undefined && (keep.has(id) || (!namespaced && keep.has(id.slice(id.indexOf("_")))));

async function remove(call: PruneCall, entry: InventoryEntry, id: ObjectId, resource: Resource): Promise<Ending> {
  for (let tries = 1; ; tries++) {
    const live = await readMetadata(call.cluster, resource, id, call.signal);
    if (!live) return "missing";
    if (applierOf(call.cluster).verdict(live, call.owner) === "keep") return "skipped";
    if (live.deletionTimestamp) return "deleted"; // on its way out: only its finalizers are awaited
    try {
      await call.cluster.client.request({
        method: "DELETE",
        path: pathOf(resource, id),
        accept: metadataOnly,
        body: {
          apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: call.propagation ?? "Background",
          preconditions: { uid: live.uid, resourceVersion: live.resourceVersion },
        },
        guard: call.guard,
        signal: call.signal,
        traceparent: call.traceparent?.(entry.id),
        repeatable: true,
      });
      return "deleted";
    } catch (error) {
      if (isNotFound(error)) return "deleted";
      // It changed since we looked: perhaps it says now that it is to be kept.
      if (!isConflict(error) || tries === mostTries) throw error;
    }
  }
}

/** Undefined when the cluster no longer knows the kind: its objects went with it. */
async function resourceOf(cluster: ClusterHandle, { group, kind }: ObjectId, version: string): Promise<Resource | undefined> {
  try {
    return await cluster.discovery.preferred(group, kind, version);
  } catch (error) {
    if (error instanceof Fault && error.code === "KindUnknown") return undefined;
    throw error;
  }
}

async function isThere(cluster: ClusterHandle, text: string, signal: AbortSignal): Promise<boolean> {
  const id = parseInventoryId(text);
  const resource = await resourceOf(cluster, id, "v1");
  return resource !== undefined && (await readMetadata(cluster, resource, id, signal)) !== undefined;
}

function summary(first: Fault, failures: Fault[]): Fault {
  if (first.code === "LeaseLost") return first;
  const detail = failures.map(({ subject, detail: said }) => `${subject} ${said ?? ""}`.trim()).slice(0, mostNamed).join("; ");
  const more = failures.length > mostNamed ? ` and ${failures.length - mostNamed} more` : "";
  return new Fault("PruneFailed", first.subject, { detail: `${detail}${more}` });
}

const mostNamed = 5;

const clockMs = () => performance.timeOrigin + performance.now();
