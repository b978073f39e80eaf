/**
 * The reproducible archive (flux.md 2.0, 4): the same files give the same bytes, whoever makes it and in whatever order
 * they come. Only the files count: no owner, no time, three modes.
 */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack as createTar } from "tar-stream";

export type ArchiveEntry = {
  path: string;
  kind: "file" | "executable" | "directory";
  read?: () => Buffer | Promise<Buffer>;
};

type Tar = ReturnType<typeof createTar>;

const modes = { file: 0o600, executable: 0o700, directory: 0o750 };

/** Measured on YAML: level 6 saves 6 to 16 % over level 1 and takes three to four times as long. */
const gzipLevel = 1;

/** What is compressed at a time. Each call costs as much as a few kilobytes, and tar comes in pieces of 512 bytes. */
const blockBytes = 512 * 1024;

export async function writeArchive(entries: ArchiveEntry[]): Promise<Uint8Array<ArrayBuffer>> {
  const tar = createTar();
  const compressed: Buffer[] = [];
  const collect = async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) compressed.push(chunk);
  };
  const compress = createGzip({ level: gzipLevel, chunkSize: 128 * 1024 });
  await Promise.all([pipeline(Readable.from(inBlocks(tar)), compress, collect), addAll(tar, sorted(entries))]);
  const archive = concatenated(compressed);
  archive[9] = 255; // gzip's "made on": unknown, whatever it was made on; its time is 0 already
  return archive;
}

async function addAll(tar: Tar, entries: ArchiveEntry[]): Promise<void> {
  try {
    for (const entry of entries) await add(tar, entry);
    tar.finalize();
  } catch (error) {
    tar.destroy();
    throw error;
  }
}

async function add(tar: Tar, { path, kind, read }: ArchiveEntry): Promise<void> {
  const type: "file" | "directory" = kind === "directory" ? "directory" : "file";
  const header = { name: path, type, mode: modes[kind], uid: 0, gid: 0, mtime: new Date(0) };
  const contents = await read?.();
  await new Promise<void>((resolve, reject) => {
    const done = (error?: Error | null) => (error ? reject(error) : resolve());
    if (contents) tar.entry(header, contents, done);
    else tar.entry(header, done);
  });
}

async function* inBlocks(tar: Tar): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let size = 0;
  for await (const piece of tar) {
    const chunk = piece as Buffer; // the types package says unknown
    held.push(chunk);
    size += chunk.length;
    if (size < blockBytes) continue;
    yield Buffer.concat(held, size);
    [held, size] = [[], 0];
  }
  yield Buffer.concat(held, size);
}

/** As a walk meets them: a directory's entries by name, each directory followed by what is in it. */
function sorted(entries: ArchiveEntry[]): ArchiveEntry[] {
  return entries
    .map((entry) => ({ entry, key: Buffer.from(entry.path.replaceAll("/", "\0")) }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
    .map(({ entry }) => entry);
}

function concatenated(chunks: Buffer[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
