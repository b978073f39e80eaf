/**
 * Whether what NATS acknowledges survives a loss of power: JetStream's `sync_interval` is two minutes unless it was told
 * otherwise, and an owner record lost with the power means two owners (ownership.md 2.4). No client may ask for it;
 * the server's monitoring endpoint tells it.
 */
import type { NatsConnection } from "nats";
import * as z from "zod";

export type Durability = { is: "ok" | "unknown" | "unsafe"; sentence: string };

const timeoutMs = 2_000;
const largestBytes = 1 << 20;
const nanosPerSecond = 1e9;

const varz = z.object({
  server_id: z.string(),
  server_name: z.string().default(""),
  cluster: z.object({ name: z.string().optional() }).default({}),
  jetstream: z.object({ config: z.object({ sync_always: z.boolean().default(false), sync_interval: z.number().default(0) }).optional() }).optional(),
});

/** @param monitorUrl of each server, with commas between: `http://host:8222`; what one server does says nothing of the others */
export async function checkDurability(connection: NatsConnection, monitorUrl?: string): Promise<Durability> {
  const urls = (monitorUrl ?? "").split(",").map((url) => url.trim()).filter((url) => url !== "");
  if (urls.length === 0) return unknown("nobody was told where NATS is monitored");
  const found = await Promise.all(urls.map((url) => checkServer(connection, url)));
  return found.find(({ is }) => is === "unsafe") ?? found.find(({ is }) => is === "unknown") ?? (found[0] as Durability);
}

async function checkServer({ info }: NatsConnection, url: string): Promise<Durability> {
  const server = varz.safeParse(await read(url)).data;
  if (!server) return unknown(`${shown(url)} gives no answer of a NATS server's monitoring`);
  const isOurs = server.server_id === info?.server_id || (info?.cluster !== undefined && info.cluster === server.cluster.name);
  if (!isOurs) return unknown(`${shown(url)} monitors another NATS than the one in use`);
  const { config } = server.jetstream ?? {};
  if (!config) return unknown(`${server.server_name} keeps nothing itself`);
  if (config.sync_always) return { is: "ok", sentence: `${server.server_name} writes to disk before it acknowledges` };
  const sentence =
    `${server.server_name} acknowledges up to ${config.sync_interval / nanosPerSecond} s before it writes to disk: a loss of power may lose ` +
    "what was acknowledged, and with it who owns what. Set jetstream { sync_interval: always }";
  return { is: "unsafe", sentence };
}

const unknown = (why: string): Durability =>
  ({ is: "unknown", sentence: `${why}; make sure that it runs with jetstream { sync_interval: always }` });

/** Undefined for whatever is no answer. */
async function read(url: string): Promise<unknown> {
  try {
    const response = await fetch(new URL("/varz", url), { signal: AbortSignal.timeout(timeoutMs), redirect: "error" });
    const text = response.ok ? await start(response) : "";
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function start(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    if ((bytes += chunk.byteLength) > largestBytes) break;
  }
  return Buffer.concat(chunks).toString();
}

/** Without a password. */
const shown = (url: string): string => (URL.canParse(url) ? new URL(url).origin : "the address of NATS's monitoring");
