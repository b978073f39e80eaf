/** GitRepository: a branch or commit of a repository. The chart is machines/source; these two effects are its own. */
import { Fault } from "#protocol/errors/fault.ts";
import { defineSource, type SourceCall, type SourceKind } from "#services/sources/define.ts";
import { parseAddress } from "./address.ts";
import { throwIfAborted } from "./failure.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { formatRevision, parseRevision, readReference, type GitSpec } from "./reference.ts";
import { lookUp } from "./repository.ts";
import { Threads } from "./threads.ts";
import { remoteFrom } from "./transport.ts";

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
      const head = await lookUp(remoteFrom(call.spec.url, await secretOf(call)), ref, call.signal);
      if (!head) throw new Fault("ReferenceMissing", shown, { detail: `the repository has no ${ref}` });
      return formatRevision(head, branch);
    },

    async fetch(call) {
      const { url, ignore } = call.spec;
      const { shown } = parseAddress(url);
      const { branch, commit: asked } = parseRevision(call.revision);
      const wanted = {
        commit: asked,
        ref: refOf(branch),
        pinned: readReference(call.spec, shown).commit !== undefined,
      };
      const secret = await secretOf(call);
      const job = { url, wanted, limits, ...(secret && { secret }), ...(ignore !== undefined && { ignore }) };
      const made = await threads.snapshot(job, call.signal).catch((error: unknown) => {
        throwIfAborted(call.signal, shown);
        throw error;
      });
      const { commit, archive, subject, author, committedAtMs, traceparent } = made;
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

const secretOf = async ({ spec, secret }: SourceCall<GitSpec>) => spec.secretRef && (await secret(spec.secretRef.name));
