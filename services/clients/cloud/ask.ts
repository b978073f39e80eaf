/** One question to a cloud's own services, which give out credentials: nothing they answer is put into words. */
import { EnvHttpProxyAgent, request, type Dispatcher } from "undici";
import { Fault } from "#protocol/errors/fault.ts";
import { readBounded } from "../http/bounded.ts";
import { dispatcherFor } from "../http/connections.ts";
import { throwIfAborted } from "../http/failure.ts";
import type { Proxy } from "../http/proxy.ts";

export type Cloud = {
  /** How the worker itself was given an identity, and where services are, as the clouds' own libraries read it. */
  env: Readonly<Record<string, string | undefined>>;
  readFile(path: string): Promise<string>;
  nowMs(): number;
  signal: AbortSignal;
  /** What it is asked for: a repository, a cluster, a key. For messages. */
  shown: string;
  /** The way to services over https; those of the machine are asked directly. The environment's proxies when absent. */
  proxy?: Proxy;
  /** Where a service is asked in place of its own address: for tests. */
  reach?(url: string): string;
};

/** What was given, and for how long it serves from now on. */
export type Granted<T> = { value: T; livesMs: number };

export type Ask = { method?: "GET" | "POST" | "PUT"; url: string; headers?: Record<string, string>; body?: string };

const maxBytes = 256 * 1024;
const longestMs = 10_000; // metadata services that are not there do not answer at all
let byEnvironment: Dispatcher | undefined;

/** @throws Fault ProviderFailed unless it is a success; the signal's reason */
export async function ask({ signal, shown, proxy, reach }: Cloud, { method = "GET", url, headers = {}, body }: Ask): Promise<string> {
  const { host, protocol } = new URL(url);
  const within = AbortSignal.any([signal, AbortSignal.timeout(longestMs)]);
  const dispatcher = protocol !== "https:" ? undefined : proxy ? dispatcherFor({ identity: "cloud", proxy }, true) : (byEnvironment ??= new EnvHttpProxyAgent());
  try {
    const response = await request(reach?.(url) ?? url, { method, headers, signal: within, ...(body !== undefined && { body }), ...(dispatcher && { dispatcher }) });
    const text = await readBounded(response.body, { shown, maxBytes, signal: within });
    if (response.statusCode >= 200 && response.statusCode < 300) return text.toString();
    throw failed(shown, `${host} answered HTTP ${response.statusCode}`);
  } catch (error) {
    throwIfAborted(signal, shown);
    if (error instanceof Fault && error.code === "ProviderFailed") throw error;
    throw failed(shown, `${host} gave no answer`);
  }
}

export const failed = (shown: string, detail: string): Fault => new Fault("ProviderFailed", shown, { detail });

export const form = (fields: Record<string, string>) => ({
  method: "POST" as const,
  headers: { "content-type": "application/x-www-form-urlencoded" },
  body: new URLSearchParams(fields).toString(),
});

/** What stands in an answer under this path; undefined: nothing, or it is no JSON. */
export function valueIn(answer: string, ...path: (string | number)[]): unknown {
  let value: unknown;
  try {
    value = JSON.parse(answer);
  } catch {
    return undefined;
  }
  for (const step of path) value = typeof value === "object" && value !== null ? (value as Record<string | number, unknown>)[step] : undefined;
  return value;
}

/** A text in an answer. @throws Fault ProviderFailed when it is not there */
export function textIn({ shown }: Pick<Cloud, "shown">, answer: string, ...path: (string | number)[]): string {
  const value = valueIn(answer, ...path);
  if (typeof value === "string" && value !== "") return value;
  throw failed(shown, `the answer holds no ${path.join(".")}`);
}

/** A token in an answer, which has to fit into a header. @throws Fault ProviderFailed */
export function tokenIn(cloud: Pick<Cloud, "shown">, answer: string, ...path: string[]): string {
  const token = textIn(cloud, answer, ...path);
  if (!/^[\x21-\x7e]+$/.test(token)) throw failed(cloud.shown, `${path.join(".")} of the answer is no token`);
  return token;
}

/** Seconds, which some services write as a text; nothing said is no time at all. */
export const livesMsIn = (answer: string, name: string): number => Math.max(0, Number(valueIn(answer, name)) || 0) * 1000;

/** A file that the environment names. @throws Fault ProviderFailed */
export const fileOf = (cloud: Cloud, variable: string): Promise<string> =>
  cloud.readFile(cloud.env[variable] ?? "").then((text) => text.trim(), () => { throw failed(cloud.shown, `the file that ${variable} names cannot be read`); });
