/**
 * `provider: github`: the token of a GitHub App's installation in place of a password. It is minted with the App's key, and
 * minted anew before it ends (flux.md 2.1, 3; fluxcd/pkg auth/githubapp).
 */
import { createHash, createPrivateKey, sign, type KeyObject } from "node:crypto";
import { LRUCache } from "lru-cache";
import { request, type Dispatcher } from "undici";
import { Fault } from "#protocol/errors/fault.ts";
import { dispatcherFor } from "#services/clients/http/connections.ts";
import { explain, throwIfAborted } from "#services/clients/http/failure.ts";
import { parseAddress } from "./address.ts";
import { remoteFrom, type Access } from "./transport.ts";

type SecretData = Record<string, Uint8Array>;

type App = { id: string; installation: { id: string } | { owner: string }; key: KeyObject; api: URL };

const publicApi = "https://api.github.com";
const userName = "x-access-token";
/** A token lives for an hour; one that is about to end is not used for a fetch that begins now. */
const reserveMs = 5 * 60_000;
const longestAnswer = 256 * 1024;

export const isAppSecret = (secret: SecretData | undefined): boolean => Boolean(secret?.["githubAppID"]?.length);

type Token = { token: string; expiresAtMs: number };

export class GithubApps {
  private readonly tokens = new LRUCache<string, Promise<Token>>({ max: 1_000 });
  private readonly nowMs: () => number;

  constructor(nowMs: () => number = Date.now) {
    this.nowMs = nowMs;
  }

  /** The same repository, with a user and a token for it. @throws Fault ProviderInvalid, AuthenticationFailed, UpstreamUnreachable */
  async open(access: Access, signal: AbortSignal): Promise<Access> {
    const { secret = {} } = access;
    const { base, shown } = parseAddress(access.url);
    if (base.protocol === "ssh:") throw new Fault("ProviderInvalid", shown, { detail: "a GitHub App reads over https:// only" });
    const app = readApp(secret, shown);
    const tls = Object.fromEntries(["ca.crt", "tls.crt", "tls.key"].flatMap((key) => (secret[key] ? [[key, secret[key]]] : [])));
    const name = createHash("sha256").update(JSON.stringify([app.id, app.installation, app.api, app.key.export({ type: "pkcs8", format: "pem" }), tls, access.proxySecret])).digest("hex");
    const kept = await this.tokens.get(name)?.catch(() => undefined);
    const isFresh = kept && kept.expiresAtMs - reserveMs > this.nowMs();
    const { token } = isFresh ? kept : await this.mint(name, app, { ...access, url: String(app.api), secret: tls }, shown, signal);
    return { ...access, secret: { ...tls, username: Buffer.from(userName), password: Buffer.from(token) } };
  }

  private async mint(name: string, app: App, access: Access, shown: string, signal: AbortSignal): Promise<Token> {
    const minting = this.ask(app, access, shown, signal);
    this.tokens.set(name, minting);
    return minting.catch((error: unknown) => {
      if (this.tokens.get(name) === minting) this.tokens.delete(name);
      throw error;
    });
  }

  private async ask(app: App, access: Access, shown: string, signal: AbortSignal): Promise<Token> {
    const api = new Api(app, access, shown, signal, jwtOf(app, this.nowMs()));
    const id = "id" in app.installation ? app.installation.id : await api.installationOf(app.installation.owner);
    const { token, expires_at: expiresAt } = await api.call("POST", `app/installations/${id}/access_tokens`);
    const expiresAtMs = Date.parse(String(expiresAt));
    if (typeof token !== "string" || !/^[\x21-\x7e]{1,4096}$/.test(token) || Number.isNaN(expiresAtMs))
      throw new Fault("AuthenticationFailed", shown, { detail: "GitHub's API gave no token" });
    return { token, expiresAtMs };
  }
}

