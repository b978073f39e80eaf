/** Puts a ceiling on the memory of a WebAssembly module whose compiler sets none: Go's declares a minimum only. */
import { Buffer } from "node:buffer";

export const pageBytes = 65_536;

/**
 * The same module with a maximum in its memory section (WebAssembly core specification, binary format, "Modules").
 *
 * @throws RangeError when the bytes are not a module with one memory of its own
 */
export function withMemoryLimit(wasm: Uint8Array, limitBytes: number): Uint8Array<ArrayBuffer> {
  let at = headerBytes;
  while (at < wasm.length) {
    const id = wasm[at];
    const size = readNumber(wasm, at + 1);
    const end = size.next + size.value;
    if (id === memorySection) {
      const count = readNumber(wasm, size.next);
      const minimum = readNumber(wasm, count.next + 1); // one byte of flags stands before it
      const limit = Math.max(minimum.value, Math.floor(limitBytes / pageBytes));
      const section = [1, hasMaximum, ...numberBytes(minimum.value), ...numberBytes(limit)];
      const head = wasm.subarray(0, at);
      return Buffer.concat([
        head,
        Buffer.from([memorySection, ...numberBytes(section.length), ...section]),
        wasm.subarray(end),
      ]);
    }
    at = end;
  }
  throw new RangeError("not a WebAssembly module with a memory");
}

const headerBytes = 8; // magic and version
const memorySection = 5;
const hasMaximum = 1;

/** Unsigned LEB128, the only form of a number in these places. */
function readNumber(bytes: Uint8Array, at: number): { value: number; next: number } {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[at++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  return { value, next: at };
}

function numberBytes(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) + 0x80, ...numberBytes(Math.floor(value / 0x80))];
}
