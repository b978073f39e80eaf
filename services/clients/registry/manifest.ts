/** Manifests and indexes, as far as clients need them. */
import * as z from "zod";
import { isDigest } from "./names.ts";

export const mediaTypes = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
} as const;

const most = 1_000; // layers or manifests: bounds what a hostile answer makes grow

const descriptor = z.object({
  mediaType: z.string().max(255).default(""),
  digest: z.string().refine(isDigest, "is no digest of sha256 or sha512"),
  size: z.int().min(0),
  annotations: z.record(z.string(), z.string()).nullish(),
  artifactType: z.string().max(255).optional(),
});
export type Descriptor = z.output<typeof descriptor>;

const manifest = z.object({
  mediaType: z.string().max(255).default(""),
  artifactType: z.string().max(255).optional(),
  config: descriptor,
  layers: z.array(descriptor).max(most).default([]),
  annotations: z.record(z.string(), z.string()).nullish(),
  subject: descriptor.nullish(),
});
export type Manifest = z.output<typeof manifest>;

const index = z.object({
  mediaType: z.string().max(255).default(""),
  manifests: z
    .array(descriptor.extend({ platform: z.object({ os: z.string().default(""), architecture: z.string().default("") }).nullish() }))
    .max(most),
});
export type Index = z.output<typeof index>;

/** @throws RangeError when it is neither a manifest nor an index */
export function readManifest(bytes: Uint8Array, contentType: string): { manifest: Manifest } | { index: Index } {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    throw new RangeError("the manifest is no JSON");
  }
  const said = (value as { mediaType?: unknown } | null)?.mediaType;
  const type = typeof said === "string" && said !== "" ? said : contentType;
  const isIndex = type === mediaTypes.index || type === mediaTypes.dockerIndex || (Object.hasOwn(Object(value), "manifests") && !Object.hasOwn(Object(value), "layers"));
  const read = isIndex ? index.safeParse(value) : manifest.safeParse(value);
  if (!read.success) throw new RangeError(`the manifest cannot be read: ${read.error.issues[0]?.path.join(".")}`);
  return isIndex ? { index: read.data as Index } : { manifest: read.data as Manifest };
}
