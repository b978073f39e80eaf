/** An artifact's tar.gz to a tree. The archive may come from anywhere: nothing in it is believed. */
import { Buffer } from "node:buffer";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract as startExtract } from "tar-stream";
import { Fault } from "#protocol/errors/fault.ts";
import { Tree } from "./tree.ts";

export type UnpackLimits = {
  /** Of the unpacked archive, headers included. */
  totalBytes: number;
  entries: number;
  pathBytes: number;
};

export const unpackLimits: UnpackLimits = { totalBytes: 256 * 1024 * 1024, entries: 50_000, pathBytes: 1024 };

/** @throws Fault ArtifactCorrupt for what is no tar.gz, is too large, or has an entry that no source of ours writes */
export async function unpack(archive: Uint8Array, digest: string, limits = unpackLimits): Promise<Tree> {
  const refuse = (detail: string, cause?: unknown) => new Fault("ArtifactCorrupt", digest, { detail, cause });
  const extract = startExtract();
  const flowing = pipeline(Readable.from([archive]), createGunzip(), limit(limits.totalBytes, refuse), extract);
  flowing.catch(() => {}); // the same error ends the loop below, where it is reported
  const found = new Entries(refuse);
  try {
    let count = 0;
    for await (const entry of extract) {
      if (++count > limits.entries) throw refuse(`more than ${limits.entries} entries`);
      const { name, type } = entry.header;
      if (Buffer.byteLength(name) > limits.pathBytes) throw refuse(`a path is longer than ${limits.pathBytes} bytes`);
      const content = await read(entry);
      if (type === "file" || type === "contiguous-file") found.addFile(name, content);
      else if (type === "directory") found.addDirectory(name);
      else if (type !== "symlink" && type !== "link") throw refuse(`${name}: an entry of type ${type}`);
    }
    await flowing;
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw refuse(`not a tar.gz archive: ${thrown instanceof Error ? thrown.message : String(thrown)}`, thrown);
  }
  return found.tree();
}

/** Collects entries and refuses those that could be read in two ways. */
class Entries {
  private readonly files = new Map<string, Uint8Array>();
  private readonly directories = new Set<string>();
  private readonly refuse: (detail: string) => Fault;

  constructor(refuse: (detail: string) => Fault) {
    this.refuse = refuse;
  }

  addFile(name: string, content: Uint8Array): void {
    const path = this.clean(name);
    if (path === "" || this.files.has(path)) throw this.refuse(`${name}: a file twice, or without a name`);
    this.files.set(path, content);
    const cut = path.lastIndexOf("/");
    if (cut > 0) this.addParents(path.slice(0, cut));
  }

  addDirectory(name: string): void {
    const path = this.clean(name);
    if (path !== "") this.addParents(path);
  }

  tree(): Tree {
    for (const path of this.directories) if (this.files.has(path)) throw this.refuse(`${path}: a file and a directory`);
    return new Tree(this.files, this.directories);
  }

  private addParents(path: string): void {
    for (let at = path; at !== "" && !this.directories.has(at); at = at.slice(0, Math.max(0, at.lastIndexOf("/"))))
      this.directories.add(at);
  }

  private clean(name: string): string {
    if (name.startsWith("/") || name.includes("\0")) throw this.refuse(`${name}: an absolute path`);
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..")) throw this.refuse(`${name}: a path that leaves the archive`);
    return parts.join("/");
  }
}

async function read(entry: AsyncIterable<unknown>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of entry) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

function limit(totalBytes: number, refuse: (detail: string) => Fault): Transform {
  let seen = 0;
  return new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      seen += chunk.length;
      if (seen > totalBytes) done(refuse(`more than ${totalBytes} bytes when unpacked`));
      else done(null, chunk);
    },
  });
}
