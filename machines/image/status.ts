/** What an ImageRepository or an ImagePolicy says (flux.md 3.1, 3.2): derived from the record, so it can be written again at any time. */
import { electedMessage, foundMessage } from "#machines/rules/image-scan.ts";
import { lookingStatus } from "#machines/object/looking-status.ts";
import type { WantedStatus } from "#machines/rules/status.ts";
import type { SourceWords } from "#protocol/api/kind.ts";
import type { ImageContext } from "./machine.ts";

/** Flux's reasons for these kinds. */
export const words: SourceWords = {
  stored: "",
  reasons: {
    UpstreamUnreachable: "ReadOperationFailed",
    SourceTooLarge: "ReadOperationFailed",
    TimedOut: "ReadOperationFailed",
    ArtifactMissing: "DependencyNotReady",
    ArtifactCorrupt: "DependencyNotReady",
  },
};

/** What Ready says of what was found last; empty when nothing was. */
export const messageOf = ({ scan, election }: Pick<ImageContext, "scan" | "election">): string =>
  (scan && foundMessage(scan)) ?? (election && electedMessage(election.latest, election.previous)) ?? "";

/** Undefined: leave the object's status as it is. */
export const imageStatus = (state: string, c: ImageContext): WantedStatus | undefined =>
  lookingStatus(state, c, words, observedOf(c), messageOf(c));

function observedOf({ scan, election }: ImageContext): Record<string, unknown> {
  if (scan) {
    const { image, exclusionList, revision, tagCount, latestTags, scannedAt } = scan;
    const lastScanResult = { revision, tagCount, scanTime: scannedAt, ...(latestTags.length > 0 && { latestTags }) };
    return { canonicalImageName: image, observedExclusionList: exclusionList, lastScanResult };
  }
  return election ? { latestRef: election.latest, observedPreviousRef: election.previous ?? null } : {};
}
