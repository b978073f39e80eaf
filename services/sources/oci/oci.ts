/** OCIRepository: an artifact of an OCI registry as a source. The chart is machines/source; these two effects are its own. */
import { Fault } from "#protocol/errors/fault.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import { openRegistry } from "#services/clients/registry/access.ts";
import type { RegistryClient } from "#services/clients/registry/client.ts";
import type { Descriptor, Manifest } from "#services/clients/registry/manifest.ts";
import type { Verification } from "#services/clients/registry/verify/verify.ts";
import { Coalesced, nameOf } from "#services/sources/coalesced.ts";
import { defineSource, type SourceCall, type SourceKind } from "#services/sources/define.ts";
import { Slots } from "#services/threads/slots.ts";
import { Threads } from "#services/threads/threads.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { originOf } from "./origin.ts";
import { formatRevision, highestTag, parseRevision, readAddress, readReference, type OciSpec } from "./reference.ts";
import type { Jobs } from "./thread.ts";

/** Layers up to this size are fetched as they come; larger ones wait for their turn: they lie in memory meanwhile. */
const smallBytes = 4 * 2 ** 20;
const largeAtATime = 3;

export const createOciRepository = ({
  limits = defaultLimits,
  threads = ociThreads(),
}: { limits?: Limits; threads?: Threads<Jobs> } = {}): SourceKind<OciSpec> => {
  const large = new Slots(largeAtATime);
  const polls = new Coalesced<{ revision: string }>({ keepMs: pollMs, maxSize: 10_000, sizeOf: () => 1 });
  const pulls = new Coalesced<Pulled>({ keepMs: pullMs, maxSize: keptBytes, sizeOf: ({ archive }) => archive.byteLength });

  /** What is newest, for all who may ask for it. */
  async function newest(registry: RegistryClient, reference: Followed, mediaType: string | undefined, signal: AbortSignal): Promise<{ revision: string }> {
    if (reference.kind === "tag") return { revision: formatRevision(await registry.digestOf(reference.tag, signal), reference.tag) };
    const tag = highestTag(await registry.tags(signal), reference, mediaType);
    if (!tag) throw new Fault("ReferenceMissing", registry.shown, { detail: `no tag is within ${JSON.stringify(reference.text)}` });
    return { revision: formatRevision(await registry.digestOf(tag, signal), tag) };
  }

  async function pull(registry: RegistryClient, digest: string, spec: OciSpec, signal: AbortSignal): Promise<Pulled> {
    const { shown } = registry;
    const { manifest } = await registry.image(digest, signal);
    const annotations = manifest.annotations ?? {};
    if (JSON.stringify(annotations).length > limits.annotationBytes)
      throw new Fault("SourceTooLarge", shown, { detail: `the manifest's annotations are longer than ${limits.annotationBytes} bytes` });
    const chosen = layerOf(manifest, spec, shown);
    const fetching = async () => {
      const layer = await registry.blob(chosen, limits.layerBytes, signal);
      if (spec.layerSelector?.operation === "copy") return new Uint8Array(layer.buffer, layer.byteOffset, layer.length);
      const { ignore } = spec;
      return threads.run("repack", { layer, limits, shown, ...(ignore !== undefined && { ignore }) }, signal);
    };
    return { annotations, archive: await (chosen.size > smallBytes ? large.run(signal, fetching) : fetching()) };
  }

  return defineSource<OciSpec>({
    kind: "OCIRepository",

    /** Asks what the tag means now; a digest that is named in the spec needs no asking. */
    async resolve(call) {
      const repository = readAddress(call.spec);
      const reference = readReference(call.spec, repository.shown);
      if (reference.kind === "digest") return formatRevision(reference.digest);
      const { registry, access } = await openRegistry(call.spec, repository, call);
      const mediaType = call.spec.layerSelector?.mediaType;
      const { revision } = await polls
        .ask(nameOf(access, call.spec.ref ?? {}, mediaType ?? null), { signal: call.signal, maxAgeMs: call.maxAgeMs ?? 0 }, (signal) => newest(registry, reference, mediaType, signal))
        .catch(orTimedOut(call, repository.shown));
      return revision;
    },

    async fetch(call) {
      const { spec, signal, revision } = call;
      const repository = readAddress(spec);
      const { shown } = repository;
      const { digest, tag } = parseRevision(revision);
      const { registry, access } = await openRegistry(call.spec, repository, call);
      // By whom it has to be signed is each one's own affair: nobody gets by another's keys what its own do not vouch for.
      const verdict = spec.verify && (await verified(registry, digest, spec.verify, call));
      const { annotations, archive } = await pulls
        .ask(nameOf(access, digest, spec.ignore ?? null, spec.layerSelector ?? {}), { signal, maxAgeMs: Infinity }, (shared) => pull(registry, digest, spec, shared))
        .catch(orTimedOut(call, shown));
      const origin = originOf(annotations, { url: shown, digest, ...(tag && { tag }) });
      return {
        revision,
        archive,
        file: `${digest}.tar.gz`,
        subject: origin.subject,
        ...(verdict === "verified" && { verified: `verified signature of revision ${revision}` }),
        told: toldOf(spec.url, revision, annotations),
        ...(Object.keys(annotations).length > 0 && { metadata: annotations }),
        observed: { observedIgnore: spec.ignore ?? null, observedLayerSelector: spec.layerSelector ?? null },
        committedAtMs: origin.madeAtMs,
        change: origin.change,
      };
    },
  });
};

