/**
 * Looks through a pack (git: Documentation/gitformat-pack): its checksum is compared, and nothing is inflated beyond the limits.
 * isomorphic-git does neither, and reads a file of a commit in milliseconds where this takes microseconds.
 */
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import { LimitExceeded, type Limits } from "./limits.ts";

/** An object or delta as it lies in the pack. */
export type Part = {
  /** 1 to 4: commit, tree, blob, tag; otherwise a delta. */
  type: number;
  /** Where it begins, and where its deflated bytes do. */
  start: number;
  at: number;
  inflatedBytes: number;
  /** Of a delta: what it is a delta of, by name or by where that begins. */
  base?: string | number;
  /** Inflated, where that is little enough to be kept. */
  data?: Buffer;
};

const offsetDelta = 6;
const referenceDelta = 7;
export const isDelta = ({ type }: Pick<Part, "type">): boolean => type === referenceDelta || type === offsetDelta;
/** Of what is inflated; the rest is inflated again when it is asked for. */
export const keptBytes = 128 * 2 ** 20;
const trailerBytes = 20;

/** @throws RangeError when it is damaged, LimitExceeded when it is too large or unpacks to too much */
export function inspectPack(pack: Buffer, limits: Limits): Part[] {
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
  const parts: Part[] = [];
  let [at, kept] = [12, 0];
  for (let i = 0; i < count; i++) {
    const header = readHeader(pack, at, end);
    account(header.inflatedBytes);
    const { data, next } = inflate(pack, header);
    if (isDelta(header)) account(sizesOf(data).made);
    kept += data.length;
    parts.push(kept > keptBytes ? header : { ...header, data });
    at = next;
  }
  if (at !== end) throw new RangeError("the pack is damaged: bytes are left over");
  return parts;
}

function readHeader(pack: Buffer, start: number, end: number): Part {
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
  if (type === referenceDelta) return { type, start, inflatedBytes, base: pack.toString("hex", at, at + 20), at: at + 20 };
  if (type !== offsetDelta) return { type, start, inflatedBytes, at };
  let back = 0;
  for (let byte = next(); ; byte = next()) {
    back += byte & 127;
    if (!(byte & 128)) break;
    back = (back + 1) * 128;
    if (!Number.isSafeInteger(back)) throw new RangeError("the pack is damaged: an offset is out of range");
  }
  return { type, start, inflatedBytes, base: start - back, at };
}

type Inflated = { buffer: Buffer; engine: { bytesWritten: number } };

/** Inflates one object of a known size; `next` is where its deflated bytes end. */
export function inflate(pack: Buffer, { at, inflatedBytes }: Part): { data: Buffer; next: number } {
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

/** What a delta says of the bytes it is made for and of those it makes, and where its instructions begin. */
function sizesOf(delta: Buffer): { base: number; made: number; at: number } {
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
  return { base: size(), made: size(), at };
}

/** @throws RangeError when it is not a delta of this */
export function applyDelta(base: Buffer, delta: Buffer): Buffer {
  const damaged = () => new RangeError("the pack is damaged: a delta does not fit");
  const sizes = sizesOf(delta);
  if (sizes.base !== base.length) throw damaged();
  const made = Buffer.allocUnsafe(sizes.made);
  let [at, end] = [sizes.at, 0];
  const next = () => {
    const byte = delta[at++];
    if (byte === undefined) throw damaged();
    return byte;
  };
  while (at < delta.length) {
    const instruction = next();
    if (instruction === 0) throw damaged();
    let [from, bytes, length] = [0, delta, instruction];
    if (instruction & 128) {
      bytes = base;
      length = 0;
      for (let bit = 0; bit < 4; bit++) if (instruction & (1 << bit)) from += next() * 256 ** bit;
      for (let bit = 0; bit < 3; bit++) if (instruction & (16 << bit)) length += next() * 256 ** bit;
      length ||= 0x10000;
    } else {
      from = at;
      at += length;
    }
    if (from + length > bytes.length || end + length > made.length) throw damaged();
    bytes.copy(made, end, from, from + length);
    end += length;
  }
  if (end !== made.length) throw damaged();
  return made;
}
