import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { deflateSync } from "node:zlib";
import * as fc from "fast-check";
import { inspectPack } from "./pack.ts";
import { defaultLimits, LimitExceeded } from "./limits.ts";

/** An object as it stands in a pack: `says` is the size its header claims. */
type Part = { type: number; data: Buffer; says?: number; base?: Buffer };

const sha1 = (data: Buffer) => createHash("sha1").update(data).digest();

function header(type: number, size: number): Buffer {
  const bytes = [(type << 4) | (size & 15)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128))
    bytes.push((bytes.pop() ?? 0) | 128, rest & 127);
  return Buffer.from(bytes);
}

function packOf(parts: Part[], count = parts.length): Buffer {
  const head = Buffer.from("PACK\0\0\0\x02\0\0\0\0");
  head.writeUInt32BE(count, 8);
  const body = parts.flatMap(({ type, data, says = data.length, base }) => [
    header(type, says),
    ...(base ? [base] : []),
    deflateSync(data),
  ]);
  const whole = Buffer.concat([head, ...body]);
  return Buffer.concat([whole, sha1(whole)]);
}

const blob = (data: Buffer | string): Part => ({ type: 3, data: Buffer.from(data) });

const base = Buffer.from("the base of a delta, long enough to be copied from");
/** Copies the whole base; claims to make `says` bytes. */
const delta = (says = base.length) => Buffer.from([base.length, says, 0x90, base.length]);
const byName: Part = { type: 7, data: delta(), base: Buffer.alloc(20, 7) };
const byOffset: Part = { type: 6, data: delta(), base: Buffer.from([0x81, 0x02]) };

test("[SR15] a whole pack passes, deltas of both kinds and empty objects included", () => {
  for (const parts of [[], [blob("")], [blob(base), byName, byOffset, blob("x".repeat(1_000_000))]])
    assert.doesNotThrow(() => inspectPack(packOf(parts), defaultLimits));
});

const good = packOf([blob(base), blob("second")]);
const resealed = (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -20), sha1(bytes.subarray(0, -20))]);
const damaged: Record<string, Buffer> = {
  nothing: Buffer.alloc(0),
  "a page instead": Buffer.from("<html>".repeat(20)),
  "one byte less": good.subarray(0, -1),
  "one byte more": Buffer.concat([good, Buffer.from("x")]),
  "one bit flipped": Buffer.from(good).fill((good[40] ?? 0) ^ 1, 40, 41),
  "an end too early, and a checksum to match": resealed(Buffer.concat([good.subarray(0, 40), Buffer.alloc(20)])),
  "more objects announced than there are": packOf([blob(base)], 2),
  "fewer objects announced than there are": packOf([blob(base), blob("x")], 1),
  "an object longer than it says": packOf([{ ...blob(base), says: 5 }]),
  "an object shorter than it says": packOf([{ ...blob(base), says: 500 }]),
  "a size beyond all numbers": packOf([{ ...blob(base), says: 2 ** 60 }]),
  "a delta without sizes": packOf([{ ...byName, data: Buffer.from([0x80]) }]),
};
for (const [name, bytes] of Object.entries(damaged))
  test(`[SR15] a pack with ${name} is refused`, () =>
    assert.throws(() => inspectPack(bytes, defaultLimits), RangeError));

const limited: Record<string, { parts: Part[]; limits: Partial<typeof defaultLimits> }> = {
  "an object too large": { parts: [blob(Buffer.alloc(1001))], limits: { objectBytes: 1000 } },
  "an object that only says so": { parts: [{ ...blob("x"), says: 2 ** 40 }], limits: {} },
  "objects too large together": {
    parts: [blob(Buffer.alloc(600)), blob(Buffer.alloc(600))],
    limits: { unpackedBytes: 1000 },
  },
  "too many objects": { parts: [blob("a"), blob("b")], limits: { objects: 1 } },
  "a delta that makes something too large": { parts: [{ ...byName, data: delta(101) }], limits: { objectBytes: 100 } },
};
for (const [name, { parts, limits }] of Object.entries(limited))
  test(`[SR14] a pack with ${name} is refused`, () =>
    assert.throws(() => inspectPack(packOf(parts), { ...defaultLimits, ...limits }), LimitExceeded));

test("[SR15] any damage to a pack that is sealed anew passes or is refused: nothing else happens", () =>
  fc.assert(
    fc.property(fc.nat(good.length - 21), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Buffer.from(good);
      bytes[at] = (bytes[at] ?? 0) ^ flip;
      try {
        inspectPack(resealed(bytes), defaultLimits);
      } catch (error) {
        assert.ok(error instanceof RangeError || error instanceof LimitExceeded, String(error));
      }
    }),
    { numRuns: 500 },
  ));
