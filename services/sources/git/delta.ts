/** A pack's deltas: copy from the base, or insert (git: Documentation/gitformat-pack, "Deltified representation"). */

/** Size of the object a delta makes. */
export const deltaSize = (delta: Buffer) => readSizes(delta).resultBytes;

/** @throws RangeError when the delta does not fit its base or its own sizes */
export function applyDelta(base: Buffer, delta: Buffer): Buffer {
  const { baseBytes, resultBytes, at: start } = readSizes(delta);
  if (baseBytes !== base.length) throw damaged();
  const result = Buffer.alloc(resultBytes);
  let at = start;
  let written = 0;
  const next = () => {
    const byte = delta[at++];
    if (byte === undefined) throw damaged();
    return byte;
  };
  const little = (bits: number) => {
    let value = 0;
    for (let scale = 1; bits; bits >>= 1, scale *= 256) if (bits & 1) value += next() * scale;
    return value;
  };
  while (at < delta.length) {
    const code = next();
    const copies = (code & 128) !== 0;
    if (code === 0) throw damaged(); // reserved
    const from = copies ? little(code & 15) : at;
    const length = copies ? little((code >> 4) & 7) || 0x10000 : code;
    const source = copies ? base : delta;
    if (from + length > source.length || written + length > resultBytes) throw damaged();
    source.copy(result, written, from, from + length);
    written += length;
    if (!copies) at += length;
  }
  if (written !== resultBytes) throw damaged();
  return result;
}

function readSizes(delta: Buffer): { baseBytes: number; resultBytes: number; at: number } {
  let at = 0;
  const size = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = delta[at++];
      if (byte === undefined || scale > 2 ** 42) throw damaged();
      value += (byte & 127) * scale;
      if (!(byte & 128)) return value;
    }
  };
  return { baseBytes: size(), resultBytes: size(), at };
}

const damaged = () => new RangeError("the pack is damaged: a delta does not fit");
