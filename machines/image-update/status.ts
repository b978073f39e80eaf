/** What an ImageUpdateAutomation says (flux.md 1.12, 3.3): derived from the record, so it can be written again at any time. */
import { lookingStatus } from "#machines/object/looking-status.ts";
import type { WantedStatus } from "#machines/rules/status.ts";
import type { SourceWords } from "#protocol/api/kind.ts";
import type { Intent } from "#protocol/messages/image-update.ts";
import type { ImageUpdateContext } from "./machine.ts";

/** Flux's reasons for this kind: SourceManagerFailed before the repository is asked, GitOperationFailed from then on. */
export const words: SourceWords = {
  stored: "",
  reasons: {
    SourceMissing: "SourceManagerFailed",
    SecretMissing: "SourceManagerFailed",
    AccountMissing: "SourceManagerFailed",
    ProviderInvalid: "InvalidSourceConfiguration",
    ProviderFailed: "SourceManagerFailed",
    ProxyInvalid: "SourceManagerFailed",
    UnsupportedReference: "InvalidSourceConfiguration",
    AuthenticationFailed: "GitOperationFailed",
    RepositoryEmpty: "GitOperationFailed",
    SourceTooLarge: "GitOperationFailed",
    StorageFailed: "GitOperationFailed",
  },
};

export const upToDate = "repository up-to-date";

/** In Flux's words. */
export function pushedMessage({ commit, branch, refspec, message }: Pick<Intent, "commit" | "branch" | "refspec" | "message">): string {
  const where = `branch '${branch}'${refspec ? ` and refspecs '${refspec}'` : ""}`;
  return `pushed commit '${commit.slice(0, 7)}' to ${where}${message ? `\n${message}` : ""}`;
}

/** Undefined: leave the object's status as it is. */
export const imageUpdateStatus = (state: string, c: ImageUpdateContext): WantedStatus | undefined =>
  lookingStatus(state, c, words, observedOf(c), c.observed ? upToDate : "", upToDate);

function observedOf({ observed, ranAt, last }: ImageUpdateContext): Record<string, unknown> {
  return {
    ...(ranAt && { lastAutomationRunTime: ranAt }),
    ...(last && { lastPushCommit: last.commit, lastPushTime: last.at }),
    ...(observed && { observedSourceRevision: observed.revision, observedPolicies: observed.elected }),
  };
}
