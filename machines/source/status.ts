/** What a source's object says of it (flux.md 0.3): derived from the record, so it can be written again at any time. */
import type { WantedStatus } from "#machines/rules/status.ts";
import { progressing, retrying, stalledBy } from "#machines/rules/status.ts";
import { faults, sentence } from "#protocol/errors/fault.ts";
import type { SourceContext } from "./machine.ts";

/** Undefined: leave the object's status as it is. */
export function sourceStatus(state: string, c: SourceContext): WantedStatus | undefined {
  if (state === "waiting" || state === "adopting" || state === "removing" || state === "remaining" || state === "gone") return undefined;
  const handled = { handledAt: c.handledAt };
  if (state === "suspended") return handled;

  const stored = c.artifact && { type: "ArtifactInStorage", status: "True", reason: "Succeeded", message: `stored artifact for revision '${c.artifact.revision}'` } as const;
  const kept = { ...handled, ...(c.artifact && { artifact: c.artifact }), ...(c.observedGeneration >= 0 && { observedGeneration: c.observedGeneration }) };

  if (state === "settled" && stored) return { ...kept, conditions: [{ ...stored, type: "Ready" }, stored] };
  if ((state === "failing" || state === "stalled" || state === "readopting") && c.fault) {
    const { code } = c.fault;
    const failure = { status: "True", reason: faults[code].reason, message: sentence(c.fault) } as const;
    const type = code === "StorageFailed" ? "StorageOperationFailed" : "FetchFailed";
    return {
      ...kept,
      conditions: [
        { ...failure, type: "Ready", status: "False" },
        ...(code === "InvalidObject" ? [] : [{ ...failure, type }]),
        state === "stalled" ? stalledBy(c.fault) : retrying(c.fault),
        ...(stored ? [stored] : []),
      ],
    };
  }
  const outdated = state === "fetching" && c.wanted !== c.artifact?.revision;
  const message = outdated ? `building artifact: new upstream revision '${c.wanted}'` : "reconciliation in progress";
  return {
    ...kept,
    conditions: [
      { type: "Ready", status: "Unknown", reason: "Progressing", message },
      progressing(message),
      ...(outdated ? [{ type: "ArtifactOutdated", status: "True", reason: "NewRevision", message: `new upstream revision '${c.wanted}'` } as const] : []),
      ...(stored ? [stored] : []),
    ],
  };
}
