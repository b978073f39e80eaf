/** What workers say and ask of each other over the bus. Nobody keeps it: what matters is said again until it shows. */
import * as z from "zod";

/** To the owner: I have read ahead, and wait. */
export const warm = z.object({ partition: z.number().int(), worker: z.string(), plan: z.string() });

/** To a worker: hand everything over, or go on taking. */
export const drain = z.object({ draining: z.boolean() });

/** To all: what do you host? In pages. */
export const actorsWanted = z.object({ page: z.number().int().nonnegative() });
