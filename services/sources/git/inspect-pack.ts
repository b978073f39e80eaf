/**
 * Looks through a pack (git: Documentation/gitformat-pack) before isomorphic-git unpacks it. That library verifies no
 * checksum of what it downloads and inflates whatever it is given; here the checksum is compared, and nothing is
 * inflated beyond the limits. Contents are not kept.
 */
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import { LimitExceeded, type Limits } from "./limits.ts";

type Header = { isDelta: boolean; inflatedBytes: number; at: number };

const offsetDelta = 6;
const referenceDelta = 7;
const trailerBytes = 20;

/** @throws RangeError when it is damaged, LimitExceeded when it is too large or unpacks to too much */
export function inspectPack(pack: Buffer, limits: Limits): void {
  const end = pack.length - trailerBytes;
  if (end < 12 || pack.toString("latin1", 0, 4) !== "PACK") throw new RangeError("the server sent no pack");
  if (!createHash("sha1").update(pack.subarray(0, end)).digest().equals(pack.subarray(end)))
    throw new RangeError("the pack is truncated or damaged: its checksum is another");
  const count = pack.readUInt32BE(8);
  if (count > limits.objects) throw new LimitExceeded(`the pack has ${count} objects`);

  let unpackedBytes = 0;
  const account = (bytes: number) => {
    if (bytes > limits.objectBytes) throw new LimitExceeded(`an object has ${bytes} bytes`);
    unpackedBytes += bytes;
    if (unpackedBytes > limits.unpackedBytes)
      throw new LimitExceeded(`the pack unpacks to more than ${limits.unpackedBytes} bytes`);
  };
  let at = 12;
  for (let i = 0; i < count; i++) {
    const header = readHeader(pack, at, end);
    account(header.inflatedBytes);
    const { data, next } = inflate(pack, header);
    if (header.isDelta) account(resultBytes(data));
    at = next;
  }
  if (at !== end) throw new RangeError("the pack is damaged: bytes are left over");
}

function readHeader(pack: Buffer, start: number, end: number): Header {
  let at = start;
  const next = () => {
    const byte = at < end ? pack[at++] : undefined;
    if (byte === undefined) throw new RangeError("the pack is damaged: it ends within an object");
    return byte;
  };
  let byte = next();
  const type = (byte >> 4) & 7;
  let inflatedBytes = byte & 15;
  for (let scale = 16; byte & 128; scale *= 128) {
    byte = next();
    inflatedBytes += (byte & 127) * scale;
    if (!Number.isSafeInteger(inflatedBytes)) throw new RangeError("the pack is damaged: a size is out of range");
  }
  if (type === referenceDelta) at += 20;
  if (type === offsetDelta) while (next() & 128);
  return { isDelta: type === referenceDelta || type === offsetDelta, inflatedBytes, at };
}

type Inflated = { buffer: Buffer; engine: { bytesWritten: number } };

/** Inflates one object of a known size; `next` is where its deflated bytes end. */
function inflate(pack: Buffer, { at, inflatedBytes }: Header): { data: Buffer; next: number } {
  const options = {
    info: true, // tells how much of the input was used, which the pack itself does not say
    maxOutputLength: Math.max(inflatedBytes, 1),
    chunkSize: Math.min(Math.max(inflatedBytes, 64), 256 * 1024), // a size that lies allocates little
  };
  let result: unknown;
  try {
    result = inflateSync(pack.subarray(at, pack.length - trailerBytes), options);
  } catch {
    throw new RangeError("the pack is damaged: an object does not inflate to its size");
  }
  const { buffer, engine } = result as Inflated;
  if (buffer.length !== inflatedBytes) throw new RangeError("the pack is damaged: an object is not of its size");
  return { data: buffer, next: at + engine.bytesWritten };
}

/** The second of a delta's two sizes: of what it makes. */
function resultBytes(delta: Buffer): number {
  let at = 0;
  const size = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = delta[at++];
      if (byte === undefined || scale > 2 ** 42) throw new RangeError("the pack is damaged: a delta without sizes");
      value += (byte & 127) * scale;
      if (!(byte & 128)) return value;
    }
  };
  size();
  return size();
}
