/** One request to a key service. What it answers may be a data key, or an echo of what was sent: neither is put into words. */
import { Buffer } from "node:buffer";
import type { EnvHttpProxyAgent } from "undici";
import { KeyError } from "./key-kind.ts";

export type KeyRequest = { method?: "POST" | "GET"; url: string; headers: Record<string, string>; body: string };
export type KeyAnswer = { status: number; text: string };
export type Send = (request: KeyRequest, signal: AbortSignal) => Promise<KeyAnswer>;

const timeoutMs = 20_000;
const longestBytes = 64 * 1024;
let proxies: EnvHttpProxyAgent | undefined;

/** By the proxies of the environment; a redirect is an answer like any other. @throws KeyError when there is no answer */
export const send: Send = async ({ method = "POST", url, headers, body }, signal) => {
  const { EnvHttpProxyAgent, request } = await import("undici"); // few files need a service
  proxies ??= new EnvHttpProxyAgent();
  const within = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const answer = await request(url, { method, headers, body, signal: within, dispatcher: proxies });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > longestBytes) throw new KeyError(`${hostOf(url)} answers more than a key service does`);
      chunks.push(chunk);
    }
    return { status: answer.statusCode, text: Buffer.concat(chunks).toString() };
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof KeyError) throw thrown;
    const { code, name } = thrown as { code?: unknown; name?: unknown };
    throw new KeyError(name === "TimeoutError" ? `${hostOf(url)} gave no answer in ${timeoutMs / 1000} s` : `${hostOf(url)} cannot be reached${wordOf(code)}`);
  }
};

/** The answer as JSON. @param codes where the service says in a word what is wrong. @throws KeyError unless it is a success */
export function answered(url: string, { status, text }: KeyAnswer, ...codes: string[][]): Record<string, unknown> {
  const body = parsed(text);
  if (status >= 200 && status < 300 && body) return body;
  const word = codes.map((path) => path.reduce<unknown>((value, name) => record(value)?.[name], body)).find((code) => typeof code === "string" && code !== "");
  throw new KeyError(`${hostOf(url)} answered ${status}${wordOf(typeof word === "string" ? word.slice(word.indexOf("#") + 1) : undefined)}`);
}

/** A data key in an answer. @throws KeyError */
export function keyIn(url: string, value: unknown, encoding: "base64" | "base64url" = "base64"): Buffer {
  if (typeof value !== "string" || value === "") throw new KeyError(`${hostOf(url)} answered without a key`);
  return Buffer.from(value, encoding);
}

/** @throws KeyError unless it is an address of this kind that names no user */
export function addressOf(text: string, protocols: readonly string[]): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !protocols.includes(url.protocol) || url.username || url.password) throw new KeyError("its address is not one of a key service");
  return url;
}

const hostOf = (url: string): string => new URL(url).host;

/** Nothing but a word: a sentence might quote. */
const wordOf = (code: unknown): string => (typeof code === "string" && /^[\w.:-]{1,60}$/.test(code) ? ` (${code})` : "");

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return record(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const record = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
