/**
 * A folder of artifacts by their digest: what is read again, after a restart too, is not fetched again. It is a cache and no more:
 * a full disk, a folder that cannot be written, a damaged file cost a download. Workers of one machine may share it.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "./digest.ts";

export type DiskCacheOptions = {
  dir: string;
  maxBytes: number;
  /** Told once, and again when it has worked in between. */
  onTrouble(detail: string, thrown: unknown): void;
  /** How it is written: for tests. */
  write?: typeof writeFile;
};

/** After a failure nothing is written for so long. */
const restMs = 60_000;
/** When it is full it is emptied to this part. */
const keptPart = 0.8;
const fileName = /^[0-9a-f]{64}$/;
/** Of a write that broke off. */
const unfinished = /^[0-9a-f]{64}\.[0-9a-f]+\.part$/;
const unfinishedMs = 10 * 60_000;

export class DiskCache {
  private readonly options: DiskCacheOptions;
  private sizeBytes: number | undefined;
  private restsUntilMs = 0;
  private isInTrouble = false;
  private queue: Promise<void> = Promise.resolve();
  private queuedBytes = 0;

  constructor(options: DiskCacheOptions) {
    this.options = options;
  }

  /** Undefined when it is not there, or not what its name says: then it is removed. */
  async get(digest: string): Promise<Uint8Array | undefined> {
    const file = this.fileOf(digest);
    if (!file) return undefined;
    try {
      const bytes = await readFile(file);
      if ((await digestOf(bytes)) !== digest) {
        await rm(file, { force: true });
        return undefined;
      }
      const now = new Date();
      await utimes(file, now, now).catch(() => undefined); // it was used: others go first
      return bytes;
    } catch {
      return undefined;
    }
  }

  /** In its own time, and at most once; it never fails. */
  put(digest: string, bytes: Uint8Array): void {
    const file = this.fileOf(digest);
    const { maxBytes } = this.options;
    // One large artifact does not push out all others, and what waits lies in memory.
    if (!file || bytes.byteLength > maxBytes / 2 || this.queuedBytes > maxBytes / 4 || performance.now() < this.restsUntilMs) return;
    this.queuedBytes += bytes.byteLength;
    this.queue = this.queue.then(() => this.store(file, bytes)).finally(() => { this.queuedBytes -= bytes.byteLength; });
  }

  /** What was put is written. */
  settled = (): Promise<void> => this.queue;

  private async store(file: string, bytes: Uint8Array): Promise<void> {
    const { dir, maxBytes, write = writeFile } = this.options;
    if (performance.now() < this.restsUntilMs) return;
    const part = `${file}.${randomBytes(6).toString("hex")}.part`;
    try {
      if (this.sizeBytes === undefined) await mkdir(dir, { recursive: true, mode: 0o700 });
      this.sizeBytes ??= await this.emptied(maxBytes);
      if (await stat(file).then(({ size }) => size === bytes.byteLength, () => false)) return;
      if (this.sizeBytes + bytes.byteLength > maxBytes) this.sizeBytes = await this.emptied(keptPart * maxBytes - bytes.byteLength);
      await write(part, bytes, { mode: 0o600, flag: "wx" });
      await rename(part, file);
      this.sizeBytes += bytes.byteLength;
      this.isInTrouble = false;
    } catch (thrown) {
      await rm(part, { force: true }).catch(() => undefined);
      this.restsUntilMs = performance.now() + restMs;
      this.sizeBytes = undefined;
      if (!this.isInTrouble) this.options.onTrouble(`nothing is kept in ${dir} for now: artifacts are fetched again when they are needed again`, thrown);
      this.isInTrouble = true;
    }
  }

  /** Removes what was not used for longest until no more than so much is left; returns how much that is. Others may do the same. */
  private async emptied(mostBytes: number): Promise<number> {
    const { dir } = this.options;
    const files: { file: string; sizeBytes: number; usedAtMs: number }[] = [];
    for (const name of await readdir(dir)) {
      const file = join(dir, name);
      const found = fileName.test(name) || unfinished.test(name) ? await stat(file).catch(() => undefined) : undefined;
      if (!found) continue;
      if (fileName.test(name)) files.push({ file, sizeBytes: found.size, usedAtMs: found.mtimeMs });
      else if (Date.now() - found.mtimeMs > unfinishedMs) await rm(file, { force: true });
    }
    files.sort((a, b) => b.usedAtMs - a.usedAtMs);
    let left = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    for (let oldest = files.pop(); oldest && left > mostBytes; oldest = files.pop()) {
      await rm(oldest.file, { force: true });
      left -= oldest.sizeBytes;
    }
    return left;
  }

  private fileOf(digest: string): string | undefined {
    const hex = digest.startsWith("sha256:") ? digest.slice("sha256:".length) : "";
    return fileName.test(hex) ? join(this.options.dir, hex) : undefined;
  }
}
