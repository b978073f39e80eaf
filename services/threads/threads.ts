/**
 * A few threads for what a stranger's bytes are made into: started when there is work, ended when there is none, killed
 * when a call is ended.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { Fault, type FaultCode, type FaultData } from "#protocol/errors/fault.ts";
import { Slots } from "./slots.ts";

/** A thread takes a third of a second to start and about 40 MB: one is kept for the next commit, the others are not. */
const idleMs = { last: 10 * 60_000, others: 60_000 };
const defaultHeapMegabytes = 512; // without the pack and the archive, which lie outside of it

/** What a thread can be asked, by kind: the job, and what is made of it. */
export type AnyJobs = { [Kind in string]: { job: object; made: unknown } };
export type JobOf<Jobs extends AnyJobs> = Jobs[keyof Jobs]["job"];

export type ThreadOptions<Job> = {
  /** What runs in the thread: it answers each `{ kind, job }` with `{ made }` or `{ fault }`. */
  file: URL;
  name: string;
  /** What a job is about, for messages. */
  subjectOf(job: Job): string;
  /** At a time. */
  most?: number;
  /** Of one thread; 512 when absent. Bytes that are handed to it lie outside of it. */
  heapMegabytes?: number;
  /** What it is when that is not enough; SourceTooLarge when absent. */
  exhausted?: { code: FaultCode; detail: string };
};

export class Threads<Jobs extends AnyJobs> {
  readonly #options: ThreadOptions<JobOf<Jobs>>;
  readonly #slots: Slots;
  readonly #idle: { thread: Worker; timer: NodeJS.Timeout }[] = [];

  constructor(options: ThreadOptions<JobOf<Jobs>>) {
    const { most = Math.max(2, Math.min(4, availableParallelism())) } = options;
    this.#options = options;
    this.#slots = new Slots(most);
  }

  /** @throws Fault of the job; the signal's reason when it ended the call, and the thread with it */
  run<Kind extends keyof Jobs>(kind: Kind, job: Jobs[Kind]["job"], signal: AbortSignal): Promise<Jobs[Kind]["made"]> {
    return this.#slots.run(signal, async () => {
      const thread = this.#takeIdle() ?? this.#start();
      thread.ref();
      try {
        const made = await this.#work(thread, kind, job, signal);
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
    const thread = startThread(this.#options);
    // Whatever ended it, it is not to be had any more.
    thread.once("exit", () => {
      const at = this.#idle.findIndex((idle) => idle.thread === thread);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return thread;
  }

  #work<Kind extends keyof Jobs>(
    thread: Worker,
    kind: Kind,
    job: Jobs[Kind]["job"],
    signal: AbortSignal,
  ): Promise<Jobs[Kind]["made"]> {
    const { subjectOf, exhausted = { code: "SourceTooLarge", detail: "archiving it takes too much memory" } } = this.#options;
    const failed = (code: FaultCode, detail: string) => new Fault(code, subjectOf(job), { detail });
    return new Promise((resolve, reject) => {
      const settle = (end: () => void) => {
        for (const [name, listener] of Object.entries(listeners)) thread.off(name, listener);
        signal.removeEventListener("abort", stop);
        end();
      };
      const stop = () => settle(() => reject(signal.reason));
      const listeners = {
        message: (answer: ThreadAnswer<Jobs[Kind]["made"]>) =>
          settle(() => {
            if ("made" in answer) return resolve(answer.made);
            const { code, subject, detail } = answer.fault;
            reject(new Fault(code, subject, { detail }));
          }),
        error: (error: Error & { code?: string }) =>
          settle(() => {
            const tooLarge = error.code === "ERR_WORKER_OUT_OF_MEMORY";
            reject(tooLarge ? failed(exhausted.code, exhausted.detail) : failed("Unexpected", error.message));
          }),
        exit: () => settle(() => reject(failed("Unexpected", "the thread ended by itself"))),
      };
      for (const [name, listener] of Object.entries(listeners)) thread.on(name, listener);
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
      else thread.postMessage({ kind, job }, []);
    });
  }
}

type ThreadAnswer<Made> = { made: Made } | { fault: FaultData };

function startThread({ file, name, heapMegabytes = defaultHeapMegabytes }: ThreadOptions<never>): Worker {
  const thread = new Worker(file, {
    name,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: heapMegabytes, maxYoungGenerationSizeMb: 12 },
  });
  thread.on("error", () => undefined); // an idle thread that dies is replaced when it is needed
  return thread;
}
