/** The gateway's API, as the commands use it. */
import * as z from "zod";
import { workerView, type WorkerView } from "#protocol/messages/fleet.ts";
import { storedSpan, traceEntry, type StoredSpan, type TraceEntry } from "#protocol/trace/span.ts";
import { findEndpoint } from "./endpoint.ts";
import { Failure } from "./failure.ts";
import type { Env, ServerOptions } from "./shell.ts";

export type Api = {
  tracesOfCommit(commit: string): Promise<TraceEntry[]>;
  tracesOfUnit(unit: string): Promise<TraceEntry[]>;
  recentTraces(): Promise<TraceEntry[]>;
  /** Empty when there is no such trace. */
  spans(traceId: string): Promise<StoredSpan[]>;
  workers(): Promise<WorkerView[]>;
  /** Asks a worker to hand everything over, or to take part again. */
  drain(name: string, on: boolean): Promise<void>;
};

const traces = z.object({ traces: z.array(traceEntry) });
const trace = z.object({ spans: z.array(storedSpan) });
const workers = z.object({ workers: z.array(workerView) });
const asked = z.object({ draining: z.boolean() });
const refusal = z.object({ error: z.object({ message: z.string() }) });

const timeoutMs = 15_000;

export async function openApi(options: ServerOptions, env: Env): Promise<Api> {
  const { url, token } = await findEndpoint(options, env);
  const base = url.replace(/\/+$/, "");

  const ask = async (path: string, sent?: object): Promise<{ status: number; body: unknown }> => {
    let answer: Response;
    try {
      answer = await fetch(base + path, {
        headers: { authorization: `Bearer ${token}`, accept: "application/json" },
        ...(sent && { method: "POST", body: JSON.stringify(sent) }),
        redirect: "error", // the token is meant for this address only
        signal: AbortSignal.timeout(timeoutMs),
      });
    } catch (cause) {
      throw new Failure(`no answer from Flotilla at ${base}: is "flotilla up" running there?`, { cause });
    }
    const body: unknown = await answer.json().catch(() => undefined);
    if (answer.status === 401)
      throw new Failure(`${base} refused the token: set FLOTILLA_TOKEN to the one in its endpoint.json`);
    return { status: answer.status, body };
  };
  const expect = async <T>(path: string, shape: z.ZodType<T>, sent?: object): Promise<T> => {
    const { status, body } = await ask(path, sent);
    if (status !== (sent ? 202 : 200)) throw new Failure(refusal.safeParse(body).data?.error.message ?? `${base} answered ${status}`);
    const read = shape.safeParse(body);
    if (!read.success) throw new Failure(`${base} did not answer as Flotilla does: check the address`);
    return read.data;
  };

  return {
    tracesOfCommit: async (commit) =>
      (await expect(`/api/v1/traces?commit=${encodeURIComponent(commit)}`, traces)).traces,
    tracesOfUnit: async (unit) => (await expect(`/api/v1/traces?unit=${encodeURIComponent(unit)}`, traces)).traces,
    recentTraces: async () => (await expect("/api/v1/traces", traces)).traces,
    spans: async (traceId) => (await expect(`/api/v1/traces/${encodeURIComponent(traceId)}`, trace)).spans,
    workers: async () => (await expect("/api/v1/workers", workers)).workers,
    drain: async (name, on) => void (await expect(`/api/v1/workers/${encodeURIComponent(name)}/drain`, asked, { draining: on })),
  };
}
