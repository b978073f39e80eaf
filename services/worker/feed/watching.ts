/**
 * The watch side of the feed, at work on the one worker that owns the cluster's actor: follows the hub through the watch
 * port, keeps what stands there, and serves every reader a session with the partitions it follows. It may stop, drop
 * everything and begin again later.
 */
import { dependsRequest, feedRequest, pushedRequest, type Attach, type DependsAnswer, type Feeding, type FeedRequest, type PushedAnswer } from "#protocol/messages/feed.ts";
import { actorId, parseActorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { bus as subjects } from "#protocol/names/subject.ts";
import type { Bus } from "#services/store/bus.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import { Contents } from "./contents.ts";
import { readName } from "./managed-names.ts";
import { kindKey, type KindRef, type KindState, type Watch, type WatchListener, type WatchPort } from "./ports.ts";
import { Session } from "./session.ts";
import { parseJson } from "#services/store/json.ts";
import { every } from "../timing.ts";

export type WatchingOptions = {
  port: WatchPort;
  bus: Bus;
  clock: Clock;
  worker: string;
  /** Throws Fault LeaseLost when this worker may not install definitions now. */
  guard(): void;
  /** Keys that have a shard, by its number. */
  shards(): readonly string[];
  log: Pick<Log, "debug" | "error">;
};

/** A reader that says nothing for so long has no session any more. */
const silentMs = 5_000;
const sweepMs = 1_000;
/** Changes of so long go into one message. */
const batchMs = 2;
/** What one turn of the event loop sends to one reader. */
const mostBytesAtOnce = 1024 * 1024;
const firstLookAgainMs = 1_000;
const longestLookAgainMs = 300_000;
/** All of them fit into one message. */
const mostMatches = 1_000;

type Kind = { ref: KindRef; state: KindState | undefined; lookAtMs: number; waitMs: number };

export class Watching {
  private readonly options: WatchingOptions;
  private readonly contents: Contents;
  /** By reader. */
  private readonly sessions = new Map<string, Session>();
  private readonly kinds = new Map<string, Kind>();
  private readonly refused = new Map<string, string>();
  private readonly attached = new Map<string, Attach>();
  private stopping: AbortController | undefined;
  private ready: Promise<void> | undefined;
  private isReady = false;
  private watch: Watch | undefined;
  private flushing = false;
  private streams = 0;

  constructor(options: WatchingOptions) {
    this.options = options;
    this.contents = new Contents(() => options.shards());
  }

  /** Bounds, for a look from outside. */
  counts(): { sessions: number; queued: number } {
    return { sessions: this.sessions.size, queued: [...this.sessions.values()].reduce((sum, { queued }) => sum + queued, 0) };
  }

  /** Resolves when every Flux object was told; begins to watch if nobody does. */
  start(): Promise<void> {
    if (this.ready) return this.ready;
    const stopping = new AbortController();
    this.stopping = stopping;
    this.ready = this.begin(stopping.signal).catch((thrown: unknown) => {
      if (this.stopping === stopping) this.stop();
      throw thrown;
    });
    return this.ready;
  }

  /** Ends the watches and every session, and forgets all. */
  stop(): void {
    this.stopping?.abort();
    this.stopping = undefined;
    this.ready = undefined;
    this.isReady = false;
    this.watch = undefined;
    for (const [reader, { id }] of this.sessions) this.say(reader, { t: "over", session: id });
    this.sessions.clear();
    this.attached.clear();
    this.kinds.clear();
    this.refused.clear();
    this.contents.clear();
  }

  private async begin(signal: AbortSignal): Promise<void> {
    const { port, bus, clock, worker, guard } = this.options;
    await port.prepare(guard, signal);
    signal.throwIfAborted();
    const synced = Promise.withResolvers<void>();
    this.watch = port.start(this.listener(signal, () => synced.resolve()), signal);
    const ends = [
      bus.subscribe(subjects.to(worker, "feed"), (data) => this.received(data)),
      bus.subscribe(subjects.to(worker, "pushed"), (data, answer) => answer?.(JSON.stringify(this.pushed(data)))),
      bus.subscribe(subjects.to(worker, "depends"), (data, answer) => answer?.(JSON.stringify(this.depends(data)))),
      every(clock, sweepMs, () => this.sweep()),
    ];
    signal.addEventListener("abort", () => {
      ends.forEach((end) => end());
      synced.reject(signal.reason);
    }, { once: true });
    await synced.promise;
  }

  private listener(signal: AbortSignal, firstSynced: () => void): WatchListener {
    const whileOn = <Args extends unknown[]>(run: (...args: Args) => void) => (...args: Args) => { if (!signal.aborted) run(...args); };
    return {
      flux: whileOn((key: ActorKey, object) => {
        this.news(this.contents.setFlux(key, object));
      }),
      reference: whileOn((reference: string, version: string | undefined) => {
        for (const id of this.contents.setReference(reference, version)) {
          const partition = partitionOf(parseActorId(id));
          this.each((session) => { if (session.follows(partition)) session.fluxChanged(id); });
        }
      }),
      fluxSynced: whileOn(() => {
        const again = this.isReady;
        this.isReady = true;
        this.refused.clear();
        firstSynced();
        if (again) return this.each((session) => session.relisted());
        for (const [reader, attach] of this.attached) this.sessions.get(reader)?.attach(attach);
        this.soon();
      }),
      managed: whileOn((id: string, record) => {
        const partitions = this.contents.setManaged(id, record);
        this.each((session) => { if (partitions.some((partition) => session.follows(partition))) session.managedChanged(id, partitions.length > 1); });
      }),
      kind: whileOn((name: string, state: KindState) => this.kindIs(name, state)),
      lost: whileOn((what: string, reason: string, forbidden?: boolean) => this.lost(what, reason, forbidden === true)),
    };
  }

  private lost(what: string, reason: string, forbidden: boolean): void {
    const { log } = this.options;
    if (!forbidden || this.refused.has(what)) return log.debug("watch lost", { watched: what, error: reason });
    this.refused.set(what, reason);
    log.error("may not list and watch a kind: give the account the right, nothing is reconciled until then", reason, { kind: what });
  }

  /** Kinds that the account may not watch, and what the server says. Empty as soon as everything is. */
  refusals(): string[] {
    return [...this.refused].map(([what, reason]) => `the account may not list and watch ${what}: ${reason}`);
  }

  /** Keys have a shard that had none. */
  reshard(): void {
    if (this.watch) this.news(this.contents.regroup());
  }

  private news({ ids, managed }: { ids: string[]; managed: string[] }): void {
    const places = ids.map((id) => ({ id, partition: partitionOf(parseActorId(id)) }));
    this.each((session) => {
      for (const { id, partition } of places) if (session.follows(partition)) session.fluxChanged(id);
      for (const id of managed) session.managedChanged(id, true);
    });
  }

  private kindIs(name: string, state: KindState): void {
    const kind = this.kinds.get(name);
    if (!kind) return;
    kind.state = state;
    if (state === "absent") {
      kind.lookAtMs = this.options.clock.monoMs() + kind.waitMs;
      kind.waitMs = Math.min(longestLookAgainMs, kind.waitMs * 2);
    }
    this.each((session) => session.kindChanged(name));
  }

  private received(data: string): void {
    const request = parse(data);
    if (!request) return this.options.log.error("malformed request for the feed", data.slice(0, 100));
    const { reader, session: id } = request;
    const session = this.sessions.get(reader);
    if (request.t === "leave") {
      if (session?.id === id) this.forget(reader);
    } else if (request.t === "attach") this.attach(request, session?.id === id ? session : undefined);
    else if (session?.id === id) this.heard(session, request.seen);
  }

  private attach(request: Attach, known: Session | undefined): void {
    const { reader, session: id, seen } = request;
    // It has taken messages of a session that is gone: what was sent since is lost to it.
    if (!known && seen > 0) return this.say(reader, { t: "over", session: id });
    const session = known ?? this.open(reader, id);
    this.attached.set(reader, request);
    for (const [named, kind, v] of request.kinds) {
      const { unit, name: group } = readName(named);
      this.follow({ unit, group, kind, v }, request.again.includes(`${named}/${kind}`));
    }
    // Before the first list is in nobody knows what "everything" is.
    if (this.isReady) session.attach(request);
    this.heard(session, seen);
    this.say(reader, { t: "beat", session: id, stream: session.stream, last: session.last });
  }

  private open(reader: string, id: string): Session {
    const { clock, worker, bus } = this.options;
    const session = new Session(id, `${worker}.${clock.nowMs()}.${++this.streams}`, clock.monoMs(), {
      contents: this.contents,
      send: (_, text) => bus.publish(subjects.to(reader, "feeding"), text),
      stateOf: (kind) => this.kinds.get(kind)?.state,
    });
    this.sessions.set(reader, session);
    return session;
  }

  private heard(session: Session, seen: number): void {
    session.lastHeardMs = this.options.clock.monoMs();
    session.ack(seen);
    this.soon();
  }

  private follow(ref: KindRef, again: boolean): void {
    const name = kindKey(ref);
    const known = this.kinds.get(name);
    const { clock } = this.options;
    if (!known) this.kinds.set(name, { ref, state: undefined, lookAtMs: 0, waitMs: firstLookAgainMs });
    else if (known.state === "synced") return;
    else if (known.state === "absent") {
      if (!again && clock.monoMs() < known.lookAtMs) return;
      known.lookAtMs = clock.monoMs() + known.waitMs;
    }
    this.watch?.follow(ref); // asked until it is known: the server may have been away
  }

  private pushed(data: string): PushedAnswer {
    const { success, data: request } = pushedRequest.safeParse(parseJson(data));
    const known = success && this.isReady;
    return { known, sources: known ? this.contents.matching(request.urls).slice(0, mostMatches).map(actorId) : [] };
  }

  private depends(data: string): DependsAnswer {
    const { success, data: request } = dependsRequest.safeParse(parseJson(data));
    const known = success && this.isReady;
    return known ? { known, ...this.contents.depends(request.unit) } : { known, cycle: [], goFirst: [] };
  }

  private each(tell: (session: Session) => void): void {
    for (const session of this.sessions.values()) tell(session);
    if (this.sessions.size > 0) this.soon();
  }

  private soon(): void {
    if (this.flushing) return;
    this.flushing = true;
    const { clock } = this.options;
    clock.at(clock.nowMs() + batchMs, () => {
      this.flushing = false;
      let more = false;
      for (const session of this.sessions.values()) if (session.flush(mostBytesAtOnce)) more = true;
      if (more) this.soon();
    });
  }

  private sweep(): void {
    const beforeMs = this.options.clock.monoMs() - silentMs;
    for (const [reader, { lastHeardMs }] of this.sessions) if (lastHeardMs < beforeMs) this.forget(reader);
  }

  private forget(reader: string): void {
    this.sessions.delete(reader);
    this.attached.delete(reader);
  }

  private say(reader: string, message: Feeding): void {
    this.options.bus.publish(subjects.to(reader, "feeding"), JSON.stringify(message));
  }
}

const parse = (data: string): FeedRequest | undefined => feedRequest.safeParse(parseJson(data)).data;
