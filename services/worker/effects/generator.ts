/** What the generator chart asks for: artifacts made of other sources' artifacts, and the ExternalArtifacts that offer them. */
import { createHash } from "node:crypto";
import { mayRefer, type Tenancy } from "#machines/rules/tenancy.ts";
import type { GeneratorContext } from "#machines/generator/machine.ts";
import { artifact as artifactApi } from "#protocol/api/artifact.ts";
import { artifactGenerator, offering, type ArtifactGeneratorSpec } from "#protocol/api/artifact-generator.ts";
import { labels } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Generation, MadeArtifact } from "#protocol/messages/generator.ts";
import { markOf, originKey, originOf, type Artifact } from "#protocol/messages/source.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { Owned } from "#services/cluster/owned.ts";
import { generateThreads, type Jobs } from "#services/sources/external/generate/thread.ts";
import { isObjectName } from "#services/sources/external/generate/requests.ts";
import type { Threads } from "#services/threads/threads.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import type { Clock } from "#services/store/clock.ts";
import type { EffectCall } from "../host.ts";
import { declared, type RawObject } from "../facts.ts";
import { shown, type Effects } from "./effects.ts";
import type { HubObjects } from "./hub-objects.ts";

export type GeneratorPorts = {
  hub: HubObjects;
  artifacts: Pick<ArtifactStore, "get" | "put" | "has" | "retain" | "remove">;
  /** The artifact another source holds now: from its actor's record, wherever that lives. */
  held(source: ActorKey): Promise<{ artifact: Artifact } | "no artifact" | "no source">;
  tenancy: Tenancy;
  clock: Clock;
  artifactUrl(path: string): string;
  /** Throws Fault LeaseLost when this worker may not act for it now. */
  guard(key: ActorKey): void;
  threads?: Threads<Jobs>;
};

/** Flux's name for the controller that does this. */
const manager = "source-watcher";
const ownerLabel = "source.extensions.fluxcd.io/generator";

