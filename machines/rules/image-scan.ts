/** What the objects of image automation say, and when a digest is asked for (flux.md 3.1, 3.2; image-reflector-controller internal/controller). */
import type { ImageReference } from "#protocol/messages/image.ts";

/** What Ready says of an ImageRepository. */
export const foundMessage = ({ tagCount, revision }: { tagCount: number; revision: string }): string =>
  `successful scan: found ${tagCount} tags with checksum ${revision}`;

export const isSameImage = (one: ImageReference, other: ImageReference): boolean =>
  one.name === other.name && one.tag === other.tag && (one.digest ?? "") === (other.digest ?? "");

/** What Ready says of an ImagePolicy. @param previous the one that was the latest before, where there was one */
export function electedMessage({ name, tag, digest }: ImageReference, previous?: ImageReference): string {
  const elected = `Latest image tag for ${name} resolved to ${tag}${digest ? ` with digest ${digest}` : ""}`;
  if (!previous || isSameImage({ name, tag, digest }, previous)) return elected;
  return `${elected} (previously ${previous.name}:${previous.tag}${previous.digest ? `@${previous.digest}` : ""})`;
}

/**
 * Whether the registry is to be asked for the digest of the elected tag; else the digest that is kept, if there is to be any.
 *
 * @param wanted the elected image, without a digest
 * @param held what was elected before
 */
export function digestOf(policy: "Always" | "IfNotPresent" | "Never", wanted: ImageReference, held: ImageReference | undefined): "ask" | { digest?: string } {
  if (policy === "Never") return {};
  const isKnown = held?.digest && held.name === wanted.name && held.tag === wanted.tag;
  return policy === "IfNotPresent" && isKnown && held.digest ? { digest: held.digest } : "ask";
}
