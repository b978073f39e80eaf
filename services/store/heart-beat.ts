/** The heartbeat over a log and a clock: who may act, and since when, follows from the beats that were stored (ownership.md 7.3). */
import { deadlineMs, heartbeatMs } from "#machines/rules/lease.ts";
import { subject } from "#protocol/names/subject.ts";
import { memberRecord, protocolVersion, type MemberRecord } from "#protocol/records/cell.ts";
import type { Clock } from "./clock.ts";
import type { About, Heart, HeartState } from "./heart.ts";
import { parseJson } from "./json.ts";
import { LogError, type Log, type Message } from "./log.ts";

export type HeartOptions = {
  worker: string;
  clock: Clock;
  about: About;
  /** For good, once: another worker held this one for dead, or owns what was its. */
  onLost(reason: string): void;
  /** Asked when our record was gone: whether nobody took over meanwhile. One that fails is asked again. */
  stillOwns(): Promise<boolean>;
  /** False: whatever does the work has stopped, and the beat must not say otherwise. */
  isWorking?(): boolean;
  /** Told in the tick in which it changes. */
  onLease?(lease: Lease): void;
};

export const createHeart = (log: Log, options: HeartOptions): Heart => new BeatingHeart(log, options);

/** What a stored beat is good for. */
export type Lease = {
  untilMs: number;
  steadySinceMs: number;
  /** Wall clock minus monotonic clock when it was sent: the monotonic one stands still while the machine does. */
  offsetMs: number;
};

export const noLease: Lease = { untilMs: 0, steadySinceMs: 0, offsetMs: 0 };

/** What a lease is still worth. */
export function stateOf({ untilMs, steadySinceMs, offsetMs }: Lease, clock: Clock): HeartState {
  const holds = clock.monoMs() < untilMs && Math.abs(offsetOf(clock) - offsetMs) <= largestJumpMs;
  return holds ? { leaseUntilMs: untilMs, steadySinceMs } : { leaseUntilMs: 0, steadySinceMs: 0 };
}

/** More than a wall clock is corrected by within a lease; a pause that is shorter cannot outlive the margin of a lease. */
const largestJumpMs = 200;

const offsetOf = (clock: Clock): number => clock.nowMs() - clock.monoMs();

/** Only cleans up: who is dead is told from what was observed. */
const ttlSeconds = 60;

/** After a beat that was not stored. One without an answer is over a second old by then, and the lease has no second left. */
const retryMs = 100;

const mostGoodbyes = 3;

class BeatingHeart implements Heart {
  private readonly log: Log;
  private readonly options: HeartOptions;
  private readonly name: string;
  private readonly begun = Promise.withResolvers<void>();
  private about: About;
  private lease = noLease;
  private beat = 0;
  /** Of our last beat as far as we know; 0: there is none. */
  private sequence = 0;
  /** Our record was gone: perhaps with it a mark that we were held for dead. */
  private forgotten = false;
  private phase: "new" | "beating" | "over" = "new";
  private leaving: Promise<void> = Promise.resolve();
  private cancel: () => void = () => undefined;

  constructor(log: Log, options: HeartOptions) {
    this.log = log;
    this.options = options;
    this.name = subject.member(options.worker);
    this.about = options.about;
  }

  start(): Promise<void> {
    if (this.phase === "new") {
      this.phase = "beating";
      void this.round();
    }
    return this.begun.promise;
  }

  say(about: About): void {
    this.about = about;
  }

  state(): HeartState {
    return stateOf(this.lease, this.options.clock);
  }

  async stop(): Promise<void> {
    if (!this.isOver) {
      this.end();
      if (this.beat > 0) this.leaving = this.goodbye();
    }
    await this.leaving;
  }

  private get isOver(): boolean {
    return this.phase === "over";
  }

  private async round(): Promise<void> {
    const { clock } = this.options;
    const sentAtMs = clock.monoMs();
    const isStored = await this.renew(sentAtMs);
    if (this.isOver) return;
    const dueInMs = sentAtMs + (isStored ? heartbeatMs : retryMs) - clock.monoMs();
    this.cancel = clock.at(clock.nowMs() + Math.max(0, dueInMs), () => void this.round());
  }

