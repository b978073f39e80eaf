/** Fetches an official release, checks its published SHA-256, and puts the program in place in one rename. */
import { createHash } from "node:crypto";
import { chmod, rename, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import type { Release } from "./catalogue.ts";

const connectMs = 3_000;
const wholeMs = 5 * 60_000; // the largest is about 120 MB

const reachable = new Map<string, Promise<boolean>>();

/** True when the program is in place. Any trouble is false: the next step is a build from source. */
export async function download(release: Release, file: string): Promise<boolean> {
  // one attempt per host and set-up: without a network each of them would cost the full wait
  const { origin } = new URL(release.url);
  const answered = reachable.get(origin) ?? answers(origin);
  reachable.set(origin, answered);
  if (!(await answered)) return false;

  const part = `${file}.${process.pid}.download`;
  try {
    const [body, checksums] = await Promise.all([get(release.url), get(release.checksumsUrl)]);
    if (sha256(body) !== checksumFor(basename(release.url), checksums.toString("utf8"))) return false;
    await writeFile(part, release.member === undefined ? body : await unpack(body, release.member));
    await chmod(part, 0o755);
    await rename(part, file);
    return true;
  } catch {
    await rm(part, { force: true });
    return false;
  }
}

const answers = (origin: string): Promise<boolean> =>
  fetch(origin, { method: "HEAD", redirect: "manual", signal: AbortSignal.timeout(connectMs) }).then(
    () => true,
    () => false,
  );

async function get(url: string): Promise<Buffer> {
  const response = await fetch(url, { signal: AbortSignal.timeout(wholeMs) });
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

/** Reads a bare digest, or the line of `name` among `digest  name` lines. */
export function checksumFor(name: string, text: string): string | undefined {
  const lines = text.trim().split("\n").map((line) => line.trim().split(/\s+\*?/));
  const [digest] = lines.find(([, file]) => file === name) ?? (lines[0]?.length === 1 ? lines[0] : []);
  return digest?.toLowerCase();
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

async function unpack(archive: Buffer, member: string): Promise<Buffer> {
  const entries = Readable.from([archive]).pipe(createGunzip()).pipe(extract());
  for await (const entry of entries) {
    if (entry.header.name === member) return buffer(entry);
    entry.resume();
  }
  throw new Error(`no ${member} in the archive`);
}
