/** What stands in the hub, as its watcher knows it: Flux objects as text, managed objects as records, both by partition. */
import { labels } from "#protocol/api/annotations.ts";
import { kindOf as registered } from "#protocol/api/registry.ts";
import type { DependsAnswer } from "#protocol/messages/feed.ts";
import { cycleThrough, goFirst } from "#machines/rules/dependency.ts";
import { shardOf } from "#machines/rules/shards.ts";
import { actorId, objectId, parseActorId, partitionOf, placedAt, type ActorKey } from "#protocol/names/actor.ts";
import { canonicalUrl } from "#protocol/trace/context.ts";
import { parseRepository } from "#services/clients/registry/names.ts";
import { ownerOf, type Managed } from "#services/cluster/managed-record.ts";
import { dependencies } from "../depends-on.ts";
import { isUnit } from "../kinds.ts";
import type { RawObject } from "../facts.ts";
import { referencesOf, storageReferencesOf } from "../references.ts";
import { PartitionIndex } from "./partition-index.ts";

/** Whose labels it carries. */
export const unitOf = ({ owner, unit }: Pick<Managed, "owner" | "unit">): ActorKey => ({ kind: unit ?? "kustomization", ...ownerOf(owner) });

/** Where that unit may be hosted: at home, and in its shard. */
export function partitionsOfManaged({ shard, ...record }: Pick<Managed, "owner" | "unit" | "shard">): number[] {
  const unit = unitOf(record);
  return shard === undefined ? [partitionOf(unit)] : [partitionOf(unit), partitionOf({ ...unit, shard })];
}

/** Where that lies which the object looks at, as a push to it is told of; undefined where it does not say. */
function addressOf({ kind }: ActorKey, spec: unknown): string | undefined {
  const { url, image } = (spec ?? {}) as { url?: unknown; image?: unknown };
  if (kind !== "imagerepository") return typeof url === "string" && registered(kind)?.group.startsWith("source.") ? url : undefined;
  try {
    return parseRepository(String(image)).shown;
  } catch {
    return undefined; // what is wrong with it is said elsewhere
  }
}

export class Contents {
  private readonly texts = new Map<string, string>();
  private readonly records = new Map<string, Managed>();
  private readonly fluxIndex = new PartitionIndex();
  private readonly managedIndex = new PartitionIndex();
  /** Of sources and images: whom a push concerns. */
  private readonly urls = new Map<string, string>();
  /** Of units: whom they depend on, and which are being deleted. */
  private readonly edges = new Map<string, string[]>();
  private readonly deleting = new Set<string>();
  /** In which shard objects belong that belong in one. */
  private readonly shards = new Map<string, number>();
  private readonly keys: () => readonly string[];

  /** Of references that are watched: which version stands, and which Flux objects refer to them, whether they are watched or not. */
  private readonly versions = new Map<string, string>();
  private readonly users = new Map<string, Set<string>>();
  private readonly references = new Map<string, string[]>();

  /** @param keys that have a shard, by its number */
  constructor(keys: () => readonly string[] = () => []) {
    this.keys = keys;
  }

  /** As it is at that place: an object is shown at home, and in the shard where it belongs. */
  fluxText(id: string): string | undefined {
    const key = parseActorId(id);
    const home = objectId(key);
    return key.shard === undefined || key.shard === this.shards.get(home) ? this.texts.get(home) : undefined;
  }

  /** The versions of what the object refers to, as far as that is watched, as JSON; empty when nothing is. */
  inputsOf(id: string): string {
    const watched = (this.references.get(objectId(parseActorId(id))) ?? []).flatMap((reference) => {
      const version = this.versions.get(reference);
      return version === undefined ? [] : [[reference, version]];
    });
    return watched.length > 0 ? JSON.stringify(Object.fromEntries(watched)) : "";
  }

  /** @returns the ids of the Flux objects that refer to it */
  setReference(reference: string, version: string | undefined): string[] {
    if (version === undefined) this.versions.delete(reference);
    else this.versions.set(reference, version);
    return [...(this.users.get(reference) ?? [])].flatMap((id) => {
      const shard = this.shards.get(id);
      return shard === undefined ? [id] : [id, actorId(placedAt(parseActorId(id), shard))];
    });
  }

  managed(id: string): Managed | undefined {
    return this.placed(this.records.get(id));
  }

  of(partition: number): { flux: string[]; managed: string[] } {
    return { flux: this.fluxIndex.of(partition), managed: this.managedIndex.of(partition) };
  }

