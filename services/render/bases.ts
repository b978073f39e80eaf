/** Remote bases of one render: fetched by the host, and laid beside the artifact, so that kustomize itself never fetches. */
import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { Fault } from "#protocol/errors/fault.ts";
import type { LaidBase } from "./module.ts";
import { readRemoteReference, type RemoteReference } from "./remote-reference.ts";
import { Tree } from "./tree.ts";
import { unpack, type UnpackLimits } from "./unpack.ts";

/** Fetches without credentials. What it throws is told to the operator: it holds no secret. */
export type BasePort = {
  /** The commit that a reference is at now. */
  resolve(base: RemoteReference, signal: AbortSignal): Promise<string>;
  /** The repository at a commit, as a tar.gz. */
  fetch(base: RemoteReference, commit: string, signal: AbortSignal): Promise<Uint8Array>;
};

/** A reference as it is written, and the commit it was at. */
export type BaseRead = { reference: string; commit: string };

/** What a build answers that needs bases first: the kustomization file that names them. */
export type Missing = { in: string; references: string[] };

export type BaseLimits = { bases: number; depth: number; totalBytes: number; totalMs: number };

const mebibyte = 1024 * 1024;
export const baseLimits: BaseLimits = { bases: 16, depth: 4, totalBytes: 64 * mebibyte, totalMs: 120_000 };
const unpackLimits: UnpackLimits = { totalBytes: 32 * mebibyte, entries: 10_000, pathBytes: 1024 };

/** The repositories fetched lately, by URL and commit: they are public, so that tenants share them. */
export const baseTrees = () => new LRUCache<string, Tree>({ maxSize: 64 * mebibyte, sizeCalculation: ({ sizeBytes }) => Math.max(1, sizeBytes) });

/** Where the module looks for them (wasm/view.go); no file of an artifact has such a name. */
const basesFolder = "\0bases";

const pinned = /^[0-9a-f]{40}$/i;

type Folder = { tree: Tree; depth: number };

export class Bases {
  readonly laid: LaidBase[] = [];
  private readonly folders = new Map<string, Folder>();
  private readonly commits = new Map<string, string>();
  private readonly until: AbortSignal;
  private readonly signal: AbortSignal;
  private readonly options: { port: BasePort; trees: LRUCache<string, Tree>; subject: string; limits: BaseLimits };

  constructor(options: { port: BasePort; trees: LRUCache<string, Tree>; subject: string; limits?: BaseLimits }, signal: AbortSignal) {
    this.options = { ...options, limits: options.limits ?? baseLimits };
    this.signal = signal;
    this.until = AbortSignal.any([signal, AbortSignal.timeout(this.options.limits.totalMs)]);
  }

  /** What the render depends on, in an order that depends on nothing else. */
  get read(): BaseRead[] {
    return this.laid.map(({ reference }) => ({ reference, commit: this.commits.get(reference) ?? "" })).sort((a, b) => (a.reference < b.reference ? -1 : 1));
  }

  /** Where the references of an earlier build are now. @throws Fault BuildFailed */
  async now(read: readonly BaseRead[]): Promise<BaseRead[]> {
    const found: BaseRead[] = [];
    for (const { reference } of read) found.push({ reference, commit: await this.commitOf(reference) });
    return found;
  }

  /** @throws Fault BuildFailed when there are too many, or one cannot be had */
  async add({ in: from, references }: Missing): Promise<void> {
    const { limits } = this.options;
    const depth = 1 + (this.folders.get(from.startsWith(`${basesFolder}/`) ? (from.split("/")[1] ?? "") : "")?.depth ?? 0);
    for (const reference of references) {
      if (depth > limits.depth) throw this.failed(reference, `bases of bases are more than ${limits.depth} deep`);
      if (this.laid.length === limits.bases) throw this.failed(reference, `the build has more than ${limits.bases} remote bases`);
      await this.lay(reference, depth);
    }
  }

