/** Threads whose program is compiled and started with the first that asks, and leaves memory when nobody has asked for a while. */
import { Fault } from "#protocol/errors/fault.ts";
import type { Engine } from "./engine.ts";
import { RenderPool, type PoolOptions } from "./pool.ts";

type RestingPoolOptions = Omit<PoolOptions, "thread"> & {
  engine: Engine;
  /** Of the program, for messages. */
  title: string;
  idleMs: number;
  loadedLimitBytes: number;
};

export class RestingPool {
  private readonly options: RestingPoolOptions;
  private pool: RenderPool | undefined;
  private users = 0;
  private leaving: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(options: RestingPoolOptions) {
    this.options = options;
  }

  /** The most memory any thread's module holds; 0 while there is none. */
  get memoryBytes(): number {
    return this.pool?.memoryBytes ?? 0;
  }

  /** The pool is there until `run` has ended. @throws Fault RendererMissing when it does not start, or is closed */
  async use<T>(run: (pool: RenderPool) => Promise<T>): Promise<T> {
    this.users++;
    clearTimeout(this.leaving);
    try {
      return await run(await this.start());
    } finally {
      if (--this.users === 0) this.leaving = setTimeout(() => void this.leave(), this.options.idleMs).unref();
    }
  }

  /** Waits for nothing: what is being done is given up, and so is everything asked for later. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.leaving);
    await this.pool?.close();
  }

  private async start(): Promise<RenderPool> {
    this.refuseClosed();
    const { engine, title: _, idleMs: __, loadedLimitBytes, ...pool } = this.options;
    const { module, memoryLimitBytes } = await engine.get();
    this.refuseClosed();
    const thread = { module, memoryLimitBytes, recycleAboveBytes: memoryLimitBytes / 2, loadedLimitBytes };
    return (this.pool ??= new RenderPool({ ...pool, thread }));
  }

  /** Whoever asks next starts anew: the compiled program is most of the memory. */
  private async leave(): Promise<void> {
    const { pool } = this;
    this.pool = undefined;
    this.options.engine.forget();
    await pool?.close();
  }

  private refuseClosed(): void {
    if (this.closed) throw new Fault("RendererMissing", this.options.title, { detail: "it is closed" });
  }
}
