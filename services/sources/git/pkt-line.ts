/** Git's framing: four hexadecimal digits of length, then the payload (git: Documentation/gitprotocol-common). */

export type Packet = { kind: "data"; payload: Buffer } | { kind: "flush" | "delimiter" | "responseEnd" };

export const flush = "0000";
export const delimiter = "0001";

/** One line of a request, in ASCII or UTF-8. */
export const line = (text: string) => `${(Buffer.byteLength(text) + 5).toString(16).padStart(4, "0")}${text}\n`;

const special = { 0: "flush", 1: "delimiter", 2: "responseEnd" } as const;

/**
 * The packets of a response. A payload is only good until the next one is asked for.
 *
 * @throws RangeError when the bytes are not packets, or end within one
 */
export async function* readPackets(body: AsyncIterable<Uint8Array>): AsyncGenerator<Packet> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of body) {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length >= 4) {
      const length = readLength(rest);
      if (length < 4) {
        rest = rest.subarray(4);
        yield { kind: special[length as 0 | 1 | 2] };
      } else {
        if (rest.length < length) break;
        const payload = rest.subarray(4, length);
        rest = rest.subarray(length);
        yield { kind: "data", payload };
      }
    }
  }
  if (rest.length > 0) throw new RangeError("the answer breaks off within a line");
}

function readLength(bytes: Buffer): number {
  const digits = bytes.toString("latin1", 0, 4);
  const length = /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : 3;
  if (length === 3) throw new RangeError("the answer is not in Git's format");
  return length;
}

/** The text of a line, without the line end that may close it. */
export const textOf = (payload: Buffer) => payload.toString().replace(/\n$/, "");
