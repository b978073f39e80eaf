import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { lines } from "./lines.ts";

async function* chunksOf(text: string, sizes: number[]): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const collect = async (from: AsyncIterable<string>) => {
  const all: string[] = [];
  for await (const line of from) all.push(line);
  return all;
};

test("[AP38] wherever the stream is cut into pieces, whole lines come out", () =>
  fc.assert(fc.asyncProperty(
    fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\n", "")), { maxLength: 8 }),
    fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
    async (texts, sizes) => {
      const whole = texts.filter((text) => text !== "");
      assert.deepEqual(await collect(lines(chunksOf(texts.map((text) => `${text}\n`).join(""), sizes))), whole);
    },
  )));

test("[AP38] a line without its end is not told", async () => {
  assert.deepEqual(await collect(lines(chunksOf('{"a":1}\n{"b"', [3]))), ['{"a":1}']);
});

test("[AP39] a line that grows beyond its bound ends the stream", async () => {
  await assert.rejects(collect(lines(chunksOf("x".repeat(100), [10]), 64)), RangeError);
  assert.deepEqual(await collect(lines(chunksOf(`${"x".repeat(60)}\n${"y".repeat(60)}\n`, [7]), 64)), ["x".repeat(60), "y".repeat(60)]);
});
