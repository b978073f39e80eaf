/** Tokens of Azure's directory for its storage: by a secret, a certificate, or the identity of the machine that we run on. */
import { createHash } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import { digestOf } from "#services/clients/cloud/account.ts";
import { ask as askCloud, failed, livesMsIn, tokenIn as cloudTokenIn, type Cloud, type Granted } from "#services/clients/cloud/ask.ts";
import { Kept } from "#services/clients/cloud/kept.ts";
import type { SecretData } from "#services/clients/registry/credentials.ts";
import { ask, type Asking } from "#services/clients/http/ask.ts";
import type { InCloud } from "./bucket.ts";
import { readClientCertificate } from "./client-certificate.ts";
import { signedStatement, tokenIn } from "./gcs.ts";
import { ownHosts, requireOwnHost, requireSafe } from "./own-hosts.ts";
import { textOf } from "./secret-text.ts";

export type TokenCall = Asking & { secret: SecretData | undefined; endpoint: URL; inCloud: InCloud; signal: AbortSignal };

const scope = "https://storage.azure.com/.default";
const answerBytes = 256 * 1024;
const tokens = new Kept<string>(1_000);

/** @throws Fault AuthenticationFailed, ProviderFailed */
export async function azureToken(call: TokenCall): Promise<string> {
  const { secret = {}, endpoint, peer, shown, inCloud } = call;
  const [tenant, client] = [textOf(secret, "tenantId"), textOf(secret, "clientId")];
  if (client && tenant && (textOf(secret, "clientSecret") || textOf(secret, "clientCertificate"))) {
    const held = Object.entries(secret).map(([key, value]) => [key, Buffer.from(value).toString("base64")]).sort();
    return (await tokens.get(digestOf(held, peer.identity), inCloud.asking, (signal) => applicationToken({ ...call, signal }, tenant, client))).value;
  }
  // Who may see the token of whom the cloud vouches for is asked each time.
  requireOwnHost(endpoint, ownHosts.azure, shown, inCloud.env["AZURE_STORAGE_ENDPOINT"]);
  const { identity, asking } = inCloud;
  if (!identity) throw failed(shown, "there are no identities in clouds here");
  if (!client) return (await identity.azure(scope, asking)).value;
  // The machine is the worker's: where objects act as accounts, they do not act as it.
  if (identity.account) throw failed(shown, "clientId alone means the machine's identity, and objects here act as ServiceAccounts");
  return (await tokens.get(digestOf("machine", client), asking, (signal) => machineToken(identity.cloud({ ...asking, signal }), client))).value;
}

/** Of one of the managed identities that the machine has. */
async function machineToken(cloud: Cloud, client: string): Promise<Granted<string>> {
  const base = (cloud.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] || "http://169.254.169.254").replace(/\/$/, "");
  const query = new URLSearchParams({ "api-version": "2018-02-01", resource: "https://storage.azure.com/", client_id: client });
  const answer = await askCloud(cloud, { url: `${base}/metadata/identity/oauth2/token?${query}`, headers: { metadata: "true" } });
  return { value: cloudTokenIn(cloud, answer, "access_token"), livesMs: livesMsIn(answer, "expires_in") };
}

/** OAuth's client credentials: a secret, or a statement that the certificate's key has signed. */
async function applicationToken({ secret = {}, peer, shown, inCloud, signal }: TokenCall, tenant: string, client: string): Promise<Granted<string>> {
  const authority = requireSafe(textOf(secret, "authorityHost") || "https://login.microsoftonline.com", shown, "authorityHost");
  const url = `${authority}/${encodeURIComponent(tenant)}/oauth2/v2.0/token`;
  const password = textOf(secret, "clientSecret");
  const proof: Record<string, string> = password
    ? { client_secret: password }
    : { client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", client_assertion: await assertion(secret, client, url, inCloud.nowMs(), shown, signal) };
  const about = `${shown}: ${new URL(url).host}`;
  const body = new URLSearchParams({ grant_type: "client_credentials", client_id: client, scope, ...proof }).toString();
  const answer = await ask({ method: "POST", url, headers: { "content-type": "application/x-www-form-urlencoded" }, body }, { peer, shown: about }, answerBytes, signal);
  const granted = answer.status === 200 ? tokenIn(answer.body) : undefined;
  if (!granted) throw new Fault("AuthenticationFailed", about, { detail: `HTTP ${answer.status}: no token for the application` });
  return granted;
}

async function assertion(secret: SecretData, client: string, audience: string, nowMs: number, shown: string, signal: AbortSignal): Promise<string> {
  const { chain, key } = await readClientCertificate(secret, shown, signal);
  const sendsChain = /^(?:1|true)$/i.test(textOf(secret, "clientCertificateSendChain"));
  const x5t = createHash("sha1").update(chain[0]?.raw ?? "").digest("base64url"); // Azure's name for the certificate
  const header = { x5t, ...(sendsChain && { x5c: chain.map(({ raw }) => raw.toString("base64")) }) };
  const id = createHash("sha256").update(`${audience} ${nowMs}`).digest("hex").slice(0, 32);
  const made = signedStatement(key, "", { aud: audience, iss: client, sub: client, jti: id }, nowMs, header);
  if (!made) throw new Fault("AuthenticationFailed", shown, { detail: "clientCertificate of the Secret has no RSA key" });
  return made;
}
