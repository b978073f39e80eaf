/** Fetches one commit and archives it: all the heavy work of a fetch, meant for a thread of its own. */
import { readBlob, readCommit, readTree, type PromiseFsClient } from "isomorphic-git";
import { parseTraceparent } from "#protocol/trace/context.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { writeArchive, type ArchiveEntry } from "./archive.ts";
import { ignoreFile, ignoreRules } from "./ignore.ts";
import { LimitExceeded, type Limits } from "./limits.ts";
import { fetchCommit, gitdir, gitFault, type Wanted } from "./repository.ts";
import { remoteFrom, type Remote } from "./transport.ts";

export type SnapshotJob = {
  url: string;
  /** Data of the Secret. */
  secret?: Record<string, Uint8Array>;
  wanted: Wanted;
  /** spec.ignore. */
  ignore?: string;
  limits: Limits;
};

export type Snapshot = {
  commit: string;
  archive: Uint8Array<ArrayBuffer>;
  subject: string;
  author: string;
  committedAtMs: number;
  traceparent?: string;
};

type File = { path: string[]; kind: "file" | "executable" | "directory" | "link"; oid: string };

type Repository = { fs: PromiseFsClient; gitdir: string; cache: object };

/** @throws Fault */
export async function snapshot({ url, secret, wanted, ignore, limits }: SnapshotJob): Promise<Snapshot> {
  const remote = remoteFrom(url, secret);
  try {
    const { fs, commit: oid } = await fetchCommit(remote, wanted, new AbortController().signal, limits);
    const repository = { fs, gitdir, cache: {} };
    const { commit } = await readCommit({ ...repository, oid });
    const files = await walk(repository, commit.tree, limits);
    const ignored = await rulesOf(repository, files, ignore, limits, remote);
    const kept = files.filter(({ path, kind }) => !ignored(path, kind === "directory"));
    const archive = await writeArchive(entriesOf(repository, kept, limits));
    const { author, committer, message } = commit;
    const traceparent = traceparentOf(message);
    return {
      commit: oid,
      archive,
      subject: subjectOf(message),
      author: `${author.name} <${author.email}>`,
      committedAtMs: committer.timestamp * 1000,
      ...(traceparent && { traceparent }),
    };
  } catch (error) {
    throw asFault(error, remote);
  }
}

/** Every entry of the commit, parents before children. */
async function walk(repository: Repository, root: string, limits: Limits): Promise<File[]> {
  const files: File[] = [];
  const waiting = [{ oid: root, path: [] as string[], pathBytes: 0 }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { tree } = await readTree({ ...repository, oid: next.oid });
    if (new Set(tree.map(({ path }) => path)).size < tree.length)
      throw new RangeError("a directory of the commit has the same name twice");
    for (const { path: name, mode, oid, type } of tree) {
      const path = [...next.path, name];
      const pathBytes = next.pathBytes + Buffer.byteLength(name) + 1;
      if (pathBytes > limits.pathBytes) throw new LimitExceeded(`a path is longer than ${limits.pathBytes} bytes`);
      if (files.push({ path, kind: kindOf(mode), oid }) > limits.files)
        throw new LimitExceeded(`the commit has more than ${limits.files} files`);
      if (type === "tree") waiting.push({ oid, path, pathBytes });
    }
  }
  return files;
}

/** A submodule that is not fetched is an empty directory, as it is in a checkout. */
function kindOf(mode: string): File["kind"] {
  if (mode === "040000" || mode === "160000") return "directory";
  if (mode === "120000") return "link";
  return Number.parseInt(mode, 8) & 0o111 ? "executable" : "file";
}

async function rulesOf(repository: Repository, files: File[], own: string | undefined, limits: Limits, remote: Remote) {
  const found = files
    .filter(({ path, kind }) => path.at(-1) === ignoreFile && kind !== "link" && kind !== "directory")
    .sort((a, b) => inWalkOrder(a.path.slice(0, -1), b.path.slice(0, -1)));
  const texts: { directory: string[]; text: string }[] = [];
  for (const { path, oid } of found) {
    const { blob } = await readBlob({ ...repository, oid });
    texts.push({ directory: path.slice(0, -1), text: Buffer.from(blob).toString() });
  }
  try {
    return ignoreRules(texts, own, limits.patterns);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("IgnoreInvalid", remote.address.shown, { detail: error.message });
  }
}

/** Later rules win: Flux reads a directory's own file, then its subdirectories by name. */
const inWalkOrder = (a: string[], b: string[]) => Buffer.compare(Buffer.from(a.join("\0")), Buffer.from(b.join("\0")));

/** One small object can stand for any number of files: what counts is what the archive would hold. */
function entriesOf(repository: Repository, files: File[], { archivedBytes }: Limits): ArchiveEntry[] {
  let size = 0;
  return files.flatMap(({ path, kind, oid }): ArchiveEntry[] => {
    const name = path.join("/");
    if (kind === "link") return [];
    if (kind === "directory") return [{ path: name, kind }];
    const read = async () => {
      const { blob } = await readBlob({ ...repository, oid });
      size += blob.length;
      if (size > archivedBytes) throw new LimitExceeded(`the files add up to more than ${archivedBytes} bytes`);
      return Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
    };
    return [{ path: name, kind, read }];
  });
}

/** First line, 50 characters and then `...`, as Flux puts it into events (fluxcd/pkg git/git.go ShortMessage). */
export function subjectOf(message: string): string {
  const characters = [...(message.split("\n", 1)[0] ?? "")];
  return characters.length > 50 ? `${characters.slice(0, 50).join("")}...` : characters.join("");
}

/** The last valid trailer: it is nearer to this commit than what the message merges or quotes. */
export function traceparentOf(message: string): string | undefined {
  const trailers = message.matchAll(/^trace-?parent:[ \t]*(\S+)[ \t]*$/gim);
  const values = [...trailers].map(([, value = ""]) => value.toLowerCase());
  return values.findLast((value) => parseTraceparent(value) !== undefined);
}

function asFault(error: unknown, remote: Remote): Fault {
  const { shown } = remote.address;
  if (error instanceof Error && "code" in error && error.code === "NotFoundError")
    return new Fault("UpstreamUnreachable", shown, { detail: "the pack is incomplete: an object is missing" });
  return gitFault(error, remote);
}
