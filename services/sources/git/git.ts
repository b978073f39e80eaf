/** GitRepository: a branch, tag, name or commit of a repository. The chart is machines/source; these two effects are its own. */
import { Fault } from "#protocol/errors/fault.ts";
import { actorId } from "#protocol/names/actor.ts";
import type { SourceCall } from "#services/sources/define.ts";
import { parseAddress } from "./address.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { Verification } from "./signature/verify.ts";
import { formatRevision, parseRevision, readReference, refOf, tags, type GitSpec, type Reference } from "./reference.ts";
import { accessOf } from "./access.ts";
import { GithubApps } from "./github-app.ts";
import type { PlainGitRepository } from "./include.ts";
import { Newest, type Found } from "./newest.ts";
import { nameOf, Coalesced } from "#services/sources/coalesced.ts";
import type { Snapshot } from "./snapshot.ts";
import { changingGit } from "./write/changing.ts";
import { gitThreads, type GitThreads } from "./git-threads.ts";

export const createGitRepository = ({
  limits = defaultLimits,
  threads = gitThreads(),
}: { limits?: Limits; threads?: GitThreads } = {}): PlainGitRepository => {
  const newest = new Newest(threads, limits);
  const apps = new GithubApps();
  const polls = new Coalesced<Found>({ keepMs: pollMs, maxSize: 10_000, sizeOf: () => 1 });
  const snapshots = new Coalesced<Snapshot>({ keepMs: snapshotMs, maxSize: keptBytes, sizeOf: ({ archive }) => archive.byteLength });
  return {
    kind: "GitRepository",
    changing: changingGit({ threads, limits, apps }),

    /** Asks for the references that can be meant; a commit that is named in the spec needs no asking. */
    async resolve(call) {
      const { url } = call.spec;
      const reference = readReference(call.spec, parseAddress(url).shown);
      if (asksForTag(call.spec) && tagNameOf(reference, "any") === "") throw new Fault("VerificationModeInvalid", parseAddress(url).shown);
      if (reference.kind === "commit") return formatRevision(reference.commit, reference.branch);
      const access = await accessOf(call, apps);
      const ask = { signal: call.signal, maxAgeMs: call.maxAgeMs ?? 0 };
      const { commit, label } = await polls
        .ask(nameOf(access, reference), ask, (signal) => newest.find(reference, access, signal))
        .catch(orTimedOut(call, url));
      return formatRevision(commit, label);
    },

    async fetch(call) {
      const { url, ignore, sparseCheckout, recurseSubmodules } = call.spec;
      const { shown } = parseAddress(url);
      const { label, commit: asked } = parseRevision(call.revision);
      const reference = readReference(call.spec, shown);
      const wanted = { commit: asked, ref: refOf(reference, label), pinned: reference.kind === "commit" };
      const verification = await verificationOf(call);
      const job = {
        access: await accessOf(call, apps),
        wanted,
        tagName: tagNameOf(reference, label),
        limits,
        ...(verification && { verification }),
        ...(sparseCheckout && { sparse: sparseCheckout }),
        ...(recurseSubmodules && { submodules: true }),
        ...(ignore !== undefined && { ignore }),
      };
      // What is included is its own, and as a part of a name it would be long.
      const made = await (call.included
        ? threads.run("snapshot", { ...job, included: call.included }, call.signal)
        : snapshots.ask(nameOf(job), { signal: call.signal, maxAgeMs: Infinity }, (signal) => threads.run("snapshot", job, signal))
      ).catch(orTimedOut(call, url));
      const { commit, archive, subject, author, committedAtMs, traceparent, verified } = made;
      return {
        revision: formatRevision(commit, label),
        archive,
        file: `${commit}.tar.gz`,
        subject,
        committedAtMs,
        ...(verified && { verified }),
        observed: observedOf(call.spec),
        change: { url: shown, commit, author, ...(label && { branch: label }), ...(traceparent && { traceparent }) },
      };
    },
  };
};

/** Longer than what any caller takes for new. */
const pollMs = 60_000;
/** Sources that are woken by one push ask within moments. */
const snapshotMs = 60_000;
const keptBytes = 64 * 1024 * 1024;

/** @throws Fault TimedOut for the object's own timeout, else what was thrown */
const orTimedOut = ({ signal }: SourceCall<GitSpec>, url: string) => (error: unknown): never => {
  throwIfAborted(signal, parseAddress(url).shown);
  throw error;
};

/** The tag that is followed; empty when it is a branch, a commit or another name. */
function tagNameOf(reference: Reference, label = ""): string {
  if (reference.kind === "semver") return label;
  return reference.kind === "ref" && reference.ref.startsWith(tags) ? reference.ref.slice(tags.length) : "";
}

const asksForTag = ({ verify }: GitSpec): boolean => verify?.mode === "Tag" || verify?.mode === "TagAndHEAD";

async function verificationOf({ spec, secret, key }: SourceCall<GitSpec>): Promise<Verification | undefined> {
  const { verify } = spec;
  if (!verify) return undefined;
  const keys = await secret(verify.secretRef.name).catch((error: unknown) => {
    if (!(error instanceof Fault) || error.code !== "SecretMissing") throw error;
    throw new Fault("VerificationKeysMissing", error.subject || actorId(key));
  });
  return { commit: verify.mode !== "Tag", tag: asksForTag(spec), keys };
}

/** What the status repeats of the spec: by which rules the artifact was made (flux.md 1.1). */
function observedOf({ ignore, sparseCheckout, recurseSubmodules, verify }: GitSpec): Record<string, unknown> {
  return {
    observedIgnore: ignore ?? null,
    observedRecurseSubmodules: recurseSubmodules === true ? true : null,
    observedSparseCheckout: sparseCheckout?.length ? sparseCheckout : null,
    sourceVerificationMode: verify ? (verify.mode === "head" ? "HEAD" : verify.mode) : null, // an older spelling
  };
}
