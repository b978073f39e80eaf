/** Reads what of a commit an edit may change: the files below a path that carry a mark, and the directories they lie in. */
import { Fault } from "#protocol/errors/fault.ts";
import { LimitExceeded, type Limits } from "../limits.ts";
import type { Objects } from "../objects.ts";
import { fetchCommit, gitFault, type Wanted } from "../repository.ts";
import { remoteFrom, type Access } from "../transport.ts";
import { directoriesOf, never, Tree, type File } from "../tree.ts";

export type CandidatesJob = {
  access: Access;
  wanted: Wanted;
  /** Directory or file; the whole when empty. */
  path: string;
  /** By the end of its name a file may be one. */
  names: RegExp;
  /** Files without this text are none. */
  mark: string;
  limits: Limits;
};

export type Read = {
  commit: string;
  /** Seconds since 1970. */
  committedAtS: number;
  /** Contents by path from the root. */
  files: Map<string, Uint8Array>;
  /** Directories above the files, as Git keeps them, by path. */
  trees: Map<string, Uint8Array>;
};

const mebi = 2 ** 20;
/** Of the files that carry the mark: one, and all of them. */
const longestFile = 4 * mebi;
const mostBytes = 32 * mebi;

/** @throws Fault */
export async function candidates({ access, wanted, path, names, mark, limits }: CandidatesJob): Promise<Read> {
  const remote = remoteFrom(access);
  try {
    const received = await fetchCommit(remote, wanted, never, limits);
    const { repository, commit: oid } = received;
    const commit = repository.commit(oid);
    const all = await new Tree(limits, { sparse: [], submodules: false }).read(received, access);
    const below = withinPath(all, path, remote.address.shown);
    const files = await marked(below.filter((file) => names.test(file.path.at(-1) ?? "")), mark);
    const directories = new Map(all.filter(({ kind }) => kind === "directory").map((file) => [file.path.join("/"), file.oid]));
    const trees = await treesAbove(files.keys(), directories.set("", commit.tree), repository);
    return { commit: oid, committedAtS: commit.committer.atS, files, trees };
  } catch (error) {
    throw gitFault(error, remote);
  }
}

/** Links are not followed, wherever they lead. */
function withinPath(all: File[], path: string, shown: string): File[] {
  const [top = []] = directoriesOf([path]);
  const isWithin = (file: File) => top.every((part, i) => file.path[i] === part);
  const found = top.includes("..") ? [] : all.filter(isWithin);
  if (top.length > 0 && found.length === 0) throw new Fault("UpdatePathMissing", shown, { detail: `the branch has no ${JSON.stringify(path)}` });
  return found.filter(({ kind }) => kind === "file" || kind === "executable");
}

async function marked(files: File[], mark: string): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  let size = 0;
  for (const { path, oid, repository } of files) {
    const contents = repository.blob(oid);
    if (!contents.includes(mark)) continue;
    size += contents.length;
    if (contents.length > longestFile) throw new LimitExceeded(`${path.join("/")} has more than ${longestFile} bytes`);
    if (size > mostBytes) throw new LimitExceeded(`the files with ${mark} add up to more than ${mostBytes} bytes`);
    found.set(path.join("/"), contents);
  }
  return found;
}

async function treesAbove(paths: Iterable<string>, directories: Map<string, string>, repository: Objects): Promise<Map<string, Uint8Array>> {
  const trees = new Map<string, Uint8Array>();
  for (const path of ["", ...paths])
    for (let directory = path; ; directory = directory.slice(0, Math.max(directory.lastIndexOf("/"), 0))) {
      const oid = directories.get(directory);
      if (oid && !trees.has(directory)) trees.set(directory, repository.read(oid, "tree").bytes);
      if (directory === "") break;
    }
  return trees;
}

export type IsThereJob = { access: Access; ref: string; commit: string; limits: Limits };

/** Enough for whoever pushes while somebody else comes back from a crash. */
const mostBehind = 50;

/** Whether a commit is among the latest of a reference. @throws Fault */
export async function isThere({ access, ref, commit, limits }: IsThereJob): Promise<boolean> {
  const remote = remoteFrom(access);
  return fetchCommit(remote, { commit, ref, pinned: true, depth: mostBehind }, never, limits).then(
    () => true,
    (error: unknown) => {
      const fault = gitFault(error, remote);
      if (fault.code === "ReferenceMissing" || fault.code === "RepositoryEmpty") return false;
      throw fault;
    },
  );
}
