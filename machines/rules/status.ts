/** The parts of a status that every kind words alike (flux.md 0.2). */
import { faults, sentence, type FaultData } from "#protocol/errors/fault.ts";
import type { Artifact } from "#protocol/messages/source.ts";

/** A condition without its times: the one who writes the status knows the clock and the generation. */
export type WantedCondition = { type: string; status: "True" | "False" | "Unknown"; reason: string; message: string };

/** Only what is given is written; `conditions`, when given, are all that the object has of ours. */
export type WantedStatus = {
  conditions?: WantedCondition[];
  observedGeneration?: number;
  handledAt: string;
  artifact?: Artifact;
  lastAttemptedRevision?: string;
  lastAppliedRevision?: string;
  inventory?: { id: string; v: string }[];
};

export const progressing = (message: string): WantedCondition => ({ type: "Reconciling", status: "True", reason: "Progressing", message });

export const retrying = (fault: FaultData): WantedCondition => ({ type: "Reconciling", status: "True", reason: "ProgressingWithRetry", message: sentence(fault) });

export const stalledBy = (fault: FaultData): WantedCondition => ({ type: "Stalled", status: "True", reason: faults[fault.code].reason, message: sentence(fault) });
