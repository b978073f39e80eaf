/** A few threads for decrypting: started when there is work, ended soon after, and with them all that they held. */
import { Worker } from "node:worker_threads";
import { Fault } from "#protocol/errors/fault.ts";
import type { FilesJob, FilesMade, ObjectsJob, ObjectsMade } from "./jobs.ts";
import type { AskGrant } from "./keys/grants.ts";
import type { Answer, Asked, Job, Told } from "./thread.ts";

export type ThreadLimits = { threads: number; timeoutMs: number; idleMs: number; heapMegabytes: number };

type Waiting = { go(): void };

export class Threads {
  private readonly limits: ThreadLimits;
  private readonly idle: { thread: Worker; timer: NodeJS.Timeout }[] = [];
  private readonly waiting: Waiting[] = [];
  private busy = 0;

  constructor(limits: ThreadLimits) {
    this.limits = limits;
  }

  run(job: FilesJob, signal: AbortSignal, grant?: AskGrant): Promise<FilesMade>;
  run(job: ObjectsJob, signal: AbortSignal, grant?: AskGrant): Promise<ObjectsMade>;
  /** @throws Fault; the signal's reason, and the thread is ended with it */
  async run(job: Job, signal: AbortSignal, grant?: AskGrant): Promise<FilesMade | ObjectsMade> {
    await this.turn(signal);
    const thread = this.takeIdle() ?? this.start();
    thread.ref();
    try {
      const answer = await this.ask(thread, { ...job, asks: grant !== undefined }, signal, grant);
      this.keep(thread);
      if ("made" in answer) return answer.made;
      throw new Fault(answer.fault.code, answer.fault.subject, { detail: answer.fault.detail });
    } catch (thrown) {
      if (!this.idle.some((kept) => kept.thread === thread)) void thread.terminate();
      throw thrown;
    } finally {
      this.busy--;
      this.waiting.shift()?.go();
    }
  }

  /** Ends the idle threads; busy ones end with their jobs. */
  async close(): Promise<void> {
    for (const { thread, timer } of this.idle.splice(0)) {
      clearTimeout(timer);
      thread.ref();
      await thread.terminate();
    }
  }

  private async turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.busy >= this.limits.threads) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const waiting = { go: resolve };
      const leave = () => {
        const at = this.waiting.indexOf(waiting);
        if (at < 0) return; // its turn has come
        this.waiting.splice(at, 1);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.waiting.push(waiting);
      await promise.finally(() => signal.removeEventListener("abort", leave));
    }
    this.busy++;
  }

  private ask(thread: Worker, job: Job, signal: AbortSignal, grant?: AskGrant): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const { timeoutMs } = this.limits;
    const failed = (detail: string) => reject(new Fault("DecryptionFailed", "decryption", { detail }));
    const timer = setTimeout(() => failed(`not done after ${timeoutMs / 1000} s`), timeoutMs);
    const onError = (error: Error & { code?: string }) =>
      failed(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? "it needs more memory than it may have" : "its thread ended");
    const onExit = () => failed("its thread ended");
    const onAbort = () => reject(signal.reason as Error);
    const onMessage = (message: Answer | Asked) => {
      if (!("question" in message)) return resolve(message);
      const tell = (told: Told) => thread.postMessage(told, []);
      void grant?.(message.question).then((given) => tell({ grant: given }), (thrown: unknown) => tell({ refused: thrown instanceof Error ? thrown.message : "no identity" }));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    thread.on("message", onMessage).on("error", onError).on("exit", onExit);
    thread.postMessage(job, []);
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      thread.off("message", onMessage).off("error", onError).off("exit", onExit);
    });
  }

  private takeIdle(): Worker | undefined {
    const kept = this.idle.pop();
    clearTimeout(kept?.timer);
    return kept?.thread;
  }

  private keep(thread: Worker): void {
    thread.unref();
    const timer = setTimeout(() => {
      this.forget(thread);
      void thread.terminate();
    }, this.limits.idleMs);
    timer.unref();
    this.idle.push({ thread, timer });
  }

  private start(): Worker {
    const thread = new Worker(new URL("./thread.ts", import.meta.url), {
      name: "decrypt", env: proxiesOf(process.env), execArgv: [], resourceLimits: { maxOldGenerationSizeMb: this.limits.heapMegabytes },
    });
    // Whatever ended it, it is not to be had any more.
    thread.on("error", () => undefined).once("exit", () => this.forget(thread));
    return thread;
  }

  private forget(thread: Worker): void {
    const at = this.idle.findIndex((kept) => kept.thread === thread);
    if (at >= 0) clearTimeout(this.idle.splice(at, 1)[0]?.timer);
  }
}

/** Key services may have to be reached through one. Nothing else of the environment is needed. */
const proxiesOf = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => /^(https?|no)_proxy$/i.test(name)));
