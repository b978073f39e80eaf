/**
 * The reader's side of the feed, the same on every worker: a session with whoever watches the hub, and what it told of
 * the partitions this worker follows. When a session ends, everything stays as it is until the next one has told all
 * of a partition again; what it did not name then is gone.
 */
import { dependsAnswer, feeding, pushedAnswer, type DependsAnswer, type Feeding, type FeedItem, type FeedRequest } from "#protocol/messages/feed.ts";
import { actorId, objectId, parseActorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { bus as subjects } from "#protocol/names/subject.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Bus } from "#services/store/bus.ts";
import type { Clock } from "#services/store/clock.ts";
import { parseJson } from "#services/store/json.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { RawObject } from "../facts.ts";
import { partitionsOfManaged } from "./contents.ts";
import { FluxView } from "./flux-view.ts";
import { namedFor } from "./managed-names.ts";
import { ManagedViews } from "./managed-views.ts";
import { kindKey, type RequestPort } from "./ports.ts";
import { every } from "../timing.ts";

export type ViewOptions = {
  bus: Bus;
  clock: Clock;
  worker: string;
  requests: Pick<RequestPort, "get">;
  signal: AbortSignal;
  /** A Flux object of a followed partition is as given, or gone. */
  onObject(key: ActorKey, object: RawObject | undefined): void;
  /** Everything of the partition was told; again in each new session. */
  onShown(partition: number): void;
  /** Kinds of managed objects were listed (anew): all that was applied is worth comparing. */
  onRelisted(): void;
  /** What stands in Helm's storage of this release is another than it was. */
  onStorage(key: ActorKey): void;
  log: Pick<Log, "debug" | "error">;
};

/** How often a session is kept alive; the watcher drops one that is silent for five times as long. */
const keepAliveMs = 1_000;
const retryMs = 200;
const silentMs = 5_000;
const ackBytes = 512 * 1024;
/** Wishes of so long go into one message. */
const batchMs = 2;
const answerTimeoutMs = 2_000;
/** Objects that are asked for at once, because nobody else can say whether they are still there. */
const mostLooks = 10;
/** An object cannot be larger on the API server. */
const longestText = 4 * 1024 * 1024;

/** A partition of which not everything was told yet; `named`, once the showing has begun: its Flux objects so far. */
type Pending = { turn: number; named?: Set<string> };

export class View {
  readonly flux = new FluxView();
  readonly managed: ManagedViews;
  private readonly options: ViewOptions;
  private followed: ReadonlySet<number> = new Set();
  private readonly pending = new Map<number, Pending>();
  private readonly again = new Set<string>();
  private watcher: string | undefined;
  private session = "";
  private stream: string | undefined;
  private last = 0;
  private unackedBytes = 0;
  private heardMs = 0;
  private saidMs = 0;
  private turns = 0;
  private part = { key: "", text: "" };
  private speaking = false;
  private looking = false;
  private relisting = false;

  constructor(options: ViewOptions) {
    this.options = options;
    const { bus, clock, worker, signal } = options;
    this.managed = new ManagedViews({
      clock,
      isShown: (partition) => this.isShown(partition),
      isAllShown: () => this.isConnected(),
      onNeed: (ref, again) => {
        if (again) this.again.add(kindKey(ref));
        this.soon();
      },
    });
    const ends = [
      bus.subscribe(subjects.to(worker, "feeding"), (data) => this.received(data)),
      every(clock, retryMs, () => this.beat()),
    ];
    signal.addEventListener("abort", () => {
      ends.forEach((end) => end());
      this.leave();
    }, { once: true });
  }

  /** The partitions this worker wants to see from now on; of those that are not among them nothing is kept. */
  follow(partitions: ReadonlySet<number>): void {
    for (const partition of this.followed) if (!partitions.has(partition)) this.forget(partition, partitions);
    const turn = ++this.turns;
    for (const partition of partitions) if (!this.followed.has(partition)) this.pending.set(partition, { turn });
    this.followed = new Set(partitions);
    if (this.isConnected()) this.managed.each((view) => view.caughtUp());
    this.soon();
  }

  /** Who watches the hub. */
  watchedBy(worker: string | undefined): void {
    if (worker === this.watcher) return;
    this.leave();
    this.watcher = worker;
    this.renew();
  }

  /** A watcher serves us, and everything followed is shown. */
  isConnected(): boolean {
    return this.stream !== undefined && this.pending.size === 0;
  }

  isShown(partition: number): boolean {
    return this.stream !== undefined && this.followed.has(partition) && !this.pending.has(partition);
  }

  /** What a write of ours returned; `read`: what a request found. */
  take(key: ActorKey, object: RawObject, how: "wrote" | "read"): void {
    if (this.followed.has(partitionOf(key))) this.flux[how](key, object);
  }

  /** Sources of the whole hub with one of these URLs. @throws Fault ClusterUnreachable when the watcher does not answer, or does not know */
  async matching(urls: string[]): Promise<ActorKey[]> {
    return (await this.ask("pushed", { urls }, (said) => pushedAnswer.parse(said))).sources.map(parseActorId);
  }

  /** How a unit stands to all others of the hub. @throws Fault ClusterUnreachable when the watcher does not answer, or does not know */
  async depends(unit: ActorKey): Promise<DependsAnswer> {
    return this.ask("depends", { unit: objectId(unit) }, (said) => dependsAnswer.parse(said));
  }

  private async ask<T extends { known: boolean }>(what: "pushed" | "depends", question: object, read: (answer: unknown) => T): Promise<T> {
    try {
      if (!this.watcher) throw new Fault("ClusterUnreachable", "hub", { detail: "no worker watches it now" });
      const answer = read(JSON.parse(await this.options.bus.request(subjects.to(this.watcher, what), JSON.stringify(question), answerTimeoutMs)));
      if (!answer.known) throw new Fault("ClusterUnreachable", "hub", { detail: "the worker that watches it has not seen everything yet" });
      return answer;
    } catch (cause) {
      if (cause instanceof Fault) throw cause;
      throw new Fault("ClusterUnreachable", "hub", { detail: "the worker that watches it does not answer", cause });
    }
  }

  private beat(): void {
    const { clock } = this.options;
    const nowMs = clock.monoMs();
    void this.look();
    if (this.stream !== undefined && nowMs - this.heardMs >= silentMs) return this.renew();
    if (this.stream === undefined || nowMs - this.saidMs >= keepAliveMs) this.attach();
  }

  /** A session from scratch; what is kept stays until its partition is shown. */
  private renew(): void {
    const { clock, worker } = this.options;
    const turn = ++this.turns;
    this.session = `${worker}.${clock.nowMs()}.${turn}`;
    this.stream = undefined;
    this.last = 0;
    this.unackedBytes = 0;
    this.part = { key: "", text: "" };
    this.pending.clear();
    for (const partition of this.followed) this.pending.set(partition, { turn });
    this.managed.each((view) => view.unsync());
    this.soon();
  }

  private soon(): void {
    if (this.speaking) return;
    this.speaking = true;
    const { clock, signal } = this.options;
    clock.at(clock.nowMs() + batchMs, () => {
      this.speaking = false;
      if (!signal.aborted) this.attach();
    });
  }

  private attach(): void {
    this.saidMs = this.options.clock.monoMs();
    this.say({
      t: "attach", reader: this.options.worker, session: this.session, seen: this.last,
      partitions: [...this.followed], fresh: [...this.pending].map(([partition, { turn }]) => [partition, turn]),
      kinds: this.managed.neededKinds().map(({ unit = "kustomization", group, kind, v }) => [namedFor(unit, group), kind, v]), again: [...this.again],
    });
    this.again.clear();
    this.unackedBytes = 0;
  }

  private leave(): void {
    this.say({ t: "leave", reader: this.options.worker, session: this.session });
  }

  private say(request: FeedRequest): void {
    if (this.watcher !== undefined && this.session !== "") this.options.bus.publish(subjects.to(this.watcher, "feed"), JSON.stringify(request));
  }

  private received(data: string): void {
    const message = parse(data);
    if (!message) return this.options.log.error("malformed message of the feed", "set aside");
    if (message.session !== this.session) return;
    if (message.t === "over") {
      if (this.stream !== undefined || this.last > 0) this.renew();
      return;
    }
    // The first word of a session may be its first message, or that there was none yet.
    this.stream ??= message.stream;
    if (this.stream !== message.stream) return this.renew();
    this.heardMs = this.options.clock.monoMs();
    if (message.t === "beat") {
      if (message.last > this.last) this.renew();
      return;
    }
    if (message.n <= this.last) return;
    if (message.n > this.last + 1) return this.renew();
    this.last = message.n;
    this.takeAll(message.items);
    this.unackedBytes += data.length;
    if (this.unackedBytes < ackBytes || this.stream === undefined) return;
    this.unackedBytes = 0;
    this.say({ t: "ack", reader: this.options.worker, session: this.session, seen: this.last });
  }

  private takeAll(items: FeedItem[]): void {
    let relisted = false;
    for (const item of items) {
      if (item.t === "flux") this.takeFlux(item);
      else if (item.t === "managed") this.takeManaged(item);
      else if (item.t === "showing") this.showing(item);
      else if (item.t === "shown") this.shown(item);
      else if (item.t === "relisted") this.flux.relisted();
      else if (this.managed.kindIs(item.kind, item.is)) relisted = true;
    }
    if (relisted) this.relisted();
  }

  private takeFlux({ k, o, more, i = "" }: FeedItem & { t: "flux" }): void {
    const key = parseActorId(k);
    if (!this.followed.has(partitionOf(key))) return;
    if (o === undefined) {
      this.pending.get(partitionOf(key))?.named?.delete(k);
      // A request of ours may have seen one that was created since.
      if (this.flux.isGone(k)) this.gone(key);
      return;
    }
    const text = this.part.key === k ? this.part.text + o : o;
    this.part = more && text.length <= longestText ? { key: k, text } : { key: "", text: "" };
    if (more) return;
    this.pending.get(partitionOf(key))?.named?.add(k);
    const stood = this.flux.storageSeen(key);
    const news = this.flux.put(key, text, i);
    if (stood !== undefined && stood !== this.flux.storageSeen(key)) this.options.onStorage(key);
    if (news) this.options.onObject(key, news);
  }

  private takeManaged({ id, m }: FeedItem & { t: "managed" }): void {
    if (m === undefined || !partitionsOfManaged(m).some((partition) => this.followed.has(partition))) return this.managed.drop(id);
    this.managed.put(id, m);
  }

  private showing({ p, turn }: FeedItem & { t: "showing" }): void {
    const pending = this.pending.get(p);
    if (pending?.turn !== turn) return;
    pending.named = new Set();
    this.managed.each((view) => view.showing(p));
  }

  private shown({ p, turn }: FeedItem & { t: "shown" }): void {
    const { turn: asked, named } = this.pending.get(p) ?? {};
    if (asked !== turn || !named) return;
    for (const id of this.flux.ofPartition(p)) if (!named.has(id) && this.flux.isGone(id)) this.gone(parseActorId(id));
    this.pending.delete(p);
    this.managed.each((view) => view.shown(p));
    this.options.onShown(p);
    if (this.pending.size === 0) this.managed.each((view) => view.caughtUp());
  }

  private gone(key: ActorKey): void {
    if (this.flux.drop(key)) this.options.onObject(key, undefined);
  }

  private forget(partition: number, followed: ReadonlySet<number>): void {
    this.pending.delete(partition);
    for (const id of this.flux.ofPartition(partition)) this.flux.drop(parseActorId(id));
    this.managed.each((view) => view.forget(partition, followed));
  }

  private relisted(): void {
    if (this.relisting) return;
    this.relisting = true;
    const { clock, signal } = this.options;
    // Kinds come one after the other; one comparison does for all.
    clock.at(clock.nowMs() + keepAliveMs / 10, () => {
      this.relisting = false;
      if (!signal.aborted) this.options.onRelisted();
    });
  }

  /** Asks the server itself for what only we have seen. */
  private async look(): Promise<void> {
    if (this.looking) return;
    const ids = this.flux.doubtful().filter((id) => this.isShown(partitionOf(parseActorId(id)))).slice(0, mostLooks);
    if (ids.length === 0) return;
    this.looking = true;
    for (const id of ids) {
      const key = parseActorId(id);
      try {
        const object = await this.options.requests.get(key);
        if (!this.flux.isDoubtful(id)) continue; // the feed knew meanwhile
        if (object) this.flux.assure(id);
        else this.gone(key);
      } catch (thrown) {
        this.options.log.debug("an object could not be looked at", { object: actorId(key), error: String(thrown) });
      }
    }
    this.looking = false;
  }
}

const parse = (data: string): Feeding | undefined => feeding.safeParse(parseJson(data)).data;
