/**
 * The Flux objects of the partitions this worker follows: as the feed tells of them, and never behind what our own writes
 * and reads have returned. Kept as text and parsed when asked for, since almost all of them rest at any time.
 */
import { parseActorId, partitionOf, actorId, type ActorKey } from "#protocol/names/actor.ts";
import { isAtLeast } from "#services/cluster/managed-record.ts";
import type { RawObject } from "../facts.ts";
import { isStorage, markIn } from "../references.ts";
import { PartitionIndex } from "./partition-index.ts";

type Entry = {
  text: string; uid: string; resourceVersion: string;
  /** Whether the worker was told of this version, or one that our own write made from it. */
  told: boolean;
  /** Versions of what it refers to, as the feed gives them. */
  inputs: string;
};

export class FluxView {
  private readonly entries = new Map<string, Entry>();
  private readonly index = new PartitionIndex();
  /** Versions that our own requests returned, until the feed has caught up. */
  private readonly taken = new Map<string, string>();
  /** Objects that only a request of ours has shown: they may be gone without the feed ever naming them. */
  private readonly doubts = new Set<string>();

  get(key: ActorKey): RawObject | undefined {
    const entry = this.entries.get(actorId(key));
    return entry && (JSON.parse(entry.text) as RawObject);
  }

  /** Versions of watched ConfigMaps and Secrets that it refers to, by `referenceId`. */
  inputsOf(key: ActorKey): Record<string, string> {
    return Object.fromEntries(Object.entries(this.versionsOf(key)).filter(([reference]) => !isStorage(reference)));
  }

  /** What stands in Helm's storage at that place, which its release has there, as `storageMark` says it; undefined: that is not known. */
  storageOf(key: ActorKey, place: string): string | undefined {
    return markIn(this.versionsOf(key), place);
  }

  /** All that was told of its storage, as a text; undefined: the object is not known. */
  storageSeen(key: ActorKey): string | undefined {
    const { inputs } = this.entries.get(actorId(key)) ?? {};
    return inputs && JSON.stringify(Object.entries(versionsIn(inputs)).filter(([reference]) => isStorage(reference)));
  }

  private versionsOf(key: ActorKey): Record<string, string> {
    return versionsIn(this.entries.get(actorId(key))?.inputs ?? "");
  }

  *keys(): Generator<ActorKey> {
    for (const id of this.entries.keys()) yield parseActorId(id);
  }

  /** Those at home that may belong in a shard, by their text. */
  *labelled(label: string): Generator<ActorKey> {
    for (const [id, { text }] of this.entries) if (text.includes(label) && parseActorId(id).shard === undefined) yield parseActorId(id);
  }

  ofPartition(partition: number): string[] {
    return this.index.of(partition);
  }

  /** From the feed. @returns the object when it is news: a write of ours comes back here as well */
  put(key: ActorKey, text: string, inputs = ""): RawObject | undefined {
    const id = actorId(key);
    const known = this.entries.get(id);
    const moved = known !== undefined && known.inputs !== inputs && differ(known.inputs, inputs);
    if (known) known.inputs = inputs;
    const object = JSON.parse(text) as RawObject;
    const { uid = "", resourceVersion = "" } = object.metadata;
    this.doubts.delete(id);
    const ahead = this.taken.get(id);
    if (ahead !== undefined && !isAtLeast(resourceVersion, ahead)) return moved ? this.get(key) : undefined; // from before our write
    this.taken.delete(id);
    const before = this.entries.get(id);
    if (before?.told && before.uid === uid && before.resourceVersion === resourceVersion) return moved ? object : undefined;
    this.keep(id, key, { text, uid, resourceVersion, told: true, inputs });
    return object;
  }

  /** What a write of ours returned, made from the version that is kept here. */
  wrote(key: ActorKey, object: RawObject): void {
    this.take(key, object, this.entries.get(actorId(key))?.told ?? false);
  }

  /** What a request found: somebody else may have changed it, so the feed's word on this version is news still. */
  read(key: ActorKey, object: RawObject): void {
    this.take(key, object, false);
  }

  private take(key: ActorKey, object: RawObject, told: boolean): void {
    const id = actorId(key);
    const { uid = "", resourceVersion = "" } = object.metadata;
    const before = this.entries.get(id);
    if (before && isAtLeast(before.resourceVersion, resourceVersion)) return;
    if (!before) this.doubts.add(id);
    this.taken.set(id, resourceVersion);
    this.keep(id, key, { text: JSON.stringify(object), uid, resourceVersion, told, inputs: before?.inputs ?? "" });
  }

  private keep(id: string, key: ActorKey, entry: Entry): void {
    if (!this.entries.has(id)) this.index.add(partitionOf(key), id);
    this.entries.set(id, entry);
  }

  /** @returns whether it was there */
  drop(key: ActorKey): boolean {
    const id = actorId(key);
    this.taken.delete(id);
    this.doubts.delete(id);
    this.index.remove(partitionOf(key), id);
    return this.entries.delete(id);
  }

  /** The feed says so. @returns false when a request of ours may have seen it later than the watch: the server knows */
  isGone(id: string): boolean {
    if (!this.taken.has(id)) return true;
    this.doubts.add(id);
    return false;
  }

  /** What came and went unseen may be among what only we have seen. */
  relisted(): void {
    for (const id of this.taken.keys()) this.doubts.add(id);
  }

  doubtful(): string[] {
    return [...this.doubts];
  }

  isDoubtful(id: string): boolean {
    return this.doubts.has(id);
  }

  /** It was looked at, and is there. */
  assure(id: string): void {
    this.doubts.delete(id);
  }
}

const versionsIn = (inputs: string): Record<string, string> => (inputs ? (JSON.parse(inputs) as Record<string, string>) : {});

/** In more than what stands in Helm's storage: of that the release hears by itself. */
function differ(before: string, now: string): boolean {
  const [was, is] = [versionsIn(before), versionsIn(now)];
  return Object.keys({ ...was, ...is }).some((reference) => !isStorage(reference) && was[reference] !== is[reference]);
}