/** Longer than what any caller takes for new. */
const pollMs = 60_000;
/** Sources that are woken by one push ask within moments. */
const pullMs = 60_000;
const keptBytes = 64 * 1024 * 1024;

type Pulled = { annotations: Record<string, string>; archive: Uint8Array };
type Followed = Exclude<ReturnType<typeof readReference>, { kind: "digest" }>;

/** @throws Fault TimedOut for the object's own timeout, else what was thrown */
const orTimedOut = ({ signal }: SourceCall<OciSpec>, shown: string) => (error: unknown): never => {
  throwIfAborted(signal, shown);
  throw error;
};

export const ociRepository = createOciRepository();

/** @param most at a time */
export function ociThreads(most?: number): Threads<Jobs> {
  return new Threads<Jobs>({
    file: new URL("./thread.ts", import.meta.url),
    name: "oci archive",
    subjectOf: ({ shown }) => shown,
    ...(most !== undefined && { most }),
  });
}

/** The first layer of the wanted type; the first of all when none is wanted. @throws Fault LayerInvalid */
function layerOf({ layers }: Manifest, { layerSelector }: OciSpec, shown: string): Descriptor {
  const type = layerSelector?.mediaType;
  const found = type ? layers.find(({ mediaType }) => mediaType === type) : layers[0];
  if (!found) throw new Fault("LayerInvalid", shown, { detail: type ? `the artifact has no layer of type ${JSON.stringify(type)}` : "the artifact has no layers" });
  return found;
}

/** @throws Fault VerificationFailed */
async function verified(registry: RegistryClient, digest: string, wanted: Verification, { key, secret, notation, signal }: SourceCall<OciSpec>) {
  const { verify } = await import("#services/clients/registry/verify/verify.ts");
  return verify(registry, digest, wanted, { secret, notation, tenant: key.namespace, signal });
}

/** As Flux tells it (source-controller, ocirepository_controller.go). */
function toldOf(url: string, revision: string, annotations: Record<string, string>): string {
  const [source, from] = [annotations["org.opencontainers.image.source"], annotations["org.opencontainers.image.revision"]];
  const origin = source && from ? `, origin source '${source}', origin revision '${from}'` : "";
  return `stored artifact with revision '${revision}' from '${url}'${origin}`;
}
