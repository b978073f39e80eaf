/**
 * Artifacts in S3, or in what speaks its API: one object for each time that something was stored, `<prefix>/<path>/<hex of the
 * digest>-<when and by whom>`. No object is ever written twice, so a deletion on its way can only mean what it was sent for; the
 * newest by the storage's own clock counts.
 */
import { randomBytes } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import type { AwsCredentials } from "#services/clients/aws/signature.ts";
import type { Answer } from "#services/clients/http/ask.ts";
import { codeIn } from "#services/clients/http/xml.ts";
import { S3Client, type S3Object, type S3Question } from "#services/clients/s3/client.ts";
import type { S3Address } from "./s3-address.ts";
import { guarded, type Entry, type Vault } from "./vault.ts";

export type S3VaultOptions = S3Address & {
  /** Who asks. @throws Fault */
  credentials(region: string, signal: AbortSignal): Promise<AwsCredentials>;
  /** For one exchange; what is transferred is given a second more for each megabyte. */
  timeoutMs?: number;
  nowMs?: () => number;
};

const answerBytes = 64 * 1024;
/** Of one path or one object's folder: retention leaves two. */
const mostPages = 50;

export class S3Vault implements Vault {
  readonly shown: string;
  readonly #client: S3Client;
  readonly #prefix: string;
  readonly #timeoutMs: number;

