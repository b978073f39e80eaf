/** Trace and span ids that every worker and cluster derives alike: one change is one trace with no coordination. */
import { createHash, randomBytes } from "node:crypto";
import { attribute, syncAction, type Attributes } from "#protocol/trace/attributes.ts";
import { canonicalUrl, formatTraceparent, parseTraceparent, type Traceparent } from "#protocol/trace/context.ts";

export type ChangeInput = {
  url: string;
  commit: string;
  /** When the change was made or pushed: the trace starts here. */
  committedAtMs: number;
  /** From a trailer or a webhook; continued when valid. A trailer goes first: every cluster can see it. */
  traceparent?: string | undefined;
  branch?: string | undefined;
  /** First line of the commit message. */
  subject?: string | undefined;
};

/** The root span of a change; give it to `recordSpan` with an end, once, when its artifact is stored. */
export type Change = {
  name: string;
  /** The root span's own context: parent of everything the change causes. */
  traceparent: Traceparent;
  /** Set when an outside trace is continued. */
  parent?: Traceparent;
  kind: "server";
  startMs: number;
  attributes: Attributes;
};

export function changeOf({ url, commit, committedAtMs, traceparent, branch, subject }: ChangeInput): Change {
  const outside = parseTraceparent(traceparent);
  const identity = `${canonicalUrl(url)}\n${commit}`;
  const traceId = outside?.traceId ?? nonZero(digest(identity).subarray(0, 16));
  const spanId = nonZero(digest(`${identity}\nroot`).subarray(0, 8));
  return {
    name: `${syncAction} ${repositoryName(url)}@${commit.slice(0, 7)}`,
    // Always sampled: an outside "not sampled" is about somebody else's costs and would hide the change here.
    traceparent: formatTraceparent({ traceId, spanId, sampled: true }),
    ...(outside && { parent: formatTraceparent({ ...outside, sampled: true }) }),
    kind: "server",
    startMs: committedAtMs,
    attributes: {
      [attribute.action]: syncAction,
      [attribute.repositoryUrl]: canonicalUrl(url),
      [attribute.repositoryName]: repositoryName(url),
      [attribute.revision]: commit,
      ...(branch && { [attribute.refName]: branch, [attribute.refType]: "branch" }),
      ...(subject && { [attribute.changeTitle]: subject }),
    },
  };
}

/** The context of a child that any process derives alike: after a crash the same work is the same span. */
export function childOf(parent: Traceparent, label: string): Traceparent {
  const ref = parseTraceparent(parent);
  if (!ref) return freshTraceparent();
  return formatTraceparent({ ...ref, spanId: nonZero(digest(`${ref.traceId}${ref.spanId}\n${label}`).subarray(0, 8)) });
}

/** A trace of its own: work that no change caused, such as the correction of a drift. */
export const freshTraceparent = (): Traceparent =>
  formatTraceparent({ traceId: nonZero(randomBytes(16)), spanId: freshSpanId(), sampled: true });

export const freshSpanId = (): string => nonZero(randomBytes(8));

/** Last part of the path, without `.git`. */
const repositoryName = (url: string) => canonicalUrl(url).split("/").at(-1) || "repository";

const digest = (text: string) => createHash("sha256").update(text).digest();

// An id of zeros is invalid by the W3C recommendation; it occurs once in 2^64 at most, but must not break anything.
function nonZero(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return /^0+$/.test(hex) ? `${hex.slice(0, -1)}1` : hex;
}
