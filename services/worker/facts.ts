/** From an object as the API server holds it to the facts its chart decides on. What cannot be read becomes a fact too. */
import { hash } from "node:crypto";
import { annotations } from "#protocol/api/annotations.ts";
import { artifactGenerator } from "#protocol/api/artifact-generator.ts";
import { artifact } from "#protocol/api/artifact.ts";
import { parseDuration } from "#protocol/api/duration.ts";
import { imagePolicy } from "#protocol/api/image-policy.ts";
import { imageRepository } from "#protocol/api/image-repository.ts";
import { helmRelease, type HelmRelease } from "#protocol/api/helm-release.ts";
import { imageUpdateAutomation } from "#protocol/api/image-update-automation.ts";
import { kustomization, type Kustomization } from "#protocol/api/kustomization.ts";
import { dependencies, dependencyId, wrongDependency } from "./depends-on.ts";
import { featureGates, type FeatureGates } from "./feature-gates.ts";
import { blankReleaseFacts, ownFactsOf } from "./release-facts.ts";
import { wrongValuesFrom } from "./values-from.ts";
import { finalizerOf, kindOf } from "#protocol/api/registry.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { KustomizationFacts, ObjectFacts, ReleaseFacts, SourceFacts } from "#protocol/messages/object.ts";

/** An object as it comes over the wire: only its metadata is taken for granted. */
export type RawObject = {
  kind?: string;
  metadata: {
    name: string; namespace?: string; uid?: string; generation?: number; resourceVersion?: string; deletionTimestamp?: string;
    finalizers?: string[]; annotations?: Record<string, string>; labels?: Record<string, string>;
  };
  [field: string]: unknown;
};

/**
 * @param actorKind lower-case kind: `gitrepository`, `kustomization`
 * @param inputs versions of watched ConfigMaps and Secrets that the object refers to
 */
