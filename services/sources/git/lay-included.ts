/** Lays what is copied out of other artifacts beside what a commit holds: only where nothing stands, and no more than fits. */
import { Fault } from "#protocol/errors/fault.ts";
import { unpack } from "#services/sources/oci/unpack.ts";
import { LimitExceeded, type Limits } from "./limits.ts";
import type { File } from "./tree.ts";

/** One entry of spec.include, with the whole artifact that it means. */
export type Included = { name: string; archive: Uint8Array; from: string; to: string };

/** A file, wherever its bytes come from. */
export type Content = { path: string[]; kind: File["kind"]; read(): Promise<Buffer> };

/**
 * Flux moves the directory (or file) in one step, so that what stands at its new place may be an empty directory at most, or
 * a file in place of which another comes (source-controller, CopyToPath). Paths that lead out end at the root, as there.
 *
 * @throws Fault IncludeFailed, SourceTooLarge; LimitExceeded
 */
export async function layIncluded(own: Content[], included: Included[], limits: Limits, shown: string): Promise<Content[]> {
  const laid = new Laid(own, limits, shown);
  for (const each of included) await laid.add(each);
  return [...laid.contents.values()];
}

/** Of headers and padding in a tar archive. */
const mostHeaderBytes = 2_048;

class Laid {
  readonly contents: Map<string, Content>;
  private bytes = 0;
  private readonly limits: Limits;
  private readonly shown: string;

  constructor(own: Content[], limits: Limits, shown: string) {
    this.contents = new Map(own.map((content) => [content.path.join("/"), content]));
    this.limits = limits;
    this.shown = shown;
  }

  async add({ name, archive, from, to }: Included): Promise<void> {
    const refused = (detail: string) => new Fault("IncludeFailed", this.shown, { detail: `include '${name}': ${detail}` });
    const { files, directories } = await this.unpacked(archive, refused);
    const [source, target] = [inside(from).join("/"), inside(to)];
    const file = files.get(source);
    if (!file && source !== "" && !directories.has(source)) throw refused(`its artifact has no ${quoted(source)}`);
    if (target.length === 0) throw refused("toPath is the root of the artifact");
    if (target.some((part) => /[\\\p{Cc}]/u.test(part))) throw refused(`toPath ${quoted(to)} has a backslash or a control character in it`);
    this.makeRoom(target, file !== undefined, refused);
    if (file) return this.put(target, file.executable ? "executable" : "file", file.bytes);
    this.put(target, "directory");
    const below = source === "" ? "" : `${source}/`;
    const at = (path: string) => [...target, ...path.slice(below.length).split("/")];
    for (const path of directories) if (path.startsWith(below) && path !== source) this.put(at(path), "directory");
    for (const [path, { bytes, executable }] of files) if (path.startsWith(below)) this.put(at(path), executable ? "executable" : "file", bytes);
  }

  private async unpacked(archive: Uint8Array, refused: (detail: string) => Fault) {
    const { archivedBytes, files, pathBytes } = this.limits;
    const limits = { unpackedBytes: archivedBytes + files * mostHeaderBytes, entries: files, pathBytes };
    return unpack(archive, limits, this.shown).catch((error: unknown) => {
      throw error instanceof Fault && error.code === "LayerInvalid" ? refused(error.detail ?? "its artifact is no archive") : error;
    });
  }

  /** @throws Fault IncludeFailed where something else stands */
  private makeRoom(target: string[], forFile: boolean, refused: (detail: string) => Fault): void {
    const path = target.join("/");
    for (let length = 1; length < target.length; length++) {
      const parent = target.slice(0, length);
      const kind = this.contents.get(parent.join("/"))?.kind;
      if (kind && kind !== "directory") throw refused(`toPath ${quoted(path)} lies below ${quoted(parent.join("/"))}, which is no directory`);
      if (!kind) this.put(parent, "directory");
    }
    const kind = this.contents.get(path)?.kind;
    const isFree = kind === undefined || (forFile ? kind === "file" || kind === "executable" : kind === "directory" && this.isEmpty(path));
    if (!isFree) throw refused(`at toPath ${quoted(path)} there is something already`);
  }

  private isEmpty(directory: string): boolean {
    for (const path of this.contents.keys()) if (path.startsWith(`${directory}/`)) return false;
    return true;
  }

  private put(path: string[], kind: File["kind"], bytes: Buffer = Buffer.alloc(0)): void {
    const { pathBytes, files, archivedBytes } = this.limits;
    const name = path.join("/");
    if (Buffer.byteLength(name) > pathBytes) throw new LimitExceeded(`a path is longer than ${pathBytes} bytes`);
    this.bytes += bytes.length;
    if (this.bytes > archivedBytes) throw new LimitExceeded(`what is included adds up to more than ${archivedBytes} bytes`);
    this.contents.set(name, { path, kind, read: async () => bytes });
    if (this.contents.size > files) throw new LimitExceeded(`with what is included there are more than ${files} files`);
  }
}

/** Its parts from the root; one that leads out goes no further than the root. */
function inside(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

const quoted = (path: string): string => JSON.stringify(path.slice(0, 200));
