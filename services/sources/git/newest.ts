/** What a reference points at now, with as few questions as will do. */
import { LRUCache } from "lru-cache";
import { Fault } from "#protocol/errors/fault.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import { commitOf, highestTags, newestOf } from "./highest-tags.ts";
import type { Limits } from "./limits.ts";
import type { ServerRef } from "./list-refs.ts";
import { tags, type Reference } from "./reference.ts";
import { lookUp } from "./repository.ts";
import { Unlocked } from "./ssh/unlocked.ts";
import type { GitThreads } from "./git-threads.ts";
import { remoteFrom, type Access, type Remote } from "./transport.ts";

type Sought = Exclude<Reference, { kind: "commit" }>;
export type Found = { commit: string; /** What the revision calls it. */ label: string };

export class Newest {
  private readonly threads: GitThreads;
  private readonly limits: Limits;
  private readonly unlocked: Unlocked;
  /** When commits were made, by their names, which say it for good: the contents were verified against them. */
  private readonly times = new LRUCache<string, number>({ max: 10_000 });

  constructor(threads: GitThreads, limits: Limits) {
    this.threads = threads;
    this.limits = limits;
    this.unlocked = new Unlocked(threads);
  }

  /** @throws Fault ReferenceMissing, and whatever may be wrong with the server */
  async find(sought: Sought, access: Access, signal: AbortSignal): Promise<Found> {
    const remote = await this.unlocked.open(remoteFrom(access), access, signal);
    if (sought.kind === "semver") return this.highest(sought, { access, remote, signal });
    const { ref, label, peels } = sought;
    const found = (await lookUp(remote, ref, signal)).find(({ name }) => name === ref);
    if (!found) throw missing(remote, `the repository has no ${ref}`);
    if (peels && !found.peeled) throw missing(remote, `${ref} is not an annotated tag, so there is no ${label}`);
    return { commit: commitOf(found), label };
  }

  private async highest({ range, text }: Sought & { kind: "semver" }, call: Call): Promise<Found> {
    const { remote, signal } = call;
    const equal = equallyHigh(await lookUp(remote, tags, signal));
    const commits = [...new Set(equal.map(commitOf))];
    const times = commits.length > 1 ? await this.timesOf(equal, call) : this.times;
    const newest = newestOf(equal, (commit) => times.get(commit) ?? 0);
    if (!newest) throw missing(remote, `no tag is within ${JSON.stringify(text)}`);
    return { commit: commitOf(newest), label: newest.name.slice(tags.length) };

    function equallyHigh(refs: ServerRef[]): ServerRef[] {
      try {
        return highestTags(refs, range);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw new Fault("SourceTooLarge", remote.address.shown, { detail: error.message });
      }
    }
  }

  private async timesOf(equal: ServerRef[], { access, remote, signal }: Call): Promise<Map<string, number>> {
    const known = new Map<string, number>();
    const asked: { commit: string; ref: string; pinned: boolean }[] = [];
    for (const ref of equal) {
      const commit = commitOf(ref);
      const time = this.times.get(commit);
      if (time !== undefined) known.set(commit, time);
      else if (!asked.some((other) => other.commit === commit)) asked.push({ commit, ref: ref.name, pinned: false });
    }
    if (asked.length === 0) return known;
    const job = { access, wanted: asked, limits: this.limits };
    const made = await this.threads.run("times", job, signal).catch((error: unknown) => {
      throwIfAborted(signal, remote.address.shown);
      throw error;
    });
    for (const [commit, time] of Object.entries(made)) {
      this.times.set(commit, time);
      known.set(commit, time);
    }
    return known;
  }
}

type Call = { access: Access; remote: Remote; signal: AbortSignal };

const missing = ({ address: { shown } }: Remote, detail: string) => new Fault("ReferenceMissing", shown, { detail });
