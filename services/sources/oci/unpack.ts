/** From a layer to an artifact's archive: all the heavy work of a fetch, meant for a thread of its own. */
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract as startExtract } from "tar-stream";
import { Fault } from "#protocol/errors/fault.ts";
import { writeArchive, type ArchiveEntry } from "#services/sources/archive.ts";
import { ignoreFile, ignoreRules, type Ignored } from "#services/sources/ignore.ts";
import type { Limits } from "./limits.ts";

export type UnpackJob = {
  layer: Uint8Array;
  /** spec.ignore. */
  ignore?: string;
  limits: Limits;
  /** What it is about, for messages. */
  shown: string;
};

export type File = { bytes: Buffer; executable: boolean };

/** @throws Fault LayerInvalid for what is no tar.gz or is not safe, SourceTooLarge, IgnoreInvalid */
export async function repack({ layer, ignore, limits, shown }: UnpackJob): Promise<Uint8Array<ArrayBuffer>> {
  const tree = await unpack(layer, limits, shown);
  const ignored = rulesOf(tree, ignore, limits, shown);
  let size = 0;
  const entries: ArchiveEntry[] = [];
  for (const directory of tree.directories) if (!ignored(directory.split("/"), true)) entries.push({ path: directory, kind: "directory" });
  for (const [path, { bytes, executable }] of tree.files) {
    if (ignored(path.split("/"), false)) continue;
    size += bytes.length;
    entries.push({ path, kind: executable ? "executable" : "file", read: () => bytes });
  }
  if (size > limits.archivedBytes) throw new Fault("SourceTooLarge", shown, { detail: `the files add up to more than ${limits.archivedBytes} bytes` });
  return writeArchive(entries);
}

/** What a tar.gz archive holds. @throws Fault LayerInvalid, SourceTooLarge */
export async function unpack(layer: Uint8Array, limits: Pick<Limits, "unpackedBytes" | "entries" | "pathBytes">, shown: string): Promise<Tree> {
  const tooLarge = (detail: string) => new Fault("SourceTooLarge", shown, { detail });
  const extract = startExtract();
  const flowing = pipeline(Readable.from([layer]), createGunzip(), upTo(limits.unpackedBytes, tooLarge), extract);
  flowing.catch(() => undefined); // the same error ends the loop below, where it is reported
  const tree = new Tree(shown);
  try {
    let count = 0;
    for await (const entry of extract) {
      if (++count > limits.entries) throw tooLarge(`the layer has more than ${limits.entries} entries`);
      const { name, type, mode = 0 } = entry.header;
      if (Buffer.byteLength(name) > limits.pathBytes) throw tooLarge(`a path is longer than ${limits.pathBytes} bytes`);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      if (type === "file" || type === "contiguous-file") tree.addFile(name, Buffer.concat(chunks), (mode & 0o111) !== 0);
      else if (type === "directory") tree.addDirectory(name);
      else if (type !== "symlink" && type !== "link") throw tree.refused(name, `is of type ${type}`);
    }
    await flowing;
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault("LayerInvalid", shown, { detail: `the layer is no tar.gz archive: ${thrown instanceof Error ? thrown.message : "unreadable"}` });
  }
  return tree;
}

/** What the archive holds, each path once. A later entry replaces an earlier one, as it does on a disk. */
export class Tree {
  readonly files = new Map<string, File>();
  readonly directories = new Set<string>();
  private readonly shown: string;

  constructor(shown: string) {
    this.shown = shown;
  }

  addFile(name: string, bytes: Buffer, executable: boolean): void {
    const path = this.clean(name);
    if (path === "" || this.directories.has(path)) throw this.refused(name, "is a file and a directory");
    this.addParents(path.split("/").slice(0, -1), name);
    this.files.set(path, { bytes, executable });
  }

  addDirectory(name: string): void {
    this.addParents(this.clean(name).split("/").filter((part) => part !== ""), name);
  }

  refused(name: string, why: string): Fault {
    return new Fault("LayerInvalid", this.shown, { detail: `entry ${JSON.stringify(name.slice(0, 200))} of the layer ${why}` });
  }

  private addParents(parts: string[], name: string): void {
    for (let length = 1; length <= parts.length; length++) {
      const path = parts.slice(0, length).join("/");
      if (this.files.has(path)) throw this.refused(name, "is below a file");
      this.directories.add(path);
    }
  }

  private clean(name: string): string {
    if (name.startsWith("/") || name.includes("\\") || name.includes("\0")) throw this.refused(name, "has an absolute path, or a backslash in it");
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..")) throw this.refused(name, "leaves the archive");
    return parts.join("/");
  }
}

function rulesOf({ files }: Tree, own: string | undefined, { patterns }: Limits, shown: string): Ignored {
  const found = [...files.keys()]
    .filter((path) => path === ignoreFile || path.endsWith(`/${ignoreFile}`))
    .map((path) => ({ directory: path.split("/").slice(0, -1), text: files.get(path)!.bytes.toString() }))
    .sort((a, b) => Buffer.compare(Buffer.from(a.directory.join("\0")), Buffer.from(b.directory.join("\0"))));
  try {
    return ignoreRules(found, own, patterns);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("IgnoreInvalid", shown, { detail: error.message });
  }
}

function upTo(mostBytes: number, tooLarge: (detail: string) => Fault): Transform {
  let seen = 0;
  return new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      seen += chunk.length;
      if (seen > mostBytes) done(tooLarge(`the layer holds more than ${mostBytes} bytes when unpacked`));
      else done(null, chunk);
    },
  });
}