  constructor({ bucket, prefix, origin, region, credentials, timeoutMs = 10_000, nowMs = Date.now }: S3VaultOptions) {
    this.shown = `s3://${bucket}${prefix && `/${prefix}`}`;
    this.#prefix = prefix && `${prefix}/`;
    this.#timeoutMs = timeoutMs;
    this.#client = new S3Client({
      bucket, origin, region, nowMs, shown: this.shown, peer: { identity: "artifact store" },
      credentials: (where) => credentials(where, AbortSignal.timeout(timeoutMs)),
    });
  }

  async find(path: string): Promise<Entry | undefined> {
    return newestOf(await this.#list(`${path}/`)).get(path);
  }

  async *read(entry: Entry): AsyncGenerator<Uint8Array> {
    const { path, id, sizeBytes } = entry;
    const signal = this.#within(sizeBytes);
    const { status, body } = await this.#exchange(path, () => this.#client.open({ key: id, maxBytes: sizeBytes, signal }));
    if (status !== 200) throw this.#refused(path, { status, header: () => "", body: Buffer.concat(await Array.fromAsync(body)) });
    try {
      yield* body;
    } catch (error) {
      if (error instanceof Fault && error.code === "SourceTooLarge") return; // longer than it was: the digest tells
      throw asStorageFault(path, error);
    }
  }

  async write(path: string, bytes: Uint8Array, digest: string): Promise<void> {
    const sha256 = digest.slice(digest.indexOf(":") + 1);
    const key = `${this.#prefix}${path}/${sha256}-${Date.now().toString(36)}${randomBytes(8).toString("hex")}`;
    await this.#send(path, { method: "PUT", key, contents: { bytes, sha256 } }, bytes.byteLength);
  }

  async besides(folder: string, keep: string[]): Promise<Entry[]> {
    const all = await this.#list(`${folder}/`);
    const kept = newestOf(all);
    return all.filter((entry) => !keep.includes(entry.path) || kept.get(entry.path) !== entry);
  }

  async erase({ path, id }: Entry, guard: () => void): Promise<void> {
    await this.#send(path, { method: "DELETE", key: id, before: guard });
  }

  check = async (): Promise<void> => void (await this.#page(this.shown, `${this.#prefix}none/`, undefined));

  /** Oldest first. The storage tells whole seconds; within one the writer's clock decides. */
  async #list(below: string): Promise<Entry[]> {
    const found: (Entry & Pick<S3Object, "changedAtMs"> & { writing: string })[] = [];
    let after: string | undefined;
    for (let pages = 0; pages === 0 || after !== undefined; pages++) {
      if (pages === mostPages) throw new Fault("StorageFailed", below, { detail: `${this.shown} has more than ${mostPages} pages of it` });
      const page = await this.#page(below, `${this.#prefix}${below}`, after);
      for (const { key, sizeBytes, changedAtMs } of page.objects) {
        const [, path, hex, writing = ""] = /^(.+)\/([0-9a-f]{64})-([0-9a-z]+)$/.exec(key.slice(this.#prefix.length)) ?? [];
        if (path && hex) found.push({ path, digest: `sha256:${hex}`, sizeBytes, id: key, changedAtMs, writing });
      }
      after = page.next;
    }
    return found.sort((a, b) => a.changedAtMs - b.changedAtMs || (a.writing < b.writing ? -1 : 1));
  }

  async #page(subject: string, prefix: string, after: string | undefined): Promise<{ objects: S3Object[]; next?: string }> {
    const page = await this.#patiently(subject, 0, (signal) => this.#client.list(prefix, after, signal), (answer) => ("refused" in answer ? answer.refused.status : 200));
    if ("refused" in page) throw this.#refused(subject, page.refused);
    return page;
  }

  async #send(subject: string, question: Omit<S3Question, "maxBytes" | "signal">, sizeBytes = 0): Promise<void> {
    const answer = await this.#patiently(subject, sizeBytes, (signal) => this.#client.send({ ...question, maxBytes: answerBytes, signal }), ({ status }) => status);
    if (answer.status < 200 || (answer.status >= 300 && !(question.method === "DELETE" && answer.status === 404))) throw this.#refused(subject, answer);
  }

  /** A storage that has too much to do is asked once more. */
  async #patiently<T>(subject: string, sizeBytes: number, act: (signal: AbortSignal) => Promise<T>, statusOf: (answer: T) => number): Promise<T> {
    const once = () => this.#exchange(subject, () => act(this.#within(sizeBytes)), sizeBytes);
    const answer = await once();
    if (statusOf(answer) < 500) return answer;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    return once();
  }

  #exchange<T>(subject: string, act: () => Promise<T>, sizeBytes = 0): Promise<T> {
    return guarded(subject, 2 * this.#timeoutMs, () => act().catch((error: unknown) => { throw asStorageFault(subject, error); }), detailOf, sizeBytes);
  }

  #within = (sizeBytes: number): AbortSignal => AbortSignal.timeout(this.#timeoutMs + Math.ceil(sizeBytes / 1000));

  #refused(subject: string, answer: Answer): Fault {
    const { status } = answer;
    const code = codeIn(answer.body);
    const said = `HTTP ${status}${/^[A-Za-z]{1,80}$/.test(code) ? ` ${code}` : ""}`;
    const why =
      status === 401 || status === 403 ? ": the credentials are not accepted, or may not list, read, write and delete there"
      : status === 404 && code === "NoSuchBucket" ? ": there is no such bucket"
      : status === 404 ? ": it was replaced or removed meanwhile"
      : status >= 300 && status < 400 ? ": the bucket lies in another region, or elsewhere; say so with region= and endpoint="
      : "";
    return new Fault("StorageFailed", subject, { detail: `${this.shown}: ${said}${why}` });
  }
}

const pauseMs = 300;

/** By path; of a list from the oldest. */
const newestOf = (entries: Entry[]): Map<string, Entry> => new Map(entries.map((entry) => [entry.path, entry]));

const asStorageFault = (subject: string, error: unknown): unknown => {
  if (error instanceof Fault && error.code === "LeaseLost") return error;
  return new Fault("StorageFailed", subject, { detail: detailOf(error), cause: error });
};

function detailOf(error: unknown): string {
  if (error instanceof Fault) return `the artifact store: ${error.detail ?? error.code}`;
  return error instanceof RangeError ? `the artifact store: ${error.message}` : "the artifact store gave no answer";
}
