/**
 * Artifacts in NATS: a JetStream object store with an entry per storage path, read back against its digest. The store
 * itself takes any text as a name (it is base64url in the subject), so the path is the name.
 */
import { createHash } from "node:crypto";
import { JetStreamApiError, jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from "@nats-io/jetstream";
import {
  Base64UrlPaddedCodec,
  Objm,
  setSha256Backend,
  StorageType,
  type ObjectInfo,
  type ObjectStore,
} from "@nats-io/obj";
import { LRUCache } from "lru-cache";
import { headers, type NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";
import { stream } from "#protocol/names/subject.ts";
import { makeReplicated, reachReplicas, replicasToReach } from "./nats-replicas.ts";

export type ArtifactStoreOptions = {
  /** As many as are good for the NATS there is, when absent. */
  replicas?: number;
  /** Of the whole bucket; no bound when absent. */
  maxBytes?: number;
  /** Of artifacts kept in memory: many units read the same one. */
  cacheBytes?: number;
  /** For one exchange with NATS; an upload or download is many of them. */
  timeoutMs?: number;
};

export type OpenArtifact = { sizeBytes: number; digest: string; stream: ReadableStream<Uint8Array> };

const bucket = stream.artifactBucket;
const bucketStream = `OBJ_${bucket}`;
const chunkBytes = 512 * 1024; // below the server's default for a message, 1 MiB

export class ArtifactStore {
  readonly #objects: ObjectStore;
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #timeoutMs: number;
  readonly #cache: LRUCache<string, Uint8Array>;
  readonly #reading = new Map<string, Promise<Uint8Array>>();

  private constructor(
    objects: ObjectStore,
    client: JetStreamClient,
    manager: JetStreamManager,
    cacheBytes: number,
    timeoutMs: number,
  ) {
    this.#objects = objects;
    this.#client = client;
    this.#manager = manager;
    this.#timeoutMs = timeoutMs;
    this.#cache = new LRUCache({
      maxSize: cacheBytes,
      maxEntrySize: Math.ceil(cacheBytes / 2), // one large artifact does not push out all others
      sizeCalculation: ({ byteLength }) => byteLength + 256,
    });
  }

  /** Creates the bucket when it is missing. @throws Fault StorageFailed */
  static async open(
    connection: NatsConnection,
    { replicas, maxBytes, cacheBytes = 64 * 2 ** 20, timeoutMs = 5_000 }: ArtifactStoreOptions = {},
  ): Promise<ArtifactStore> {
    setSha256Backend("native"); // of the whole process; the default is written in JavaScript
    return guarded(bucket, timeoutMs, async () => {
      const manager = await jetstreamManager(connection, { timeout: timeoutMs, checkAPI: false });
      const client = jetstream(connection, { timeout: timeoutMs });
      const objects = await makeReplicated(connection, replicas, (number) =>
        new Objm(client).create(bucket, {
          replicas: number,
          storage: StorageType.File,
          ...(maxBytes !== undefined && { max_bytes: maxBytes }),
        }),
      );
      const { config } = await manager.streams.info(bucketStream);
      const num_replicas = replicasToReach(connection, replicas, config.num_replicas);
      if (num_replicas !== config.num_replicas)
        await reachReplicas(replicas, () => manager.streams.update(bucketStream, { num_replicas }));
      return new ArtifactStore(objects, client, manager, cacheBytes, timeoutMs);
    });
  }

  /**
   * Stores bytes under a path. The same bytes once more cost one question.
   *
   * @param digest `sha256:<hex>` of the bytes
   * @throws Fault StorageFailed; ArtifactCorrupt when the digest is of other bytes: whoever asks has a bug
   */
  async put(path: string, bytes: Uint8Array, digest: string): Promise<void> {
    if (digestOf(bytes) !== digest)
      throw new Fault("ArtifactCorrupt", path, { detail: `the bytes are not those of ${digest}` });
    const stored = await this.#info(path);
    if (stored && digestFrom(stored) === digest) return;
    const meta = { name: path, options: { max_chunk_size: chunkBytes } };
    const put = () => this.#objects.putBlob(meta, bytes, { timeout: this.#timeoutMs });
    await guarded(path, this.#timeoutMs, put, bytes.byteLength);
    this.#cache.set(digest, bytes);
  }

  /** @throws Fault StorageFailed */
  async has(path: string): Promise<boolean> {
    return (await this.#info(path)) !== undefined;
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
    const info = await this.#info(path);
    if (!info) return undefined;
    const digest = digestFrom(info);
    const cached = this.#cache.get(digest);
    const chunks = cached ? [cached][Symbol.iterator]() : this.#chunks(path, info, digest);
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
    return { sizeBytes: info.size, digest, stream: body };
  }

  /** Everything of one object: `<kind>/<namespace>/<name>`. As `retain` otherwise. */
  remove(prefix: string, guard?: () => void): Promise<void> {
    return this.retain(prefix, [], guard);
  }

  /**
   * Removes what lies under the prefix, but for the paths to keep.
   *
   * @param guard called in the tick in which each deletion leaves; what it throws is thrown: whoever owned the object
   *   before must not delete what its next owner has stored
   * @throws Fault StorageFailed
   */
  async retain(prefix: string, keep: string[], guard: () => void = () => undefined): Promise<void> {
    const under = (path: string) => path.startsWith(`${prefix}/`) && !keep.includes(path);
    for (const path of (await this.#paths()).filter(under))
      await guarded(path, this.#timeoutMs, () => this.#delete(path, guard));
  }

  /**
   * As the library does it, but only the entry that was looked at: one that was stored under this path meanwhile stays.
   * First a mark in the entry's place, so that a deletion that breaks off is taken up by the next, then the bytes, then
   * the mark: with a name per commit marks would pile up.
   */
  async #delete(path: string, guard: () => void): Promise<void> {
    const name = `$O.${bucket}.M.${Base64UrlPaddedCodec.encode(path)}`;
    const entry = await this.#manager.streams.getMessage(bucketStream, { last_by_subj: name });
    if (!entry) return;
    const info = entry.json<ObjectInfo>();
    const mark = { ...info, deleted: true, size: 0, chunks: 0, digest: "" };
    const rollup = headers();
    rollup.set("Nats-Rollup", "sub");
    guard();
    const { seq } = await this.#client.publish(name, JSON.stringify(mark), {
      headers: rollup,
      expect: { lastSubjectSequence: entry.seq },
    });
    guard();
    await this.#manager.streams.purge(bucketStream, { filter: `$O.${bucket}.C.${info.nuid}` });
    guard();
    await this.#manager.streams.purge(bucketStream, { filter: name, seq: seq + 1 });
  }

  /** Every path of the bucket, from the stream's own index: no consumer, one request. */
  async #paths(): Promise<string[]> {
    const prefix = `$O.${bucket}.M.`;
    const { state } = await guarded(bucket, this.#timeoutMs, () =>
      this.#manager.streams.info(bucketStream, { subjects_filter: `${prefix}>` }),
    );
    return Object.keys(state.subjects ?? {}).map((subject) =>
      Buffer.from(subject.slice(prefix.length), "base64url").toString(),
    );
  }

  async #info(path: string): Promise<ObjectInfo | undefined> {
    const info = await guarded(path, this.#timeoutMs, () => this.#objects.info(path));
    return info && !info.deleted ? info : undefined;
  }

  async #read(path: string, wanted: string | undefined): Promise<Uint8Array> {
    const info = await this.#info(path);
    if (!info) throw new Fault("ArtifactMissing", path, { detail: "not in the artifact store" });
    const digest = digestFrom(info);
    if (wanted && wanted !== digest)
      throw new Fault("ArtifactCorrupt", path, { detail: `stored is ${digest}, expected was ${wanted}` });
    const bytes = new Uint8Array(info.size);
    let at = 0;
    for await (const chunk of this.#chunks(path, info, digest)) {
      bytes.set(chunk, at);
      at += chunk.byteLength;
    }
    this.#cache.set(digest, bytes);
    return bytes;
  }

  /**
   * Asked for one by one with direct gets: a consumer goes silent when its node dies, a request does not. The last
   * chunk is handed out once the whole is verified.
   */
  async *#chunks(
    path: string,
    { nuid, chunks, size }: ObjectInfo,
    digest: string,
  ): AsyncGenerator<Uint8Array, undefined> {
    const hash = createHash("sha256");
    const filter = `$O.${bucket}.C.${nuid}`;
    let [received, next] = [0, 1];
    let held: Uint8Array | undefined;
    for (let i = 0; i < chunks; i++) {
      const message = await guarded(path, this.#timeoutMs, () =>
        this.#manager.direct.getMessage(bucketStream, { seq: next, next_by_subj: filter }),
      );
      // It was replaced or removed meanwhile, or this replica is behind: the next try sees.
      if (!message) throw new Fault("StorageFailed", path, { detail: `part ${i + 1} of ${chunks} is not there` });
      next = message.seq + 1;
      received += message.data.byteLength;
      if (received > size) break;
      hash.update(message.data);
      if (held) yield held;
      held = message.data;
    }
    if (received !== size || `sha256:${hash.digest("hex")}` !== digest)
      throw new Fault("ArtifactCorrupt", path, { detail: `the stored bytes are not those of ${digest}` });
    if (held) yield held;
    return undefined;
  }
}

const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** The library's `SHA-256=<base64url>` as ours. */
const digestFrom = ({ digest }: ObjectInfo) =>
  `sha256:${Buffer.from(digest.slice(digest.indexOf("=") + 1), "base64url").toString("hex")}`;

/**
 * Turns whatever NATS rejects with into a fault, and an exchange that never ends too: the client waits for a lost
 * connection to come back. The late rejection is taken as well, for nobody else would.
 *
 * @param sizeBytes what is transferred: a megabyte is given a second more
 */
async function guarded<T>(subject: string, timeoutMs: number, act: () => Promise<T>, sizeBytes = 0): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const longestMs = 3 * timeoutMs + sizeBytes / 1000;
  const timer = setTimeout(
    () => reject(new Fault("StorageFailed", subject, { detail: "no answer from NATS" })),
    longestMs,
  );
  try {
    return await Promise.race([act(), late]);
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("StorageFailed", subject, { detail: detailOf(error), cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function detailOf(error: unknown): string {
  if (error instanceof JetStreamApiError) return `NATS: ${error.message}`;
  return error instanceof Error ? `NATS: ${error.message}` : "NATS did not answer";
}
