/** Every subject of the cell's stream. A partition comes first, so that `fl.<p>.>` is all of it. */
import { escapeToken, mostPartitions, partitionOf, shardOfPartition, unescapeToken, type ActorKey } from "./actor.ts";

/** One hint of each kind may be pending per actor: a newer one replaces it. */
export const hintKinds = ["object", "look", "artifact", "health", "drift", "dependency", "moved", "leave", "news"] as const;
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
  /** Names the worker that coordinates. */
  coordinator: "fl.ctl.coord",
  /** Where artifacts are served: the same for all workers. */
  gateway: "fl.ctl.gateway",
  /** What each partition of a worker costs. */
  load: (worker: string) => `fl.ctl.load.${worker}`,
  everyLoad: "fl.ctl.load.*",
  own: (partition: number) => `fl.${partition}.own`,
  everyOwn: "fl.*.own",
  /** To whom the coordinator wants a partition handed over; absent: it stays. */
  want: (partition: number) => `fl.${partition}.want`,
  everyWant: "fl.*.want",
  everyWantLive: `${republishPrefix}.*.want`,
  everyOwnLive: `${republishPrefix}.*.own`,
  /** Members, coordinator, loads and what else concerns the cell as a whole. */
  everyControl: "fl.ctl.>",
  everyControlLive: `${republishPrefix}.ctl.>`,
  /** Everything of a partition. */
  partition: (partition: number) => `fl.${partition}.>`,
  /** That `waiter` waits for `awaited`; it lies with the awaited at home, so that the owner there knows whom to wake, and names no place. */
  dependent: (awaited: ActorKey, waiter: ActorKey) => `fl.${partitionOf(awaited)}.dep.${tail(awaited)}.${tail(waiter)}`,
  everyDependent: "fl.*.dep.>",
  everyDependentLive: `${republishPrefix}.*.dep.>`,
  snapshot: (key: ActorKey) => `fl.${partitionOf(key)}.snap.${tail(key)}`,
  everySnapshot: "fl.*.snap.>",
  /** In which shard an actor is that is not at home; it lies at home. */
  home: (key: ActorKey) => `fl.${partitionOf(key)}.home.${tail(key)}`,
  /** The keys that have a shard, in the order of their numbers. */
  shards: "fl.ctl.shards",
  mailbox: (key: ActorKey, hint: HintKind) => `fl.${partitionOf(key)}.mbx.${tail(key)}.${hint}`,
  everyMailbox: "fl.*.mbx.>",
  /** The republished copy of every mailbox. */
  everyMailboxLive: `${republishPrefix}.*.mbx.>`,
  /** Spans of one trace: `tr.<32 hex>`. */
  trace: (traceId: string) => `tr.${traceId}`,
  everyTrace: "tr.*",
};

/** What kind of thing a subject names: `own`, `want`, `snap`, `home`, `mbx`, `dep`. */
export const areaOf = (text: string): string => text.split(".", 3)[2] ?? "";

export const isSnapshot = (text: string): boolean => areaOf(text) === "snap";

/** The partition a subject lies in, stored (`fl.`) or republished (`fll.`); undefined for those of the cell as a whole. */
export function partitionOfSubject(text: string): number | undefined {
  const number = Number(text.split(".", 2)[1]);
  return Number.isInteger(number) && number >= 0 && number < mostPartitions ? number : undefined;
}

/**
 * Messages that nobody keeps, from worker to worker. A worker's name holds no dot.
 * Each conversation is described in protocol/messages.
 */
export const bus = {
  /** What is said to one worker: `fb.<worker>.<what>`. */
  to: (worker: string, what: BusWord) => `fb.${worker}.${what}`,
  /** What is asked of all. */
  all: (what: BusWord) => `fb.all.${what}`,
};

export type BusWord = "warm" | "drain" | "feed" | "feeding" | "pushed" | "depends" | "actors";

export type Dependent = { awaited: ActorKey; waiter: ActorKey };

/** @throws RangeError when the subject is not a dependent's */
export function parseDependent(text: string): Dependent {
  const [head, partition, area, kind, namespace, name, waiterKind, waiterNamespace, waiterName, ...more] = text.split(".");
  if ((head === "fl" || head === republishPrefix) && area === "dep" && kind && namespace && name && waiterKind && waiterNamespace && waiterName && more.length === 0)
    return {
      awaited: checked({ kind, namespace: unescapeToken(namespace), name: unescapeToken(name) }, partition, text),
      waiter: { kind: waiterKind, namespace: unescapeToken(waiterNamespace), name: unescapeToken(waiterName) },
    };
  throw new RangeError(`not a dependent's subject: ${text}`);
}

/** @throws RangeError when the subject is not a snapshot's */
export function parseSnapshot(text: string): ActorKey {
  const [head, partition, area, kind, namespace, name, ...more] = text.split(".");
  if (head === "fl" && area === "snap" && kind && namespace && name && more.length === 0)
    return checked({ kind, namespace: unescapeToken(namespace), name: unescapeToken(name) }, partition, text);
  throw new RangeError(`not a snapshot subject: ${text}`);
}

/** @throws RangeError when it is not `fl.<p>.home.…` */
export function parseHome(text: string): ActorKey {
  const [head, partition, area, kind, namespace, name, ...more] = text.split(".");
  if (head === "fl" && area === "home" && kind && namespace && name && more.length === 0)
    return checked({ kind, namespace: unescapeToken(namespace), name: unescapeToken(name) }, partition, text);
  throw new RangeError(`not a subject of home: ${text}`);
}

/** Reads stored (`fl.`) and republished (`fll.`) mailboxes alike. @throws RangeError when it is neither */
export function parseMailbox(text: string): { key: ActorKey; hint: HintKind } {
  const [head, partition, area, kind, namespace, name, hint, ...more] = text.split(".");
  if ((head === "fl" || head === republishPrefix) && area === "mbx" && kind && namespace && name && isHint(hint) && more.length === 0)
    return { key: checked({ kind, namespace: unescapeToken(namespace), name: unescapeToken(name) }, partition, text), hint };
  throw new RangeError(`not a mailbox subject: ${text}`);
}

/** @throws RangeError when it is not `fl.<p>.own` */
export const parseOwn = (text: string): number => parseArea(text, "own");

/** @throws RangeError when it is not `fl.<p>.want` */
export const parseWant = (text: string): number => parseArea(text, "want");

function parseArea(text: string, wanted: "own" | "want"): number {
  const [head, partition, area, ...more] = text.split(".");
  const number = Number(partition);
  if (head === "fl" && area === wanted && more.length === 0 && Number.isInteger(number) && number >= 0 && number < mostPartitions) return number;
  throw new RangeError(`not a subject of ${wanted}: ${text}`);
}

const tail = ({ kind, namespace, name }: ActorKey) => `${kind}.${escapeToken(namespace)}.${escapeToken(name)}`;

export const isHint = (text: string | undefined): text is HintKind => (hintKinds as readonly (string | undefined)[]).includes(text);

// A message in the wrong partition would be written under the wrong owner's fence.
function checked(named: ActorKey, partition: string | undefined, text: string): ActorKey {
  const shard = shardOfPartition(Number(partition));
  const key = shard === undefined ? named : { ...named, shard };
  if (String(partitionOf(key)) !== partition) throw new RangeError(`wrong partition: ${text}`);
  return key;
}
