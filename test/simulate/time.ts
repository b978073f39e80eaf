/** Virtual time: an agenda of events, and processes that live in it, stop in it and die in it. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "#services/store/clock.ts";

type Entry = { atMs: number; order: number; run: () => void; cancelled: boolean };

const beginMs = Date.UTC(2026, 0, 1);

export class VirtualTime {
  nowMs = beginMs;
  /** Events that were run. */
  steps = 0;
  private readonly heap: Entry[] = [];
  private order = 0;

  /** Seconds since the beginning, for people. */
  get clockText(): string {
    return `+${((this.nowMs - beginMs) / 1000).toFixed(3)}s`;
  }

  sinceBeginMs(): number {
    return this.nowMs - beginMs;
  }

  /** Runs it `inMs` from now; the answer takes it off the agenda. */
  in(inMs: number, run: () => void): () => void {
    const entry = { atMs: this.nowMs + Math.max(0, inMs), order: this.order++, run, cancelled: false };
    this.push(entry);
    return () => { entry.cancelled = true; };
  }

  /** Runs everything up to then, or until `isOver`. Whatever an event sets off without waiting is done before the next. */
  async run(ms: number, isOver: () => boolean): Promise<void> {
    const endMs = this.nowMs + ms;
    await drained();
    for (;;) {
      const entry = this.pop(endMs);
      if (!entry) break;
      this.nowMs = entry.atMs;
      this.steps++;
      entry.run();
      await drained();
      if (isOver()) return;
    }
    this.nowMs = endMs;
  }

  private push(entry: Entry): void {
    const { heap } = this;
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isEarlier(entry, heap[parent] as Entry)) break;
      heap[i] = heap[parent] as Entry;
      i = parent;
    }
    heap[i] = entry;
  }

  private pop(endMs: number): Entry | undefined {
    const { heap } = this;
    for (;;) {
      const [first] = heap;
      if (!first || first.atMs > endMs) return undefined;
      const last = heap.pop() as Entry;
      if (heap.length > 0) this.sink(last);
      if (!first.cancelled) return first;
    }
  }

  private sink(entry: Entry): void {
    const { heap } = this;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isEarlier(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (!isEarlier(heap[child] as Entry, entry)) break;
      heap[i] = heap[child] as Entry;
      i = child;
    }
    heap[i] = entry;
  }
}

/** When no microtask is left. */
const drained = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

const isEarlier = (a: Entry, b: Entry) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

const running = new AsyncLocalStorage<Process>();

/** The process whose code runs, also after whatever it waited for. */
export const present = (): Process | undefined => running.getStore();

/** A process: what comes in while it is stopped waits; what comes in after its death is lost. */
export class Process {
  readonly time: VirtualTime;
  readonly name: string;
  readonly clock: Clock;
  state: "running" | "stopped" | "dead" = "running";
  private backlog: (() => void)[] = [];
  private readonly bootMs: number;

  constructor(time: VirtualTime, name: string) {
    this.time = time;
    this.name = name;
    this.bootMs = time.nowMs - 1_000;
    this.clock = {
      nowMs: () => time.nowMs,
      monoMs: () => time.nowMs - this.bootMs,
      at: (dueMs, run) => time.in(dueMs - time.nowMs, () => this.enter(run)),
    };
  }

  /** Something reaches the process. */
  enter(run: () => void): void {
    if (this.state === "running") running.run(this, run);
    else if (this.state === "stopped") this.backlog.push(run);
  }

  /** SIGSTOP */
  stop(): void {
    if (this.state === "running") this.state = "stopped";
  }

  /** SIGCONT */
  resume(): void {
    if (this.state !== "stopped") return;
    this.state = "running";
    for (const run of this.backlog.splice(0)) this.time.in(0, () => this.enter(run));
  }

  /** SIGKILL */
  kill(): void {
    this.state = "dead";
    this.backlog = [];
  }

  /** Waits in virtual time; a dead process waits for ever. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => { this.clock.at(this.clock.nowMs() + ms, resolve); });
  }
}
