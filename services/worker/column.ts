/** One field of very many things, as a typed array that grows. */
type Column = Int32Array<ArrayBuffer> | Int16Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/** The same contents with room for `least` values: a quarter more than asked for, so that growing stays rare and waste small. */
export function grownTo<T extends Column>(column: T, least: number): T {
  const grown = new (column.constructor as new (length: number) => T)(Math.max(64, Math.ceil(least * 1.25)));
  grown.set(column as never);
  return grown;
}
