/** A worker thread that does one thing at a time, within a time limit. One that overran it or ended is replaced. */
import { Worker, type MessagePort } from "node:worker_threads";
import { Fault } from "#protocol/errors/fault.ts";

type ThreadOptions = {
  script: URL;
  settings: unknown;
  timeoutMs: number;
  /** What the thread had is gone with it. */
  onEnd?(): void;
};

/** It ended over what it was asked, or was ended because it took too long. */
export class ThreadEnded extends Error {
  readonly overran: boolean;
  constructor(overran: boolean, cause?: unknown) {
    super(overran ? "the renderer's thread took too long" : "the renderer's thread ended", { cause });
    this.name = "ThreadEnded";
    this.overran = overran;
  }
}

export class ThreadHandle<Call, Reply> {
  private readonly options: ThreadOptions;
  private worker: Promise<Worker> | undefined;
  private current: Worker | undefined;

  constructor(options: ThreadOptions) {
    this.options = options;
  }

  /** Resolves when the thread is ready. The next call starts one as well. */
  async start(): Promise<void> {
    await this.running();
  }

  async stop(): Promise<void> {
    const worker = this.worker;
    this.forget();
    await (await worker?.catch(() => undefined))?.terminate();
  }

  /** The caller waits for one answer before it asks again. @throws ThreadEnded; Fault when no thread starts */
  async ask(call: Call, transfer: (ArrayBuffer | MessagePort)[] = []): Promise<Reply> {
    const worker = await this.running();
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const ended = (cause: unknown) => reject(new ThreadEnded(false, cause));
    const timer = setTimeout(() => {
      reject(new ThreadEnded(true));
      void this.stop();
    }, this.options.timeoutMs);
    worker.on("message", resolve).on("error", ended).on("exit", ended);
    try {
      worker.postMessage(call, transfer);
      return await promise;
    } finally {
      clearTimeout(timer);
      worker.off("message", resolve).off("error", ended).off("exit", ended);
    }
  }

  private running(): Promise<Worker> {
    this.worker ??= this.startWorker().catch((cause: unknown) => {
      this.worker = undefined;
      throw Fault.from(cause, "renderer");
    });
    return this.worker;
  }

  private startWorker(): Promise<Worker> {
    const { promise, resolve, reject } = Promise.withResolvers<Worker>();
    const worker = new Worker(this.options.script, {
      workerData: this.options.settings,
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

  private forget(ended = this.current): void {
    if (ended !== this.current) return;
    this.worker = undefined;
    this.current = undefined;
    this.options.onEnd?.();
  }
}
