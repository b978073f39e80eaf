/** A few threads for archiving: started when there is work, ended when there is none, killed when a call is ended. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { Fault } from "#protocol/errors/fault.ts";
import type { Snapshot, SnapshotJob } from "./snapshot.ts";
import type { ThreadAnswer } from "./thread.ts";

type Waiting = { start: (thread: Worker) => void };

const idleMs = 60_000;
const heapMegabytes = 512; // without the pack and the archive, which lie outside of it

export class Threads {
  readonly #most: number;
  readonly #idle: { thread: Worker; timer: NodeJS.Timeout }[] = [];
  readonly #waiting: Waiting[] = [];
  #busy = 0;

  constructor(most = Math.max(1, Math.min(4, availableParallelism() - 1))) {
    this.#most = most;
  }

  /** @throws Fault of the job; the signal's reason when it ended the call, and the thread with it */
  async snapshot(job: SnapshotJob, signal: AbortSignal): Promise<Snapshot> {
    const thread = await this.#take(signal);
    try {
      const made = await work(thread, job, signal);
      this.#giveBack(thread);
      return made;
    } catch (error) {
      // A fault is an answer like any other; whatever else happened, the thread is no longer trusted.
      if (error instanceof Fault && error.code !== "Unexpected" && !signal.aborted) this.#giveBack(thread);
      else this.#end(thread);
      throw error;
    }
  }

  /** Ends the idle threads; busy ones end with their calls. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map(({ thread, timer }) => (clearTimeout(timer), thread.terminate())));
  }

  #take(signal: AbortSignal): Promise<Worker> {
    signal.throwIfAborted();
    const idle = this.#idle.pop();
    if (idle) clearTimeout(idle.timer);
    if (idle || this.#busy < this.#most) {
      this.#busy++;
      const thread = idle?.thread ?? startThread();
      thread.ref();
      return Promise.resolve(thread);
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        start: (thread) => {
          signal.removeEventListener("abort", leave);
          resolve(thread);
        },
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.push(waiting);
    });
  }

  #giveBack(thread: Worker): void {
    const next = this.#waiting.shift();
    if (next) return next.start(thread);
    this.#busy--;
    thread.unref();
    const timer = setTimeout(() => {
      this.#idle.splice(this.#idle.findIndex((idle) => idle.thread === thread), 1);
      void thread.terminate();
    }, idleMs);
    timer.unref();
    this.#idle.push({ thread, timer });
  }

  #end(thread: Worker): void {
    void thread.terminate();
    const next = this.#waiting.shift();
    if (next) next.start(startThread());
    else this.#busy--;
  }
}

function startThread(): Worker {
  const thread = new Worker(new URL("./thread.ts", import.meta.url), {
    name: "git archive",
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: heapMegabytes },
  });
  thread.on("error", () => undefined); // an idle thread that dies is replaced when it is needed
  return thread;
}

function work(thread: Worker, job: SnapshotJob, signal: AbortSignal): Promise<Snapshot> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      for (const [name, listener] of Object.entries(listeners)) thread.off(name, listener);
      signal.removeEventListener("abort", stop);
      end();
    };
    const stop = () => settle(() => reject(signal.reason));
    const listeners = {
      message: (answer: ThreadAnswer) =>
        settle(() => {
          if ("snapshot" in answer) return resolve(answer.snapshot);
          const { code, subject, detail } = answer.fault;
          reject(new Fault(code, subject, { detail }));
        }),
      error: (error: Error & { code?: string }) =>
        settle(() => {
          const tooLarge = error.code === "ERR_WORKER_OUT_OF_MEMORY";
          const detail = tooLarge ? "archiving it takes too much memory" : error.message;
          reject(new Fault(tooLarge ? "SourceTooLarge" : "Unexpected", job.shown, { detail }));
        }),
      exit: () => settle(() => reject(new Fault("Unexpected", job.shown, { detail: "the thread ended by itself" }))),
    };
    for (const [name, listener] of Object.entries(listeners)) thread.on(name, listener);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    else thread.postMessage(job, transferable(job.pack));
  });
}

const transferable = (blocks: Uint8Array<ArrayBuffer>[]) => blocks.map(({ buffer }) => buffer);
