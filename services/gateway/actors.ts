/** `/api/v1/actors`: every actor of the cell, whichever worker has it, and what it is doing. */
import type { Hono } from "hono";
import type { ActorView } from "#protocol/messages/fleet.ts";

export function actorRoutes(app: Hono, actors: () => Promise<ActorView[]>): void {
  app.get("/api/v1/actors", async (c) => {
    const views = await actors();
    return c.json({ actors: views.toSorted((a, b) => (a.id < b.id ? -1 : 1)) });
  });
}
