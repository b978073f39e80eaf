/** `/api/v1/traces`: which traces there are, and the spans of one. */
import type { Hono } from "hono";
import { isCommitPrefix } from "#protocol/trace/subject.ts";
import type { TraceStore } from "#services/telemetry/trace-store.ts";
import { Refusal } from "./refusal.ts";

export function traceRoutes(app: Hono, traces: TraceStore): void {
  app.get("/api/v1/traces", async (c) => {
    const { commit, unit } = c.req.query();
    if (commit !== undefined && unit !== undefined)
      throw new Refusal(400, "Malformed", "ask by commit or by unit, not by both");
    if (commit !== undefined) return c.json({ traces: await byCommit(traces, commit) });
    if (unit !== undefined) return c.json({ traces: await byUnit(traces, unit) });
    return c.json({ traces: await traces.recent() });
  });

  app.get("/api/v1/traces/:id", async (c) => {
    const spans = await traces.read(c.req.param("id").toLowerCase());
    if (spans.length === 0) throw new Refusal(404, "NotFound", "no such trace; traces are kept for a week");
    return c.json({ traceId: spans[0]!.traceId, spans });
  });
}

function byCommit(traces: TraceStore, given: string) {
  const commit = given.toLowerCase();
  if (!isCommitPrefix(commit)) throw new Refusal(400, "Malformed", "commit: 4 to 64 hexadecimal digits");
  return traces.byCommit(commit);
}

async function byUnit(traces: TraceStore, unit: string) {
  try {
    return await traces.byUnit(unit);
  } catch (error) {
    if (error instanceof RangeError)
      throw new Refusal(400, "Malformed", "unit: kind/namespace/name, as in kustomization/apps/podinfo");
    throw error;
  }
}
