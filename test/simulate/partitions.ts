/**
 * A cell of few partitions. What happens to 64 happens to 1024, and a life with 64 is over in a fraction of the time.
 * Their number is a constant of protocol/names/actor.ts, so it is set while that module is loaded: import this one first,
 * and everything else by `await import`. PARTITIONS=1024 lives with as many as there really are.
 */
import { registerHooks } from "node:module";

const partitions = Number(process.env["PARTITIONS"] ?? 64);
const constant = /(export const partitionCount = )\d+/;

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    if (!url.endsWith("/protocol/names/actor.ts")) return loaded;
    const source = String(loaded.source);
    if (!constant.test(source)) throw new RangeError("the number of partitions is not where it was");
    return { ...loaded, source: source.replace(constant, `$1${partitions}`) };
  },
});
