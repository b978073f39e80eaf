/**
 * Artifacts by their storage path, read back against their digest: kept in memory for many readers, on disk for a restart, and for
 * all workers in NATS or S3 ([vault](artifacts/vault.ts)).
 */
import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { Fault } from "#protocol/errors/fault.ts";
import { digestOf } from "./artifacts/digest.ts";
import type { DiskCache } from "./artifacts/disk-cache.ts";
import type { Entry, Vault } from "./artifacts/vault.ts";

export type ArtifactStoreOptions = {
  /** Of artifacts kept in memory: many units read the same one. */
  cacheBytes?: number;
  disk?: DiskCache;
  /** Somebody wanted an artifact that is not there, or is damaged. */
  onLost?(path: string): void;
};

/** An artifact that is loaded when somebody asks for it. */
export const handleOf = (artifacts: Pick<ArtifactStore, "get">, { digest, path }: { digest: string; path: string }) => ({ digest, load: () => artifacts.get(path, { digest }) });

export type OpenArtifact = { sizeBytes: number; digest: string; stream: ReadableStream<Uint8Array> };

/** While it fails it is asked again this often, so that whoever watches knows when it is back. */
const checkMs = 5_000;
/** Many want the same one: it is told once in this time. */
const tellMs = 10_000;

export class ArtifactStore {
  readonly #vault: Vault;
  readonly #options: ArtifactStoreOptions;
  readonly #cache: LRUCache<string, Uint8Array>;
  readonly #reading = new Map<string, Promise<Uint8Array>>();
  /** What this process stored, by path: only that is relied on as it is when it is stored again. */
  readonly #written = new LRUCache<string, string>({ max: 20_000 });
  readonly #told = new LRUCache<string, true>({ max: 10_000, ttl: tellMs });
  #trouble: { fault: Fault; timer: NodeJS.Timeout } | undefined;

