/** The parts of a status that every kind words alike (flux.md 0.2). */
import { reasonOf, type SourceWords } from "#protocol/api/kind.ts";
import { sentence, type FaultData } from "#protocol/errors/fault.ts";
import type { Snapshot } from "#protocol/messages/kustomization.ts";
import type { Artifact } from "#protocol/messages/source.ts";

/** A condition without its times: the one who writes the status knows the clock and the generation. */
export type WantedCondition = { type: string; status: "True" | "False" | "Unknown"; reason: string; message: string };

/** Only what is given is written; `conditions`, when given, are all that the object has of ours. */
export type WantedStatus = {
  conditions?: WantedCondition[];
  observedGeneration?: number;
  handledAt: string;
  artifact?: Artifact;
  /** Artifacts of others that are a part of it: `status.includedArtifacts`; none: the field goes. */
  included?: Artifact[];
  /** Storage path under which the newest artifact can always be had: `status.url`. */
  latest?: string;
  /** Fields that say what of the spec the artifact was made with; null for what the object must not say. */
  observed?: Record<string, unknown>;
  lastAttemptedRevision?: string;
  lastAppliedRevision?: string;
  lastAppliedOriginRevision?: string;
  inventory?: { id: string; v: string }[];
  history?: Snapshot[];
  /** Nothing was done for it: whatever others have to say goes first. */
  background?: boolean;
};

export const progressing = (message: string): WantedCondition => ({ type: "Reconciling", status: "True", reason: "Progressing", message });

export const retrying = (fault: FaultData): WantedCondition => ({ type: "Reconciling", status: "True", reason: "ProgressingWithRetry", message: sentence(fault) });

export const stalledBy = (fault: FaultData, words?: Pick<SourceWords, "reasons">): WantedCondition => ({ type: "Stalled", status: "True", reason: reasonOf(fault.code, words), message: sentence(fault) });
