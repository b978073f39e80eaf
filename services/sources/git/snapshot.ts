/** From a pack to the archive of one commit: all the heavy work of a fetch, meant for a thread of its own. */
import { parseTraceparent } from "#protocol/trace/context.ts";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { writeArchive, type ArchiveEntry } from "./archive.ts";
import { ignoreFile, ignoreRules } from "./ignore.ts";
import type { Limits } from "./limits.ts";
import { readCommit, readTree, subjectOf, type TreeEntry } from "./objects.ts";
import { LimitExceeded, Pack } from "./pack.ts";

export type SnapshotJob = {
  /** The pack, in pieces. */
  pack: Uint8Array<ArrayBuffer>[];
  commit: string;
  /** spec.ignore. */
  ignore?: string;
  limits: Limits;
  /** The repository, as faults name it. */
  shown: string;
};

export type Snapshot = {
  archive: Uint8Array<ArrayBuffer>;
  subject: string;
  author: string;
  committedAtMs: number;
  traceparent?: string;
};

type File = { path: string[]; entry: TreeEntry };

/** @throws Fault SourceTooLarge, IgnoreInvalid, or UpstreamUnreachable when the pack is not what was asked for */
export async function snapshot({ pack: blocks, commit, ignore, limits, shown }: SnapshotJob): Promise<Snapshot> {
  try {
    const pack = new Pack(Buffer.concat(blocks), limits);
    const { tree, author, committedAtMs, message } = readCommit(pack.read(commit, "commit"));
    const files = walk(pack, tree, limits);
    const ignored = rulesOf(pack, files, ignore, limits, shown);
    const kept = files.filter(({ path, entry }) => !ignored(path, isDirectory(entry)));
    checkSize(pack, kept, limits);
    const archive = await writeArchive(kept.flatMap((file) => archived(pack, file)));
    const traceparent = traceparentOf(message);
    return { archive, subject: subjectOf(message), author, committedAtMs, ...(traceparent && { traceparent }) };
  } catch (error) {
    throw asFault(error, shown);
  }
}

/** Every entry of the commit, parents before children. */
function walk(pack: Pack, root: string, limits: Limits): File[] {
  const files: File[] = [];
  const waiting: { id: string; path: string[]; pathBytes: number }[] = [{ id: root, path: [], pathBytes: 0 }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    for (const entry of readTree(pack.read(next.id, "tree"))) {
      const path = [...next.path, entry.name];
      const pathBytes = next.pathBytes + Buffer.byteLength(entry.name) + 1;
      if (pathBytes > limits.pathBytes) throw new LimitExceeded(`a path is longer than ${limits.pathBytes} bytes`);
      if (files.push({ path, entry }) > limits.files) throw new LimitExceeded(`the commit has more than ${limits.files} files`);
      if (entry.kind === "directory") waiting.push({ id: entry.id, path, pathBytes });
    }
  }
  return files;
}

function rulesOf(pack: Pack, files: File[], own: string | undefined, limits: Limits, shown: string) {
  const found = files
    .filter(({ path, entry }) => path.at(-1) === ignoreFile && isRegular(entry) && !path.includes(".git"))
    .map(({ path, entry }) => ({ directory: path.slice(0, -1), text: pack.read(entry.id, "blob").toString() }))
    .sort((a, b) => inWalkOrder(a.directory, b.directory));
  try {
    return ignoreRules(found, own, limits.patterns);
  } catch (error) {
    throw error instanceof RangeError ? new Fault("IgnoreInvalid", shown, { detail: error.message }) : error;
  }
}

/** Later rules win: Flux reads a directory's own file, then its subdirectories by name. */
function inWalkOrder(a: string[], b: string[]): number {
  const [left, right] = [a, b].map((path) => Buffer.from(path.join("\0")));
  return left && right ? Buffer.compare(left, right) : 0;
}

// One small object can stand for any number of files: what counts is what the archive would hold.
function checkSize(pack: Pack, files: File[], { archivedBytes }: Limits): void {
  let size = 0;
  for (const { entry } of files) if (isRegular(entry)) size += pack.sizeOf(entry.id, "blob");
  if (size > archivedBytes) throw new LimitExceeded(`the files add up to ${size} bytes`);
}

/** Links are left out; a submodule that is not fetched is an empty directory, as it is in a checkout. */
function archived(pack: Pack, { path, entry: { kind, id } }: File): ArchiveEntry[] {
  const name = path.join("/");
  if (kind === "link") return [];
  if (kind === "directory" || kind === "submodule") return [{ path: name, kind: "directory" }];
  return [{ path: name, kind, read: () => pack.read(id, "blob") }];
}

const isRegular = ({ kind }: TreeEntry) => kind === "file" || kind === "executable";
const isDirectory = ({ kind }: TreeEntry) => kind === "directory" || kind === "submodule";

/** The trailer `Traceparent:` or `Trace-Parent:`; a later one is nearer to this commit than what it merges or quotes. */
export function traceparentOf(message: string): string | undefined {
  const values = [...message.matchAll(/^trace-?parent:[ \t]*(\S+)[ \t]*$/gim)].map(([, value = ""]) => value.toLowerCase());
  return values.findLast((value) => parseTraceparent(value) !== undefined);
}

function asFault(error: unknown, shown: string): Fault {
  const as = (code: FaultCode) => new Fault(code, shown, { detail: error instanceof Error ? error.message : String(error) });
  if (error instanceof LimitExceeded) return as("SourceTooLarge");
  if (error instanceof RangeError) return as("UpstreamUnreachable");
  return Fault.from(error, shown);
}
