/** What workers say and ask of each other over the bus, and show to operators. Nobody keeps it: what matters is said again until it shows. */
import * as z from "zod";

/** To the owner: I have read ahead, and wait. */
export const warm = z.object({ partition: z.number().int(), worker: z.string(), plan: z.string() });

/** To a worker: hand everything over, or go on taking. */
export const drain = z.object({ draining: z.boolean() });

/** To all: what do you host? In pages. */
export const actorsWanted = z.object({ page: z.number().int().nonnegative() });

/** One worker, as operators see it. */
export const workerView = z.object({
  name: z.string(),
  /** `silent`: its heartbeat is overdue; it will be held for dead. */
  state: z.enum(["ready", "draining", "silent"]),
  partitions: z.number(),
  actors: z.number(),
  /** Milliseconds of work per minute, measured. */
  loadMsPerMinute: z.number(),
  /** Age of its last heartbeat. */
  leaseAgeMs: z.number(),
  /** Whether it places the partitions. */
  coordinator: z.boolean(),
  /** How much it can carry, beside the others. */
  capacity: z.number(),
  /** The key of the shard it is there for; empty: for everything that has none. */
  shard: z.string().default(""),
});
export type WorkerView = z.infer<typeof workerView>;

/** One actor, as operators see it. */
export const actorView = z.object({
  /** `kustomization/apps/podinfo` */
  id: z.string(),
  /** State of its chart: `settled`, `applying`, … */
  state: z.string(),
  revision: z.string().optional(),
  /** When it entered the state, RFC 3339. */
  since: z.string().optional(),
  /** Where its latest change can be followed. */
  traceId: z.string().optional(),
  /** Who hosts it. */
  worker: z.string(),
});
export type ActorView = z.infer<typeof actorView>;

/** The answer to `actorsWanted`. */
export const actorsHosted = z.object({ actors: z.array(actorView), more: z.boolean().default(false) });
