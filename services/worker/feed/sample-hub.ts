/** A hub in virtual time for the tests of the feed: what stands in it, its history of departures, and watches that come late and break. */
import { inventoryId } from "#machines/rules/inventory.ts";
import { actorId, parseActorId, type ActorKey } from "#protocol/names/actor.ts";
import type { Managed } from "#services/cluster/managed-record.ts";
import type { RawObject } from "../facts.ts";
import type { KindRef, WatchListener, WatchPort } from "./ports.ts";

type Told = (name: string) => void;

/** As far as they are needed of the simulator's. */
type Process = { enter(run: () => void): void };
type VirtualTime = { nowMs: number; in(ms: number, run: () => void): unknown };

export class SampleHub {
  readonly flux = new Map<string, RawObject>();
  readonly managed = new Map<string, Managed>();
  /** At which version an object last went, or changed its owner. */
  readonly leftAt = new Map<string, number>();
  /** Versions of ConfigMaps and Secrets that ask to be watched, by their id. */
  readonly references = new Map<string, string>();
  readonly absentKinds = new Set<string>();
  private version = 10;
  private uids = 0;
  private readonly watches = new Set<Told>();

  put(key: ActorKey, spec: object = {}): RawObject {
    const id = actorId(key);
    const uid = this.flux.get(id)?.metadata.uid ?? `uid-${++this.uids}`;
    const object: RawObject = { kind: key.kind, metadata: { name: key.name, namespace: key.namespace, uid, resourceVersion: this.next() }, spec };
    this.flux.set(id, object);
    this.changed(`f${id}`);
    return object;
  }

  remove(key: ActorKey): void {
    if (!this.flux.delete(actorId(key))) return;
    this.leftAt.set(actorId(key), Number(this.next()));
    this.changed(`f${actorId(key)}`);
  }

  putReference(id: string): void {
    this.references.set(id, this.next());
    this.changed(`r${id}`);
  }

  removeReference(id: string): void {
    if (this.references.delete(id)) this.changed(`r${id}`);
  }

  putManaged(name: string, owner: string, owned = "1", kind = "ConfigMap"): Managed {
    const id = managedId(name, kind);
    const before = this.managed.get(id);
    const resourceVersion = this.next();
    if (before && before.owner !== owner) this.leftAt.set(id, Number(resourceVersion));
    const record: Managed = {
      uid: before?.uid ?? `uid-${++this.uids}`, resourceVersion, generation: 1, owned, appliedAtS: 0,
      by: "", others: "", status: "Current", message: "", owner, deleting: false,
    };
    this.managed.set(id, record);
    this.changed(`m${id}`);
    return record;
  }

  removeManaged(name: string, kind = "ConfigMap"): void {
    const id = managedId(name, kind);
    if (!this.managed.delete(id)) return;
    this.leftAt.set(id, Number(this.next()));
    this.changed(`m${id}`);
  }

  /** As one process sees it. @param lateMs of each event; they keep their order */
  port(process: Process, time: VirtualTime, lateMs: () => number): WatchPort & { breakFor(ms: number): void; starts: number } {
    const watches = new Set<SampleWatch>();
    const port = {
      starts: 0,
      prepare: () => Promise.resolve(),
      start: (listener: WatchListener, signal: AbortSignal) => {
        port.starts++;
        const watch = new SampleWatch(this, listener, signal, process, time, lateMs);
        const told: Told = (name) => watch.told(name);
        this.watches.add(told);
        watches.add(watch);
        signal.addEventListener("abort", () => { this.watches.delete(told); watches.delete(watch); });
        watch.list();
        return { follow: (kind: KindRef) => watch.follow(kind) };
      },
      /** The connection is gone for so long; then everything is listed anew. */
      breakFor: (ms: number) => { for (const watch of watches) watch.breakFor(ms); },
    };
    return port;
  }

  private next(): string {
    return String(++this.version);
  }

