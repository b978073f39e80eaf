/**
 * ExternalArtifact: what somebody else has published and written into the object's status. It is fetched once, compared
 * with its digest, and kept for its consumers as every other artifact is; what lies in our own store is used where it lies.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { z } from "zod";
import { artifact as artifactApi } from "#protocol/api/artifact.ts";
import type { externalArtifact as api } from "#protocol/api/external-artifact.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { ask } from "#services/clients/http/ask.ts";
import { defineSource, type FetchedSource, type SourceCall, type SourceKind } from "#services/sources/define.ts";
import { originOf } from "#services/sources/oci/origin.ts";

type Spec = z.output<typeof api.spec>;
type Offered = z.output<typeof artifactApi>;

/** What a renderer unpacks at most is more than this when packed. */
const mostBytes = 128 * 2 ** 20;
const longestMetadata = 128 * 1024;
const peer = { identity: "external artifacts" }; // nobody shows credentials

export const createExternalArtifact = ({ maxBytes = mostBytes }: { maxBytes?: number } = {}): SourceKind<Spec> =>
  defineSource<Spec>({
    kind: "ExternalArtifact",

    resolve: async (call) => offeredOf(call).revision,

    async fetch(call): Promise<FetchedSource> {
      const { url, revision, digest, metadata, lastUpdateTime, path, size } = offeredOf(call);
      const { namespace, name } = call.key;
      const shown = `ExternalArtifact/${namespace}/${name}`;
      if (JSON.stringify(metadata ?? {}).length > longestMetadata) throw new Fault("SourceTooLarge", shown, { detail: `the artifact's metadata is longer than ${longestMetadata} bytes` });
      // What is made here of the same namespace's sources needs no way through the network.
      const isOurs = path.startsWith(`artifactgenerator/${namespace}/`) && digest.startsWith("sha256:") && (await call.isStored?.(path, digest));
      const archive = isOurs ? new Uint8Array() : await download(url, digest, shown, maxBytes, call.signal);
      const origin = originOf(metadata ?? {}, { url: `externalartifact/${namespace}/${name}`, digest });
      return {
        revision,
        archive,
        ...(isOurs && { lies: { path, digest, sizeBytes: size ?? 0 } }),
        file: `${digest.slice(digest.indexOf(":") + 1)}.tar.gz`,
        subject: revision,
        ...(metadata && Object.keys(metadata).length > 0 && { metadata }),
        committedAtMs: Math.min(Date.now(), Date.parse(lastUpdateTime) || Date.now()),
        change: origin.change,
      };
    },
  });

export const externalArtifact = createExternalArtifact();

/** As the producer wrote it. @throws Fault ArtifactMissing */
function offeredOf({ offered, key }: SourceCall<Spec>): Offered {
  const { success, data } = artifactApi.safeParse(offered);
  if (!success) throw new Fault("ArtifactMissing", `ExternalArtifact/${key.namespace}/${key.name}`);
  return data;
}

async function download(url: string, digest: string, shown: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const [, algorithm = "", wanted = ""] = /^(sha256|sha384|sha512):([0-9a-f]+)$/.exec(digest) ?? [];
  if (!algorithm) throw new Fault("DigestMismatch", shown, { detail: "its digest is none of sha256, sha384 and sha512" });
  const { protocol } = URL.canParse(url) ? new URL(url) : { protocol: "" };
  if (protocol !== "http:" && protocol !== "https:") throw new Fault("UpstreamUnreachable", shown, { detail: "its URL is neither http:// nor https://" });
  const { status, body } = await ask({ url }, { peer, shown }, maxBytes, signal);
  if (status === 404) throw new Fault("ReferenceMissing", shown, { detail: "HTTP 404: its producer does not serve it" });
  if (status !== 200) throw new Fault("UpstreamUnreachable", shown, { detail: `HTTP ${status}` });
  const [found, named] = [createHash(algorithm).update(body).digest(), Buffer.from(wanted, "hex")];
  if (found.length !== named.length || !timingSafeEqual(found, named)) throw new Fault("DigestMismatch", shown, { detail: `what its URL gives is not ${digest}` });
  return body;
}
