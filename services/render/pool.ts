/** Threads that render. Each build has one thread to itself and a time limit; what overruns it loses its thread. */
import type { MessagePort } from "node:worker_threads";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { Loading, ThreadReply, ThreadSettings } from "./pool-thread.ts";
import { ThreadEnded, ThreadHandle } from "./thread-handle.ts";

export type PoolOptions = {
  /** What runs in a thread (pool-thread.ts). */
  script: URL;
  /** What it is when a thread comes to an end over what it was asked. */
  failed?: FaultCode;
  threads: number;
  timeoutMs: number;
  /** After this long, others than those whose builds run get a thread beside them; it goes when it had nothing to do for `spareIdleMs`. */
  slowMs: number;
  spareIdleMs: number;
  thread: ThreadSettings;
};

/** What a build answers: the module's reply as JSON text in UTF-8. */
export type BuildReply = Uint8Array<ArrayBuffer>;

/** `pack`: what the thread loads first, when it does not have it. */
type Needed = { digest: string; pack(): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> };

/** `subject`: what is built, for the operator. `call`: made anew each time it is sent; the ports go to the thread with it. */
export type Work = { subject: string; tenant: string; call(): [call: object, ports?: MessagePort[]]; needs?: Needed };
type Job = { work: Work; done: PromiseWithResolvers<BuildReply> };

export class RenderPool {
  private readonly options: PoolOptions;
  private readonly threads: Thread[];
  private spare: Thread | undefined;
  private slow: NodeJS.Timeout | undefined;
  private spareIdle: NodeJS.Timeout | undefined;
  private readonly queue: Job[] = [];
  private closed = false;

  constructor(options: PoolOptions) {
    this.options = options;
    this.threads = Array.from({ length: options.threads }, () => new Thread(options));
  }

  /** The most memory any thread's module holds now. */
  get memoryBytes(): number {
    return Math.max(...this.all().map(({ memoryBytes }) => memoryBytes));
  }

  /** Starts all threads now rather than with the first builds. */
  async warm(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.start()));
  }

  /** Whether some thread has it loaded. */
  has(digest: string): boolean {
    return this.all().some(({ loaded }) => loaded.has(digest));
  }

  /**
   * An aborted build that waits is forgotten; one that runs is left to end by itself, within its time limit, because
   * ending its thread would cost more than it saves.
   *
   * @throws Fault RenderTimeout, RendererMissing, `failed`; the signal's reason; what `pack` throws
   */
  async do(work: Work, signal: AbortSignal): Promise<BuildReply> {
    signal.throwIfAborted();
    if (this.closed) throw new Fault("RendererMissing", work.subject, { detail: "the renderer is closed" });
    const job: Job = { work, done: Promise.withResolvers() };
    const forget = () => {
      const at = this.queue.indexOf(job);
      if (at >= 0) this.queue.splice(at, 1);
      job.done.reject(signal.reason);
    };
    signal.addEventListener("abort", forget, { once: true });
    this.queue.push(job);
    this.dispatch();
    return job.done.promise.finally(() => signal.removeEventListener("abort", forget));
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const { work, done } of this.queue.splice(0))
      done.reject(new Fault("RendererMissing", work.subject, { detail: "the renderer is closed" }));
    clearTimeout(this.slow);
    clearTimeout(this.spareIdle);
    await Promise.all(this.all().map((thread) => thread.stop()));
  }

  /** First come, first served; by a thread that has the artifact already, if one is free. */
  private dispatch(): void {
    for (let job = this.queue[0]; job; job = this.queue[0]) {
      const { work } = job;
      const idle = this.threads.filter(({ running }) => !running);
      const digest = work.needs?.digest;
      const thread = (digest !== undefined && idle.find(({ loaded }) => loaded.has(digest))) || idle[0];
      if (!thread) return this.lend();
      this.take(job, thread);
    }
  }

  /** One tenant's slow build holds up no other tenant for long; its own builds wait for it. */
  private lend(): void {
    if (this.spare) return this.dispatchSpare();
    if (this.slow || !this.foreign()) return;
    const aheadMs = Math.max(...this.threads.map(({ startedMs }) => startedMs)) + this.options.slowMs - performance.now();
    this.slow = setTimeout(() => {
      this.slow = undefined;
      if (this.closed || !this.foreign()) return;
      if (this.threads.every(({ running, startedMs }) => running && startedMs + this.options.slowMs <= performance.now())) this.spare = new Thread(this.options);
      this.lend();
    }, Math.max(0, aheadMs)).unref();
  }

  private dispatchSpare(): void {
    clearTimeout(this.spareIdle);
    const job = this.foreign();
    if (this.spare && !this.spare.running && job) this.take(job, this.spare);
    this.spareIdle = setTimeout(() => {
      if (this.spare?.running) return; // when it ends, this begins anew
      void this.spare?.stop();
      this.spare = undefined;
    }, this.options.spareIdleMs).unref();
  }

  /** The first that waits of a tenant for whom nothing runs. */
  private foreign(): Job | undefined {
    const running = new Set(this.all().map((thread) => thread.running?.tenant));
    return this.queue.find(({ work }) => !running.has(work.tenant));
  }

  private take(job: Job, thread: Thread): void {
    this.queue.splice(this.queue.indexOf(job), 1);
    thread
      .run(job.work)
      .then(job.done.resolve, job.done.reject)
      .finally(() => {
        if (thread === this.spare) this.dispatchSpare();
        this.dispatch();
      });
  }

  private all(): Thread[] {
    return this.spare ? [...this.threads, this.spare] : this.threads;
  }
}

