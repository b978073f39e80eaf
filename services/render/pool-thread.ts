/** What runs in a thread of a pool: one warm module and what is loaded into it. It does one thing at a time. */
import { parentPort, workerData } from "node:worker_threads";
import { whyStopped } from "./why-stopped.ts";

export type ThreadSettings = {
  module: WebAssembly.Module;
  memoryLimitBytes: number;
  /** Above this much memory the module is replaced by a fresh one after a call: WebAssembly memory never shrinks. */
  recycleAboveBytes: number;
  /** Of what is loaded; what was not used for longest goes first. */
  loadedLimitBytes: number;
};

/** `digest`: what has to be loaded; `packed` comes with it when the thread does not have it yet. */
export type Loading = { digest?: string; packed?: Uint8Array<ArrayBuffer> };

/**
 * `absent`: what the call needs is not loaded (any more): ask again, with it. `stopped`: the module came to an end over
 * this call, for a reason that is the call's own.
 */
export type ThreadReply = {
  /** Digests of what the thread has now. */
  loaded: string[];
  memoryBytes: number;
} & ({ reply: Uint8Array<ArrayBuffer> } | { absent: true } | { stopped: string });

type Loadable = {
  readonly memoryBytes: number;
  load(packed: Uint8Array): Uint8Array<ArrayBuffer>;
  drop(digest: string): void;
  lastWords(): string;
};

type Served<Call, Module> = {
  /** Of a call, for people. */
  what: string;
  /** @param samples how often a sample is run first; none where the code is compiled already */
  start(settings: ThreadSettings, samples: number): Module;
  run(module: Module, call: Call): Uint8Array<ArrayBuffer>;
};

const samples = 3; // the first build takes 500 ms, the fourth 50, the hundredth 10

/** Answers the pool's calls until the thread ends. */
export function serve<Call extends Loading, Module extends Loadable>(served: Served<Call, Module>): void {
  const thread = new PoolThread(served, workerData as ThreadSettings);
  parentPort?.on("message", (call: Call) => {
    const reply = thread.run(call);
    parentPort?.postMessage(reply, "reply" in reply ? [reply.reply.buffer] : []);
    thread.tidy();
  });
  parentPort?.postMessage("ready", []);
}

class PoolThread<Call extends Loading, Module extends Loadable> {
  private readonly served: Served<Call, Module>;
  private readonly settings: ThreadSettings;
  private module: Module;
  private readonly loaded = new Map<string, number>(); // digest -> bytes, the least recently used first

  constructor(served: Served<Call, Module>, settings: ThreadSettings) {
    this.served = served;
    this.settings = settings;
    this.module = served.start(settings, samples);
  }

  run({ packed, ...call }: Call): ThreadReply {
    try {
      const { digest } = call;
      const refused = digest !== undefined && packed ? this.load(digest, packed) : undefined;
      if (refused) return { reply: refused, ...this.state() };
      if (digest !== undefined && !this.touch(digest)) return { absent: true, ...this.state() };
      const reply = this.served.run(this.module, call as unknown as Call);
      return { reply, ...this.state() };
    } catch (thrown) {
      const stopped = whyStopped(this.served.what, thrown, this.module.lastWords());
      this.renew();
      return { stopped, ...this.state() };
    }
  }

  /** After the reply was sent, so that nobody waits for it. */
  tidy(): void {
    if (this.module.memoryBytes > this.settings.recycleAboveBytes) this.renew();
  }

  /** The module's reply when it does not take it. */
  private load(digest: string, packed: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    let total = this.loaded.values().reduce((sum, size) => sum + size, packed.length);
    for (const [oldest, size] of this.loaded) {
      if (total <= this.settings.loadedLimitBytes) break;
      this.module.drop(oldest);
      this.loaded.delete(oldest);
      total -= size;
    }
    const reply = this.module.load(packed);
    if (reply.length > taken) return reply;
    this.loaded.set(digest, packed.length);
    return undefined;
  }

  private touch(digest: string): boolean {
    const size = this.loaded.get(digest);
    if (size === undefined) return false;
    this.loaded.delete(digest);
    this.loaded.set(digest, size);
    return true;
  }

  private renew(): void {
    this.loaded.clear();
    this.module = this.served.start(this.settings, 0);
  }

  private state(): { loaded: string[]; memoryBytes: number } {
    return { loaded: [...this.loaded.keys()], memoryBytes: this.module.memoryBytes };
  }
}

const taken = "{}\n".length; // a refusal says why
