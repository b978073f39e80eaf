import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { pageBytes, withMemoryLimit } from "./memory-limit.ts";

// (module (memory (export "memory") 2)), with a custom section before it
const growing = Buffer.from("0061736d01000000".concat("00020161", "0503010002", "070a01066d656d6f72790200"), "hex");

test("[RN29] a module's memory stops growing at the limit", async () => {
  const module = await WebAssembly.compile(withMemoryLimit(growing, 200 * pageBytes));
  const { memory } = new WebAssembly.Instance(module, {}).exports as {
    memory: { grow(pages: number): number; buffer: ArrayBuffer };
  };
  assert.equal(memory.grow(198), 2);
  assert.equal(memory.buffer.byteLength, 200 * pageBytes);
  assert.throws(() => memory.grow(1), RangeError);
});

test("[RN29] a limit below what the module starts with is that", async () => {
  const module = await WebAssembly.compile(withMemoryLimit(growing, 1));
  const { memory } = new WebAssembly.Instance(module, {}).exports as { memory: { grow(pages: number): number } };
  assert.throws(() => memory.grow(1), RangeError);
});

for (const bytes of [Buffer.from("0061736d01000000", "hex"), Buffer.alloc(0)])
  test(`[RN29] ${bytes.length} bytes without a memory are refused`, () =>
    assert.throws(() => withMemoryLimit(bytes, 1), RangeError));
