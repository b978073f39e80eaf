/** All that a commit holds, with its submodules when they are asked for: every entry with the repository it is read from. */
import { Fault } from "#protocol/errors/fault.ts";
import { LimitExceeded, type Limits } from "./limits.ts";
import type { Objects } from "./objects.ts";
import { fetchCommit, gitFault, type Received } from "./repository.ts";
import { accessOf, parseModules } from "./submodules.ts";
import { remoteFrom, type Access } from "./transport.ts";

export type File = { path: string[]; kind: "file" | "executable" | "directory" | "link"; oid: string; repository: Objects };

export type Wish = {
  /** Directories, and nothing beside them; the whole when there are none. */
  sparse: string[][];
  submodules: boolean;
};

/** go-git's own. */
const deepest = 10;
const mostSubmodules = 100;
const longestModules = 1024 * 1024;

type Found = Entry & { isSubmodule: boolean };
type Entry = Omit<File, "repository">;

/** Reads trees for one snapshot, whatever repositories they lie in: what they add up to is bounded. */
export class Tree {
  private readonly limits: Limits;
  private readonly wish: Wish;
  private files: File[] = [];
  private submodules = 0;
  private packBytes = 0;

  constructor(limits: Limits, wish: Wish) {
    this.limits = limits;
    this.wish = wish;
  }

  /** @throws Fault; LimitExceeded; RangeError for a tree no checkout could make */
  async read(received: Received, access: Access): Promise<File[]> {
    this.files = [];
    await this.add(received, access, [], 0);
    return this.files;
  }

  private async add({ repository, commit: oid }: Received, access: Access, top: string[], depth: number): Promise<void> {
    this.packBytes += repository.packBytes;
    const found = this.walk(repository, repository.commit(oid).tree, top);
    const modules = found.filter(({ isSubmodule, path }) => isSubmodule && this.isWanted(path));
    if (!this.wish.submodules || modules.length === 0) return;
    if (depth === deepest) throw new LimitExceeded(`submodules lie more than ${deepest} deep`);
    const urls = this.modulesOf(repository, found, top);
    for (const { path, oid: commit } of modules) {
      const url = urls.get(path.slice(top.length).join("/"));
      if (url === undefined) continue;
      if (++this.submodules > mostSubmodules) throw new LimitExceeded(`the commit has more than ${mostSubmodules} submodules`);
      const next = accessOf(url, access);
      await this.add(await this.fetch(next, commit), next, path, depth + 1);
    }
  }

  private async fetch(access: Access, commit: string): Promise<Received> {
    const remote = remoteFrom(access);
    const left = { ...this.limits, packBytes: this.limits.packBytes - this.packBytes };
    try {
      return await fetchCommit(remote, { commit, ref: "HEAD", pinned: true }, never, left);
    } catch (error) {
      throw gitFault(error, remote);
    }
  }

  private modulesOf(repository: Objects, found: Entry[], top: string[]): Map<string, string> {
    const file = found.find(({ path, kind }) => path.length === top.length + 1 && path.at(-1) === ".gitmodules" && kind === "file");
    if (!file) return new Map();
    const blob = repository.blob(file.oid);
    if (blob.length > longestModules) throw new LimitExceeded(".gitmodules is too long");
    return parseModules(blob.toString());
  }

  /** Every entry of the commit, parents before children. */
  private walk(repository: Objects, root: string, top: string[]): Found[] {
    const { limits } = this;
    const found: Found[] = [];
    const waiting = [{ oid: root, path: top, pathBytes: Buffer.byteLength(top.join("/")) + (top.length > 0 ? 1 : 0) }];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const tree = repository.tree(next.oid);
      if (new Set(tree.map(({ path }) => path)).size < tree.length)
        throw new RangeError("a directory of the commit has the same name twice");
      for (const { path: name, mode, oid, kind: type } of tree) {
        const path = [...next.path, name];
        const pathBytes = next.pathBytes + Buffer.byteLength(name) + 1;
        if (pathBytes > limits.pathBytes) throw new LimitExceeded(`a path is longer than ${limits.pathBytes} bytes`);
        const entry = { path, kind: kindOf(mode), oid };
        found.push({ ...entry, isSubmodule: type === "commit" });
        if (this.files.push({ ...entry, repository }) > limits.files)
          throw new LimitExceeded(`the commit has more than ${limits.files} files`);
        if (type === "tree") waiting.push({ oid, path, pathBytes });
      }
    }
    return found;
  }

  private isWanted(path: string[]): boolean {
    const { sparse } = this.wish;
    return sparse.length === 0 || sparse.some((directory) => isBelow(path, directory) || isBelow(directory, path));
  }
}

/** Only what is in the directories that are named; each has to be there. @throws Fault SparseDirectoryMissing */
export function sparsely(files: File[], sparse: string[][], shown: string): File[] {
  if (sparse.length === 0) return files;
  const missing = sparse.find((directory) => !files.some(({ path }) => isBelow(path, directory)));
  if (missing) throw new Fault("SparseDirectoryMissing", shown, { detail: `the commit has no ${JSON.stringify(missing.join("/"))}` });
  return files.filter(({ path, kind }) =>
    sparse.some((directory) => isBelow(path, directory) || (kind === "directory" && isBelow(directory, path))));
}

/** As paths; nothing when the root is among them. */
export function directoriesOf(texts: string[]): string[][] {
  const paths = texts.map((text) => text.split("/").filter((part) => part !== "" && part !== "."));
  return paths.some((path) => path.length === 0) ? [] : paths;
}

const isBelow = (path: string[], top: string[]): boolean => top.length <= path.length && top.every((part, i) => path[i] === part);

/** A submodule that is not fetched is an empty directory, as it is in a checkout. */
function kindOf(mode: string): File["kind"] {
  if (mode === "40000" || mode === "160000") return "directory";
  if (mode === "120000") return "link";
  return Number.parseInt(mode, 8) & 0o111 ? "executable" : "file";
}

/** A thread is ended with its call. */
export const never = new AbortController().signal;
