/** What is kept of an actor between two decisions: enough to go on after a crash, on any worker. */
import * as z from "zod";

const event = z.looseObject({ type: z.string() });

const timer = z.object({ id: z.string(), dueMs: z.number(), event });
const run = z.object({ id: z.string(), src: z.string(), input: z.unknown(), attempt: z.number(), sinceMs: z.number() });

/** The newest version this worker reads. */
export const recordVersion = 2;

/** Version 2: a large record of version 1, deflated and in base64 (services/store/packed.ts). */
export const packedRecord = z.object({ v: z.literal(2), packed: z.string() });

/** Version 1. A later version adds its schema and an upgrade from this one. */
const version1 = z.object({
  v: z.literal(1),
  /** Which chart decides: `source`, `kustomization`, `cluster`. */
  machine: z.string(),
  /** XState's own persisted snapshot. */
  snapshot: z.looseObject({ status: z.string(), context: z.looseObject({}) }),
  /** Every pending `after`. */
  timers: z.array(timer),
  /** Every pending `invoke`. Inputs are keys and digests, never specs or secrets. */
  runs: z.array(run),
  /** The attempt number given out last. */
  attempts: z.number(),
  /** Emitted and not yet published outside (Kubernetes events); hints leave with the record, in one batch. */
  outbox: z.array(event),
  /** Last mailbox sequence taken, per kind of hint. */
  seen: z.record(z.string(), z.number()),
  /** When the actor last went from idle to busy; absent while idle. */
  busySinceMs: z.number().optional(),
});

export type ActorRecord = z.infer<typeof version1>;
export type Timer = ActorRecord["timers"][number];
export type Run = ActorRecord["runs"][number];

/** @throws ZodError when the bytes are not a record of a version this worker knows */
export const parseActorRecord = (value: unknown): ActorRecord => version1.parse(value);