  /** @returns the places where that is news, and the managed objects that it puts into another place */
  setFlux(key: ActorKey, object: RawObject | undefined): { ids: string[]; managed: string[] } {
    const id = objectId(key);
    const url = object && addressOf(key, object["spec"]);
    if (url) this.urls.set(id, canonicalUrl(url));
    else this.urls.delete(id);
    this.setEdges(key, id, object);
    this.refer(id, object ? [...referencesOf(key, object), ...storageReferencesOf(key, object)] : []);
    if (object) {
      this.texts.set(id, JSON.stringify(object));
      this.fluxIndex.add(partitionOf(key), id);
    } else {
      this.texts.delete(id);
      this.fluxIndex.remove(partitionOf(key), id);
    }
    const { ids, managed } = this.settle(key, shardOf(object, this.keys()));
    return { ids: [id, ...ids], managed };
  }

  /** Keys have a shard that had none. @returns what is in another place than before */
  regroup(): { ids: string[]; managed: string[] } {
    const moved: { ids: string[]; managed: string[] } = { ids: [], managed: [] };
    for (const [id, text] of this.texts) {
      if (!text.includes(labels.shardKey)) continue;
      const { ids, managed } = this.settle(parseActorId(id), shardOf(JSON.parse(text) as RawObject, this.keys()));
      moved.ids.push(...ids);
      moved.managed.push(...managed);
    }
    return moved;
  }

  private settle(key: ActorKey, is: number | undefined): { ids: string[]; managed: string[] } {
    const id = objectId(key);
    const was = this.shards.get(id);
    const places = [...new Set([was, is])].flatMap((shard) => (shard === undefined ? [] : [placedAt(key, shard)]));
    if (was === is) return { ids: places.map(actorId), managed: [] };
    const managed = isUnit(key) ? this.managedIndex.of(partitionOf(key)).filter((each) => this.isOf(each, id)) : [];
    for (const place of places) {
      const change = place.shard === is ? "add" : "remove";
      this.fluxIndex[change](partitionOf(place), actorId(place));
      for (const each of managed) this.managedIndex[change](partitionOf(place), each);
    }
    if (is === undefined) this.shards.delete(id);
    else this.shards.set(id, is);
    return { ids: places.map(actorId), managed };
  }

  private placed(record: Managed | undefined): Managed | undefined {
    const shard = record && this.shards.get(objectId(unitOf(record)));
    return record && shard !== undefined ? { ...record, shard } : record;
  }

  private isOf(managed: string, unit: string): boolean {
    const record = this.records.get(managed);
    return record !== undefined && objectId(unitOf(record)) === unit;
  }

  /** @returns the partitions it is in and was in */
  setManaged(id: string, record: Managed | undefined): number[] {
    const [before, after] = [this.placed(this.records.get(id)), this.placed(record)];
    const [was, is] = [before, after].map((each) => (each ? partitionsOfManaged(each) : [])) as [number[], number[]];
    for (const partition of was) if (!is.includes(partition)) this.managedIndex.remove(partition, id);
    for (const partition of is) this.managedIndex.add(partition, id);
    if (record) this.records.set(id, record);
    else this.records.delete(id);
    return [...new Set([...was, ...is])];
  }

  /** Sources and images of the whole hub with one of these URLs. */
  matching(urls: string[]): ActorKey[] {
    const wanted = new Set(urls.map(canonicalUrl));
    return [...this.urls].filter(([, url]) => wanted.has(url)).map(([id]) => parseActorId(id));
  }

  /** How a unit stands to the others. */
  depends(unit: string): Pick<DependsAnswer, "cycle" | "goFirst"> {
    const dependenciesOf = (id: string) => this.edges.get(id) ?? [];
    return { cycle: cycleThrough(unit, dependenciesOf) ?? [], goFirst: goFirst(unit, this.deleting, dependenciesOf) };
  }

  private setEdges(key: ActorKey, id: string, object: RawObject | undefined): void {
    if (!isUnit(key)) return;
    const units = object ? dependencies(key, object["spec"]).flatMap((each) => each.unit ?? []) : [];
    if (units.length > 0) this.edges.set(id, units.map(actorId));
    else this.edges.delete(id);
    if (object?.metadata.deletionTimestamp) this.deleting.add(id);
    else this.deleting.delete(id);
  }

  private refer(id: string, references: string[]): void {
    for (const reference of this.references.get(id) ?? []) {
      const users = this.users.get(reference);
      users?.delete(id);
      if (users?.size === 0) this.users.delete(reference);
    }
    if (references.length > 0) this.references.set(id, references);
    else this.references.delete(id);
    for (const reference of references) this.users.set(reference, (this.users.get(reference) ?? new Set()).add(id));
  }

  clear(): void {
    this.versions.clear();
    for (const id of this.texts.keys()) this.setFlux(parseActorId(id), undefined);
    for (const id of this.records.keys()) this.setManaged(id, undefined);
  }
}