  /** Whether a beat was stored that counts. */
  private async renew(sentAtMs: number): Promise<boolean> {
    const { clock, isWorking } = this.options;
    if (isWorking && !isWorking()) return false;
    const offsetMs = offsetOf(clock);
    const steady = this.state();
    if (steady.leaseUntilMs === 0) this.hold(noLease); // what has run out does not come back when a clock is set
    try {
      const message = this.message();
      this.sequence = await this.log.publish(message).catch((thrown: unknown) => this.stored(thrown));
    } catch (thrown) {
      if (!(thrown instanceof LogError) || thrown.kind === "refused") this.begun.reject(thrown);
      return false; // the lease ages; nobody acts when it is over
    }
    // Only now nobody can take over without our noticing: whoever wants to must replace this beat first.
    if (this.isOver || (this.forgotten && !(await this.ownsStill()))) return false;
    this.forgotten = false;
    if (Math.abs(offsetOf(clock) - offsetMs) > largestJumpMs) return false; // it may be older than it seems
    const isSteady = this.state().leaseUntilMs > 0;
    this.hold({ untilMs: deadlineMs(sentAtMs), steadySinceMs: isSteady ? steady.steadySinceMs : sentAtMs, offsetMs });
    this.begun.resolve();
    return true;
  }

  private message(): Message {
    const record: MemberRecord = { v: 1, worker: this.options.worker, beat: ++this.beat, protocol: protocolVersion, shard: "", ...this.about };
    return { subject: this.name, data: JSON.stringify(record), ttlSeconds, expectLast: this.sequence };
  }

  /** After a refusal: the sequence of our own beat, when what refused this one was an earlier one that had landed. */
  private async stored(thrown: unknown): Promise<never> {
    if (!(thrown instanceof LogError) || thrown.kind !== "fenced") throw thrown;
    const found = await this.log.read(this.name);
    if (!found) this.forgotten = true;
    else if (!this.isOwn(found.data)) this.lose("another worker declared this one dead");
    this.sequence = found?.sequence ?? 0;
    throw new LogError("busy", "an earlier beat had landed, or none is left: once more from there", thrown);
  }

  private isOwn(data: string): boolean {
    const { worker, beat } = memberRecord.safeParse(parseJson(data)).data ?? {};
    return worker === this.options.worker && beat !== undefined && beat <= this.beat;
  }

  private async ownsStill(): Promise<boolean> {
    const owns = await this.options.stillOwns().catch(() => undefined);
    if (this.isOver) return false;
    if (owns === false) {
      this.leaving = this.goodbye(); // nobody is to rely on the beat just stored
      this.lose("another worker took over meanwhile");
    }
    return owns === true;
  }

  private hold(lease: Lease): void {
    this.lease = lease;
    this.options.onLease?.(lease);
  }

  private lose(reason: string): void {
    if (this.isOver) return;
    this.end(reason);
    this.options.onLost(reason);
  }

  private end(reason = "stopped"): void {
    this.phase = "over";
    this.cancel();
    this.hold(noLease);
    this.begun.promise.catch(() => undefined); // whoever does not wait for the start need not hear of its end
    this.begun.reject(new LogError("refused", reason));
  }

  /** Without it the lease runs out by itself. */
  private async goodbye(): Promise<void> {
    try {
      for (let tries = 0; tries < mostGoodbyes; tries++)
        try {
          await this.log.publish({ subject: this.name, data: "", ttlSeconds, expectLast: this.sequence });
          return;
        } catch (thrown) {
          if (!(thrown instanceof LogError) || thrown.kind !== "fenced") throw thrown;
          const found = await this.log.read(this.name); // a beat that was under way
          if (!found || !this.isOwn(found.data)) return;
          this.sequence = found.sequence;
        }
    } catch (thrown) {
      if (!(thrown instanceof LogError)) throw thrown;
    }
  }
}
