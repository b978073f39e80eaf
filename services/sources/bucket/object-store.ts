/** What the providers have in common: objects under keys, listed in pages and read one by one. */
import { createHash } from "node:crypto";

export type StoredObject = {
  key: string;
  /** Names the contents, as the provider writes it. */
  etag: string;
  sizeBytes: number;
  changedAtMs: number;
  /** What the provider calls this state of the object, where that is not the etag. */
  version?: string;
};

export type Page = { objects: StoredObject[]; /** Asks for the next one. */ next?: string };

export type ObjectStore = {
  /** The bucket, for messages. */
  shown: string;
  /** @throws Fault BucketMissing, AuthenticationFailed, UpstreamUnreachable, TimedOut */
  list(prefix: string, after: string | undefined, signal: AbortSignal): Promise<Page>;
  /**
   * The object in the state of the listing, or in any where no etag is given; undefined when it is gone or another. A
   * server that knows no conditions may answer with another: `etag` says so.
   */
  read(object: { key: string; etag?: string; version?: string }, maxBytes: number, signal: AbortSignal): Promise<{ bytes: Buffer; etag: string } | undefined>;
};

/**
 * sha256 of the "key etag" lines, as in Flux (source-controller internal/index/digest.go). Keys are ordered as bytes, as
 * Go does: JavaScript's `<` compares UTF-16 units and would differ beyond U+FFFF.
 */
export function indexDigest(objects: Pick<StoredObject, "key" | "etag">[]): string {
  const hash = createHash("sha256");
  for (const { key, etag } of [...objects].sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))) hash.update(`${key} ${etag}\n`);
  return `sha256:${hash.digest("hex")}`;
}
