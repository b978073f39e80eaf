/**
 * `POST /hook/push`: a Git server says that somebody pushed. It only makes the sources look sooner; the interval would
 * find it too.
 */
import type { Handler } from "hono";
import { parseTraceparent } from "#protocol/trace/context.ts";
import { isOtherEvent, parsePush, type Push } from "./push.ts";
import { Refusal } from "./refusal.ts";
import { bringsProof, isProven } from "./secrets.ts";

export type WebhookPorts = {
  /** Shared with the Git servers; empty: the webhook is closed. */
  webhookToken: string;
  /** Hints the sources of these URLs; says how many there are. */
  onPush(push: Push): Promise<number> | number;
  onWebhook?(outcome: "accepted" | "refused" | "malformed"): void;
};

const mostBytes = 3 << 20; // Flux's receiver takes as much

export const webhookRoute =
  ({ webhookToken, onPush, onWebhook }: WebhookPorts): Handler =>
  async (c) => {
    const { headers } = c.req.raw;
    const refuse = () => {
      onWebhook?.("refused");
      return new Refusal(
        401,
        "Unauthorized",
        "sign the request with the webhook token, or send it as Authorization: Bearer",
      );
    };
    const malformed = (status: 400 | 413, message: string) => {
      onWebhook?.("malformed");
      return new Refusal(status, status === 413 ? "TooLarge" : "Malformed", message);
    };

    if (!bringsProof(headers)) throw refuse();
    const body = await readBounded(c.req.raw, mostBytes);
    if (!body) throw malformed(413, "the body is larger than 3 MiB");
    if (!isProven(headers, body, webhookToken)) throw refuse();

    const push = parsePush(new TextDecoder().decode(body), headers.get("content-type") ?? "");
    if (isOtherEvent(headers)) return c.json({ matched: 0 }); // also GitHub's ping, which names the repository
    if (!push) throw malformed(400, 'not a push: send the JSON of GitHub, GitLab, Gitea or Bitbucket, or {"url": ...}');
    const traceparent = headers.get("traceparent") ?? undefined;
    const matched = await onPush(parseTraceparent(traceparent) ? { ...push, traceparent: traceparent! } : push);
    onWebhook?.("accepted");
    return c.json({ matched }, 202);
  };

/** Undefined when there is more than `most`: the rest is not read. */
async function readBounded(request: Request, most: number): Promise<Uint8Array | undefined> {
  if (Number(request.headers.get("content-length") ?? 0) > most) return undefined;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > most) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
