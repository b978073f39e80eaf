/** Google Cloud Storage (JSON API: objects.list, objects.get), asked with the key of a service account or as the worker. */
import { createSign } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import type { SecretData } from "#services/clients/registry/credentials.ts";
import { digestOf } from "#services/clients/cloud/account.ts";
import { failed, livesMsIn, valueIn, type Granted } from "#services/clients/cloud/ask.ts";
import { Kept } from "#services/clients/cloud/kept.ts";
import { ask, type Answer, type Asking } from "#services/clients/http/ask.ts";
import { encoded } from "#services/clients/s3/client.ts";
import type { InCloud } from "./bucket.ts";
import type { ObjectStore, Page } from "./object-store.ts";
import { requireSafe } from "./own-hosts.ts";
import { bucketMissing, refusal } from "./refusal.ts";

export type GcsOptions = Asking & { bucket: string; secret: SecretData | undefined; inCloud: InCloud };

const pageBytes = 16 * 2 ** 20;
const answerBytes = 256 * 1024;
const scope = "https://www.googleapis.com/auth/devstorage.read_only";
const lifetimeS = 3_600;
const tokens = new Kept<string>(1_000);

export function gcsStore({ bucket, secret, peer, shown, inCloud }: GcsOptions): ObjectStore {
  // As Google's own libraries: an emulator is the operator's choice.
  const api = `${inCloud.env["STORAGE_EMULATOR_HOST"]?.replace(/\/$/, "") || "https://storage.googleapis.com"}/storage/v1/b/${encoded(bucket)}/o`;
  const send = async (url: string, maxBytes: number, signal: AbortSignal): Promise<Answer> => {
    const token = secret ? await accountToken(secret, { peer, shown }, inCloud) : await ownToken(inCloud);
    return ask({ url, headers: { authorization: `Bearer ${token}` } }, { peer, shown }, maxBytes, signal);
  };
  const refused = (answer: Answer) => refusal(answer, shown, "", bucketMissing(shown));

  return {
    shown,

    async list(prefix, after, signal) {
      const query = new URLSearchParams({ maxResults: "1000", fields: "nextPageToken,items(name,etag,size,generation,updated)", ...(prefix && { prefix }), ...(after && { pageToken: after }) });
      const answer = await send(`${api}?${query}`, pageBytes, signal);
      if (answer.status !== 200) throw refused(answer);
      return readPage(answer.body, shown);
    },

    async read({ key, etag, version }, maxBytes, signal) {
      const query = new URLSearchParams({ alt: "media", ...(version !== undefined && { ifGenerationMatch: version }) });
      const answer = await send(`${api}/${encoded(key)}?${query}`, maxBytes, signal);
      if (answer.status === 412 || answer.status === 404) return undefined;
      if (answer.status !== 200) throw refused(answer);
      return { bytes: answer.body, etag: etag ?? "" }; // a generation never changes
    },
  };
}

function readPage(body: Buffer, shown: string): Page {
  const failed = () => new Fault("UpstreamUnreachable", shown, { detail: "the listing cannot be read" });
  let answer: { items?: unknown; nextPageToken?: unknown };
  try {
    answer = JSON.parse(body.toString()) as typeof answer;
  } catch {
    throw failed();
  }
  const { items = [], nextPageToken } = answer ?? {};
  if (!Array.isArray(items)) throw failed();
  const objects = items.map((item: Record<string, unknown>) => {
    const { name, etag, size, generation, updated } = item ?? {};
    if (typeof name !== "string" || typeof etag !== "string" || typeof generation !== "string") throw failed();
    return { key: name, etag, sizeBytes: Number(size), changedAtMs: Date.parse(String(updated)), version: generation };
  });
  return { objects, ...(typeof nextPageToken === "string" && nextPageToken && { next: nextPageToken }) };
}

async function ownToken({ identity, asking }: InCloud): Promise<string> {
  if (!identity) throw failed(asking.shown, "there are no identities in clouds here");
  return (await identity.gcp(asking)).value;
}

/** Google's OAuth for accounts: a statement that the key has signed, or a user's refresh token, for a token. */
async function accountToken(secret: SecretData, { peer, shown }: Asking, { asking, nowMs }: InCloud): Promise<string> {
  const refused = (detail: string) => new Fault("AuthenticationFailed", shown, { detail });
  const text = Buffer.from(secret["serviceaccount"] ?? []).toString();
  let account: unknown;
  try {
    account = JSON.parse(text);
  } catch {
    // told below
  }
  const field = (key: string) => { const value = (account as Record<string, unknown> | null)?.[key]; return typeof value === "string" ? value : ""; };
  const type = field("type");
  // Others name files and programs.
  if (type !== "service_account" && type !== "authorized_user") throw refused("serviceaccount of the Secret is neither the JSON key of a service account nor an authorized user");
  const url = requireSafe(field("token_uri") || "https://oauth2.googleapis.com/token", shown, "token_uri");
  const fieldsNow = (): Record<string, string> => {
    if (type === "authorized_user") return { grant_type: "refresh_token", client_id: field("client_id"), client_secret: field("client_secret"), refresh_token: field("refresh_token") };
    const assertion = signedStatement(field("private_key"), field("private_key_id"), { iss: field("client_email"), scope, aud: url }, nowMs());
    if (!assertion) throw refused("private_key in serviceaccount of the Secret is not a private key");
    return { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion };
  };
  const { value } = await tokens.get(digestOf(text, peer.identity), asking, async (signal) => {
    const about = `${shown}: ${new URL(url).host}`;
    const body = new URLSearchParams(fieldsNow()).toString();
    const answer = await ask({ method: "POST", url, headers: { "content-type": "application/x-www-form-urlencoded" }, body }, { peer, shown: about }, answerBytes, signal);
    const granted = answer.status === 200 ? tokenIn(answer.body) : undefined;
    if (!granted) throw new Fault("AuthenticationFailed", about, { detail: `HTTP ${answer.status}: no token for the account` });
    return granted;
  });
  return value;
}

/** Of OAuth. */
export function tokenIn(body: Buffer): Granted<string> | undefined {
  const token = valueIn(body.toString(), "access_token");
  return typeof token === "string" && token !== "" ? { value: token, livesMs: livesMsIn(body.toString(), "expires_in") } : undefined;
}

/** A JSON Web Token by RSA and SHA-256. Undefined when the key is none. */
export function signedStatement(key: string, keyId: string, claims: Record<string, string>, nowMs: number, header: Record<string, unknown> = {}): string | undefined {
  const issuedS = Math.floor(nowMs / 1000);
  const parts = [{ alg: "RS256", typ: "JWT", ...(keyId && { kid: keyId }), ...header }, { ...claims, iat: issuedS, exp: issuedS + lifetimeS }];
  const statement = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  try {
    return `${statement}.${createSign("RSA-SHA256").update(statement).sign(key, "base64url")}`;
  } catch {
    return undefined;
  }
}
