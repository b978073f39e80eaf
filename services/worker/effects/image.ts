/** What the image chart asks for: the tags that a registry lists for an ImageRepository, and which of them an ImagePolicy elects. */
import { LRUCache } from "lru-cache";
import type { ImageContext } from "#machines/image/machine.ts";
import { digestOf as digestToReflect, isSameImage } from "#machines/rules/image-scan.ts";
import { allowsFrom, mayRefer, type Tenancy } from "#machines/rules/tenancy.ts";
import { imagePolicy, type ImagePolicySpec } from "#protocol/api/image-policy.ts";
import { imageRepository, type ImageRepositorySpec } from "#protocol/api/image-repository.ts";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { Election, ImageReference, Scan } from "#protocol/messages/image.ts";
import { markOf, type Artifact } from "#protocol/messages/source.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import { attribute } from "#protocol/trace/attributes.ts";
import type { Clouds } from "#services/clients/cloud/identity.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import { openRegistry, type RegistryAccess } from "#services/clients/registry/access.ts";
import type { TagList, Unchanged } from "#services/clients/registry/client.ts";
import type { Repository } from "#services/clients/registry/names.ts";
import { digestOfTag, listTags, readImage } from "#services/images/scan.ts";
import type { Jobs } from "#services/images/thread.ts";
import { Coalesced, nameOf } from "#services/sources/coalesced.ts";
import { Slots } from "#services/threads/slots.ts";
import { Threads } from "#services/threads/threads.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import type { Clock } from "#services/store/clock.ts";
import { changeOf, childOf } from "#services/telemetry/ids.ts";
import type { Spans } from "#services/telemetry/spans.ts";
import type { Awaiting } from "../awaiting.ts";
import { digestOf } from "../digest.ts";
import { declared, type RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { identityOf } from "./cloud-identity.ts";
import { shown, type Effects } from "./effects.ts";
import type { HubObjects } from "./hub-objects.ts";

export type ImagePorts = {
  hub: HubObjects;
  artifacts: Pick<ArtifactStore, "get" | "put" | "has" | "retain" | "remove">;
  held: Awaiting["held"];
  /** Undefined: there is no such namespace, or it may not be read. */
  namespaceLabels(namespace: string): Promise<Record<string, string> | undefined>;
  tenancy: Tenancy;
  spans: Pick<Spans, "recordSpan">;
  clock: Clock;
  /** Throws Fault LeaseLost when this worker may not act for the object now. */
  guard(key: ActorKey): void;
  /** Objects have no identity in a cloud when absent. */
  clouds?: Clouds | undefined;
  threads?: Threads<Jobs>;
};

/** How old an answer may be that another object was given. */
const keptMs = 30_000;
const keptCharacters = 16 * 2 ** 20;
/** For all patterns of one object: those that are taken need milliseconds for thousands of tags. */
const patternsMs = 20_000;
const mostThreads = 2;

export function imageEffects({ hub, artifacts, held, namespaceLabels, tenancy, spans, clock, guard, clouds, threads = imageThreads() }: ImagePorts): Effects {
  const lists = new Coalesced<TagList | Unchanged>({ keepMs: keptMs, maxSize: keptCharacters, sizeOf: ({ tags = [] }) => tags.reduce((sum, tag) => sum + tag.length + 8, 0) });
  const digests = new Coalesced<{ digest: string }>({ keepMs: keptMs, maxSize: 10_000, sizeOf: () => 1 });

  /** @param key of the ImageRepository: what its spec names is looked for in its namespace, whoever asks */
  const registryOf = ({ namespace, ...key }: ActorKey, spec: ImageRepositorySpec, repository: Repository, signal: AbortSignal) => {
    const access: RegistryAccess = {
      secret: (name) => hub.secret(namespace, name),
      pullSecrets: (account) => hub.pullSecrets(namespace, account),
      ...(clouds && { identity: (named) => identityOf(clouds, { ...key, namespace }, named, tenancy) }),
      signal,
    };
    // Unlike with an OCIRepository, in Flux too (image-reflector-controller internal/registry/options.go).
    return openRegistry(spec, repository, access, { providerFirst: true });
  };

  const places = new Slots(mostThreads);
  const ownPlaces = new LRUCache<string, Slots>({ max: 1_000 });

  /** One of a namespace at a time: whose patterns are slow waits for himself. */
  function inThread<Kind extends keyof Jobs>(kind: Kind, { key: { namespace }, signal }: EffectCall, job: Jobs[Kind]["job"], tooSlow: FaultCode): Promise<Jobs[Kind]["made"]> {
    const own = ownPlaces.get(namespace) ?? new Slots(1);
    ownPlaces.set(namespace, own);
    return own.run(signal, () => places.run(signal, async () => {
      const limit = AbortSignal.timeout(patternsMs);
      return threads.run(kind, job, AbortSignal.any([signal, limit])).catch((error: unknown) => {
        throw limit.aborted && !signal.aborted ? new Fault(tooSlow, job.shown, { detail: `the patterns took longer than ${patternsMs / 1000} s` }) : error;
      });
    }));
  }

  async function scan(call: EffectCall): Promise<{ scan: Scan; traceparent: string }> {
    const { key } = call;
    const { scan: before, traceparent, fresh, observedGeneration } = call.context as unknown as ImageContext;
    const { spec, metadata } = imageRepository.parse(declared(await hub.need(key)));
    const repository = readImage(spec.image);
    const image = `${repository.host}/${repository.path}`;
    const isKept = before !== null && before.image === image && hasTheSame(before.exclusionList, spec.exclusionList) && (await artifacts.has(before.artifact.path, before.artifact.digest));
    // Spelt otherwise the image has another name, though its tags be the same.
    const known = isKept && observedGeneration === metadata.generation ? before.etag : undefined;
    const { tags, etag } = await within(call, repository.shown, async (signal) => {
      const { registry, access } = await registryOf(key, spec, repository, signal);
      const maxAgeMs = fresh === false ? agedMs(call) : 0;
      return lists.ask(nameOf(access, known ?? null), { signal, maxAgeMs }, (shared) => listTags(registry, known, shared)) as Promise<Partial<TagList>>;
    });
    const scannedAt = timestamp(clock.nowMs());
    if (tags === undefined && isKept) return { scan: { ...before, scannedAt }, traceparent };

    const { kept, ...summary } = await inThread("keep", call, { image: spec.image, tags: tags ?? [], exclusionList: spec.exclusionList, shown: shown("ImageRepository", key) }, "ImageTagsUnread");
    const digest = digestOf(kept);
    const found = { image, exclusionList: spec.exclusionList, ...summary, scannedAt, etag };
    if (isKept && before.artifact.digest === digest) return { scan: { ...found, artifact: before.artifact }, traceparent };
    const artifact = await keep(call, before?.artifact, { revision: summary.revision, digest, sizeBytes: kept.byteLength, storedAt: scannedAt }, kept);
    const [latest = "none"] = summary.latestTags;
    return { scan: { ...found, artifact }, traceparent: traceOf(call, repository, digest, `${summary.tagCount} tags, the last one by name is ${latest}`) };
  }

  async function keep({ key }: EffectCall, before: Artifact | undefined, made: Omit<Artifact, "path">, bytes: Uint8Array): Promise<Artifact> {
    const folder = folderOf(key);
    const artifact = { ...made, path: `${folder}/${made.digest.slice(made.digest.indexOf(":") + 1)}.json.gz` };
    await artifacts.put(artifact.path, bytes);
    // The ones before stay for policies that are still reading them.
    await artifacts.retain(folder, [artifact.path, ...(before ? [before.path] : [])], () => guard(key));
    return artifact;
  }

  /** The trace of what was found begins with the question. @returns its root, for what comes of it */
  function traceOf({ key, run }: EffectCall, { shown: url }: Repository, digest: string, subject: string): string {
    const change = changeOf({ url, commit: digest.slice(digest.indexOf(":") + 1), committedAtMs: run.sinceMs, subject });
    spans.recordSpan({ ...change, endMs: clock.nowMs(), attributes: { ...change.attributes, [attribute.unit]: folderOf(key), [attribute.artifactDigest]: digest } });
    return change.traceparent;
  }

  async function elect(call: EffectCall): Promise<{ election: Election; traceparent: string }> {
    const { key, context } = call;
    const { election: before, traceparent } = context as unknown as ImageContext;
    const object = await hub.need(key);
    const { spec } = imagePolicy.parse(declared(object));
    const at = { kind: "imagerepository", namespace: spec.imageRepositoryRef.namespace || key.namespace, name: spec.imageRepositoryRef.name };
    const repositorySpec = await referred(key, at);
    const repository = readImage(repositorySpec.image);
    const found = await held(at);
    if (typeof found === "string") throw new Fault("ImageTagsMissing", shown("ImageRepository", at), { detail: "no tags in database" });
    const { path, digest: storedDigest } = found.artifact;
    const job = { kept: await artifacts.get(path, { digest: storedDigest }), spec, shown: shown("ImagePolicy", key) };
    const { image: name, tag } = await inThread("elect", call, job, "ImageTagsUnfit");

    const previous = before ? { latest: before.latest, previous: before.previous } : saidBefore(object);
    const digest = await reflected(call, spec, { name, tag }, previous.latest, at, repositorySpec, repository);
    const latest: ImageReference = { name, tag, ...(digest && { digest }) };
    const madeOf = [markOf(found.artifact)];
    if (previous.latest && isSameImage(previous.latest, latest))
      return { election: { latest, madeOf, ...(previous.previous && { previous: previous.previous }) }, traceparent };
    // Another digest alone is no news of the repository's.
    const cause = previous.latest?.tag === tag && digest ? traceOf(call, repository, digest, `${tag} is another image`) : found.traceparent;
    const elected = childOf(cause, `elect ${folderOf(key)}`);
    spans.recordSpan({
      name: `elect ${tag}`, traceparent: elected, parent: cause, startMs: call.run.sinceMs, endMs: clock.nowMs(), attributes: { [attribute.unit]: folderOf(key) },
    });
    return { election: { latest, madeOf, ...(previous.latest && { previous: previous.latest }) }, traceparent: elected };
  }

  /** The repository, where the policy may refer to it (fluxcd/pkg runtime/acl). @throws Fault AccessDenied, ImageRepositoryMissing */
  async function referred(key: ActorKey, at: ActorKey): Promise<ImageRepositorySpec> {
    const subject = shown("ImageRepository", at);
    const denied = (detail: string) => new Fault("AccessDenied", shown("ImagePolicy", key), { detail });
    if (!mayRefer(key, at.namespace, tenancy)) throw denied(`cannot access '${subject}', cross-namespace references have been blocked`);
    const object = at.name === "" ? undefined : await hub.find(at);
    if (!object) throw new Fault("ImageRepositoryMissing", subject, { detail: "referenced ImageRepository does not exist" });
    const { spec } = imageRepository.parse(declared(object));
    if (at.namespace === key.namespace) return spec;
    if (!spec.accessFrom) throw denied(`'${at.namespace}/${at.name}' can't be accessed due to missing ACL labels on 'accessFrom'`);
    if (!allowsFrom(spec.accessFrom, await namespaceLabels(key.namespace)))
      throw denied(`'${at.namespace}/${at.name}' can't be accessed due to ACL labels mismatch on namespace '${key.namespace}'`);
    return spec;
  }

  async function reflected(
    call: EffectCall, { digestReflectionPolicy }: ImagePolicySpec, image: ImageReference, before: ImageReference | undefined, at: ActorKey, spec: ImageRepositorySpec, repository: Repository,
  ): Promise<string | undefined> {
    const wanted = digestToReflect(digestReflectionPolicy, image, before);
    if (wanted !== "ask") return wanted.digest;
    const { fresh } = call.context as unknown as ImageContext;
    const { digest } = await within(call, repository.shown, async (signal) => {
      const { registry, access } = await registryOf(at, spec, repository, signal);
      return digests.ask(nameOf(access, image.tag), { signal, maxAgeMs: fresh === false ? agedMs(call) : 0 }, async (shared) => ({ digest: await digestOfTag(registry, image.tag, shared) }));
    });
    return digest;
  }

  return {
    adopt: ({ key }) => hub.addFinalizer(key),
    look: (call) => (call.key.kind === "imagerepository" ? scan(call) : elect(call)),
    async remove({ key }) {
      await artifacts.remove(folderOf(key), () => guard(key));
      await hub.removeFinalizer(key);
      return null;
    },
  };
}

const imageThreads = (): Threads<Jobs> =>
  new Threads<Jobs>({ file: new URL("../../images/thread.ts", import.meta.url), name: "image tags", subjectOf: ({ shown: subject }) => subject, most: mostThreads });

const folderOf = ({ kind, namespace, name }: ActorKey): string => `${kind}/${namespace}/${name}`;

const timestamp = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** What has been asked at an interval may be as old as half of it. */
const agedMs = ({ context }: EffectCall): number => Math.min(((context["facts"] as { intervalMs?: number } | null)?.intervalMs ?? 0) / 2, keptMs);

/** @throws Fault TimedOut for the object's own timeout */
async function within<T>({ context, signal }: EffectCall, subject: string, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout((context["facts"] as { timeoutMs?: number } | null)?.timeoutMs ?? 60_000)]);
  return ask(limited).catch((error: unknown) => {
    throwIfAborted(limited, subject);
    throw error;
  });
}

const hasTheSame = (one: readonly string[], other: readonly string[]): boolean => one.length === other.length && one.every((each) => other.includes(each));

/** What the status says of an object that has no record yet: Flux was here before, and a tag that has moved since is no news. */
function saidBefore({ status }: RawObject): { latest?: ImageReference; previous?: ImageReference } {
  const { success, data } = imagePolicy.status.safeParse(status ?? {});
  if (!success) return {};
  const { latestRef: latest, observedPreviousRef: previous } = data;
  return { ...(latest && { latest }), ...(previous && { previous }) };
}