  constructor(vault: Vault, options: ArtifactStoreOptions = {}) {
    const { cacheBytes = 64 * 2 ** 20 } = options;
    this.#vault = vault;
    this.#options = options;
    this.#cache = new LRUCache({
      maxSize: cacheBytes,
      maxEntrySize: Math.ceil(cacheBytes / 2), // one large artifact does not push out all others
      sizeCalculation: ({ byteLength }) => byteLength + 256,
    });
  }

  /** Why artifacts can be neither stored nor read: a sentence, or none. */
  reasonsNotReady(): string[] {
    return this.#trouble ? [`the artifact store, ${this.#vault.shown}, does not work: ${this.#trouble.fault.detail ?? ""}`] : [];
  }

  /** Finds out whether the store answers. @throws Fault StorageFailed; it is looked at again until it does */
  check = (): Promise<void> => this.#noting(() => this.#vault.check());

  close(): void {
    clearTimeout(this.#trouble?.timer);
  }

  /**
   * Stores bytes under a path, which may name their digest. The same bytes once more cost one question.
   *
   * @throws Fault StorageFailed
   */
  async put(at: string | ((digest: string) => string), bytes: Uint8Array): Promise<{ path: string; digest: string; sizeBytes: number }> {
    const digest = await digestOf(bytes);
    const path = typeof at === "string" ? at : at(digest);
    if (this.#written.get(path) !== digest || !(await this.has(path, digest)))
      await this.#noting(() => this.#vault.write(path, bytes, digest));
    this.#written.set(path, digest);
    this.#keep(digest, bytes);
    return { path, digest, sizeBytes: bytes.byteLength };
  }

  /** Whether there is one, with this digest where one is given. @throws Fault StorageFailed */
  async has(path: string, digest?: string): Promise<boolean> {
    const entry = await this.#find(path);
    return entry !== undefined && (digest === undefined || entry.digest === digest);
  }

  /**
   * The whole artifact, verified: against the digest that was asked for, else against the one it was stored under.
   * It is shared with whoever else asked: neither to be changed nor handed over to a thread.
   *
   * @throws Fault ArtifactMissing, ArtifactCorrupt, StorageFailed
   */
  async get(path: string, { digest }: { digest?: string } = {}): Promise<Uint8Array> {
    const cached = digest && this.#cache.get(digest);
    if (cached) return cached;
    const name = `${path} ${digest ?? ""}`;
    const reading = this.#reading.get(name) ?? this.#read(path, digest).finally(() => this.#reading.delete(name));
    this.#reading.set(name, reading);
    return reading;
  }

  /**
   * For passing on to somebody else: a stream that fails instead of ending when the artifact turns out to be damaged.
   * Undefined when there is none.
   *
   * @throws Fault StorageFailed
   */
  async open(path: string): Promise<OpenArtifact | undefined> {
    const entry = await this.#find(path);
    if (!entry) return void this.#tell(path);
    const { digest, sizeBytes } = entry;
    const cached = this.#cache.get(digest);
    const chunks = cached ? [cached][Symbol.iterator]() : this.#chunks(entry);
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await chunks.next();
          if (value) controller.enqueue(value);
          if (done) controller.close();
        },
        async cancel() {
          await chunks.return?.(undefined);
        },
      },
      { highWaterMark: 1 },
    );
    return { sizeBytes, digest, stream: body };
  }

  /** Everything of one object: `<kind>/<namespace>/<name>`. As `retain` otherwise. */
  remove(folder: string, guard?: () => void): Promise<void> {
    return this.retain(folder, [], guard);
  }

  /**
   * Removes what lies in the folder, but for the newest of the paths to keep.
   *
   * @param guard called in the tick in which each deletion leaves; what it throws is thrown: whoever owned the object
   *   before must not delete what its next owner has stored
   * @throws Fault StorageFailed
   */
  async retain(folder: string, keep: string[], guard: () => void = () => undefined): Promise<void> {
    for (const entry of await this.#noting(() => this.#vault.besides(folder, keep)))
      await this.#vault.erase(entry, guard);
  }

  #find = (path: string): Promise<Entry | undefined> => this.#noting(() => this.#vault.find(path));

  async #read(path: string, wanted: string | undefined): Promise<Uint8Array> {
    const kept = wanted && (await this.#options.disk?.get(wanted));
    if (wanted && kept) {
      this.#cache.set(wanted, kept);
      return kept;
    }
    const entry = await this.#find(path);
    if (!entry || (wanted && wanted !== entry.digest)) {
      this.#tell(path);
      if (!entry) throw new Fault("ArtifactMissing", path, { detail: "not in the artifact store" });
      throw new Fault("ArtifactCorrupt", path, { detail: `stored is ${entry.digest}, expected was ${wanted}` });
    }
    const bytes = new Uint8Array(entry.sizeBytes);
    let at = 0;
    for await (const chunk of this.#chunks(entry)) {
      bytes.set(chunk, at);
      at += chunk.byteLength;
    }
    this.#keep(entry.digest, bytes);
    return bytes;
  }

  /** The last part is handed out once the whole is verified. What is damaged goes, so that its source stores it anew. */
  async *#chunks(entry: Entry): AsyncGenerator<Uint8Array, undefined> {
    const { path, digest, sizeBytes } = entry;
    const hash = createHash("sha256");
    let received = 0;
    let held: Uint8Array | undefined;
    for await (const chunk of this.#vault.read(entry)) {
      received += chunk.byteLength;
      if (received > sizeBytes) break;
      hash.update(chunk);
      if (held) yield held;
      held = chunk;
    }
    if (received !== sizeBytes || `sha256:${hash.digest("hex")}` !== digest) {
      await this.#vault.erase(entry, () => undefined).catch(() => undefined); // whoever reads it next tries again
      this.#tell(path);
      throw new Fault("ArtifactCorrupt", path, { detail: `the stored bytes are not those of ${digest}` });
    }
    if (held) yield held;
    return undefined;
  }

  #tell(path: string): void {
    if (this.#told.has(path)) return;
    this.#told.set(path, true);
    this.#options.onLost?.(path);
  }

  #keep(digest: string, bytes: Uint8Array): void {
    this.#cache.set(digest, bytes);
    this.#options.disk?.put(digest, bytes);
  }

  /** Remembers whether the store works. */
  async #noting<T>(act: () => Promise<T>): Promise<T> {
    try {
      const done = await act();
      clearTimeout(this.#trouble?.timer);
      this.#trouble = undefined;
      return done;
    } catch (thrown) {
      if (thrown instanceof Fault && thrown.code === "StorageFailed") this.#note(thrown);
      throw thrown;
    }
  }

  #note(fault: Fault): void {
    clearTimeout(this.#trouble?.timer);
    const timer = setTimeout(() => void this.check().catch(() => undefined), checkMs);
    timer.unref();
    this.#trouble = { fault, timer };
  }
}
