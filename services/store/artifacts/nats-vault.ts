/**
 * Artifacts in NATS: a JetStream object store with an entry per storage path. The store itself takes any text as a name (it is
 * base64url in the subject), so the path is the name; an entry is known by its sequence in the stream.
 */
import { JetStreamApiError, jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from "@nats-io/jetstream";
import { Base64UrlPaddedCodec, Objm, setSha256Backend, StorageType, type ObjectInfo, type ObjectStore } from "@nats-io/obj";
import { headers, type NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";
import { stream } from "#protocol/names/subject.ts";
import { kindOf } from "../nats-errors.ts";
import { makeReplicated, reachReplicas, replicasToReach } from "../nats-replicas.ts";
import { guarded, type Entry, type Vault } from "./vault.ts";

export type NatsVaultOptions = {
  /** As many as are good for the NATS there is, when absent. */
  replicas?: number;
  /** Of the whole bucket; no bound when absent. */
  maxBytes?: number;
  /** For one exchange with NATS; an upload or download is many of them. */
  timeoutMs?: number;
};

const bucket = stream.artifactBucket;
const bucketStream = `OBJ_${bucket}`;
const chunkBytes = 512 * 1024; // below the server's default for a message, 1 MiB
const entries = `$O.${bucket}.M.`;
const subjectOf = (path: string): string => `${entries}${Base64UrlPaddedCodec.encode(path)}`;
const chunksOf = ({ nuid }: Pick<ObjectInfo, "nuid">): string => `$O.${bucket}.C.${nuid}`;

type Found = Entry & { info: ObjectInfo; sequence: number };

/** Creates the bucket when it is missing. @throws Fault StorageFailed */
export async function openNatsVault(connection: NatsConnection, { replicas, maxBytes, timeoutMs = 5_000 }: NatsVaultOptions = {}): Promise<Vault> {
  setSha256Backend("native"); // of the whole process; the default is written in JavaScript
  return exchange(bucket, timeoutMs, async () => {
    const manager = await jetstreamManager(connection, { timeout: timeoutMs, checkAPI: false });
    const client = jetstream(connection, { timeout: timeoutMs });
    const objects = await makeReplicated(connection, replicas, (number) =>
      new Objm(client).create(bucket, { replicas: number, storage: StorageType.File, ...(maxBytes !== undefined && { max_bytes: maxBytes }) }),
    );
    const { config } = await manager.streams.info(bucketStream);
    const num_replicas = replicasToReach(connection, replicas, config.num_replicas);
    if (num_replicas !== config.num_replicas) await reachReplicas(replicas, () => manager.streams.update(bucketStream, { num_replicas }));
    return new NatsVault(objects, client, manager, timeoutMs);
  });
}

class NatsVault implements Vault {
  readonly shown = "NATS";
  readonly #objects: ObjectStore;
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #timeoutMs: number;

  constructor(objects: ObjectStore, client: JetStreamClient, manager: JetStreamManager, timeoutMs: number) {
    this.#objects = objects;
    this.#client = client;
    this.#manager = manager;
    this.#timeoutMs = timeoutMs;
  }

  async find(path: string): Promise<Entry | undefined> {
    const found = await this.#look(path);
    return found?.info.deleted ? undefined : found;
  }

  /** The same bytes once more are the same chunks under a new entry. */
  async write(path: string, bytes: Uint8Array, digest: string): Promise<void> {
    const found = await this.#look(path);
    if (found && !found.info.deleted && found.digest === digest && (await this.#renew(found))) return;
    const put = () => this.#objects.putBlob({ name: path, options: { max_chunk_size: chunkBytes } }, bytes, { timeout: this.#timeoutMs });
    await exchange(path, this.#timeoutMs, put, bytes.byteLength);
  }

  /** False when it has become another meanwhile. */
  async #renew({ path, info, sequence }: Found): Promise<boolean> {
    return this.#replace(path, info, sequence).then(() => true, (error: unknown) => {
      if (error instanceof Fault && isReplaced(error.cause)) return false;
      throw error;
    });
  }

  async #replace(path: string, info: ObjectInfo, sequence: number): Promise<number> {
    const rollup = headers();
    rollup.set("Nats-Rollup", "sub");
    const { seq } = await exchange(path, this.#timeoutMs, () =>
      this.#client.publish(subjectOf(path), JSON.stringify(info), { headers: rollup, expect: { lastSubjectSequence: sequence } }));
    return seq;
  }

  /** From the stream's own index: no consumer, one request. */
  async besides(folder: string, keep: string[]): Promise<Entry[]> {
    const { state } = await exchange(folder, this.#timeoutMs, () => this.#manager.streams.info(bucketStream, { subjects_filter: `${entries}>` }));
    const found: Entry[] = [];
    for (const subject of Object.keys(state.subjects ?? {})) {
      const path = Buffer.from(subject.slice(entries.length), "base64url").toString();
      const entry = path.startsWith(`${folder}/`) && !keep.includes(path) && (await this.#look(path));
      if (entry) found.push(entry);
    }
    return found;
  }

  /**
   * As the library does it, but only the entry that was looked at. First a mark in the entry's place, so that a deletion that
   * breaks off is taken up by the next, then the bytes, then the mark: with a name per commit marks would pile up.
   */
  async erase(entry: Entry, guard: () => void): Promise<void> {
    const { path } = entry;
    const { info, sequence } = entry as Found;
    guard();
    const seq = await this.#replace(path, { ...info, deleted: true, size: 0, chunks: 0, digest: "" }, sequence);
    guard();
    await exchange(path, this.#timeoutMs, () => this.#manager.streams.purge(bucketStream, { filter: chunksOf(info) }));
    guard();
    await exchange(path, this.#timeoutMs, () => this.#manager.streams.purge(bucketStream, { filter: subjectOf(path), seq: seq + 1 }));
  }

  /** Asked for one by one with direct gets: a consumer goes silent when its node dies, a request does not. */
  async *read(entry: Entry): AsyncGenerator<Uint8Array> {
    const found = entry as Found;
    const { path, sizeBytes, info } = found;
    let [received, next] = [0, 1];
    for (let i = 0; i < info.chunks; i++) {
      const message = await exchange(path, this.#timeoutMs, () =>
        this.#manager.direct.getMessage(bucketStream, { seq: next, next_by_subj: chunksOf(info) }));
      if (!message && (await this.#isGone(found, next))) return; // the digest tells
      // It was replaced or removed meanwhile, or this replica is behind: the next try sees.
      if (!message) throw new Fault("StorageFailed", path, { detail: `part ${i + 1} of ${info.chunks} is not there` });
      next = message.seq + 1;
      received += message.data.byteLength;
      if (received > sizeBytes) return;
      yield message.data;
    }
  }

  /** Whether a part of what is still the newest is lost for good: the leader says so. */
  async #isGone({ path, info, sequence }: Found, next: number): Promise<boolean> {
    const asked = { seq: next, next_by_subj: chunksOf(info) }; // the types do not know that it may be asked so
    const part = await exchange(path, this.#timeoutMs, () => this.#manager.streams.getMessage(bucketStream, asked));
    return part === null && (await this.#look(path))?.sequence === sequence;
  }

  check = async (): Promise<void> => void (await exchange(bucket, this.#timeoutMs, () => this.#manager.streams.info(bucketStream)));

  async #look(path: string): Promise<Found | undefined> {
    const message = await exchange(path, this.#timeoutMs, () => this.#manager.streams.getMessage(bucketStream, { last_by_subj: subjectOf(path) }));
    if (!message) return undefined;
    const info = message.json<ObjectInfo>();
    return { path, digest: digestFrom(info), sizeBytes: info.size, id: String(message.seq), info, sequence: message.seq };
  }
}

/** The library's `SHA-256=<base64url>` as ours. */
const digestFrom = ({ digest }: ObjectInfo) => `sha256:${Buffer.from(digest.slice(digest.indexOf("=") + 1), "base64url").toString("hex")}`;

/** Somebody else wrote. */
const isReplaced = (error: unknown): boolean => error instanceof JetStreamApiError && kindOf(error.code) === "fenced";

/** The client waits for a lost connection to come back: it is given three times what one exchange has. */
const exchange = <T>(subject: string, timeoutMs: number, act: () => Promise<T>, sizeBytes?: number): Promise<T> =>
  guarded(subject, 3 * timeoutMs, act, detailOf, sizeBytes);

function detailOf(error: unknown): string {
  if (error === undefined) return "no answer from NATS";
  return error instanceof Error ? `NATS: ${error.message}` : "NATS did not answer";
}
