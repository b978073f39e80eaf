/** What an ArtifactGenerator's object says (flux.md 1.7, 2.5): derived from the record, so it can be written again at any time. */
import type { WantedStatus } from "#machines/rules/status.ts";
import { progressing, retrying, stalledBy } from "#machines/rules/status.ts";
import { reasonOf, type SourceWords } from "#protocol/api/kind.ts";
import { sentence } from "#protocol/errors/fault.ts";
import type { GeneratorContext } from "./machine.ts";

/** Flux's reasons for this kind. */
export const words: SourceWords = {
  stored: "",
  reasons: {
    SourceMissing: "SourceFetchFailed",
    ArtifactMissing: "SourceFetchFailed",
    ArtifactCorrupt: "SourceFetchFailed",
    SourceTooLarge: "BuildFailed",
    StorageFailed: "BuildFailed",
    TimedOut: "BuildFailed",
  },
};

/** Undefined: leave the object's status as it is. */
export function generatorStatus(state: string, c: GeneratorContext): WantedStatus | undefined {
  if (["waiting", "adopting", "removing", "remaining", "gone"].includes(state)) return undefined;
  const handled = { handledAt: c.handledAt };
  if (state === "suspended") return handled;
  const namespace = c.key.split("/")[1] ?? "";
  const inventory = c.made?.artifacts.map(({ name, digest, path }) => ({ name, namespace, digest, filename: path.slice(path.lastIndexOf("/") + 1) }));
  const kept = { ...handled, ...(c.made && { observed: { inventory, observedSourcesDigest: c.made.sourcesDigest } }) };
  if (state === "settled" && c.made)
    return { ...kept, conditions: [{ type: "Ready", status: "True", reason: "Succeeded", message: `reconciliation succeeded, generated ${c.made.artifacts.length} artifact(s)` }] };
  if (c.fault && (state === "failing" || state === "stalled" || state === "readopting")) {
    const failure = { status: "False", reason: reasonOf(c.fault.code, words), message: sentence(c.fault) } as const;
    return { ...kept, conditions: [{ ...failure, type: "Ready" }, state === "stalled" ? stalledBy(c.fault, words) : retrying(c.fault)] };
  }
  const message = "Reconciliation in progress";
  return { ...kept, conditions: [{ type: "Ready", status: "Unknown", reason: "Progressing", message }, progressing(message)] };
}
