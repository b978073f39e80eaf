/** What a source's object says of it (flux.md 0.3): derived from the record, so it can be written again at any time. */
import type { WantedStatus } from "#machines/rules/status.ts";
import { progressing, retrying, stalledBy } from "#machines/rules/status.ts";
import { reasonOf } from "#protocol/api/kind.ts";
import { sentence, type FaultCode } from "#protocol/errors/fault.ts";
import { wordsOf } from "./words.ts";
import type { SourceContext } from "./machine.ts";

/** Undefined: leave the object's status as it is. */
export function sourceStatus(state: string, c: SourceContext): WantedStatus | undefined {
  if (state === "waiting" || state === "adopting" || state === "removing" || state === "remaining" || state === "gone") return undefined;
  if (wordsOf(c.key).isForeign) return undefined; // it is its producer's
  if (state === "dissolving" || state === "undissolved" || state === "static") return dissolved;
  const handled = { handledAt: c.handledAt };
  if (state === "suspended") return handled;

  const words = wordsOf(c.key);
  const { reason = "Succeeded", message: summary = `${words.stored} '${c.artifact?.revision}'` } = c.summary ?? {};
  const stored = c.artifact && { type: "ArtifactInStorage", status: "True", reason, message: summary } as const;
  const verified = c.verified && { type: "SourceVerified", status: "True", reason: "Succeeded", message: c.verified } as const;
  const good = [...(stored ? [stored] : []), ...(verified ? [verified] : [])];
  const kept = { ...handled, ...(c.artifact && { artifact: c.artifact, ...(words.latest && { latest: `${c.key}/${words.latest}` }) }), ...(c.observed && { observed: c.observed }), ...(c.included && { included: c.included }), ...(c.observedGeneration >= 0 && { observedGeneration: c.observedGeneration }) };

  if (state === "settled" && stored) return { ...kept, conditions: [{ ...stored, type: "Ready" }, ...good] };
  if ((state === "failing" || state === "stalled" || state === "readopting") && c.fault) {
    const { code } = c.fault;
    const failure = { status: "True", reason: reasonOf(code, words), message: sentence(c.fault) } as const;
    const type = conditionOf[code] ?? "FetchFailed";
    const unverified = code === "ChartUnverified" ? [{ ...failure, type: "SourceVerified", status: "False", reason: "VerificationError" } as const] : [];
    const failed = type === "SourceVerified" ? { ...failure, type, status: "False" } as const : { ...failure, type };
    return {
      ...kept,
      conditions: [
        { ...failure, type: "Ready", status: "False" },
        ...(code === "InvalidObject" ? [] : [failed]),
        ...unverified,
        state === "stalled" ? stalledBy(c.fault, words) : retrying(c.fault),
        ...good.filter((condition) => condition.type !== type && (unverified.length === 0 || condition.type !== "SourceVerified")),
      ],
    };
  }
  const isNew = c.wanted !== c.artifact?.revision;
  const outdated = state === "fetching" && (isNew || c.includesChanged === true);
  const { reason: newsReason, words: newsWords } = isNew ? (words.news ?? { reason: "NewRevision", words: "new upstream revision" }) : { reason: "IncludeChange", words: "" };
  const news = isNew ? `${newsWords} '${c.wanted}'` : "included artifacts differ from last observed includes";
  const message = outdated ? `building artifact: ${news}` : "reconciliation in progress";
  return {
    ...kept,
    conditions: [
      { type: "Ready", status: "Unknown", reason: "Progressing", message },
      progressing(message),
      ...(outdated ? [{ type: "ArtifactOutdated", status: "True", reason: newsReason, message: news } as const] : []),
      ...good,
    ],
  };
}

/** Nothing is said of an object that only says where something is; what was said before is taken back. */
const dissolved: WantedStatus = { handledAt: "", observed: { artifact: null, conditions: null, lastHandledReconcileAt: null, url: null } };

/** What a fault is about, where it is not about fetching. */
const conditionOf: Partial<Record<FaultCode, string>> = {
  StorageFailed: "StorageOperationFailed",
  IncludeFailed: "StorageOperationFailed",
  IncludeMissing: "IncludeUnavailable",
  IncludeNotReady: "IncludeUnavailable",
  IncludeCycle: "IncludeUnavailable",
  VerificationFailed: "SourceVerified",
  VerificationKeysMissing: "SourceVerified",
  VerificationModeInvalid: "SourceVerified",
  TagUnsigned: "SourceVerified",
  TagSignatureInvalid: "SourceVerified",
  CommitSignatureInvalid: "SourceVerified",
  ChartVersionInvalid: "BuildFailed",
  ValuesFilesInvalid: "BuildFailed",
  DependencyBuildFailed: "BuildFailed",
  ChartPackageFailed: "BuildFailed",
  ChartUnverified: "BuildFailed",
};
