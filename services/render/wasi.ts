/**
 * The world a WebAssembly module sees: WASI preview 1 with nothing in it. No files, no network; a clock that stands
 * still, dice that always fall the same, so that the same input gives the same output for ever. A module whose output may not
 * be foreseen (passwords, certificates) is given time and chance.
 */
import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";

/** The module ended itself (a fatal error in Go): its instance is of no further use. */
export class WasmExit extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`the module ended with code ${exitCode}`);
    this.name = "WasmExit";
    this.exitCode = exitCode;
  }
}

export class Wasi {
  readonly imports: WebAssembly.ModuleImports;
  private memory: WebAssembly.Memory | undefined;
  private output = Buffer.alloc(0);
  private nowNs = 0n;
  private dice = 0x9e3779b9;
  private readonly chance: boolean;

  /**
   * @param settings what the module finds as its environment: settings of its language's runtime
   * @param chance the time of day, and chance that nobody can foresee
   */
  constructor(settings: Record<string, string>, chance = false) {
    this.chance = chance;
    const environment = Object.entries(settings).map(([name, value]) => Buffer.from(`${name}=${value}\0`));
    const known: Record<string, (...args: never[]) => number> = {
      args_sizes_get: (count: number, size: number) => this.words([count, 1], [size, programName.length]),
      args_get: (argv: number, at: number) => {
        this.bytes().set(programName, at);
        return this.words([argv, at]);
      },
      environ_sizes_get: (count: number, size: number) =>
        this.words([count, environment.length], [size, Buffer.concat(environment).length]),
      environ_get: (list: number, at: number) => {
        for (const [index, line] of environment.entries()) {
          this.words([list + index * 4, at]);
          this.bytes().set(line, at);
          at += line.length;
        }
        return success;
      },
      clock_time_get: (clock: number, _precision: bigint, at: number) => this.time(clock, at),
      random_get: (at: number, size: number) => this.random(at, size),
      fd_write: (fd: number, iovs: number, count: number, written: number) => this.write(fd, iovs, count, written),
      poll_oneoff: (subscriptions: number, events: number, count: number, ready: number) =>
        this.poll(subscriptions, events, count, ready),
      sched_yield: () => success,
      proc_exit: (code: number) => {
        throw new WasmExit(code);
      },
    };
    // Every other function of the interface is about files and sockets: none is open.
    this.imports = new Proxy({}, { get: (_, name) => known[String(name)] ?? (() => badDescriptor) });
  }

  start(instance: WebAssembly.Instance): void {
    this.memory = instance.exports["memory"] as WebAssembly.Memory;
    (instance.exports["_initialize"] as () => void)();
  }

  /** What was printed since the last call, at most `outputLimitBytes`. */
  takeOutput(): string {
    const text = this.output.toString("utf8");
    this.output = Buffer.alloc(0);
    return text;
  }

  /** Wall time never moves, or is the machine's. The monotonic clock does, a microsecond a look: Go's scheduler spins on one that stands. */
  private time(clock: number, at: number): number {
    this.nowNs += 1_000n;
    this.view().setBigUint64(at, clock === monotonic ? this.nowNs : this.chance ? BigInt(Date.now()) * 1_000_000n : wallNs, true);
    return success;
  }

  /** xorshift32 from a fixed seed: map order and hash seeds, nothing that must be secret. */
  private random(at: number, size: number): number {
    const bytes = this.bytes();
    if (this.chance) {
      randomFillSync(bytes, at, size);
      return success;
    }
    for (let i = at; i < at + size; i++) {
      this.dice ^= this.dice << 13;
      this.dice ^= this.dice >>> 17;
      this.dice ^= this.dice << 5;
      bytes[i] = this.dice & 0xff;
    }
    return success;
  }

  private write(fd: number, iovs: number, count: number, written: number): number {
    if (fd !== 1 && fd !== 2) return badDescriptor;
    const view = this.view();
    let total = 0;
    for (let i = 0; i < count; i++) {
      const at = view.getUint32(iovs + i * 8, true);
      const size = view.getUint32(iovs + i * 8 + 4, true);
      const room = Math.max(0, outputLimitBytes - this.output.length);
      this.output = Buffer.concat([this.output, this.bytes().subarray(at, at + Math.min(size, room))]);
      total += size;
    }
    view.setUint32(written, total, true);
    return success;
  }

  /** Sleeping takes no time: the monotonic clock jumps to the end of it. Sizes and offsets are those of WASI's ABI. */
  private poll(subscriptions: number, events: number, count: number, ready: number): number {
    const view = this.view();
    for (let i = 0; i < count; i++) {
      const subscription = subscriptions + i * 48;
      const event = events + i * 32;
      const kind = view.getUint8(subscription + 8);
      if (kind === 0) {
        const untilNs = view.getBigUint64(subscription + 24, true);
        const absolute = (view.getUint16(subscription + 40, true) & 1) === 1;
        const dueNs = absolute ? untilNs : this.nowNs + untilNs;
        if (dueNs > this.nowNs) this.nowNs = dueNs;
      }
      view.setBigUint64(event, view.getBigUint64(subscription, true), true);
      view.setUint16(event + 8, kind === 0 ? success : badDescriptor, true);
      view.setUint8(event + 10, kind);
    }
    return this.words([ready, count]);
  }

  private words(...pairs: [at: number, value: number][]): number {
    const view = this.view();
    for (const [at, value] of pairs) view.setUint32(at, value, true);
    return success;
  }

  // Made anew for each use: the buffer is another one after memory has grown.
  private view(): DataView {
    return new DataView(this.buffer());
  }

  private bytes(): Uint8Array {
    return new Uint8Array(this.buffer());
  }

  private buffer(): ArrayBuffer {
    if (!this.memory) throw new RangeError("called before it was started");
    return this.memory.buffer;
  }
}

const success = 0;
const badDescriptor = 8; // EBADF
const monotonic = 1;
const wallNs = 1_000_000_000_000_000_000n; // 2001-09-09T01:46:40Z, so that no certificate or date looks absurd
const outputLimitBytes = 64 * 1024;
const programName = Buffer.from("render\0"); // never empty: some Go packages read argv[0] when they start

/** What this folder uses of the engine's interface: TypeScript declares it for browsers only. */
declare global {
  namespace WebAssembly {
    type ModuleImports = Record<string, unknown>;
    class Module {
      private readonly compiled: true;
    }
    class Instance {
      constructor(module: Module, imports: Record<string, ModuleImports>);
      readonly exports: Record<string, unknown>;
    }
    interface Memory {
      readonly buffer: ArrayBuffer;
    }
    function compile(bytes: Uint8Array<ArrayBuffer>): Promise<Module>;
  }
}
