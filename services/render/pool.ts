/** Threads that render. Each build has one thread to itself and a time limit; what overruns it loses its thread. */
import { Worker } from "node:worker_threads";
import { Fault } from "#protocol/errors/fault.ts";
import type { BuildCall } from "./module.ts";
import type { ThreadCall, ThreadReply, ThreadSettings } from "./thread.ts";
import type { Tree } from "./tree.ts";

type PoolOptions = { threads: number; timeoutMs: number; thread: ThreadSettings };

/** What a build answers: the module's reply as JSON text in UTF-8. */
type BuildReply = Uint8Array<ArrayBuffer>;

type Job = {
  call: BuildCall;
  tree: Tree;
  done: PromiseWithResolvers<BuildReply>;
};

export class RenderPool {
  private readonly threads: Thread[];
  private readonly queue: Job[] = [];
  private closed = false;

  constructor(options: PoolOptions) {
    this.threads = Array.from({ length: options.threads }, () => new Thread(options));
  }

  /** The most memory any thread's module holds now. */
  get memoryBytes(): number {
    return Math.max(...this.threads.map(({ memoryBytes }) => memoryBytes));
  }

  /** Starts all threads now rather than with the first builds. */
  async warm(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.start()));
  }

  /**
   * An aborted build that waits is forgotten; one that runs is left to end by itself, within its time limit, because
   * ending its thread would cost more than it saves.
   *
   * @throws Fault BuildFailed, RenderTimeout; and the signal's reason
   */
  async build(call: BuildCall, tree: Tree, signal: AbortSignal): Promise<BuildReply> {
    signal.throwIfAborted();
    if (this.closed) throw new Fault("RendererMissing", subjectOf(call), { detail: "the renderer is closed" });
    const job: Job = { call, tree, done: Promise.withResolvers() };
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
    for (const { call, done } of this.queue.splice(0))
      done.reject(new Fault("RendererMissing", subjectOf(call), { detail: "the renderer is closed" }));
    await Promise.all(this.threads.map((thread) => thread.stop()));
  }

  /** First come, first served; by a thread that has the artifact already, if one is free. */
  private dispatch(): void {
    for (let job = this.queue[0]; job; job = this.queue[0]) {
      const idle = this.threads.filter(({ busy }) => !busy);
      const thread = idle.find(({ loaded }) => loaded.has(job.call.digest)) ?? idle[0];
      if (!thread) return;
      this.queue.shift();
      const { call, tree, done } = job;
      thread
        .run(call, tree)
        .then(done.resolve, done.reject)
        .finally(() => this.dispatch());
    }
  }
}

class Thread {
  busy = false;
  loaded = new Set<string>();
  memoryBytes = 0;
  private readonly options: PoolOptions;
  private worker: Promise<Worker> | undefined;
  private current: Worker | undefined;

  constructor(options: PoolOptions) {
    this.options = options;
  }

  async run(call: BuildCall, tree: Tree): Promise<BuildReply> {
    this.busy = true;
    try {
      const worker = await this.start();
      let answer = this.loaded.has(call.digest) ? await this.ask(worker, call) : undefined;
      if (!answer || "absent" in answer) answer = await this.ask(worker, { ...call, tree: tree.pack(call.digest) });
      if ("reply" in answer) return answer.reply;
      const detail = "stopped" in answer ? answer.stopped : "the artifact was not taken";
      throw new Fault("BuildFailed", subjectOf(call), { detail });
    } finally {
      this.busy = false;
    }
  }

  start(): Promise<Worker> {
    this.worker ??= this.startWorker().catch((cause: unknown) => {
      this.worker = undefined;
      throw Fault.from(cause, "renderer");
    });
    return this.worker;
  }

  async stop(): Promise<void> {
    const worker = this.worker;
    this.forget();
    await (await worker?.catch(() => undefined))?.terminate();
  }

  private async ask(worker: Worker, call: ThreadCall): Promise<ThreadReply> {
    const { timeoutMs } = this.options;
    const { promise, resolve, reject } = Promise.withResolvers<ThreadReply>();
    const ended = (cause: unknown) =>
      reject(new Fault("BuildFailed", subjectOf(call), { detail: "the renderer's thread ended", cause }));
    const timer = setTimeout(() => {
      reject(new Fault("RenderTimeout", subjectOf(call), { detail: `not done after ${timeoutMs / 1000} s` }));
      void this.stop();
    }, timeoutMs);
    worker.on("message", resolve).on("error", ended).on("exit", ended);
    try {
      worker.postMessage(call, call.tree ? [call.tree.buffer] : []);
      const answer = await promise;
      this.loaded = new Set(answer.loaded);
      this.memoryBytes = answer.memoryBytes;
      return answer;
    } finally {
      clearTimeout(timer);
      worker.off("message", resolve).off("error", ended).off("exit", ended);
    }
  }

  /** Resolves when the thread's module is warm. */
  private startWorker(): Promise<Worker> {
    const { promise, resolve, reject } = Promise.withResolvers<Worker>();
    const worker = new Worker(new URL("./thread.ts", import.meta.url), {
      workerData: this.options.thread,
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 6, stackSizeMb: 8 },
    });
    worker.once("message", () => resolve(worker));
    // For the thread's whole life: an error nobody listens to would end the process.
    worker.on("error", reject).on("exit", () => this.forget(worker));
    this.current = worker;
    return promise;
  }

  /** The next build starts a thread of its own. */
  private forget(ended = this.current): void {
    if (ended !== this.current) return;
    this.worker = undefined;
    this.current = undefined;
    this.loaded = new Set();
    this.memoryBytes = 0;
  }
}

const subjectOf = ({ path }: BuildCall) => path || ".";
