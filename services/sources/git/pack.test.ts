import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { applyDelta } from "./delta.ts";
import { defaultLimits } from "./limits.ts";
import { LimitExceeded, Pack } from "./pack.ts";

/** An object as it stands in a pack: `says` is the size its header claims. */
type Part = { type: number; data: Buffer; says?: number; base?: Buffer };

const sha1 = (data: Buffer) => createHash("sha1").update(data).digest();
const idOf = (data: Buffer, type = "blob") => sha1(Buffer.concat([Buffer.from(`${type} ${data.length}\0`), data])).toString("hex");

function header(type: number, size: number): Buffer {
  const bytes = [(type << 4) | (size & 15)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes.push((bytes.pop() ?? 0) | 128, rest & 127);
  }
  return Buffer.from(bytes);
}

function packOf(parts: Part[], { count = parts.length, version = 2 } = {}): Buffer {
  const head = Buffer.from("PACK\0\0\0\0\0\0\0\0");
  head.writeUInt32BE(version, 4);
  head.writeUInt32BE(count, 8);
  const body = parts.flatMap(({ type, data, says = data.length, base }) => [header(type, says), ...(base ? [base] : []), deflateSync(data)]);
  const whole = Buffer.concat([head, ...body]);
  return Buffer.concat([whole, sha1(whole)]);
}

const blob = (data: Buffer | string): Part => ({ type: 3, data: Buffer.from(data) });

/** Copies the whole base and appends: the smallest delta there is. */
function deltaOf(base: Buffer, tail: Buffer): Buffer {
  const size = (n: number) => (n < 128 ? [n] : [(n & 127) | 128, n >> 7]);
  const copy = [0x80 | 0x10 | 0x20, base.length & 255, base.length >> 8];
  return Buffer.from([...size(base.length), ...size(base.length + tail.length), ...copy, tail.length, ...tail]);
}

const base = Buffer.from("the base of a delta, long enough to be copied from");
const delta = deltaOf(base, Buffer.from("!"));
const made = Buffer.concat([base, Buffer.from("!")]);

test("[SR15] objects are found by the hash of their contents, deltas included", () => {
  const further = deltaOf(made, Buffer.from("?"));
  const made2 = Buffer.concat([made, Buffer.from("?")]);
  const distance = Buffer.from([header(3, base.length).length + deflateSync(base).length]);
  const packs = {
    "by offset": [blob(base), { type: 6, data: delta, base: distance }],
    "by name": [blob(base), { type: 7, data: delta, base: Buffer.from(idOf(base), "hex") }],
    "by name, in the wrong order": [
      { type: 7, data: further, base: Buffer.from(idOf(made), "hex") },
      { type: 7, data: delta, base: Buffer.from(idOf(base), "hex") },
      blob(base),
    ],
  };
  for (const [name, parts] of Object.entries(packs)) {
    const pack = new Pack(packOf(parts), defaultLimits);
    assert.deepEqual(pack.read(idOf(made), "blob"), made, name);
    assert.deepEqual(pack.read(idOf(base), "blob"), base, name);
    assert.equal(pack.sizeOf(idOf(made), "blob"), made.length);
    if (parts.length === 3) assert.deepEqual(pack.read(idOf(made2), "blob"), made2, name);
    assert.throws(() => pack.read(idOf(made), "tree"), /lacks tree/);
    assert.throws(() => pack.read("0".repeat(40), "blob"), /lacks blob/);
  }
});

test("[SR15] what does not fit into the cache is read again", () => {
  const further = deltaOf(made, Buffer.from("?"));
  const made2 = Buffer.concat([made, Buffer.from("?")]);
  const parts = [
    blob(base),
    { type: 7, data: delta, base: Buffer.from(idOf(base), "hex") },
    { type: 7, data: further, base: Buffer.from(idOf(made), "hex") },
    blob("another"),
  ];
  for (const cacheBytes of [1, 150, 250]) {
    const pack = new Pack(packOf(parts), { ...defaultLimits, cacheBytes });
    for (const data of [made2, base, Buffer.from("another"), made, made2])
      assert.deepEqual(pack.read(idOf(data), "blob"), data, `${cacheBytes}`);
  }
});

