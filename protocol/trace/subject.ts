/** Subjects of the index in the trace stream: which traces a commit or a unit occurs in. */
import { escapeToken, parseActorId } from "#protocol/names/actor.ts";

// NATS finds whole tokens only; with the first four digits as a token of their own, a short sha is found as well.
const bucketDigits = 4;

export const traceIndex = {
  every: "tri.>",
  commit: (commit: string, traceId: string) =>
    `tri.c.${commit.slice(0, bucketDigits)}.${commit.slice(bucketDigits)}.${traceId}`,
  /** Matches every commit that shares the first digits. @throws RangeError for fewer than 4 hex digits */
  commitsLike(prefix: string): string {
    if (!isCommitPrefix(prefix)) throw new RangeError(`not a commit: ${prefix}`);
    return `tri.c.${prefix.slice(0, bucketDigits)}.*.*`;
  },
  /** @throws RangeError when it is not `kind/namespace/name` */
  unit(id: string): string {
    const { kind, namespace, name } = parseActorId(id);
    const tokens = [kind, escapeToken(namespace), escapeToken(name)];
    if (!tokens.every((token) => /^[a-z0-9_-]+$/.test(token))) throw new RangeError(`not an actor: ${id}`);
    return `tri.u.${tokens.join(".")}`;
  },
  /** Every change, in the order it was seen. */
  changes: "tri.changes",
};

/** 4 to 64 lower-case hex digits: as short as Git itself accepts, as long as SHA-256. */
export const isCommitPrefix = (text: string): boolean => /^[0-9a-f]{4,64}$/.test(text);

/** A whole commit id, SHA-1 or SHA-256. */
export const isCommit = (text: string): boolean => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
