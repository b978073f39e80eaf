/** A few threads for fetching: started when there is work, ended when there is none, killed when a call is ended. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { Fault } from "#protocol/errors/fault.ts";
import { showUrl } from "./address.ts";
import type { Snapshot, SnapshotJob } from "./snapshot.ts";
import { Slots } from "./slots.ts";
import type { ThreadAnswer } from "./thread.ts";

/** A thread takes a third of a second to start and about 40 MB: one is kept for the next commit, the others are not. */
const idleMs = { last: 10 * 60_000, others: 60_000 };
const heapMegabytes = 512; // without the pack and the archive, which lie outside of it

export class Threads {
  readonly #slots: Slots;
  readonly #idle: { thread: Worker; timer: NodeJS.Timeout }[] = [];

  constructor(most = Math.max(2, Math.min(4, availableParallelism()))) {
    this.#slots = new Slots(most);
  }

  /** @throws Fault of the job; the signal's reason when it ended the call, and the thread with it */
  snapshot(job: SnapshotJob, signal: AbortSignal): Promise<Snapshot> {
    return this.#slots.run(signal, async () => {
      const thread = this.#takeIdle() ?? this.#start();
      thread.ref();
      try {
        const made = await work(thread, job, signal);
        this.#keep(thread);
        return made;
      } catch (error) {
        // A fault is an answer like any other; after anything else the thread is no longer trusted.
        if (error instanceof Fault && error.code !== "Unexpected" && !signal.aborted) this.#keep(thread);
        else await thread.terminate();
        throw error;
      }
    });
  }

  /** Ends the idle threads; busy ones end with their calls. */
  async close(): Promise<void> {
    for (let thread = this.#takeIdle(); thread; thread = this.#takeIdle()) {
      thread.ref(); // or its end is never heard of when nothing else is under way
      await thread.terminate();
    }
  }

  #takeIdle(): Worker | undefined {
    const idle = this.#idle.pop();
    clearTimeout(idle?.timer);
    return idle?.thread;
  }

  #keep(thread: Worker): void {
    thread.unref();
    const timer = setTimeout(() => void thread.terminate(), this.#idle.length > 0 ? idleMs.others : idleMs.last);
    timer.unref();
    this.#idle.push({ thread, timer });
  }

  #start(): Worker {
    const thread = startThread();
    // Whatever ended it, it is not to be had any more.
    thread.once("exit", () => {
      const at = this.#idle.findIndex((idle) => idle.thread === thread);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return thread;
  }
}

function startThread(): Worker {
  const thread = new Worker(new URL("./thread.ts", import.meta.url), {
    name: "git archive",
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: heapMegabytes, maxYoungGenerationSizeMb: 12 },
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
          reject(new Fault(tooLarge ? "SourceTooLarge" : "Unexpected", showUrl(job.url), { detail }));
        }),
      exit: () =>
        settle(() => reject(new Fault("Unexpected", showUrl(job.url), { detail: "the thread ended by itself" }))),
    };
    for (const [name, listener] of Object.entries(listeners)) thread.on(name, listener);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    else thread.postMessage(job, []);
  });
}
