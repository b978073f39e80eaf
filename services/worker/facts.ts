/** From an object as the API server holds it to the facts its chart decides on. What cannot be read becomes a fact too. */
import { annotations, finalizer } from "#protocol/api/annotations.ts";
import { parseDuration } from "#protocol/api/duration.ts";
import { gitRepository, type GitRepository } from "#protocol/api/git-repository.ts";
import { kustomization, type Kustomization } from "#protocol/api/kustomization.ts";
import { notYetActedOn, notYetFault } from "#protocol/api/not-yet.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { KustomizationFacts, ObjectFacts, SourceFacts } from "#protocol/messages/object.ts";

/** An object as it comes over the wire: only its metadata is taken for granted. */
export type RawObject = {
  kind?: string;
  metadata: {
    name: string; namespace?: string; uid?: string; generation?: number; resourceVersion?: string; deletionTimestamp?: string;
    finalizers?: string[]; annotations?: Record<string, string>;
  };
  [field: string]: unknown;
};

/** @param actorKind lower-case kind: `gitrepository`, `kustomization` */
export function factsOf(actorKind: string, raw: RawObject): ObjectFacts {
  const shared = sharedFacts(raw);
  try {
    const written = declared(raw);
    return actorKind === "kustomization" ? kustomizationFacts(kustomization.parse(written), shared) : sourceFacts(gitRepository.parse(written), shared);
  } catch (thrown) {
    const invalid = Fault.from(thrown, `${raw.kind ?? actorKind}/${raw.metadata.namespace}/${raw.metadata.name}`).toJSON();
    const blank = { ...shared, invalid: { ...invalid, code: "InvalidObject" as const } };
    return actorKind === "kustomization"
      ? { ...blank, retryMs: defaultIntervalMs, source: "", prune: false, health: false, deletion: "Orphan" }
      : blank;
  }
}

/** What its user wrote. The status is ours, and where a definition does not validate it, anybody may have garbled it. */
export function declared(raw: RawObject): unknown {
  const { status: _, ...object } = raw;
  return object;
}

const defaultIntervalMs = 60_000;
const shortestTimeoutMs = 30_000; // Flux raises a shorter one (flux.md 9)

function sharedFacts({ metadata, spec, status }: RawObject): SourceFacts {
  return {
    uid: metadata.uid ?? "",
    generation: metadata.generation ?? 0,
    deleting: metadata.deletionTimestamp !== undefined,
    finalizer: metadata.finalizers?.includes(finalizer) ?? false,
    suspended: (spec as { suspend?: unknown } | undefined)?.suspend === true,
    requestedAt: metadata.annotations?.[annotations.requestedAt] ?? "",
    handledAt: String((status as { lastHandledReconcileAt?: unknown } | undefined)?.lastHandledReconcileAt ?? ""),
    notYet: [],
    intervalMs: defaultIntervalMs,
    timeoutMs: defaultIntervalMs,
  };
}

function sourceFacts(object: GitRepository, shared: SourceFacts): SourceFacts {
  return {
    ...shared,
    ...unsupported("GitRepository", object),
    intervalMs: periodMs(object.spec.interval),
    timeoutMs: parseDuration(object.spec.timeout ?? "60s"),
  };
}

function kustomizationFacts(object: Kustomization, shared: SourceFacts): KustomizationFacts {
  const { spec, metadata } = object;
  const intervalMs = periodMs(spec.interval);
  const { kind, name, namespace = metadata.namespace } = spec.sourceRef;
  const policy = spec.deletionPolicy ?? "MirrorPrune";
  return {
    ...shared,
    ...unsupported("Kustomization", object),
    intervalMs,
    retryMs: spec.retryInterval ? periodMs(spec.retryInterval) : intervalMs,
    timeoutMs: Math.max(spec.timeout ? parseDuration(spec.timeout) : intervalMs - 30_000, shortestTimeoutMs),
    source: `${kind.toLowerCase()}/${namespace}/${name}`,
    prune: spec.prune,
    health: spec.wait === true || (spec.healthChecks?.length ?? 0) > 0,
    deletion: policy === "MirrorPrune" ? (spec.prune ? "Delete" : "Orphan") : policy,
  };
}

const neverMs = 100 * 365 * 24 * 3_600_000;

// In Flux a period of zero asks for no return at all, not for one at once.
const periodMs = (text: string): number => parseDuration(text) || neverMs;

function unsupported(kind: string, object: GitRepository | Kustomization): Pick<SourceFacts, "notYet" | "invalid"> {
  const subject = `${kind}/${object.metadata.namespace}/${object.metadata.name}`;
  const fault = notYetFault(subject, kind, object);
  return { notYet: notYetActedOn(kind, object), ...(fault && { invalid: fault.toJSON() }) };
}