  /** The artifact with the repositories beside it. */
  beside(artifact: Tree): Tree {
    const folders = [...this.folders].map(([folder, { tree }]) => ({ top: `${basesFolder}/${folder}`, tree }));
    const files = folders.flatMap(({ top, tree }) => Array.from(tree.files, ([path, content]): [string, Uint8Array] => [`${top}/${path}`, content]));
    return new Tree([...artifact.files, ...files], [...artifact.directoryNames, ...folders.flatMap(({ top, tree }) => [top, ...tree.directoryNames.map((path) => `${top}/${path}`)])]);
  }

  /** For the name of that tree. */
  get digest(): string {
    return hash("sha256", JSON.stringify([...this.folders.keys(), ...this.commits]));
  }

  private async lay(reference: string, depth: number): Promise<void> {
    const base = this.parse(reference);
    const commit = await this.commitOf(reference);
    const { url, ref, submodules, path } = base;
    // Not the commit: a name within the output must not change with it.
    const folder = hash("sha256", JSON.stringify([url, ref, submodules])).slice(0, 16);
    const known = this.folders.get(folder);
    const tree = known?.tree ?? (await this.treeOf(reference, base, commit));
    const total = this.folders.values().reduce((sum, each) => sum + each.tree.sizeBytes, known ? 0 : tree.sizeBytes);
    if (total > this.options.limits.totalBytes) throw this.failed(reference, `the remote bases add up to more than ${this.options.limits.totalBytes} bytes`);
    if (!tree.isDirectory(path)) throw this.failed(reference, `its repository has no directory ${JSON.stringify(path)}`);
    this.folders.set(folder, { tree, depth: Math.max(depth, known?.depth ?? 0) });
    this.laid.push({ reference, folder, path, shown: `${url}${ref ? `@${ref}` : ""}` });
  }

  private async treeOf(reference: string, base: RemoteReference, commit: string): Promise<Tree> {
    const { port, trees } = this.options;
    const name = JSON.stringify([base.url, commit, base.submodules]);
    const kept = trees.get(name);
    if (kept) return kept;
    const archive = await this.asked(reference, base, (signal) => port.fetch(base, commit, signal));
    const tree = await unpack(archive, base.url, unpackLimits).catch((thrown: unknown) => {
      throw this.failed(reference, thrown instanceof Fault ? (thrown.detail ?? "") : "not a repository");
    });
    trees.set(name, tree);
    return tree;
  }

  /** Asked for once in a render, so that all of it sees the same. A commit that is named is never asked for. */
  private async commitOf(reference: string): Promise<string> {
    const base = this.parse(reference);
    if (pinned.test(base.ref)) {
      this.commits.set(reference, base.ref.toLowerCase());
    } else if (!this.commits.has(reference)) {
      const same = [...this.commits.keys()].find((other) => sameRef(this.parse(other), base));
      this.commits.set(reference, same ? (this.commits.get(same) ?? "") : await this.asked(reference, base, (signal) => this.options.port.resolve(base, signal)));
    }
    return this.commits.get(reference) ?? "";
  }

  private async asked<T>(reference: string, { timeoutMs }: RemoteReference, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const ownTime = AbortSignal.timeout(timeoutMs);
    try {
      return await work(AbortSignal.any([this.until, ownTime]));
    } catch (thrown) {
      this.signal.throwIfAborted();
      if (this.until.aborted) throw this.failed(reference, `the remote bases took longer than ${this.options.limits.totalMs / 1000}s`);
      if (ownTime.aborted) throw this.failed(reference, `no answer within ${timeoutMs / 1000}s`);
      const { detail, message } = Fault.from(thrown, this.options.subject);
      throw this.failed(reference, detail ?? message);
    }
  }

  private parse(reference: string): RemoteReference {
    try {
      return readRemoteReference(reference);
    } catch (thrown) {
      throw this.failed(reference, thrown instanceof RangeError ? thrown.message : "it is not understood");
    }
  }

  private failed(reference: string, why: string): Fault {
    const shown = reference.replace(/[^/@\s]*:[^/@\s]*@/, "").replace(/(:\/\/)[^/@\s]*@/, "$1").slice(0, 512);
    return new Fault("BuildFailed", this.options.subject, { detail: `remote base ${JSON.stringify(shown)}: ${why}` });
  }
}

const sameRef = (a: RemoteReference, b: RemoteReference): boolean => a.url === b.url && a.ref === b.ref;