/** @throws Fault ProviderInvalid */
function readApp(secret: SecretData, shown: string): App {
  const text = (key: string) => Buffer.from(secret[key] ?? []).toString().trim();
  const refused = (detail: string) => new Fault("ProviderInvalid", shown, { detail });
  const [id, installation, owner, pem, base] = ["githubAppID", "githubAppInstallationID", "githubAppInstallationOwner", "githubAppPrivateKey", "githubAppBaseURL"].map(text) as [string, string, string, string, string];
  if (!/^[1-9]\d{0,18}$/.test(id)) throw refused("provider github needs a Secret, and githubAppID in it, a number");
  if ((installation === "") === (owner === "")) throw refused("exactly one of githubAppInstallationID and githubAppInstallationOwner is needed");
  if (installation !== "" && !/^[1-9]\d{0,18}$/.test(installation)) throw refused("githubAppInstallationID is not a number");
  const api = `${(base || publicApi).replace(/\/+$/, "")}/`;
  if (!URL.canParse(api) || !/^https?:$/.test(new URL(api).protocol)) throw refused("githubAppBaseURL is not a URL");
  return { id, installation: installation ? { id: installation } : { owner }, key: readKey(pem, refused), api: new URL(api) };
}

function readKey(pem: string, refused: (detail: string) => Fault): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = pem.includes("ENCRYPTED") ? undefined : createPrivateKey(pem);
  } catch {
    // as below: what Node says of a key may quote it
  }
  if (key?.asymmetricKeyType !== "rsa") throw refused("githubAppPrivateKey is not an RSA key in PEM without a passphrase");
  return key;
}

/** RFC 7519, signed with RS256; good for a minute and a half, whatever the clocks differ by half a minute. */
function jwtOf({ id, key }: App, nowMs: number): string {
  const issuedAt = Math.floor(nowMs / 1000) - 30;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "RS256", typ: "JWT" })}.${part({ iat: issuedAt, exp: issuedAt + 120, iss: id })}`;
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
}

class Api {
  private readonly app: App;
  private readonly dispatcher: Dispatcher;
  private readonly shown: string;
  private readonly signal: AbortSignal;
  private readonly jwt: string;

  constructor(app: App, access: Access, shown: string, signal: AbortSignal, jwt: string) {
    const { credentials, proxy } = remoteFrom(access);
    this.app = app;
    this.dispatcher = dispatcherFor({ ...credentials, ...(proxy && { proxy }) }, true);
    this.shown = shown;
    this.signal = signal;
    this.jwt = jwt;
  }

  async installationOf(owner: string): Promise<string> {
    const name = encodeURIComponent(owner);
    const { id } = await this.call("GET", `orgs/${name}/installation`).catch((error: unknown) => {
      if (!(error instanceof Fault) || error.code !== "AuthenticationFailed") throw error;
      return this.call("GET", `users/${name}/installation`);
    });
    if (typeof id !== "number" || !Number.isSafeInteger(id)) throw new Fault("AuthenticationFailed", this.shown, { detail: "GitHub's API names no installation" });
    return String(id);
  }

  /** @throws Fault AuthenticationFailed when GitHub refuses, UpstreamUnreachable when it does not answer */
  async call(method: "GET" | "POST", path: string): Promise<Record<string, unknown>> {
    const { signal, dispatcher, shown } = this;
    const headers = { authorization: `Bearer ${this.jwt}`, accept: "application/vnd.github+json", "user-agent": "flotilla" };
    try {
      const { statusCode, body } = await request(new URL(path, this.app.api), { method, headers, signal, dispatcher });
      if (statusCode >= 500 || statusCode === 429) {
        await body.dump({ limit: longestAnswer });
        throw new Fault("UpstreamUnreachable", shown, { detail: `GitHub's API answers HTTP ${statusCode}` });
      }
      if (statusCode < 200 || statusCode >= 300) {
        await body.dump({ limit: longestAnswer });
        throw new Fault("AuthenticationFailed", shown, { detail: `GitHub's API answers HTTP ${statusCode} for the App and its installation` });
      }
      return await readJson(body, shown);
    } catch (error) {
      throwIfAborted(signal, shown);
      throw explain(error, shown);
    }
  }
}

async function readJson(body: AsyncIterable<Uint8Array>, shown: string): Promise<Record<string, unknown>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    if ((size += chunk.length) > longestAnswer) throw new Fault("UpstreamUnreachable", shown, { detail: "GitHub's API answers without end" });
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString());
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // what it is instead is not repeated
  }
  throw new Fault("UpstreamUnreachable", shown, { detail: "GitHub's API does not answer in JSON" });
}