const good = packOf([blob(base), blob("second")]);
const resealed = (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -20), sha1(bytes.subarray(0, -20))]);
const damaged: Record<string, Buffer> = {
  nothing: Buffer.alloc(0),
  "a page instead": Buffer.from("<html>".repeat(20)),
  "one byte less": good.subarray(0, -1),
  "one byte more": Buffer.concat([good, Buffer.from("x")]),
  "one bit flipped": Buffer.from(good).fill((good[40] ?? 0) ^ 1, 40, 41),
  "cut short, with a checksum of its own": resealed(Buffer.concat([good.subarray(0, 40), Buffer.alloc(20)])),
  "more objects announced than there are": packOf([blob(base)], { count: 2 }),
  "fewer objects announced than there are": packOf([blob(base), blob("x")], { count: 1 }),
  "an object longer than it says": packOf([{ ...blob(base), says: 5 }]),
  "an object shorter than it says": packOf([{ ...blob(base), says: 500 }]),
  "an unknown version": packOf([blob(base)], { version: 9 }),
  "an unknown type": packOf([{ type: 5, data: base }]),
  "a delta before the beginning": packOf([{ type: 6, data: delta, base: Buffer.from([0xff, 0x7f]) }]),
  "a delta of itself": packOf([{ type: 6, data: delta, base: Buffer.from([0]) }]),
  "a delta of nothing in the pack": packOf([{ type: 7, data: delta, base: Buffer.alloc(20, 7) }]),
  "a size beyond all numbers": packOf([{ type: 3, data: base, says: 2 ** 60 }]),
};
for (const [name, bytes] of Object.entries(damaged))
  test(`[SR15] a pack with ${name} is refused`, () => assert.throws(() => new Pack(bytes, defaultLimits), RangeError));

const limited: Record<string, { parts: Part[]; limits: Partial<typeof defaultLimits> }> = {
  "an object too large": { parts: [blob(Buffer.alloc(1001))], limits: { objectBytes: 1000 } },
  "an object that only says so": { parts: [{ ...blob("x"), says: 2 ** 40 }], limits: {} },
  "objects too large together": { parts: [blob(Buffer.alloc(600)), blob(Buffer.alloc(600, 1))], limits: { unpackedBytes: 1000 } },
  "too many objects": { parts: [blob("a"), blob("b")], limits: { objects: 1 } },
  "a delta that makes something too large": {
    parts: [blob(base), { type: 7, data: delta, base: Buffer.from(idOf(base), "hex") }],
    limits: { objectBytes: made.length - 1 },
  },
};
for (const [name, { parts, limits }] of Object.entries(limited))
  test(`[SR14] a pack with ${name} is refused`, () =>
    assert.throws(() => new Pack(packOf(parts), { ...defaultLimits, ...limits }), LimitExceeded));

test("[SR15] any damage to a pack that is sealed anew is a refusal, never anything else", () =>
  fc.assert(
    fc.property(fc.nat(good.length - 21), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Buffer.from(good);
      bytes[at] = (bytes[at] ?? 0) ^ flip;
      try {
        new Pack(resealed(bytes), defaultLimits);
      } catch (error) {
        assert.ok(error instanceof RangeError || error instanceof LimitExceeded, String(error));
      }
    }),
    { numRuns: 500 },
  ));

test("[SR15] any bytes as a delta are applied or refused, and the result is of the size they say", () =>
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (tail) => {
      const bytes = Buffer.concat([Buffer.from([base.length, 60]), tail]);
      try {
        assert.equal(applyDelta(base, bytes).length, 60);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 2_000 },
  ));
