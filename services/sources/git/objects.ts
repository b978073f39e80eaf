/** The objects of one pack, in memory: each has the name that its contents give it (git: gitformat-pack, git-mktree, git-commit-tree). */
import { createHash } from "node:crypto";
import type { Limits } from "./limits.ts";
import { applyDelta, inflate, inspectPack, isDelta, keptBytes, type Part } from "./pack.ts";

type Kind = "commit" | "tree" | "blob" | "tag";
export type TreeEntry = { mode: string; path: string; oid: string; kind: "tree" | "blob" | "commit" };
export type Commit = { tree: string; author: Person; committer: Person; message: string };
/** `atS`: seconds since 1970. */
type Person = { name: string; email: string; atS: number };

const kinds: Record<number, Kind> = { 1: "commit", 2: "tree", 3: "blob", 4: "tag" };

export class Objects {
  readonly packBytes: number;
  private readonly pack: Buffer;
  private readonly parts: Part[];
  private readonly byStart = new Map<number, number>();
  private readonly byName = new Map<string, number>();
  /** What deltas make, as long as it is little. */
  private readonly made = new Map<number, { kind: Kind; bytes: Buffer }>();
  private madeBytes = 0;

  /** @throws RangeError when the pack is damaged, LimitExceeded when it is too large or unpacks to too much */
  constructor(pack: Buffer, limits: Limits) {
    this.pack = pack;
    this.packBytes = pack.length;
    this.parts = inspectPack(pack, limits);
    this.nameAll();
  }

  has = (oid: string): boolean => this.byName.has(oid);

  /** @throws RangeError when it is not there, or another kind than is asked for */
  read(oid: string, wanted?: Kind): { kind: Kind; bytes: Buffer } {
    const index = this.byName.get(oid);
    if (index === undefined) throw new RangeError("the pack is incomplete: an object is missing");
    const found = this.contents(index);
    if (wanted && found.kind !== wanted) throw new RangeError("the pack holds an object of another kind than its name says");
    return found;
  }

  blob = (oid: string): Buffer => this.read(oid, "blob").bytes;
  commit = (oid: string): Commit => parseCommit(this.read(oid, "commit").bytes);
  tree = (oid: string): TreeEntry[] => parseTree(this.read(oid, "tree").bytes);

  /** What is whole first, then what is made of it: a delta may stand before its base. What has none in the pack gets no name. */
  private nameAll(): void {
    const waiting = new Map<string | number, number[]>();
    const ready: number[] = [];
    for (const [index, part] of this.parts.entries()) {
      this.byStart.set(part.start, index);
      if (part.base === undefined) ready.push(index);
      else waiting.set(part.base, [...(waiting.get(part.base) ?? []), index]);
    }
    for (let index = ready.pop(); index !== undefined; index = ready.pop()) {
      const { start } = this.parts[index] as Part;
      const { kind, bytes } = this.contents(index);
      const oid = nameOf(kind, bytes);
      this.byName.set(oid, index);
      ready.push(...(waiting.get(start) ?? []), ...(waiting.get(oid) ?? []));
      waiting.delete(oid);
    }
  }

  private contents(index: number): { kind: Kind; bytes: Buffer } {
    const deltas: number[] = [];
    let at = index;
    for (let part = this.partAt(at); isDelta(part) && !this.made.has(at); part = this.partAt(at)) {
      deltas.push(at);
      const base = typeof part.base === "string" ? this.byName.get(part.base) : this.byStart.get(part.base ?? -1);
      if (base === undefined || deltas.length > this.parts.length) throw new RangeError("the pack is incomplete: an object is missing");
      at = base;
    }
    let found = this.made.get(at) ?? this.whole(this.partAt(at));
    for (let delta = deltas.pop(); delta !== undefined; delta = deltas.pop()) {
      found = { kind: found.kind, bytes: applyDelta(found.bytes, this.data(this.partAt(delta))) };
      if (this.madeBytes + found.bytes.length > keptBytes) continue;
      this.madeBytes += found.bytes.length;
      this.made.set(delta, found);
    }
    return found;
  }

  private whole(part: Part): { kind: Kind; bytes: Buffer } {
    const kind = kinds[part.type];
    if (!kind) throw new RangeError("the pack is damaged: an object of no kind");
    return { kind, bytes: this.data(part) };
  }

  private data = (part: Part): Buffer => part.data ?? inflate(this.pack, part).data;
  private partAt = (index: number): Part => this.parts[index] as Part;
}

const nameOf = (kind: Kind, bytes: Buffer): string => createHash("sha1").update(`${kind} ${bytes.length}\0`).update(bytes).digest("hex");

/** Old repositories have files of other rights than Git writes today. */
const kindOf = (mode: string): TreeEntry["kind"] | undefined =>
  mode === "40000" ? "tree" : mode === "160000" ? "commit" : mode === "120000" || /^100[0-7]{3}$/.test(mode) ? "blob" : undefined;

/** @throws RangeError for what Git does not write, or would not check out */
function parseTree(bytes: Buffer): TreeEntry[] {
  const entries: TreeEntry[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [space, end] = [bytes.indexOf(32, at), bytes.indexOf(0, at)];
    if (space === -1 || end < space || end + 21 > bytes.length) throw new RangeError("a directory of the commit cannot be read");
    const mode = bytes.toString("latin1", at, space).replace(/^0+/, "");
    const kind = kindOf(mode);
    if (!kind) throw new RangeError("a directory of the commit has an entry of an unknown kind");
    const path = bytes.toString("utf8", space + 1, end);
    if (isUnsafe(path)) throw new RangeError("a directory of the commit has an unsafe entry");
    entries.push({ mode, path, oid: bytes.toString("hex", end + 1, end + 21), kind });
    at = end + 21;
  }
  return entries;
}

/**
 * What leads out of a directory, or is Git's own on some file system: in other letters, with dots, spaces or a stream after it, under
 * its short name, or with characters that do not count (git: read-cache.c verify_path, path.c is_ntfs_dotgit, utf8.c is_hfs_dotgit).
 */
function isUnsafe(path: string): boolean {
  if (path === "" || /[\\/]/.test(path)) return true;
  const visible = path.replaceAll(/[\u200C-\u200F\u202A-\u202E\u206A-\u206F\uFEFF]/g, "");
  if (visible === "." || visible === "..") return true;
  return /^(?:\.git|\.?git~[1-9])[. ]*(?::.*)?$/is.test(visible);
}

function parseCommit(bytes: Buffer): Commit {
  const text = bytes.toString();
  const split = text.indexOf("\n\n");
  const head = split === -1 ? text : text.slice(0, split);
  const tree = /^tree ([0-9a-f]{40})$/m.exec(head)?.[1];
  const [author, committer] = [personIn(head, "author"), personIn(head, "committer")];
  if (!tree || !author || !committer) throw new RangeError("a commit cannot be read");
  const message = split === -1 ? "" : text.slice(split + 2);
  return { tree, author, committer, message: message.replaceAll("\r", "").replace(/^\n+/, "") };
}

function personIn(head: string, role: string): Person | undefined {
  const [, name = "", email = "", seconds = ""] = new RegExp(`^${role} (?:(.*) )?<(.*)> (-?\\d+)(?: .*)?$`, "m").exec(head) ?? [];
  return seconds === "" ? undefined : { name, email, atS: Number(seconds) };
}
