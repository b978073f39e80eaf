/** What stands in the hub, as its watcher knows it: Flux objects as text, managed objects as records, both by partition. */
import { kindOf as registered } from "#protocol/api/registry.ts";
import { actorId, parseActorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { canonicalUrl } from "#protocol/trace/context.ts";
import { ownerOf, type Managed } from "#services/cluster/managed-record.ts";
import type { RawObject } from "../facts.ts";
import { PartitionIndex } from "./partition-index.ts";

/** The partition of the unit whose labels it carries. */
export const partitionOfManaged = ({ owner }: Pick<Managed, "owner">): number => partitionOf({ kind: "kustomization", ...ownerOf(owner) });

export class Contents {
  private readonly texts = new Map<string, string>();
  private readonly records = new Map<string, Managed>();
  private readonly fluxIndex = new PartitionIndex();
  private readonly managedIndex = new PartitionIndex();
  /** Of sources: whom a push concerns. */
  private readonly urls = new Map<string, string>();

  fluxText(id: string): string | undefined {
    return this.texts.get(id);
  }

  managed(id: string): Managed | undefined {
    return this.records.get(id);
  }

  of(partition: number): { flux: string[]; managed: string[] } {
    return { flux: this.fluxIndex.of(partition), managed: this.managedIndex.of(partition) };
  }

  /** @returns its partition */
  setFlux(key: ActorKey, object: RawObject | undefined): number {
    const id = actorId(key);
    const partition = partitionOf(key);
    const url = (object?.["spec"] as { url?: unknown } | undefined)?.url;
    if (typeof url === "string" && registered(key.kind)?.group.startsWith("source.")) this.urls.set(id, canonicalUrl(url));
    else this.urls.delete(id);
    if (object) {
      this.texts.set(id, JSON.stringify(object));
      this.fluxIndex.add(partition, id);
    } else {
      this.texts.delete(id);
      this.fluxIndex.remove(partition, id);
    }
    return partition;
  }

  /** @returns the partitions it is in and was in */
  setManaged(id: string, record: Managed | undefined): number[] {
    const before = this.records.get(id);
    const was = before && partitionOfManaged(before);
    const is = record && partitionOfManaged(record);
    if (was !== undefined && was !== is) this.managedIndex.remove(was, id);
    if (is !== undefined) this.managedIndex.add(is, id);
    if (record) this.records.set(id, record);
    else this.records.delete(id);
    return [...new Set([was, is])].filter((partition) => partition !== undefined);
  }

  /** Sources of the whole hub with one of these URLs. */
  matching(urls: string[]): ActorKey[] {
    const wanted = new Set(urls.map(canonicalUrl));
    return [...this.urls].filter(([, url]) => wanted.has(url)).map(([id]) => parseActorId(id));
  }

  clear(): void {
    for (const id of this.texts.keys()) this.setFlux(parseActorId(id), undefined);
    for (const id of this.records.keys()) this.setManaged(id, undefined);
  }
}
