/**
 * Where artifacts lie for all workers: entries under storage paths. What is written is a new entry each time, so that whoever
 * owned an object before, and still has a deletion on its way, deletes what it looked at and nothing that came after.
 */
import { Fault } from "#protocol/errors/fault.ts";

export type Entry = {
  path: string;
  /** `sha256:<hex>` of the bytes, as they were when they were stored. */
  digest: string;
  sizeBytes: number;
  /** Tells it apart from every other entry that was ever under its path: the vault's own. */
  id: string;
};

/** All throw Fault StorageFailed, in bounded time. */
export type Vault = {
  /** For people: which store it is. */
  shown: string;
  /** The newest under this path. */
  find(path: string): Promise<Entry | undefined>;
  /** The bytes in order, not compared with the digest, and no more than the entry says. */
  read(entry: Entry): AsyncIterable<Uint8Array>;
  /** From then on the newest under its path. */
  write(path: string, bytes: Uint8Array, digest: string): Promise<void>;
  /** Everything under a folder but for the newest of each path that is kept; what a deletion left that broke off, too. */
  besides(folder: string, keep: string[]): Promise<Entry[]>;
  /**
   * This entry and no other.
   *
   * @param guard called in the tick in which each request leaves; what it throws is thrown
   */
  erase(entry: Entry, guard: () => void): Promise<void>;
  /** Whether it answers at all. */
  check(): Promise<void>;
};

/**
 * Turns whatever a store rejects with into a fault, and an exchange that never ends too. The late rejection is taken as
 * well, for nobody else would.
 *
 * @param sizeBytes what is transferred: a megabyte is given a second more
 */
export async function guarded<T>(subject: string, timeoutMs: number, act: () => Promise<T>, explain: (error: unknown) => string, sizeBytes = 0): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const longestMs = timeoutMs + sizeBytes / 1000;
  const timer = setTimeout(() => reject(new Fault("StorageFailed", subject, { detail: explain(undefined) })), longestMs);
  try {
    return await Promise.race([act(), late]);
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("StorageFailed", subject, { detail: explain(error), cause: error });
  } finally {
    clearTimeout(timer);
  }
}
