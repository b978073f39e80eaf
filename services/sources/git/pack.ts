/**
 * Reads a pack (git: Documentation/gitformat-pack) that came from a stranger: its checksum is verified, every object is
 * named by the hash of its own contents, and nothing is inflated beyond what the limits allow. What is not at hand is
 * inflated again when it is asked for, so that memory holds the pack and a bounded cache, not all of its contents.
 */
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import { LRUCache } from "lru-cache";
import { applyDelta, deltaSize } from "./delta.ts";
import type { Limits } from "./limits.ts";

export type ObjectType = "commit" | "tree" | "blob" | "tag";

/** Thrown for packs that are too large, or grow too large. */
export class LimitExceeded extends Error {}

type Entry = {
  type: ObjectType;
  sizeBytes: number;
  /** Where its deflated bytes begin, and how long they are when inflated: for a delta, the delta itself. */
  at: number;
  inflatedBytes: number;
  base?: Entry;
  depth: number;
};

type Header = { code: number; inflatedBytes: number; at: number; base?: number | string };

const types: Record<number, ObjectType> = { 1: "commit", 2: "tree", 3: "blob", 4: "tag" };
const offsetDelta = 6;
const referenceDelta = 7;
const trailerBytes = 20;
const maxDeltaDepth = 4095; // git's own limit

export class Pack {
  readonly #bytes: Buffer;
  readonly #limits: Limits;
  readonly #byId = new Map<string, Entry>();
  readonly #byOffset = new Map<number, Entry>();
  readonly #cache: LRUCache<number, Buffer>;
  #unpackedBytes = 0;

  /** @throws RangeError when it is damaged, LimitExceeded when it is too large */
  constructor(bytes: Buffer, limits: Limits) {
    this.#bytes = bytes;
    this.#limits = limits;
    this.#cache = new LRUCache({ maxSize: limits.cacheBytes, sizeCalculation: (data) => data.length + 64 });
    this.#index();
  }

  /** Size without reading it. @throws RangeError when the pack has no such object */
  sizeOf(id: string, type: ObjectType): number {
    return this.#find(id, type).sizeBytes;
  }

  /** @throws RangeError when the pack has no such object */
  read(id: string, type: ObjectType): Buffer {
    return this.#data(this.#find(id, type));
  }

