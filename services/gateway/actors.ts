/** `/api/v1/actors`: every actor of the cell, whichever worker has it, and what it is doing. */
import type { Hono } from "hono";

export type ActorView = {
  /** `kustomization/apps/podinfo` */
  id: string;
  /** State of its chart: `settled`, `applying`, … */
  state: string;
  revision?: string;
  /** When it entered the state, RFC 3339. */
  since?: string;
  /** Where its latest change can be followed. */
  traceId?: string;
  /** Who hosts it. */
  worker?: string;
};

export function actorRoutes(app: Hono, actors: () => Promise<ActorView[]>): void {
  app.get("/api/v1/actors", async (c) => {
    const views = await actors();
    return c.json({ actors: views.toSorted((a, b) => (a.id < b.id ? -1 : 1)) });
  });
}