export function generatorEffects({ hub, artifacts, held, tenancy, clock, artifactUrl, guard, threads = generateThreads() }: GeneratorPorts): Effects {
  const nameOf = (key: ActorKey) => shown("ArtifactGenerator", key);

  /** What each source offers now, by its alias. */
  async function offers(key: ActorKey, spec: ArtifactGeneratorSpec): Promise<Map<string, Artifact>> {
    const found = new Map<string, Artifact>();
    for (const { alias, kind, name, namespace = key.namespace } of spec.sources) {
      const source = { kind: kind.toLowerCase(), namespace, name };
      const subject = shown(kind, source);
      if (!mayRefer(key, namespace, tenancy)) throw new Fault("AccessDenied", nameOf(key), { detail: `can't access '${subject}', cross-namespace references have been blocked` });
      const offered = await held(source);
      if (offered === "no source") throw new Fault("SourceMissing", subject, { detail: "not found" });
      if (offered === "no artifact") throw new Fault("ArtifactMissing", subject);
      found.set(alias, offered.artifact);
    }
    return found;
  }

  /** Those of the last run where nothing is another; made anew otherwise. */
  async function made(call: EffectCall, spec: ArtifactGeneratorSpec, generation: number, sources: Map<string, Artifact>, sourcesDigest: string): Promise<MadeArtifact[]> {
    const { key } = call;
    const { made: before, observedGeneration, fault } = call.context as unknown as GeneratorContext;
    const isSame = before !== null && fault === null && before.sourcesDigest === sourcesDigest && observedGeneration === generation;
    if (isSame && (await Promise.all(before.artifacts.map(({ path, digest }) => artifacts.has(path, digest)))).every(Boolean)) return before.artifacts;
    const archives = await Promise.all([...sources].map(async ([alias, { path, digest }]) => [alias, await artifacts.get(path, { digest })] as [string, Uint8Array]));
    const job = { spec: { artifacts: spec.artifacts, ...(spec.pathPattern && { pathPattern: spec.pathPattern }) }, sources: archives, shown: nameOf(key) };
    const generated = await threads.run("generate", job, call.signal);
    const folder = folderOf(key);
    const results: MadeArtifact[] = [];
    for (const { name, revision, originRevision, labels: captured, archive } of generated) {
      const { path, digest, sizeBytes } = await artifacts.put((hashed) => `${folder}/${name}-${hashed.slice(hashed.indexOf(":") + 1)}.tar.gz`, archive);
      const known = before?.artifacts.find((each) => each.path === path && each.name === name);
      const from = revision && sources.get(revision.slice(1));
      const origin = originRevision && sources.get(originRevision.slice(1));
      results.push({
        name, digest, path, sizeBytes,
        revision: from ? from.revision : `latest@${digest}`,
        storedAt: known?.storedAt ?? `${new Date(clock.nowMs()).toISOString().slice(0, 19)}Z`,
        ...(origin && { metadata: { [originKey]: originOf(origin) || origin.revision } }),
        ...(Object.keys(captured).length > 0 && { labels: captured }),
      });
    }
    // Those before stay for consumers that are still reading them (flux.md 2.0, 9).
    await artifacts.retain(folder, [...results, ...(before?.artifacts ?? [])].map(({ path }) => path), () => guard(key));
    return results;
  }

  /** Every ExternalArtifact says what was made, and none more than that is ours. */
  async function offer(key: ActorKey, object: RawObject, spec: ArtifactGeneratorSpec, results: MadeArtifact[], isRenewed: boolean): Promise<void> {
    const uid = object.metadata.uid ?? "";
    const live = new Map((await hub.list(offering.actorKind, key.namespace)).map((each) => [each.metadata.name, each]));
    for (const each of results) {
      const there = live.get(each.name);
      if (there && isAnothers(there, key)) throw new Fault("ArtifactTaken", nameOf(key), { detail: `${shown(offering.kind, { kind: "", namespace: key.namespace, name: each.name })} is made by ${makerOf(there)}` });
    }
    for (const each of results) {
      const wanted = wantedOf(key, uid, spec, each);
      const there = live.get(each.name);
      if (!there || isRenewed || !says(there, wanted, each)) await hub.applyOwned(key, { kind: offering.actorKind, namespace: key.namespace, name: each.name }, wanted(there), there);
    }
    const names = new Set(results.map(({ name }) => name));
    await withdraw(key, [...live.values()].filter((each) => !names.has(each.metadata.name) && each.metadata.labels?.[ownerLabel] === uid));
  }

  async function withdraw(key: ActorKey, objects: RawObject[]): Promise<void> {
    for (const { metadata: { name, uid = "" } } of objects) await hub.removeOwned(key, { kind: offering.actorKind, namespace: key.namespace, name }, uid);
  }

  const wantedOf = (key: ActorKey, uid: string, spec: ArtifactGeneratorSpec, { name: _, labels: captured, path, storedAt, sizeBytes, ...rest }: MadeArtifact) => (there: RawObject | undefined): Owned => ({
    manager,
    metadata: {
      labels: { ...spec.commonMetadata?.labels, ...captured, [labels.managedBy]: manager, [ownerLabel]: uid },
      annotations: { ...spec.commonMetadata?.annotations },
    },
    spec: { sourceRef: { apiVersion: artifactGenerator.apiVersion, kind: artifactGenerator.kind, name: key.name, namespace: key.namespace } },
    status: {
      artifact: { ...rest, path, size: sizeBytes, lastUpdateTime: storedAt, url: artifactUrl(path) },
      conditions: [{ type: "Ready", status: "True", reason: "Succeeded", message: "Artifact is ready", lastTransitionTime: storedAt, observedGeneration: there?.metadata.generation ?? 1 }],
    },
  });

  return {
    adopt: ({ key }) => hub.addFinalizer(key),

    async generate(call): Promise<Generation> {
      const { key } = call;
      const object = await hub.need(key);
      const { spec, metadata } = artifactGenerator.parse(declared(object));
      check(key, spec);
      const sources = await offers(key, spec);
      const sourcesDigest = digestOfSources(sources, artifactUrl);
      const timeoutMs = (call.context["facts"] as { timeoutMs?: number } | null)?.timeoutMs ?? 300_000;
      const signal = AbortSignal.any([call.signal, AbortSignal.timeout(timeoutMs)]);
      const results = await made({ ...call, signal }, spec, metadata.generation, sources, sourcesDigest).catch((thrown: unknown) => {
        if (thrown instanceof DOMException && thrown.name === "TimeoutError") throw new Fault("TimedOut", nameOf(key), { detail: `it took longer than ${timeoutMs / 1000} s` });
        throw thrown;
      });
      // What the spec asks for no more is taken away by an apply alone.
      await offer(key, object, spec, results, (call.context as unknown as GeneratorContext).observedGeneration !== metadata.generation);
      return { artifacts: results, sourcesDigest, madeOf: [...new Set([...sources.values(), ...results].map(markOf))] };
    },

    async remove({ key, context }) {
      const uid = (context["facts"] as { uid?: string } | null)?.uid ?? "";
      if (uid) await withdraw(key, (await hub.list(offering.actorKind, key.namespace)).filter((each) => each.metadata.labels?.[ownerLabel] === uid));
      await artifacts.remove(folderOf(key), () => guard(key));
      await hub.removeFinalizer(key);
      return null;
    },
  };
}

