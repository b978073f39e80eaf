/** Lookups of a template: its thread waits, and this side asks the cluster. */
import { MessageChannel, receiveMessageOnPort, type MessagePort } from "node:worker_threads";
import { Fault } from "#protocol/errors/fault.ts";
import type { Lookup } from "./types.ts";

export type Asked = { apiVersion: string; kind: string; namespace: string; name: string };

/** `turn` counts answers: the thread waits for the next one. */
export type LookupLine = { port: MessagePort; turn: Int32Array<SharedArrayBuffer> };

/** Undefined: there is no such object. */
export type LookupAnswer = { object?: string; refused?: string };

const mostLookups = 100;
const mostBytes = 8 * 1024 * 1024;

/** One render's lookups, answered until it is closed. */
export class LookupHost {
  private readonly lookup: Lookup;
  private readonly stop = new AbortController();
  private readonly ports: MessagePort[] = [];
  private calls = 0;
  private bytes = 0;

  constructor(lookup: Lookup) {
    this.lookup = lookup;
  }

  /** A line for a thread; it goes with the call. */
  open(): LookupLine {
    const { port1, port2 } = new MessageChannel();
    const turn = new Int32Array(new SharedArrayBuffer(4));
    port1.on("message", (asked: Asked) => {
      void this.answer(asked).then((answer) => {
        port1.postMessage(answer);
        Atomics.add(turn, 0, 1);
        Atomics.notify(turn, 0);
      });
    });
    this.ports.push(port1);
    return { port: port2, turn };
  }

  close(): void {
    this.stop.abort();
    for (const port of this.ports) port.close();
  }

  private async answer(asked: Asked): Promise<LookupAnswer> {
    if (++this.calls > mostLookups) return { refused: `lookup: more than ${mostLookups} in one release` };
    try {
      const found = await this.lookup(asked, this.stop.signal);
      if (!found) return {};
      const object = JSON.stringify(found);
      this.bytes += Buffer.byteLength(object);
      if (this.bytes > mostBytes) return { refused: `lookup: more than ${mostBytes / 1024 / 1024} MiB in one release` };
      return { object };
    } catch (thrown) {
      return { refused: `lookup of ${asked.kind} ${asked.name}: ${Fault.from(thrown, "").detail ?? "the cluster gave no answer"}` };
    }
  }
}

/** In the thread: waits for the answer. The renderer's time limit ends a wait that lasts too long. */
export function askHost({ port, turn }: LookupLine, asked: Asked): LookupAnswer {
  const before = Atomics.load(turn, 0);
  port.postMessage(asked);
  Atomics.wait(turn, 0, before);
  return (receiveMessageOnPort(port)?.message ?? {}) as LookupAnswer;
}