  #find(id: string, type: ObjectType): Entry {
    const entry = this.#byId.get(id);
    if (entry?.type !== type) throw new RangeError(`the pack lacks ${type} ${id}`);
    return entry;
  }

  #index(): void {
    const bytes = this.#bytes;
    const end = bytes.length - trailerBytes;
    if (end < 12 || bytes.toString("latin1", 0, 4) !== "PACK") throw new RangeError("the server sent no pack");
    if (!createHash("sha1").update(bytes.subarray(0, end)).digest().equals(bytes.subarray(end)))
      throw new RangeError("the pack is truncated or damaged: its checksum is another");
    const [version, count] = [bytes.readUInt32BE(4), bytes.readUInt32BE(8)];
    if (version !== 2 && version !== 3) throw new RangeError(`the pack is of version ${version}`);
    if (count > this.#limits.objects) throw new LimitExceeded(`the pack has ${count} objects`);

    const waiting: Header[] = []; // deltas against an object that comes later
    let at = 12;
    for (let i = 0; i < count; i++) {
      const start = at;
      const header = readHeader(bytes, start, end);
      const inflated = this.#inflate(header);
      at = inflated.next;
      if (!this.#add(header, start, inflated.data)) waiting.push(header);
    }
    if (at !== end) throw new RangeError("the pack is damaged: bytes are left over");
    this.#addWaiting(waiting);
  }

  #addWaiting(waiting: Header[]): void {
    for (let left = waiting; left.length > 0; ) {
      const still = left.filter((header) => !this.#add(header, header.at, this.#inflate(header).data));
      if (still.length === left.length) throw new RangeError("the pack is incomplete: the base of a delta is missing");
      left = still;
    }
  }

  /** False when the delta's base is not known yet. */
  #add({ code, inflatedBytes, at, base: baseName }: Header, offset: number, data: Buffer): boolean {
    const own = types[code];
    const base = typeof baseName === "string" ? this.#byId.get(baseName) : this.#byOffset.get(baseName ?? -1);
    if (!own && !base) {
      if (typeof baseName === "string") return false;
      throw new RangeError("the pack is damaged: a delta without a base");
    }
    let contents = data;
    if (!own && base) {
      if (base.depth >= maxDeltaDepth) throw new LimitExceeded("the pack's deltas are nested too deeply");
      this.#count(deltaSize(data));
      contents = applyDelta(this.#data(base), data);
    }
    const type = own ?? base?.type ?? "blob";
    const entry = { type, sizeBytes: contents.length, at, inflatedBytes, depth: base ? base.depth + 1 : 0, ...(base && { base }) };
    this.#byOffset.set(offset, entry);
    this.#byId.set(createHash("sha1").update(`${type} ${contents.length}\0`).update(contents).digest("hex"), entry);
    this.#cache.set(at, contents);
    return true;
  }

  #data(entry: Entry): Buffer {
    const cached = this.#cache.get(entry.at);
    if (cached) return cached;
    // A chain of deltas is undone from its root upwards: it may be longer than the stack is deep.
    const chain = [entry];
    let data: Buffer | undefined;
    for (let next = entry.base; next && !data; next = next.base) {
      data = this.#cache.get(next.at);
      if (!data) chain.push(next);
    }
    for (const link of chain.reverse()) {
      const { data: own } = inflate(this.#bytes, link.at, link.inflatedBytes);
      data = data && link.base ? applyDelta(data, own) : own;
    }
    const contents = data ?? Buffer.alloc(0);
    this.#cache.set(entry.at, contents);
    return contents;
  }

  #inflate({ at, inflatedBytes }: Header): { data: Buffer; next: number } {
    this.#count(inflatedBytes);
    return inflate(this.#bytes, at, inflatedBytes);
  }

  #count(sizeBytes: number): void {
    if (sizeBytes > this.#limits.objectBytes) throw new LimitExceeded(`an object has ${sizeBytes} bytes`);
    this.#unpackedBytes += sizeBytes;
    if (this.#unpackedBytes > this.#limits.unpackedBytes)
      throw new LimitExceeded(`the pack unpacks to more than ${this.#limits.unpackedBytes} bytes`);
  }
}

function readHeader(bytes: Buffer, start: number, end: number): Header {
  let at = start;
  const next = () => {
    const byte = at < end ? bytes[at++] : undefined;
    if (byte === undefined) throw new RangeError("the pack is truncated");
    return byte;
  };
  let byte = next();
  const code = (byte >> 4) & 7;
  let inflatedBytes = byte & 15;
  for (let scale = 16; byte & 128; scale *= 128) {
    byte = next();
    inflatedBytes += (byte & 127) * scale;
    if (!Number.isSafeInteger(inflatedBytes)) throw new RangeError("the pack is damaged: a size is out of range");
  }
  if (types[code]) return { code, inflatedBytes, at };
  if (code === referenceDelta) {
    if (at + 20 > end) throw new RangeError("the pack is truncated");
    return { code, inflatedBytes, at: at + 20, base: bytes.toString("hex", at, at + 20) };
  }
  if (code !== offsetDelta) throw new RangeError(`the pack is damaged: an object of type ${code}`);
  byte = next();
  let distance = byte & 127;
  while (byte & 128) {
    byte = next();
    distance = (distance + 1) * 128 + (byte & 127);
    if (distance > start) throw new RangeError("the pack is damaged: a delta reaches before its beginning");
  }
  return { code, inflatedBytes, at, base: start - distance };
}

type Inflated = { buffer: Buffer; engine: { bytesWritten: number } };

/** Inflates one object of a known size; `next` is where its deflated bytes end. */
function inflate(bytes: Buffer, at: number, sizeBytes: number): { data: Buffer; next: number } {
  const result: unknown = (() => {
    try {
      return inflateSync(bytes.subarray(at, bytes.length - trailerBytes), {
        info: true, // tells how much of the input was used, which the pack itself does not say
        maxOutputLength: Math.max(sizeBytes, 1),
        chunkSize: Math.min(Math.max(sizeBytes, 64), 256 * 1024), // a size that lies allocates little
      });
    } catch {
      throw new RangeError("the pack is damaged: an object does not inflate to its size");
    }
  })();
  const { buffer, engine } = result as Inflated;
  if (buffer.length !== sizeBytes) throw new RangeError("the pack is damaged: an object is not of its size");
  return { data: buffer, next: at + engine.bytesWritten };
}