export function factsOf(actorKind: string, raw: RawObject, inputs: Record<string, string> = {}, gates: FeatureGates = featureGates): ObjectFacts {
  const shared = sharedFacts(actorKind, raw);
  try {
    const written = declared(raw);
    if (actorKind === "artifactgenerator") return generatorFacts(artifactGenerator.parse(written), shared);
    if (actorKind === "kustomization") return { ...kustomizationFacts(kustomization.parse(written), shared), ...driftFact(raw), ...inputsFact(inputs) };
    if (actorKind === "imageupdateautomation") return imageUpdateFacts(imageUpdateAutomation.parse(written), shared);
    if (actorKind === "helmrelease") return { ...releaseFacts(helmRelease.parse(written), shared, gates), ...inputsFact(inputs) };
    if (actorKind === "imagerepository") return imageRepositoryFacts(imageRepository.parse(written), shared);
    if (actorKind === "imagepolicy") return imagePolicyFacts(imagePolicy.parse(written), shared);
    return { ...sourceFacts(sourceOf(actorKind, written), shared), ...offeredFacts(actorKind, raw) };
  } catch (thrown) {
    const invalid = Fault.from(thrown, `${raw.kind ?? actorKind}/${raw.metadata.namespace}/${raw.metadata.name}`).toJSON();
    const blank = { ...shared, invalid: { ...invalid, code: "InvalidObject" as const } };
    if (actorKind === "helmrelease") return { ...blank, ...blankReleaseFacts };
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

function sharedFacts(actorKind: string, { metadata, spec, status }: RawObject): SourceFacts {
  return {
    uid: metadata.uid ?? "",
    generation: metadata.generation ?? 0,
    deleting: metadata.deletionTimestamp !== undefined,
    finalizer: metadata.finalizers?.includes(finalizerOf(actorKind)) ?? false,
    suspended: (spec as { suspend?: unknown } | undefined)?.suspend === true,
    requestedAt: metadata.annotations?.[annotations.requestedAt] ?? "",
    handledAt: String((status as { lastHandledReconcileAt?: unknown } | undefined)?.lastHandledReconcileAt ?? ""),
    intervalMs: defaultIntervalMs,
    timeoutMs: defaultIntervalMs,
  };
}

/** It looks once an hour by itself, and is disabled by an annotation (flux.md 1.7). */
function generatorFacts({ spec, metadata }: ReturnType<typeof artifactGenerator.parse>, shared: SourceFacts): SourceFacts {
  const madeFrom = [...new Set(spec.sources.map(({ kind, name, namespace = metadata.namespace }) => `${kind.toLowerCase()}/${namespace}/${name}`))];
  return { ...shared, suspended: metadata.annotations?.[annotations.generator]?.toLowerCase() === "disabled", intervalMs: 3_600_000, timeoutMs: 300_000, madeFrom };
}

/** A scan may take as long as its interval (flux.md 1.10), and yet come to an end. */
function imageRepositoryFacts({ spec }: ReturnType<typeof imageRepository.parse>, shared: SourceFacts): SourceFacts {
  const intervalMs = periodMs(spec.interval);
  return { ...shared, intervalMs, timeoutMs: spec.timeout ? parseDuration(spec.timeout) : Math.min(intervalMs, longestScanMs) };
}

const longestScanMs = 600_000;

/** Of itself it only looks what the tag means; what there is to elect its repository tells. */
function imagePolicyFacts({ spec, metadata }: ReturnType<typeof imagePolicy.parse>, shared: SourceFacts): SourceFacts {
  const { name, namespace } = spec.imageRepositoryRef;
  const intervalMs = spec.digestReflectionPolicy === "Always" && spec.interval ? periodMs(spec.interval) : neverMs;
  return { ...shared, intervalMs, madeFrom: [`imagerepository/${namespace || metadata.namespace}/${name}`] };
}

/** How long it may take is its source's to say. */
function imageUpdateFacts({ spec: { interval, sourceRef: { kind, name, namespace } }, metadata }: ReturnType<typeof imageUpdateAutomation.parse>, shared: SourceFacts): SourceFacts {
  return { ...shared, intervalMs: periodMs(interval), madeFrom: [`${kind.toLowerCase()}/${namespace || metadata.namespace}/${name}`] };
}

/** What the facts of a source are read from, whatever its kind. */
type Source = { kind: string; metadata: { namespace: string; name: string }; spec: { interval?: string; timeout?: string } };

/** @throws Fault InvalidObject */
function sourceOf(actorKind: string, written: unknown): Source {
  const kind = kindOf(actorKind);
  if (!kind?.source) throw new Fault("InvalidObject", actorKind, { detail: "no such kind of source" });
  return kind.parse(written) as Source;
}

function sourceFacts(object: Source, shared: SourceFacts): SourceFacts {
  const { kind, spec, metadata } = object;
  const words = kindOf(kind.toLowerCase())?.source;
  const from = words?.madeFrom?.(spec) ?? [];
  return {
    ...shared,
    intervalMs: spec.interval ? periodMs(spec.interval) : defaultIntervalMs,
    timeoutMs: parseDuration(spec.timeout ?? words?.timeout ?? "60s"),
    ...(from.length > 0 && { madeFrom: [...new Set(from.map((each) => `${each.kind.toLowerCase()}/${each.namespace ?? metadata.namespace}/${each.name}`))] }),
    ...(words?.isStatic?.(spec) && { static: true }),
  };
}

/** Of a kind whose status is somebody else's: what it says. Without an artifact there is nothing to do for it. */
function offeredFacts(actorKind: string, { status }: RawObject): Pick<SourceFacts, "foreign" | "offered" | "static"> {
  if (!kindOf(actorKind)?.source?.isForeign) return {};
  const { data } = artifact.safeParse((status as { artifact?: unknown } | undefined)?.artifact);
  return data ? { foreign: true, offered: hash("sha256", JSON.stringify([data.revision, data.digest, data.url, data.path])).slice(0, 16) } : { foreign: true, static: true };
}

const mostModeCharacters = 40; // anybody may write anything there

function driftFact({ metadata }: RawObject): Pick<KustomizationFacts, "drift"> {
  const mode = (metadata.annotations?.[annotations.driftDetection] ?? "").trim().toLowerCase().slice(0, mostModeCharacters);
  return mode === "" || mode === "enabled" ? {} : { drift: mode };
}

const inputsFact = (inputs: Record<string, string>): Pick<KustomizationFacts, "inputs"> =>
  (Object.keys(inputs).length > 0 ? { inputs: hash("sha256", JSON.stringify(inputs)).slice(0, 16) } : {});

function kustomizationFacts(object: Kustomization, shared: SourceFacts): KustomizationFacts {
  const { spec, metadata } = object;
  const intervalMs = periodMs(spec.interval);
  const { kind, name, namespace = metadata.namespace } = spec.sourceRef;
  const policy = spec.deletionPolicy ?? "MirrorPrune";
  const wrong = wrongDependency("kustomization", spec);
  if (wrong) throw new Fault("InvalidObject", `Kustomization/${metadata.namespace}/${metadata.name}`, { detail: wrong });
  const dependsOn = dependencies({ kind: "kustomization", namespace: metadata.namespace }, spec).map(dependencyId);
  return {
    ...shared,
    intervalMs,
    retryMs: spec.retryInterval ? periodMs(spec.retryInterval) : intervalMs,
    timeoutMs: Math.max(spec.timeout ? parseDuration(spec.timeout) : intervalMs - 30_000, shortestTimeoutMs),
    source: `${kind.toLowerCase()}/${namespace}/${name}`,
    ...(dependsOn.length > 0 && { dependsOn }),
    prune: spec.prune,
    health: spec.wait === true || (spec.healthChecks?.length ?? 0) > 0,
    deletion: policy === "MirrorPrune" ? (spec.prune ? "Delete" : "Orphan") : policy,
  };
}

function releaseFacts(object: HelmRelease, shared: SourceFacts, gates: FeatureGates): ReleaseFacts {
  const wrong = wrongDependency("helmrelease", object.spec) ?? wrongValuesFrom(object.spec);
  if (wrong) throw new Fault("InvalidObject", `HelmRelease/${object.metadata.namespace}/${object.metadata.name}`, { detail: wrong });
  return { ...shared, ...ownFactsOf(object, gates), intervalMs: periodMs(object.spec.interval) };
}

const neverMs = 100 * 365 * 24 * 3_600_000;

// In Flux a period of zero asks for no return at all, not for one at once.
const periodMs = (text: string): number => parseDuration(text) || neverMs;
