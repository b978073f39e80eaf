/** Asks those whom certificates name what became of them: over plain HTTP, because the answers are signed (RFC 6960, RFC 5280). */
import { request } from "undici";
import { readBounded } from "../../http/bounded.ts";
import { dispatcherFor } from "../../http/connections.ts";

export type Ask = { method: string; url: string; /** Base64. */ body?: string };
/** No status when nobody answered. */
export type Answered = Ask & { status: number; answer?: string; location?: string };

const timeoutMs = 5_000; // notation's own for lists; for one certificate it waits 2 s
const maxBytes = 8 * 2 ** 20;

/** Whatever goes wrong, the status stays unknown: what that means is the policy's affair. @throws the signal's reason */
export async function askStatus(ask: Ask, signal: AbortSignal): Promise<Answered> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const { method, url, body } = ask;
    if (new URL(url).protocol !== "http:" || (method !== "GET" && method !== "POST")) return { ...ask, status: 0 };
    const response = await request(url, {
      method, signal: until, dispatcher: dispatcherFor({ identity: "revocation" }, false),
      headers: { "user-agent": "flotilla", ...(body && { "content-type": "application/ocsp-request" }) },
      ...(body && { body: Buffer.from(body, "base64") }),
    });
    const { location } = response.headers;
    const answer = await readBounded(response.body, { shown: "status of a certificate", maxBytes, signal: until });
    return { ...ask, status: response.statusCode, answer: answer.toString("base64"), ...(typeof location === "string" && { location }) };
  } catch {
    signal.throwIfAborted();
    return { ...ask, status: 0 };
  }
}