const folderOf = ({ kind, namespace, name }: ActorKey): string => `${kind}/${namespace}/${name}`;

/** @throws Fault GeneratorInvalid */
function check(key: ActorKey, { sources, artifacts, pathPattern }: ArtifactGeneratorSpec): void {
  const refused = (detail: string) => new Fault("GeneratorInvalid", shown("ArtifactGenerator", key), { detail });
  const aliases = new Set<string>();
  for (const { alias } of sources) {
    if (aliases.has(alias)) throw refused(`duplicate source alias '${alias}' found`);
    aliases.add(alias);
  }
  const names = new Set<string>();
  for (const { name, revision, originRevision } of artifacts) {
    if (names.has(name)) throw refused(`duplicate artifact name '${name}' found`);
    names.add(name);
    if (!pathPattern && !isObjectName(name)) throw refused(`artifact name ${JSON.stringify(name)} is not a valid Kubernetes object name`);
    for (const reference of [revision, originRevision])
      if (reference && !aliases.has(reference.slice(1))) throw refused(`artifact ${name} revision source alias '${reference.slice(1)}' not found`);
  }
}

/** As Flux's (source-watcher api/v1beta1/observed_source.go). */
function digestOfSources(sources: Map<string, Artifact>, artifactUrl: (path: string) => string): string {
  const parts = [...sources].map(([alias, { digest, revision, path }]) => `${alias}=[digest=${digest},revision=${revision},url=${artifactUrl(path)}]`);
  return `sha256:${createHash("sha256").update(parts.sort().join("|")).digest("hex")}`;
}

type Reference = { kind?: string; name?: string };
const referenceOf = ({ spec }: RawObject): Reference => (spec as { sourceRef?: Reference } | undefined)?.sourceRef ?? {};
const makerOf = (object: RawObject): string => `${referenceOf(object).kind ?? "somebody"}/${referenceOf(object).name ?? ""}`;

/** Somebody else says that he makes it. */
function isAnothers(object: RawObject, { name }: ActorKey): boolean {
  const reference = referenceOf(object);
  return reference.name !== undefined && (reference.kind !== artifactGenerator.kind || reference.name !== name);
}

/** Whether the object says it all already; what others have added stays. */
function says(there: RawObject, wanted: (there: RawObject) => Owned, { revision, digest, path, metadata }: MadeArtifact): boolean {
  const { metadata: { labels: wantedLabels, annotations: wantedAnnotations }, spec } = wanted(there);
  const has = (held: Record<string, string> = {}, needs: Record<string, string>) => Object.entries(needs).every(([key, value]) => held[key] === value);
  const status = (there["status"] ?? {}) as { artifact?: unknown; conditions?: { type?: string; status?: string }[] };
  const { data: offered } = artifactApi.safeParse(status.artifact);
  const isReady = Array.isArray(status.conditions) && status.conditions.some((each) => each.type === "Ready" && each.status === "True");
  return (
    isReady && has(there.metadata.labels, wantedLabels) && has(there.metadata.annotations, wantedAnnotations) && canonical(there["spec"]) === canonical(spec) &&
    offered?.revision === revision && offered.digest === digest && offered.path === path && canonical(offered.metadata ?? {}) === canonical(metadata ?? {}) &&
    offered.url === (wanted(there).status as { artifact: { url: string } }).artifact.url
  );
}

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (typeof inner === "object" && inner !== null && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner)) ?? "";
