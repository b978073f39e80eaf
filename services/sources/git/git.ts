// LEAD: read services/sources/git/LEAD-READ-ME.md before going on (isomorphic-git is required); remove this line after.
/** GitRepository: a branch or commit of a Git repository as a source. The chart is machines/source; these are its effects. */
import { Fault } from "#protocol/errors/fault.ts";
import { defineSource, type SourceCall, type SourceKind } from "#services/sources/define.ts";
import { parseAddress } from "./address.ts";
import { readCredentials } from "./credentials.ts";
import { throwIfAborted } from "./failure.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { formatRevision, parseRevision, readReference, type GitSpec } from "./reference.ts";
import { Threads } from "./threads.ts";
import type { Remote } from "./transport.ts";
import { fetchPack, lookUp } from "./upload-pack.ts";

export const createGitRepository = ({
  limits = defaultLimits,
  threads = new Threads(),
}: { limits?: Limits; threads?: Threads } = {}): SourceKind<GitSpec> =>
  defineSource<GitSpec>({
    kind: "GitRepository",

    /** Asks for one reference; a commit that is named in the spec needs no asking. */
    async resolve(call) {
      const { shown } = parseAddress(call.spec.url);
      const { branch, commit } = readReference(call.spec, shown);
      if (commit) return formatRevision(commit, branch);
      const ref = refOf(branch);
      const head = await lookUp(await remoteOf(call), ref, call.signal);
      if (!head) throw new Fault("ReferenceMissing", shown, { detail: `the repository has no ${ref}` });
      return formatRevision(head, branch);
    },

    async fetch(call) {
      const remote = await remoteOf(call);
      const { shown } = remote.address;
      const reference = readReference(call.spec, shown);
      const { branch, commit: asked } = parseRevision(call.revision);
      const wanted = { commit: asked, ref: refOf(branch), pinned: reference.commit !== undefined };
      const { commit, pack } = await fetchPack(remote, wanted, call.signal, limits.packBytes);
      const job = { pack: pack.list, commit, limits, shown, ...(call.spec.ignore !== undefined && { ignore: call.spec.ignore }) };
      const { archive, subject, author, committedAtMs, traceparent } = await threads.snapshot(job, call.signal).catch((error) => {
        throwIfAborted(call.signal, shown);
        throw error;
      });
      return {
        revision: formatRevision(commit, branch),
        archive,
        file: `${commit}.tar.gz`,
        subject,
        committedAtMs,
        change: { url: shown, commit, author, ...(branch && { branch }), ...(traceparent && { traceparent }) },
      };
    },
  });

export const gitRepository = createGitRepository();

const refOf = (branch?: string) => (branch ? `refs/heads/${branch}` : "HEAD");

async function remoteOf({ spec, secret }: SourceCall<GitSpec>): Promise<Remote> {
  const address = parseAddress(spec.url);
  const data = spec.secretRef && (await secret(spec.secretRef.name));
  return { address, credentials: readCredentials(address, data) };
}
