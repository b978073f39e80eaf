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
  intervalMs: z.number(),
  timeoutMs: z.number(),
};

export const sourceFacts = z.object({
  ...common,
  /** Actor ids of the sources it is made from. Absent: it is made from nothing but its upstream. */
  madeFrom: z.array(z.string()).optional(),
  /** It only says where something is: nothing is done for it. Absent: it is a source like any other. */
  static: z.boolean().optional(),
  /** Somebody else's object: it is only read. */
  foreign: z.boolean().optional(),
  /** What somebody else says that its artifact is: another text whenever that is another one. */
  offered: z.string().optional(),
});
export type SourceFacts = z.infer<typeof sourceFacts>;

export const kustomizationFacts = z.object({
  ...common,
  retryMs: z.number(),
  /** Actor id of the source: `gitrepository/apps/podinfo`. */
  source: z.string(),
  /** Ids of what it depends on, in the order of the spec. Absent: nothing. */
  dependsOn: z.array(z.string()).optional(),
  /** Another one whenever a ConfigMap or Secret that it refers to, and that asks to be watched, is another version. */
  inputs: z.string().optional(),
  /** Annotation `flotilla.dev/drift-detection` in lower case. Absent: it says `enabled`, or nothing. */
  drift: z.string().optional(),
  prune: z.boolean(),
  /** Whether the unit waits for health before it is Ready. */
  health: z.boolean(),
  deletion: z.enum(["Delete", "Orphan", "WaitForTermination"]),
});
export type KustomizationFacts = z.infer<typeof kustomizationFacts>;

/** What a failure of an install or an upgrade leads to. */
const onFailure = z.object({
  /** -1: without end. */
  retries: z.number(),
  ignoreTestFailures: z.boolean(),
  remediateLast: z.boolean(),
  /** `RetryOnFailure`: how soon it is tried again, without remediation and without end. Absent: it is remediated. */
  retryMs: z.number().optional(),
});

export const releaseFacts = z.object({
  ...common,
  /** Actor id of what the chart is read from: `ocirepository/apps/shop`, or the HelmChart that stands for `spec.chart`. */
  source: z.string(),
  /** Actor ids of the sources that files of its values are read from. Absent: none are. */
  madeFrom: z.array(z.string()).optional(),
  dependsOn: z.array(z.string()).optional(),
  inputs: z.string().optional(),
  /** Where the release is to lie. */
  place: z.object({ name: z.string(), namespace: z.string(), storageNamespace: z.string() }),
  /** Annotations `forceAt` and `resetAt`, when there are any. */
  forceAt: z.string().optional(),
  resetAt: z.string().optional(),
  drift: z.enum(["enabled", "warn", "disabled"]),
  install: onFailure,
  upgrade: onFailure.extend({ strategy: z.enum(["rollback", "uninstall"]), reinstalls: z.boolean() }),
  test: z.object({ enabled: z.boolean(), ignoreFailures: z.boolean() }),
  /** Of each action, in milliseconds. */
  timeouts: z.object({ install: z.number(), upgrade: z.number(), rollback: z.number(), uninstall: z.number(), test: z.number() }),
});
export type ReleaseFacts = z.infer<typeof releaseFacts>;
export type OnFailure = z.infer<typeof onFailure>;

export type ObjectFacts = SourceFacts | KustomizationFacts | ReleaseFacts;
