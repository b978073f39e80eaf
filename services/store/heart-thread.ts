/** The heartbeat on a thread and a connection of its own: whatever the main thread is busy with, the lease is renewed. */
import { once } from "node:events";
import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { systemClock } from "./clock.ts";
import { noLease, stateOf, type HeartOptions } from "./heart-beat.ts";
import { SharedHeart, tickMs } from "./heart-shared.ts";
import type { About, Heart } from "./heart.ts";
import type { NatsAddress } from "./nats-connect.ts";

export type HeartThreadOptions = Pick<HeartOptions, "worker" | "about" | "onLost" | "stillOwns"> & {
  /** Of the cell; it exists. */
  stream: string;
};

/** Given to the thread when it starts. */
export type HeartJob = { address: NatsAddress; stream: string; worker: string; about: About; memory: SharedArrayBuffer; compiled?: string };

export type ToHeart = { do: "start" } | { do: "say"; about: About } | { do: "owns"; answer: boolean | undefined } | { do: "stop" };
export type FromHeart = { is: "started" } | { is: "failed"; fault: FaultData } | { is: "lost"; reason: string } | { is: "asking" };

// It holds a client of NATS and little else.
const resourceLimits = { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 3, stackSizeMb: 1 };
const stopTimeoutMs = 3_000;

/** @throws Fault NatsUnreachable (from `start`) */
export function startHeartThread(address: NatsAddress, options: HeartThreadOptions): Heart {
  return new HeartThread(address, options);
}

class HeartThread implements Heart {
  private readonly options: HeartThreadOptions;
  private readonly shared = new SharedHeart();
  private readonly thread: Worker;
  private readonly ended: Promise<unknown>;
  private readonly ticks: NodeJS.Timeout;
  private readonly begun = Promise.withResolvers<void>();
  private isOver = false;

  constructor(address: NatsAddress, options: HeartThreadOptions) {
    this.options = options;
    const { stream, worker, about } = options;
    const compiled = getCompileCacheDir(); // Node's own folder within the one it was given
    const job: HeartJob = { address, stream, worker, about, memory: this.shared.memory, ...(compiled && { compiled: dirname(compiled) }) };
    const tick = () => this.shared.tick(systemClock.monoMs());
    tick();
    this.ticks = setInterval(tick, tickMs).unref();
    this.thread = new Worker(new URL("./heart-thread-entry.mjs", import.meta.url), { name: "heartbeat", workerData: job, env: {}, execArgv: [], resourceLimits });
    this.thread.on("message", (message: FromHeart) => this.heard(message));
    this.thread.on("error", (thrown) => this.fail(thrown instanceof Error ? thrown.message : String(thrown)));
    this.ended = once(this.thread, "exit").then(() => this.fail("it ended by itself"), () => undefined);
    this.begun.promise.catch(() => undefined); // whoever started it hears of it; nobody else needs to
  }

  start(): Promise<void> {
    this.tell({ do: "start" });
    return this.begun.promise;
  }

  say(about: About): void {
    this.tell({ do: "say", about });
  }

  state() {
    return stateOf(this.isOver ? noLease : this.shared.lease, systemClock);
  }

  async stop(): Promise<void> {
    if (!this.isOver) {
      this.over(new Fault("LeaseLost", this.options.worker, { detail: "stopped" }));
      this.tell({ do: "stop" });
    }
    const patience = new AbortController();
    await Promise.race([this.ended, wait(stopTimeoutMs, undefined, { signal: patience.signal }).catch(() => undefined)]);
    patience.abort();
    await this.thread.terminate();
  }

  private tell(message: ToHeart): void {
    this.thread.postMessage(message, []);
  }

  private heard(message: FromHeart): void {
    if (this.isOver) return;
    if (message.is === "started") this.begun.resolve();
    else if (message.is === "failed") this.begun.reject(new Fault(message.fault.code, message.fault.subject, message.fault));
    else if (message.is === "asking") void this.answer();
    else this.lose(message.reason);
  }

  private async answer(): Promise<void> {
    const answer = await this.options.stillOwns().catch(() => undefined);
    if (!this.isOver) this.tell({ do: "owns", answer });
  }

  /** The thread is gone: nobody renews the lease any more. */
  private fail(detail: string): void {
    if (!this.isOver) this.lose(`the heartbeat's thread failed: ${detail}`);
  }

  private lose(reason: string): void {
    this.over(new Fault("LeaseLost", this.options.worker, { detail: reason }));
    this.options.onLost(reason);
  }

  private over(reason: Fault): void {
    this.isOver = true;
    clearInterval(this.ticks);
    this.begun.reject(reason);
  }
}
