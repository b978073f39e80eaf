/** Cuts a stream of bytes into lines, with a bound on how long one may become. */

/** An object is 1.5 MB at most in etcd and a few times that as JSON. */
const longestBytes = 32 * 1024 * 1024;

/** @throws RangeError when a line does not end in time: the stream cannot be trusted any more */
export async function* lines(chunks: AsyncIterable<Buffer>, most = longestBytes): AsyncGenerator<string, void, undefined> {
  let parts: Buffer[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const last = chunk.subarray(from, end);
      const line = parts.length === 0 ? last.toString("utf8") : Buffer.concat([...parts, last]).toString("utf8");
      parts = [];
      held = 0;
      from = end + 1;
      if (line !== "") yield line;
    }
    if (from < chunk.length) {
      parts.push(chunk.subarray(from));
      held += chunk.length - from;
      if (held > most) throw new RangeError(`a line is longer than ${most} bytes`);
    }
  }
  // What follows the last line break was cut off in the middle: it is dropped, and comes again.
}
