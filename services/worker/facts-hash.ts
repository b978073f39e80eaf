/** Whether an object still says what it said, from six bytes: an actor at rest keeps no more of what was seen. */

/** 48 bits over the value as JSON; the order of keys counts for nothing, nor do keys that hold nothing. 0 for no facts. */
export function factsHash(facts: unknown): number {
  if (facts === null || facts === undefined) return 0;
  const text = canonical(facts);
  let [high, low] = [0x811c9dc5, 0x9747b28c];
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    high = Math.imul(high ^ unit, 0x01000193);
    low = Math.imul(low ^ unit, 0x85ebca6b);
    low = (low << 13) | (low >>> 19);
  }
  // Never 0: that is an actor that has seen no object.
  return ((mixed(high ^ low) >>> 16) * 2 ** 32 + (mixed(low) >>> 0)) || 1;
}

function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) as string;
  if (Array.isArray(value)) return `[${value.map((each) => (each === undefined ? "null" : canonical(each))).join(",")}]`;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(",")}}`;
}

function mixed(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return hash ^ (hash >>> 16);
}