class Thread {
  running: Work | undefined;
  startedMs = 0;
  loaded = new Set<string>();
  memoryBytes = 0;
  private readonly timeoutMs: number;
  private readonly failed: FaultCode;
  private readonly handle: ThreadHandle<Loading, ThreadReply>;

  constructor({ timeoutMs, thread, script, failed = "BuildFailed" }: PoolOptions) {
    this.timeoutMs = timeoutMs;
    this.failed = failed;
    this.handle = new ThreadHandle({
      script, settings: thread, timeoutMs,
      onEnd: () => {
        this.loaded = new Set();
        this.memoryBytes = 0;
      },
    });
  }

  async run(work: Work): Promise<BuildReply> {
    this.running = work;
    this.startedMs = performance.now();
    try {
      await this.handle.start();
      const answer = await this.build(work);
      if ("reply" in answer) return answer.reply;
      const detail = "stopped" in answer ? answer.stopped : "the artifact was not taken";
      throw new Fault(this.failed, work.subject, { detail });
    } finally {
      this.running = undefined;
    }
  }

  start(): Promise<void> {
    return this.handle.start();
  }

  stop(): Promise<void> {
    return this.handle.stop();
  }

  private async build({ subject, call, needs }: Work): Promise<ThreadReply> {
    if (!needs) return this.ask(subject, ...call());
    const { digest } = needs;
    if (this.loaded.has(digest)) {
      const [known, ports] = call();
      const answer = await this.ask(subject, { ...known, digest }, ports);
      if (!("absent" in answer)) return answer;
    }
    const packed = await needs.pack();
    const [anew, ports = []] = call();
    return this.ask(subject, { ...anew, digest, packed }, [packed.buffer, ...ports]);
  }

  private async ask(subject: string, call: Loading, transfer: (ArrayBuffer | MessagePort)[] = []): Promise<ThreadReply> {
    const answer = await this.handle.ask(call, transfer).catch((thrown: unknown) => {
      if (!(thrown instanceof ThreadEnded)) throw thrown;
      if (thrown.overran) throw new Fault("RenderTimeout", subject, { detail: `not done after ${this.timeoutMs / 1000} s` });
      throw new Fault(this.failed, subject, { detail: thrown.message, cause: thrown.cause });
    });
    this.loaded = new Set(answer.loaded);
    this.memoryBytes = answer.memoryBytes;
    return answer;
  }
}
