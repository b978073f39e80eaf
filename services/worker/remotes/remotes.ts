/**
 * The clusters other than the hub on which units of this worker act. One connection for the same credentials, one set of
 * watches for the same credentials and user, and one view of what stands there; they are opened when the first unit needs
 * them and closed when the last one has gone. What is seen in one view says nothing about another: names repeat.
 */
import { createHash } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { actorId, objectId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { Target } from "../cluster-port.ts";
import type { RawObject } from "../facts.ts";
import type { ManagedView } from "../feed/managed-view.ts";
import { ManagedViews } from "../feed/managed-views.ts";
import type { UnitRequests, Watch } from "../feed/ports.ts";
import { isUnit } from "../kinds.ts";
import type { RemoteConnection, RemotePort } from "./ports.ts";
import { RemoteStorage } from "./remote-storage.ts";

export type RemotesOptions = {
  /** None: every other cluster is refused. */
  port: RemotePort | undefined;
  clock: Clock;
  /** Ends everything. */
  signal: AbortSignal;
  /** An object of the unit may no longer be as applied. */
  onDrift(unit: ActorKey, id: string): void;
  /** More is known than before of what the unit applied. */
  onCompare(unit: ActorKey): void;
  /** What stands in Helm's storage of the unit's release there is another. */
  onStorage(unit: ActorKey): void;
  log: Pick<Log, "debug" | "error">;
};

/** A cluster under one set of credentials and in one name. */
export type Place = {
  /** Which cluster it is, however one gets there. */
  cluster: string;
  server: string;
  requests: UnitRequests;
  managed: ManagedViews;
  storage: RemoteStorage;
  check(): Promise<void>;
};

type Connection = { digest: string; server: string; remote: RemoteConnection; places: Map<string, OpenPlace> };
type OpenPlace = Place & {
  connection: Connection;
  user: string;
  units: Map<string, ActorKey>;
  stop: AbortController;
  watch: Watch;
  /** When what could not be watched is tried again. */
  again: { waitMs: number; due: boolean };
};
type Attached = { wish: string; place: OpenPlace };

/** A unit that moves on, or is seen again, within this time finds everything as it was. */
const graceMs = 60_000;
const firstAgainMs = 1_000;
const longestAgainMs = 60_000;
/** Kinds come one after the other; one comparison does for all. */
const compareMs = 100;

export class Remotes {
  private readonly options: RemotesOptions;
  private readonly connections = new Map<string, Connection>();
  private readonly attached = new Map<string, Attached>();
  /** Units whose objects say that they act elsewhere. */
  private readonly elsewhere = new Set<string>();
  private readonly comparing = new Set<OpenPlace>();
  private readonly pending = new Set<() => void>();

  constructor(options: RemotesOptions) {
    this.options = options;
    options.signal.addEventListener("abort", () => {
      for (const cancel of this.pending) cancel(); // a process that ends does not wait for them
      for (const connection of this.connections.values()) this.close(connection);
    }, { once: true });
  }

  counts(): { connections: number; places: number; units: number } {
    const places = [...this.connections.values()].reduce((sum, connection) => sum + connection.places.size, 0);
    return { connections: this.connections.size, places, units: this.attached.size };
  }

  /** An object of a followed partition is as given, or gone. */
  seen(key: ActorKey, object: RawObject | undefined): void {
    if (!isUnit(key)) return;
    const id = actorId(key);
    const { kubeConfig } = (object?.["spec"] ?? {}) as { kubeConfig?: unknown };
    if (kubeConfig) this.elsewhere.add(id);
    else {
      this.elsewhere.delete(id);
      if (!object?.metadata.deletionTimestamp) this.detach(id);
    }
  }

  /** Of partitions that are followed no longer nothing is kept. */
  keep(partitions: ReadonlySet<number>): void {
    for (const [id, { place }] of this.attached) {
      const unit = place.units.get(id);
      if (unit && !partitions.has(partitionOf(unit))) this.forget(id);
    }
  }

  isElsewhere(unit: ActorKey): boolean {
    return this.elsewhere.has(actorId(unit));
  }

  /** Undefined of a unit that acts elsewhere: nothing is known of what it applied. */
  viewOf(unit: ActorKey, hub: ManagedViews): ManagedView | undefined {
    const id = actorId(unit);
    return (this.attached.get(id)?.place.managed ?? (this.elsewhere.has(id) ? undefined : hub))?.of(unit);
  }

  /** Undefined: it is not watched there. */
  storageOf(unit: ActorKey, place: string): string | undefined {
    return this.attached.get(actorId(unit))?.place.storage.at(place);
  }

  /**
   * @param afresh what the reference names is read again: it may lead elsewhere by now
   * @throws Fault KubeConfigMissing, KubeConfigInvalid, ClusterUnreachable
   */
  async attach(unit: ActorKey, { user = "", remote }: Target, afresh: boolean): Promise<Place> {
    const { port, signal } = this.options;
    if (!port || !remote) throw new Fault("KubeConfigInvalid", actorId(unit), { detail: "other clusters than the hub are not available here" });
    const id = actorId(unit);
    const wish = JSON.stringify([user, remote.namespace, remote.ref]);
    const now = this.attached.get(id);
    if (!afresh && now?.wish === wish) return now.place;
    const location = await port.locate(remote.namespace, remote.ref).catch((thrown: unknown) => {
      // Credentials that were taken away are used no longer.
      if (thrown instanceof Fault && thrown.code.startsWith("KubeConfig")) this.detach(id);
      throw thrown;
    });
    signal.throwIfAborted();
    this.elsewhere.add(id);
    const place = this.placeAt(location, user);
    const before = this.attached.get(id);
    this.attached.set(id, { wish, place });
    place.units.set(id, unit);
    if (before && before.place !== place) this.leave(id, before.place);
    return place;
  }

  /** Follows what the unit applied there; tells when all of it is known. */
  follow(unit: ActorKey, place: Place, entries: InventoryEntry[]): void {
    void place.managed.of(unit).ensureEntries(entries).then(() => {
      if (this.attached.get(actorId(unit))?.place === place) this.options.onCompare(unit);
    });
  }

  private placeAt({ digest, server, open }: Awaited<ReturnType<RemotePort["locate"]>>, user: string): OpenPlace {
    const connection = this.connections.get(digest) ?? { digest, server, remote: open(), places: new Map<string, OpenPlace>() };
    this.connections.set(digest, connection);
    const known = connection.places.get(user);
    if (known) return known;
    const place = this.open(connection, user);
    connection.places.set(user, place);
    return place;
  }

  private open(connection: Connection, user: string): OpenPlace {
    const { clock, onDrift, log } = this.options;
    const { remote, server } = connection;
    const stop = new AbortController();
    const managed = new ManagedViews({
      clock, isShown: () => true, isAllShown: () => true, // one process tells and hears
      onNeed: (kind) => watch.follow(kind),
    });
    const watch = remote.watch(user || undefined, {
      managed: (name, record) => (record ? managed.put(name, record) : managed.drop(name)),
      kind: (name, state) => {
        managed.kindIs(name, state);
        if (state === "absent") this.tryAgain(place);
        else this.compareSoon(place);
      },
      lost: (what, reason) => {
        log.debug("watch lost", { watched: what, server, error: reason });
        this.tryAgain(place);
      },
    }, stop.signal);
    const storage = new RemoteStorage(
      (namespace, listener) => remote.watchStorage(user || undefined, namespace, listener, stop.signal),
      (unit) => this.options.onStorage(unit),
    );
    const place: OpenPlace = {
      cluster: createHash("sha256").update(server).digest("hex").slice(0, 16), server, requests: remote.requests, managed, storage,
      check: () => remote.check(),
      connection, user, units: new Map(), stop, watch, again: { waitMs: firstAgainMs, due: false },
    };
    managed.onDrift((owner, id) => {
      // Labels do not tell whether the unit is hosted at home or in a shard.
      for (const unit of place.units.values()) if (objectId(unit) === objectId(owner)) onDrift(owner, id);
    });
    return place;
  }

  /** A watch that has begun mends itself; one that could not begin, or was refused, is begun again. */
  private tryAgain(place: OpenPlace): void {
    const { again, managed, watch, stop } = place;
    if (again.due || stop.signal.aborted) return;
    again.due = true;
    this.later(again.waitMs, () => {
      again.due = false;
      again.waitMs = Math.min(longestAgainMs, again.waitMs * 2);
      if (stop.signal.aborted) return;
      for (const kind of managed.neededKinds()) watch.follow(kind);
    });
  }

  private compareSoon(place: OpenPlace): void {
    if (this.comparing.has(place)) return;
    this.comparing.add(place);
    this.later(compareMs, () => {
      this.comparing.delete(place);
      if (!place.stop.signal.aborted) for (const unit of place.units.values()) this.options.onCompare(unit);
    });
  }

  private detach(id: string): void {
    const { place } = this.attached.get(id) ?? {};
    this.attached.delete(id);
    if (place) this.leave(id, place);
  }

  private forget(id: string): void {
    this.detach(id);
    this.elsewhere.delete(id);
  }

  private leave(id: string, place: OpenPlace): void {
    place.units.delete(id);
    place.storage.leave(id);
    if (place.units.size > 0) return;
    this.later(graceMs, () => {
      if (place.units.size > 0 || place.stop.signal.aborted) return;
      place.stop.abort();
      const { connection } = place;
      connection.places.delete(place.user);
      if (connection.places.size === 0) this.close(connection);
    });
  }

  private close(connection: Connection): void {
    for (const place of connection.places.values()) place.stop.abort();
    this.connections.delete(connection.digest);
    connection.remote.close().catch((thrown: unknown) => this.options.log.error("a connection did not close", thrown, { server: connection.server }));
  }

  private later(ms: number, run: () => void): void {
    const { clock, signal } = this.options;
    if (signal.aborted) return;
    const cancel = clock.at(clock.nowMs() + ms, () => {
      this.pending.delete(cancel);
      run();
    });
    this.pending.add(cancel);
  }
}
