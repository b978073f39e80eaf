/**
 * The hub's API server as the worker uses it, in two small ports: what is watched, by the one worker that watches, and
 * what is asked and written, by all. The real ones are in cluster-watch.ts and cluster-requests.ts; the simulator has its own.
 */
import type { UnitKind } from "#machines/rules/applier.ts";
import type { Owned } from "#services/cluster/owned.ts";
import type { Health } from "#machines/rules/health-reading.ts";
import type { ChangeAction, ApplyOutcome, CompareOutcome, PruneOutcome } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { ObjectRef } from "#protocol/names/awaited.ts";
import type { AppliedTable } from "#services/cluster/apply.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import type { Managed } from "#services/cluster/managed-record.ts";
import type { DataObject, DataRef } from "#services/cluster/objects.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { Account } from "#machines/rules/tenancy.ts";
import type { ApplyCall, CompareCall, Judge, PruneCall, Target } from "../cluster-port.ts";
import type { RawObject } from "../facts.ts";
import { namedFor } from "./managed-names.ts";

/**
 * A kind of managed objects: those of one kind of unit, of Kustomizations when absent. `v` is the version somebody knows it
 * by; the server may prefer another one by now.
 */
export type KindRef = { unit?: UnitKind; group: string; kind: string; v: string };

/** `<group>/<Kind>` behind what names the kind of unit; the core group is empty: `/ConfigMap`. */
export const kindKey = ({ unit = "kustomization", group, kind }: Omit<KindRef, "v">): string => namedFor(unit, `${group}/${kind}`);

/** `synced`: all its objects were told. `absent`: the server has no such kind now, or it cannot be watched. */
export type KindState = "synced" | "absent";

/** What a watch tells; of one object always in order. Nothing may be told after the signal of `start` has ended it. */
export type WatchListener = {
  /** A Flux object is as given, without `managedFields`; undefined: it is gone. */
  flux(key: ActorKey, object: RawObject | undefined): void;
  /** Every Flux object was told, and every reference. Again after each new list of Flux objects. */
  fluxSynced(): void;
  /** A ConfigMap or Secret that asks to be watched has this version now; undefined: it is gone, or asks no more. By `referenceId`. */
  reference(id: string, version: string | undefined): void;
  /**
   * An object with an owner's labels, by its managed name, is as given; undefined: it is gone, or lost them. `reduce` of
   * services/cluster makes the record.
   */
  managed(name: string, record: Managed | undefined): void;
  /** @param kind as `kindKey` gives it. `synced` is told again after each new list. */
  kind(kind: string, state: KindState): void;
  /** The connection of a watch is lost; what was told may be out of date until it is synced again. `forbidden`: the account lacks the right. */
  lost(what: string, reason: string, forbidden?: boolean): void;
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

/** `by`: who had changed it before, where it was put back. */
export type Written = (id: string, action: ChangeAction, startMs: number, endMs: number, by?: string) => void;

/** What is asked and written for units, in one cluster; `target` says in whose name. */
export type UnitRequests = Pick<RequestPort, "idsOf" | "apply" | "compare" | "prune" | "healthOf" | "handleOf">;

export type RequestPort = {
  /** A Flux object as it is now, without `managedFields`; undefined when there is none. */
  get(key: ActorKey): Promise<RawObject | undefined>;
  /** All of a Flux kind in a namespace, by name. */
  list(actorKind: string, namespace: string): Promise<RawObject[]>;
  /** A merge patch. @returns the object after it @throws Fault ObjectGone, ApplyConflict when it changed since, LeaseLost */
  patchStatus(key: ActorKey, status: Record<string, unknown>, condition: Precondition, guard: WriteGuard): Promise<RawObject>;
  /** The same for the metadata. */
  patchMetadata(key: ActorKey, metadata: { finalizers: string[] }, condition: Precondition, guard: WriteGuard): Promise<RawObject>;
  /** An object that we make, under the version that was looked at. @throws Fault ApplyConflict, LeaseLost */
  applyOwned(key: ActorKey, owned: Owned, live: RawObject | undefined, guard: WriteGuard): Promise<RawObject>;
  /** One that is gone already is fine. @throws Fault ApplyConflict when another goes by its name, LeaseLost */
  removeOwned(key: ActorKey, uid: string, guard: WriteGuard): Promise<void>;
  event(key: ActorKey, object: RawObject, notice: Notice, guard: WriteGuard): Promise<void>;
  /** A ConfigMap or Secret that a Flux object refers to; undefined when there is none. */
  data(ref: DataRef): Promise<DataObject | undefined>;
  /** @throws Fault SecretMissing */
  secret(namespace: string, name: string): Promise<Record<string, Uint8Array>>;
  /** Names of a ServiceAccount's imagePullSecrets. @throws Fault AccountMissing */
  pullSecretNames(namespace: string, account: string): Promise<string[]>;
  /** Rendered objects as the inventory names them, in their order. */
  idsOf(objects: RenderedObject[]): Promise<{ id: string; v: string }[]>;
  /** `table` is told of every write, before and after, and of the kinds in use. Never rejects for what the cluster says. */
  apply(call: ApplyCall, with_: WriteGuard & { table: AppliedTable; onObject: Written }): Promise<ApplyOutcome>;
  /** Writes nothing. @throws Fault when the cluster cannot be asked */
  compare(call: CompareCall): Promise<CompareOutcome>;
  prune(call: PruneCall, with_: WriteGuard & { onObject: Written }): Promise<PruneOutcome>;
  /**
   * The health of an object, read: by `judge` where there is one.
   *
   * @throws Fault HealthCheckFailed when the target may not look at it
   */
  healthOf(id: string, v: string, target: Target, judge?: Judge): Promise<Health>;
  /** The cluster in the target's name, for what acts on it by itself. */
  handleOf(target: Target): ClusterHandle;
  hasAccount(account: Account): Promise<boolean>;
  /**
   * An object of any kind as it is now: of what it contains only `spec` and `status`, so that no Secret's data is read into
   * an expression. `resource` is its `<plural>.<group>`. Without an object: there is none, no such kind, or the target may
   * not read it.
   */
  readObject(object: ObjectRef, target: Target): Promise<{ resource: string; object?: KubeObject; refused?: string }>;
  /** Calls back once it is known how the object stands, and whenever it changed since. The signal ends it; it never rejects. */
  followObject(object: ObjectRef, changed: () => void, signal: AbortSignal): void;
  /** Tells the admission policy of deploy/policy, where it is in use, from which epoch on the partition's writes count. */
  raiseEpoch(fence: { partition: number; epoch: number }, guard: WriteGuard & { signal: AbortSignal }): Promise<void>;
};
