/** What a watch tells an actor about its own object: the facts its chart decides on, and no secret. */
import * as z from "zod";
import type { FaultData } from "#protocol/errors/fault.ts";
import { readFault } from "#protocol/errors/fault.ts";

const fault = z.unknown().transform((value): FaultData => readFault(value));

const common = {
  uid: z.string(),
  generation: z.number(),
  /** `metadata.deletionTimestamp` is set. */
  deleting: z.boolean(),
  /** Our finalizer stands on the object. */
  finalizer: z.boolean(),
  suspended: z.boolean(),
  /** Annotation `reconcile.fluxcd.io/requestedAt`; empty when there is none. Opaque: only a change counts. */
  requestedAt: z.string(),
  /** What the status says was handled last: a worker without a record of its own goes on from there. */
  handledAt: z.string(),
  /** What is wrong with the object itself; then nothing else here was read from it. */
  invalid: fault.optional(),
  /** Fields the object uses and this release does not act on yet. */
  notYet: z.array(z.string()),
  intervalMs: z.number(),
  timeoutMs: z.number(),
};

export const sourceFacts = z.object(common);
export type SourceFacts = z.infer<typeof sourceFacts>;

export const kustomizationFacts = z.object({
  ...common,
  retryMs: z.number(),
  /** Actor id of the source: `gitrepository/apps/podinfo`. */
  source: z.string(),
  prune: z.boolean(),
  /** Whether the unit waits for health before it is Ready. */
  health: z.boolean(),
  deletion: z.enum(["Delete", "Orphan", "WaitForTermination"]),
});
export type KustomizationFacts = z.infer<typeof kustomizationFacts>;

export type ObjectFacts = SourceFacts | KustomizationFacts;
