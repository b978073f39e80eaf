/** `/api/v1/workers`: who shares the work, and asking one of them to hand its part over. */
import type { Hono } from "hono";
import * as z from "zod";
import type { WorkerView } from "#protocol/messages/fleet.ts";
import { Refusal } from "./refusal.ts";

export type WorkerPorts = {
  /** Every worker of the cell. */
  workers(): Promise<WorkerView[]>;
  /** Asks a worker to hand everything over, or to take part again. Resolves when it was told, not when it is done. */
  drain(name: string, on: boolean): Promise<void>;
};

const wish = z.object({ draining: z.boolean() });
const mostBytes = 1_024;

export function workerRoutes(app: Hono, { workers, drain }: WorkerPorts): void {
  app.get("/api/v1/workers", async (c) => c.json({ workers: (await workers()).toSorted((a, b) => (a.name < b.name ? -1 : 1)) }));

  app.post("/api/v1/workers/:name/drain", async (c) => {
    const draining = wishIn(await readText(c.req.raw));
    const name = c.req.param("name");
    const known = await workers();
    if (!known.some((worker) => worker.name === name)) throw new Refusal(404, "NotFound", "no such worker; GET /api/v1/workers names them");
    await drain(name, draining);
    return c.json({ name, draining }, 202);
  });
}

async function readText(request: Request): Promise<string> {
  if (Number(request.headers.get("content-length") ?? NaN) <= mostBytes) return request.text();
  throw malformed();
}

function wishIn(text: string): boolean {
  try {
    return wish.parse(JSON.parse(text)).draining;
  } catch {
    throw malformed();
  }
}

const malformed = () => new Refusal(400, "Malformed", 'send {"draining": true} or {"draining": false}');
