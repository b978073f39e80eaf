/** Git's lines (gitprotocol-common, pkt-line): each with its length in front. */
import { setImmediate as nextTurn } from "node:timers/promises";

export const divider = "\x01";
export const framed = (line: string) => (line === divider ? "0001" : `${(Buffer.byteLength(line) + 4).toString(16).padStart(4, "0")}${line}`);

/** So much is read before everybody else has a turn. */
const turnBytes = 512 * 1024;

/** Without their length and line end; the empty ones between sections as "". */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let held: Buffer = Buffer.alloc(0);
  let since = 0;
  for await (const chunk of chunks) {
    held = held.length > 0 ? Buffer.concat([held, chunk]) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    while (held.length - at >= 4) {
      const length = lengthOf(held.toString("latin1", at, at + 4));
      if (held.length - at < Math.max(length, 4)) break;
      yield length < 4 ? "" : held.toString("utf8", at + 4, at + length).replace(/\n$/, "");
      at += Math.max(length, 4);
      since += length;
      if (since > turnBytes) {
        since = 0;
        await nextTurn();
      }
    }
    held = held.subarray(at);
  }
  if (held.length > 0) throw new RangeError("the answer breaks off within a line");
}

/** Of a line with the four digits themselves; below 4 it is no line but an end. @throws RangeError */
export function lengthOf(text: string): number {
  if (!/^[0-9a-f]{4}$/i.test(text)) throw new RangeError("the answer is not in Git's format");
  return Number.parseInt(text, 16);
}

export async function* each(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

export async function* none(): AsyncGenerator<Uint8Array> {}
