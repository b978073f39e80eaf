/**
 * Follows one kind of object: all there are, then every change, for as long as the signal lets it. It goes on from where
 * it was after a lost connection, and lists anew when the server no longer knows that place.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeClient, Query } from "./client.ts";
import { isGone, KubeError } from "./error.ts";
import { lines } from "./lines.ts";

export type WatchTarget = {
  /** `/apis/apps/v1/deployments`, or one namespace's. */
  path: string;
  /** Objects come without spec, data and status; a Secret's contents are never read. */
  metadataOnly?: boolean;
  labelSelector?: string;
  fieldSelector?: string;
};

/** What every object has. */
export type Watched = { metadata: { name: string; namespace?: string; resourceVersion?: string; annotations?: Record<string, string> } };
export type WatchKey = { namespace: string; name: string };

export type WatchHandler<T extends Watched> = {
  upsert(object: T): void;
  /** Gone, or no longer selected. */
  remove(key: WatchKey): void;
  /** What the handler holds, asked after a new list: what the list did not name is removed. */
  held(): Iterable<WatchKey>;
  /** All that there is has been told. Called again after each new list. */
  synced(): void;
  /** The connection is lost; what is held may be out of date until the next `synced` or change. */
  lost?(fault: Fault, againInMs: number): void;
};

const firstWaitMs = 200;
/** Short: whoever waits for a rollout waits for this too, and one watch per kind is little load. */
const longestWaitMs = 5_000;
const pageSize = 500;
/** Each connection ends by itself after 5 to 10 minutes, so that watches spread over API servers again. */
const shortestS = 300;

/** Never rejects: it ends when the signal ends it. What a handler throws ends the connection and is told as `lost`. */
export async function watch<T extends Watched>(
  client: KubeClient, target: WatchTarget, handler: WatchHandler<T>, signal: AbortSignal,
): Promise<void> {
  const place: Place = { version: "", streamingList: true };
  for (let failures = 0; !signal.aborted; ) {
    try {
      const heard = await follow(client, target, handler, place, signal);
      failures = heard ? 0 : failures + 1;
      // A server that is told to end connections ends all of them at once.
      await pause(heard ? Math.random() * firstWaitMs : waitMs(failures), signal);
    } catch (error) {
      if (signal.aborted) return;
      if (isGone(error)) place.version = "";
      else if (isStreamingListUnknown(error)) {
        place.streamingList = false;
        continue;
      }
      const againInMs = waitMs(++failures);
      handler.lost?.(asFault(error, target.path), againInMs);
      await pause(againInMs, signal);
    }
  }
}

/** The resource version up to which everything was told; empty when all has to be listed. */
type Place = { version: string; streamingList: boolean };

/** One connection. @returns whether anything came */
async function follow<T extends Watched>(
  client: KubeClient, target: WatchTarget, handler: WatchHandler<T>, place: Place, signal: AbortSignal,
): Promise<boolean> {
  if (place.version === "" && !place.streamingList) place.version = await list(client, target, handler, signal);
  const listing = place.version === "";
  const unseen = listing ? new Map([...handler.held()].map((key) => [keyText(key), key])) : undefined;
  const own = new AbortController();
  const body = await client.stream({
    method: "GET",
    path: target.path,
    query: {
      ...selection(target),
      watch: true,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.floor(shortestS * (1 + Math.random())),
      ...(listing ? { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" } : { resourceVersion: place.version }),
    },
    accept: accepts(target, ""),
    signal: AbortSignal.any([signal, own.signal]),
  });
  let heard = false;
  let pending = unseen;
  try {
    for await (const line of lines(body)) {
      const { type, object } = JSON.parse(line) as { type: string; object: T };
      heard = true;
      if (type === "ERROR") throw new KubeError(codeOf(object), object);
      const { metadata } = object;
      const key = { namespace: metadata.namespace ?? "", name: metadata.name };
      if (type === "BOOKMARK") {
        if (pending && metadata.annotations?.["k8s.io/initial-events-end"] === "true") {
          for (const gone of pending.values()) handler.remove(gone);
          pending = undefined;
          handler.synced();
        }
      } else if (type === "DELETED") handler.remove(key);
      else {
        handler.upsert(object);
        pending?.delete(keyText(key));
      }
      // Half a list is no place to go on from.
      if (!pending) place.version = metadata.resourceVersion ?? place.version;
    }
  } finally {
    own.abort(); // frees the stream when it did not end by itself
  }
  return heard;
}

/** For servers without streaming lists. @returns the version to watch from */
async function list<T extends Watched>(client: KubeClient, target: WatchTarget, handler: WatchHandler<T>, signal: AbortSignal): Promise<string> {
  const unseen = new Map([...handler.held()].map((key) => [keyText(key), key]));
  let next: string | undefined;
  for (;;) {
    const { body } = await client.request<{ metadata: { resourceVersion: string; continue?: string }; items: T[] }>({
      method: "GET",
      path: target.path,
      query: { ...selection(target), limit: pageSize, continue: next },
      accept: accepts(target, "List"),
      signal,
    });
    for (const object of body.items) {
      handler.upsert(object);
      unseen.delete(keyText({ namespace: object.metadata.namespace ?? "", name: object.metadata.name }));
    }
    next = body.metadata.continue || undefined;
    if (next) continue;
    for (const gone of unseen.values()) handler.remove(gone);
    handler.synced();
    return body.metadata.resourceVersion;
  }
}

const selection = ({ labelSelector, fieldSelector }: WatchTarget): Query => ({ labelSelector, fieldSelector });

const accepts = ({ metadataOnly }: WatchTarget, suffix: "" | "List") =>
  metadataOnly ? `application/json;as=PartialObjectMetadata${suffix};g=meta.k8s.io;v=v1` : "application/json";

const keyText = ({ namespace, name }: WatchKey) => `${namespace}/${name}`;

const codeOf = (status: unknown) => {
  const { code } = status as { code?: unknown };
  return typeof code === "number" ? code : 500;
};

// Servers before 1.32 refuse the option, or the gate that allows it is off.
const isStreamingListUnknown = (error: unknown) =>
  error instanceof KubeError && (error.code === 422 || error.code === 400) && error.message.includes("sendInitialEvents");

const waitMs = (failures: number) => Math.min(longestWaitMs, firstWaitMs * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);

const pause = (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }).catch(() => undefined);

function asFault(error: unknown, subject: string): Fault {
  if (error instanceof Fault) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new Fault("ClusterUnreachable", subject, { detail, cause: error });
}
