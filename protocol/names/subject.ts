/** Every subject of the cell's stream. A partition comes first, so that `fl.<p>.>` is all of it. */
import { escapeToken, partitionCount, partitionOf, unescapeToken, type ActorKey } from "./actor.ts";

/** One hint of each kind may be pending per actor: a newer one replaces it. */
export const hintKinds = ["object", "look", "artifact", "health", "drift", "dependency"] as const;
export type HintKind = (typeof hintKinds)[number];

export const stream = {
  /** Owner records, snapshots and mailboxes of a cell; at most one message per subject. */
  cell: (cell: string) => `FL_${cell}`,
  /** Finished spans of the last week. */
  traces: "FL_TRACES",
  /** Artifacts, by their storage path. */
  artifactBucket: "fl-artifacts",
};

/** Where the server repeats what it stored, for whoever listens (a core subscription, not a consumer). */
export const republishPrefix = "fll";

export const subject = {
  every: "fl.>",
  config: "fl.ctl.cfg",
  member: (worker: string) => `fl.ctl.member.${worker}`,
  everyMember: "fl.ctl.member.*",
  own: (partition: number) => `fl.${partition}.own`,
  everyOwn: "fl.*.own",
  snapshot: (key: ActorKey) => `fl.${partitionOf(key)}.snap.${tail(key)}`,
  everySnapshot: "fl.*.snap.>",
  mailbox: (key: ActorKey, hint: HintKind) => `fl.${partitionOf(key)}.mbx.${tail(key)}.${hint}`,
  everyMailbox: "fl.*.mbx.>",
  /** The republished copy of every mailbox. */
  everyMailboxLive: `${republishPrefix}.*.mbx.>`,
  /** Spans of one trace: `tr.<32 hex>`. */
  trace: (traceId: string) => `tr.${traceId}`,
  everyTrace: "tr.*",
};

export const isSnapshot = (text: string): boolean => text.split(".", 3)[2] === "snap";

/** @throws RangeError when the subject is not a snapshot's */
export function parseSnapshot(text: string): ActorKey {
  const [head, partition, area, kind, namespace, name, ...more] = text.split(".");
  if (head === "fl" && area === "snap" && kind && namespace && name && more.length === 0)
    return checked({ kind, namespace: unescapeToken(namespace), name: unescapeToken(name) }, partition, text);
  throw new RangeError(`not a snapshot subject: ${text}`);
}

/** Reads stored (`fl.`) and republished (`fll.`) mailboxes alike. @throws RangeError when it is neither */
export function parseMailbox(text: string): { key: ActorKey; hint: HintKind } {
  const [head, partition, area, kind, namespace, name, hint, ...more] = text.split(".");
  if ((head === "fl" || head === republishPrefix) && area === "mbx" && kind && namespace && name && isHint(hint) && more.length === 0)
    return { key: checked({ kind, namespace: unescapeToken(namespace), name: unescapeToken(name) }, partition, text), hint };
  throw new RangeError(`not a mailbox subject: ${text}`);
}

/** @throws RangeError when it is not `fl.<p>.own` */
export function parseOwn(text: string): number {
  const [head, partition, area, ...more] = text.split(".");
  const number = Number(partition);
  if (head === "fl" && area === "own" && more.length === 0 && Number.isInteger(number) && number >= 0 && number < partitionCount) return number;
  throw new RangeError(`not an owner subject: ${text}`);
}

const tail = ({ kind, namespace, name }: ActorKey) => `${kind}.${escapeToken(namespace)}.${escapeToken(name)}`;

const isHint = (text: string | undefined): text is HintKind => (hintKinds as readonly (string | undefined)[]).includes(text);

// A message in the wrong partition would be written under the wrong owner's fence.
function checked(key: ActorKey, partition: string | undefined, text: string): ActorKey {
  if (String(partitionOf(key)) !== partition) throw new RangeError(`wrong partition: ${text}`);
  return key;
}