  private changed(name: string): void {
    for (const told of this.watches) told(name);
  }
}

export const managedId = (name: string, kind = "ConfigMap"): string => inventoryId({ namespace: "apps", name, group: "", kind });

const kindOfId = (id: string) => `/${id.slice(id.lastIndexOf("_") + 1)}`;

class SampleWatch {
  private readonly hub: SampleHub;
  private readonly listener: WatchListener;
  private readonly signal: AbortSignal;
  private readonly process: Process;
  private readonly time: VirtualTime;
  private readonly lateMs: () => number;
  private readonly known = new Map<string, string>();
  private readonly kinds = new Set<string>();
  private dueMs = 0;
  private broken = false;

  constructor(hub: SampleHub, listener: WatchListener, signal: AbortSignal, process: Process, time: VirtualTime, lateMs: () => number) {
    this.hub = hub;
    this.listener = listener;
    this.signal = signal;
    this.process = process;
    this.time = time;
    this.lateMs = lateMs;
  }

  /** What it is now leaves now, and arrives late. */
  told(name: string): void {
    if (this.broken) return;
    const value = this.valueOf(name);
    this.later(() => this.tell(name, value));
  }

  follow({ group, kind }: KindRef): void {
    const name = `${group}/${kind}`;
    if (this.hub.absentKinds.has(name)) return this.later(() => this.listener.kind(name, "absent"));
    if (this.kinds.has(name)) return;
    this.kinds.add(name);
    if (!this.broken) this.listKind(name);
  }

  list(): void {
    const names = [...[...this.hub.flux.keys()].map((id) => `f${id}`), ...[...this.hub.references.keys()].map((id) => `r${id}`)];
    const now = names.map((name) => [name, this.valueOf(name)] as const);
    this.later(() => {
      for (const [name, value] of now) this.tell(name, value);
      for (const name of this.known.keys()) if (/^[fr]/.test(name) && !names.includes(name)) this.tell(name, undefined);
      this.listener.fluxSynced();
    });
    for (const kind of this.kinds) this.listKind(kind);
  }

  breakFor(ms: number): void {
    this.broken = true;
    this.time.in(ms, () => {
      this.broken = false;
      this.list();
    });
  }

  private listKind(kind: string): void {
    const now = [...this.hub.managed.keys()].filter((id) => kindOfId(id) === kind).map((id) => [`m${id}`, this.valueOf(`m${id}`)] as const);
    this.later(() => {
      const names = new Set<string>(now.map(([name]) => name));
      for (const [name, value] of now) this.tell(name, value);
      for (const name of this.known.keys()) if (name.startsWith("m") && kindOfId(name) === kind && !names.has(name)) this.tell(name, undefined);
      this.listener.kind(kind, "synced");
    });
  }

  private valueOf(name: string): string | undefined {
    if (name.startsWith("r")) return this.hub.references.get(name.slice(1));
    const value = name.startsWith("f") ? this.hub.flux.get(name.slice(1)) : this.hub.managed.get(name.slice(1));
    return value && JSON.stringify(value);
  }

  private tell(name: string, value: string | undefined): void {
    const id = name.slice(1);
    if (this.known.get(name) === value || (name.startsWith("m") && !this.kinds.has(kindOfId(id)))) return;
    if (value === undefined) this.known.delete(name);
    else this.known.set(name, value);
    if (name.startsWith("r")) this.listener.reference(id, value);
    else if (name.startsWith("f")) this.listener.flux(parseActorId(id), value === undefined ? undefined : (JSON.parse(value) as RawObject));
    else this.listener.managed(id, value === undefined ? undefined : (JSON.parse(value) as Managed));
  }

  private later(run: () => void): void {
    this.dueMs = Math.max(this.dueMs, this.time.nowMs + this.lateMs());
    this.time.in(this.dueMs - this.time.nowMs, () => this.process.enter(() => { if (!this.signal.aborted) run(); }));
  }
}
