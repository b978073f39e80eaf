/** Finds the signatures of an artifact: bundles and envelopes among its referrers, and the manifest under cosign's tag. */
import { bundleFromJSON, type Bundle } from "@sigstore/bundle";
import * as z from "zod";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { RegistryClient } from "../client.ts";
import type { Signed } from "./signed.ts";

/** Whoever signs oftener has another purpose. */
const most = 64;
const maxBytes = 2 ** 20;

const bundleType = "application/vnd.dev.sigstore.bundle";
const payloadType = "application/vnd.dev.cosign.simplesigning.v1+json";
const notationType = "application/vnd.cncf.notary.signature";
const annotations = { signature: "dev.cosignproject.cosign/signature", certificate: "dev.sigstore.cosign/certificate", log: "dev.sigstore.cosign/bundle" };

/** cosign 3: `cosign sign`. What else is attested of an artifact is no signature of it. */
export async function* bundlesOf(registry: RegistryClient, digest: string, signal: AbortSignal): AsyncGenerator<Signed> {
  const referrers = await registry.referrers(digest, signal);
  const found = referrers.filter(({ artifactType }) => artifactType === undefined || artifactType.startsWith(bundleType));
  for (const referrer of found.slice(0, most)) {
    const named = await readable(registry.manifest(referrer.digest, signal));
    const layer = named && "manifest" in named ? named.manifest.layers.find(({ mediaType }) => mediaType.startsWith(bundleType)) : undefined;
    const bytes = layer && (await readable(registry.blob(layer, maxBytes, signal)));
    const bundle = bytes && readBundle(bytes);
    if (bundle && isAbout(bundle, digest)) yield { kind: "bundle", bundle };
  }
}

/** A signature of notation as it lies there: JWS or COSE. */
export type Envelope = { mediaType: string; blob: Buffer };

/** `notation sign`: each referrer of its type has one envelope. Undefined for one that cannot be read. */
export async function* envelopesOf(registry: RegistryClient, digest: string, signal: AbortSignal): AsyncGenerator<Envelope | undefined> {
  const found = (await registry.referrers(digest, signal)).filter(({ artifactType }) => artifactType === undefined || artifactType === notationType);
  for (const referrer of found.slice(0, most)) {
    const named = await readable(registry.manifest(referrer.digest, signal));
    const manifest = named && "manifest" in named ? named.manifest : undefined;
    const isSignature = (manifest?.artifactType ?? manifest?.config.mediaType) === notationType;
    if (!isSignature && referrer.artifactType === undefined) continue;
    const [layer, ...others] = manifest?.layers ?? [];
    const blob = isSignature && layer && others.length === 0 ? await readable(registry.blob(layer, maxBytes, signal)) : undefined;
    yield blob && layer && { mediaType: layer.mediaType, blob };
  }
}

/** cosign 1 and 2: every layer of the manifest under `sha256-<hex>.sig` is a payload that names what it is about. */
export async function* signaturesOf(registry: RegistryClient, digest: string, signal: AbortSignal): AsyncGenerator<Signed> {
  const found = await registry.find(`${digest.replace(":", "-")}.sig`, signal);
  if (!found || !("manifest" in found)) return;
  for (const layer of found.manifest.layers.filter(({ mediaType }) => mediaType === payloadType).slice(0, most)) {
    const signature = layer.annotations?.[annotations.signature];
    if (!signature) continue;
    const payload = await registry.blob(layer, maxBytes, signal);
    if (digestIn(payload) !== digest) continue;
    const certificate = layer.annotations?.[annotations.certificate];
    const log = readLog(layer.annotations?.[annotations.log]);
    yield { kind: "payload", payload, signature: Buffer.from(signature, "base64"), ...(certificate && { certificate }), ...(log && { log }) };
  }
}

/** What lies beside an artifact may be anybody's: what is missing, too large, or not what it says to be, is passed over. */
async function readable<T>(reading: Promise<T>): Promise<T | undefined> {
  return reading.catch((error: unknown) => {
    if (error instanceof Fault && passedOver.has(error.code)) return undefined;
    throw error;
  });
}

const passedOver = new Set<FaultCode>(["ReferenceMissing", "LayerInvalid", "SourceTooLarge", "DigestMismatch"]);

/** Undefined for what is none: somebody else's may lie beside ours. */
function readBundle(bytes: Buffer): Bundle | undefined {
  try {
    return bundleFromJSON(JSON.parse(bytes.toString()));
  } catch (error) {
    if (error instanceof Fault) throw error;
    return undefined;
  }
}

const statement = z.object({
  _type: z.string().startsWith("https://in-toto.io/Statement/"),
  predicateType: z.literal("https://sigstore.dev/cosign/sign/v1"),
  subject: z.array(z.object({ digest: z.record(z.string(), z.string()) })),
});

function isAbout({ content }: Bundle, digest: string): boolean {
  if (content.$case !== "dsseEnvelope" || content.dsseEnvelope.payloadType !== "application/vnd.in-toto+json") return false;
  const [algorithm = "", hex = ""] = digest.split(":");
  const { success, data } = statement.safeParse(jsonOf(content.dsseEnvelope.payload));
  return success && data.subject.some((subject) => Object.hasOwn(subject.digest, algorithm) && subject.digest[algorithm] === hex);
}

const simpleSigning = z.object({ critical: z.object({ type: z.string(), image: z.object({ "docker-manifest-digest": z.string() }) }) });

const digestIn = (payload: Buffer): string | undefined => simpleSigning.safeParse(jsonOf(payload)).data?.critical.image["docker-manifest-digest"];

const logEntry = z.object({
  SignedEntryTimestamp: z.string(),
  Payload: z.object({ body: z.string(), integratedTime: z.int(), logIndex: z.int(), logID: z.string() }),
});

const readLog = (text: string | undefined) => (text ? logEntry.safeParse(jsonOf(Buffer.from(text))).data : undefined);

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}
