/** A thread of the pool: one warm module and the artifacts loaded into it. It does one thing at a time. */
import { parentPort, workerData } from "node:worker_threads";
import { RenderModule, type BuildCall } from "./module.ts";

export type ThreadSettings = {
  module: WebAssembly.Module;
  memoryLimitBytes: number;
  /** Above this much memory the module is replaced by a fresh one after a build: WebAssembly memory never shrinks. */
  recycleAboveBytes: number;
  /** Of loaded artifacts; those not used for longest go first. */
  loadedLimitBytes: number;
};

/** `tree` comes with the call when the thread does not have the artifact yet: a packed tree (Tree.pack). */
export type ThreadCall = BuildCall & { tree?: Uint8Array<ArrayBuffer> };

/**
 * `absent`: the artifact is not loaded (any more): ask again, with its tree. `stopped`: the module came to an end over
 * this build, for a reason that is the build's own.
 */
export type ThreadReply = {
  /** Digests of the artifacts that the thread has now. */
  loaded: string[];
  memoryBytes: number;
} & ({ reply: Uint8Array<ArrayBuffer> } | { absent: true } | { stopped: string });

const samples = 3; // the first build takes 500 ms, the fourth 50, the hundredth 10

class RenderThread {
  private readonly settings: ThreadSettings;
  private module: RenderModule;
  private readonly loaded = new Map<string, number>(); // digest -> bytes, the least recently used first

  constructor(settings: ThreadSettings) {
    this.settings = settings;
    this.module = new RenderModule(settings.module, settings.memoryLimitBytes, samples);
  }

  run({ tree, ...call }: ThreadCall): ThreadReply {
    try {
      if (tree) this.load(call.digest, tree);
      if (!this.touch(call.digest)) return { absent: true, ...this.state() };
      const reply = this.module.build(call);
      return { reply, ...this.state() };
    } catch (thrown) {
      const stopped = whyStopped(thrown, this.module.lastWords());
      this.renew();
      return { stopped, ...this.state() };
    }
  }

  /** After the reply was sent, so that nobody waits for it. */
  tidy(): void {
    if (this.module.memoryBytes > this.settings.recycleAboveBytes) this.renew();
  }

  private load(digest: string, tree: Uint8Array): void {
    const { loadedLimitBytes } = this.settings;
    let total = this.loaded.values().reduce((sum, size) => sum + size, tree.length);
    for (const [oldest, size] of this.loaded) {
      if (total <= loadedLimitBytes) break;
      this.module.drop(oldest);
      this.loaded.delete(oldest);
      total -= size;
    }
    this.module.load(tree);
    this.loaded.set(digest, tree.length);
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
    this.module = new RenderModule(this.settings.module, this.settings.memoryLimitBytes);
  }

  private state(): { loaded: string[]; memoryBytes: number } {
    return { loaded: [...this.loaded.keys()], memoryBytes: this.module.memoryBytes };
  }
}

/** A sentence that is the same on every try: what a runtime prints when it dies holds addresses and sizes. */
function whyStopped(thrown: unknown, words: string): string {
  if (/out of memory/.test(words)) return "the build needs more memory than it may have";
  // Go has a stack of its own, and the engine one below it: either may be the first to end.
  if (thrown instanceof RangeError || /stack overflow|stack exceeds/.test(words))
    return "the manifests are nested too deeply";
  return `kustomize ended: ${/^(?:fatal error|panic): .*$/m.exec(words)?.[0] ?? "it gave no reason"}`;
}

const thread = new RenderThread(workerData as ThreadSettings);
parentPort?.on("message", (call: ThreadCall) => {
  const reply = thread.run(call);
  parentPort?.postMessage(reply, "reply" in reply ? [reply.reply.buffer] : []);
  thread.tidy();
});
parentPort?.postMessage("ready", []);
