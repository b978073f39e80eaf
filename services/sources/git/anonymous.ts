/** Repositories that a tenant's files name: fetched without credentials, and from where the operator allows it only. */
import { Fault } from "#protocol/errors/fault.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import { Coalesced, nameOf } from "#services/sources/coalesced.ts";
import { gitThreads, type GitThreads } from "./git-threads.ts";
import { commitOf } from "./highest-tags.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { isObjectId, tags } from "./reference.ts";
import { list } from "./repository.ts";
import { remoteFrom, type Access } from "./transport.ts";

/** `ref`: a branch, a tag, a full name or a commit; empty for the repository's own branch. */
type Repository = { url: string; ref: string };

const mebi = 2 ** 20;
const limits: Limits = { ...defaultLimits, packBytes: 32 * mebi, unpackedBytes: 256 * mebi, objectBytes: 16 * mebi, objects: 100_000, files: 10_000, archivedBytes: 30 * mebi };

/** Units that share a base ask within moments. */
const keepMs = 60_000;

export class AnonymousGit {
  readonly #hosts: string[];
  readonly #threads: GitThreads;
  readonly #polls = new Coalesced<{ commit: string }>({ keepMs, maxSize: 1_000, sizeOf: () => 1 });
  readonly #archives = new Coalesced<{ archive: Uint8Array }>({ keepMs, maxSize: 64 * mebi, sizeOf: ({ archive }) => archive.byteLength });

  /** @param hosts those that may be asked, also by http and at private addresses; none: every public one, by https */
  constructor({ hosts = [], threads = gitThreads() }: { hosts?: string[]; threads?: GitThreads } = {}) {
    this.#hosts = hosts;
    this.#threads = threads;
  }

  /** The commit a reference is at now. @throws Fault */
  async resolve({ url, ref }: Repository, signal: AbortSignal): Promise<string> {
    if (isObjectId(ref)) return ref;
    const { commit } = await this.#polls.ask(nameOf(url, ref), { signal, maxAgeMs: 0 }, async (until) => ({ commit: await this.#find(url, ref, until) }));
    return commit;
  }

  /** All of its files at a commit, as a tar.gz. @throws Fault */
  async fetch({ url, ref, submodules }: Repository & { submodules: boolean }, commit: string, signal: AbortSignal): Promise<Uint8Array> {
    const access = this.#access(url);
    const wanted = { commit, ref: ref === "" || isObjectId(ref) ? "HEAD" : ref, pinned: true };
    const job = { access, wanted, tagName: "", limits, ignore: "!*", ...(submodules && { submodules }) };
    const made = await this.#archives.ask(nameOf(url, commit, submodules), { signal, maxAgeMs: Infinity }, (until) => this.#threads.run("snapshot", job, until));
    return made.archive;
  }

  #access(url: string): Access {
    return { url, reach: { hosts: this.#hosts } };
  }

  /** In the order of `git fetch`: a tag goes before a branch of the same name. */
  async #find(url: string, ref: string, signal: AbortSignal): Promise<string> {
    const remote = remoteFrom(this.#access(url));
    const names = ref === "" ? ["HEAD"] : ref.startsWith("refs/") ? [ref] : [`${tags}${ref}`, `refs/heads/${ref}`];
    for (const name of names) {
      const { refs } = await list(remote, name, signal);
      const found = refs.find((each) => each.name === name);
      if (found) return commitOf(found);
    }
    throwIfAborted(signal, remote.address.shown);
    throw new Fault("ReferenceMissing", remote.address.shown, { detail: ref ? `the repository has neither a tag nor a branch ${ref}` : "the repository is empty" });
  }
}
