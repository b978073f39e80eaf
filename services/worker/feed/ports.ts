/**
 * The hub's API server as the worker uses it, in two small ports: what is watched, by the one worker that watches, and
 * what is asked and written, by all. The real ones are in cluster-watch.ts and cluster-requests.ts; the simulator has its own.
 */
import type { ChangeAction, ApplyOutcome, PruneOutcome } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { AppliedTable } from "#services/cluster/apply.ts";
import type { Managed } from "#services/cluster/managed-record.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { ApplyCall, PruneCall } from "../cluster-port.ts";
import type { RawObject } from "../facts.ts";

/** A kind of managed objects. `v` is the version somebody knows it by; the server may prefer another one by now. */
export type KindRef = { group: string; kind: string; v: string };

/** `<group>/<Kind>`; the core group is empty: `/ConfigMap`. */
export const kindKey = ({ group, kind }: Pick<KindRef, "group" | "kind">): string => `${group}/${kind}`;

/** `synced`: all its objects were told. `absent`: the server has no such kind now, or it cannot be watched. */
export type KindState = "synced" | "absent";

/** What a watch tells; of one object always in order. Nothing may be told after the signal of `start` has ended it. */
export type WatchListener = {
  /** A Flux object is as given, without `managedFields`; undefined: it is gone. */
  flux(key: ActorKey, object: RawObject | undefined): void;
  /** Every Flux object was told. Again after each new list. */
  fluxSynced(): void;
  /**
   * An object with an owner's labels is as given; undefined: it is gone, or lost them. `reduce` of services/cluster makes
   * the record.
   */
  managed(id: string, record: Managed | undefined): void;
  /** @param kind as `kindKey` gives it. `synced` is told again after each new list. */
  kind(kind: string, state: KindState): void;
  /** The connection of a watch is lost; what was told may be out of date until it is synced again. */
  lost(what: string, reason: string): void;
};

export type Watch = {
  /** From now on objects of this kind with owner labels are told. Asked again of one that is watched: nothing happens; of one that was absent: it is looked for again. */
  follow(kind: KindRef): void;
};

export type WatchPort = {
  /** What has to be there before anything can be watched: the definitions. `guard` is called in the tick of each write. */
  prepare(guard: () => void, signal: AbortSignal): Promise<void>;
  /** Lists and watches the Flux kinds; managed kinds as they are followed. The signal ends all of it. */
  start(listener: WatchListener, signal: AbortSignal): Watch;
};

/** The very version that was looked at. */
export type Precondition = { uid: string; resourceVersion: string };

/** `guard` throws Fault LeaseLost when this worker may not write for the unit now; it is called in the tick of each write. */
export type WriteGuard = { guard: () => void };

export type Written = (id: string, action: ChangeAction, startMs: number, endMs: number) => void;

export type RequestPort = {
  /** A Flux object as it is now, without `managedFields`; undefined when there is none. */
  get(key: ActorKey): Promise<RawObject | undefined>;
  /** A merge patch. @returns the object after it @throws Fault ObjectGone, ApplyConflict when it changed since, LeaseLost */
  patchStatus(key: ActorKey, status: Record<string, unknown>, condition: Precondition, guard: WriteGuard): Promise<RawObject>;
  /** The same for the metadata. */
  patchMetadata(key: ActorKey, metadata: { finalizers: string[] }, condition: Precondition, guard: WriteGuard): Promise<RawObject>;
  event(key: ActorKey, object: RawObject, notice: Notice, guard: WriteGuard): Promise<void>;
  /** @throws Fault SecretMissing */
  secret(namespace: string, name: string): Promise<Record<string, Uint8Array>>;
  /** Rendered objects as the inventory names them, in their order. */
  idsOf(objects: RenderedObject[]): Promise<{ id: string; v: string }[]>;
  /** `table` is told of every write, before and after, and of the kinds in use. Never rejects for what the cluster says. */
  apply(call: ApplyCall, with_: WriteGuard & { table: AppliedTable; onObject: Written }): Promise<ApplyOutcome>;
  prune(call: PruneCall, with_: WriteGuard & { onObject: Written }): Promise<PruneOutcome>;
  /** kstatus of an object that no unit applied: `Current`, `InProgress`, `Failed`, `NotFound`, `Unknown`. */
  healthOf(id: string, v: string): Promise<string>;
  /** Tells the admission policy of deploy/policy, where it is in use, from which epoch on the partition's writes count. */
  raiseEpoch(fence: { partition: number; epoch: number }, guard: WriteGuard & { signal: AbortSignal }): Promise<void>;
};
