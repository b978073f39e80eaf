/** Who asks for a bucket of S3: keys of a Secret, what a token service gives for a login, or the worker's own identity. */
import { Fault } from "#protocol/errors/fault.ts";
import type { AwsCredentials } from "#services/clients/aws/signature.ts";
import { digestOf } from "#services/clients/cloud/account.ts";
import { failed, type Granted } from "#services/clients/cloud/ask.ts";
import { Kept } from "#services/clients/cloud/kept.ts";
import type { Peer } from "#services/clients/http/connections.ts";
import { peerFrom, type SecretData } from "#services/clients/registry/credentials.ts";
import { ask, type Answer } from "#services/clients/http/ask.ts";
import { codeIn, find, readXml, textAt, type Element } from "#services/clients/http/xml.ts";
import { regionOf } from "#services/clients/s3/client.ts";
import type { BucketCall, BucketSpec, InCloud } from "./bucket.ts";
import { ownHosts, requireOwnHost } from "./own-hosts.ts";
import { refusal } from "./refusal.ts";
import { textOf } from "./secret-text.ts";

const answerBytes = 256 * 1024;
/** The shortest time that a token service gives credentials for. */
const shortestMs = 15 * 60_000;
const given = new Kept<AwsCredentials>(1_000);

type Sts = NonNullable<BucketSpec["sts"]>;

/** Undefined: nobody asks. @throws Fault AuthenticationFailed, ProviderFailed, StsInvalid */
export async function s3Credentials(call: BucketCall, secret: SecretData | undefined, endpoint: URL, peer: Peer, inCloud: InCloud): Promise<AwsCredentials | undefined> {
  const { spec } = call;
  const { identity, asking, env } = inCloud;
  const { shown } = asking;
  checkSts(spec, shown);
  if (secret) {
    const [id, key] = [textOf(secret, "accesskey"), textOf(secret, "secretkey")];
    if (!id || !key) throw new Fault("AuthenticationFailed", shown, { detail: "the Secret of spec.secretRef has no accesskey and secretkey" });
    return { id, secret: key, token: "" };
  }
  if (spec.provider !== "aws") return spec.sts && byLdap(call, spec.sts, peer, inCloud);
  requireOwnHost(endpoint, ownHosts.aws, shown, env["AWS_ENDPOINT_URL_S3"]);
  if (spec.sts) requireOwnHost(new URL(spec.sts.endpoint), ownHosts.aws, shown, env["AWS_ENDPOINT_URL_STS"]);
  if (!identity) throw failed(shown, "there are no identities in clouds here");
  const region = spec.region || regionOf(endpoint.hostname) || env["AWS_REGION"] || "us-east-1";
  return (await identity.aws(region, asking, spec.sts?.endpoint)).value;
}

/** The API server says so first, where it was asked (flux.md 1.3). */
function checkSts({ provider, sts }: BucketSpec, shown: string): void {
  if (!sts) return;
  const wanted = provider === "aws" ? "aws" : "ldap";
  if (sts.provider !== wanted) throw new Fault("StsInvalid", shown, { detail: `spec.provider ${provider} goes with spec.sts.provider ${wanted}` });
  if (!URL.canParse(sts.endpoint)) throw new Fault("StsInvalid", shown, { detail: "spec.sts.endpoint is not a URL" });
}

/** AssumeRoleWithLDAPIdentity of MinIO's token service. */
async function byLdap({ secret }: BucketCall, { endpoint, secretRef, certSecretRef }: Sts, bucketPeer: Peer, { asking, nowMs }: InCloud): Promise<AwsCredentials> {
  const { shown } = asking;
  const login = secretRef && (await secret(secretRef.name));
  const [username, password] = [textOf(login ?? {}, "username"), textOf(login ?? {}, "password")];
  if (login && (!username || !password)) throw new Fault("AuthenticationFailed", shown, { detail: "the Secret of spec.sts.secretRef has no username and password" });
  const trust = peerFrom({ insecure: false, shown, cert: certSecretRef && (await secret(certSecretRef.name)) });
  const peer: Peer = { ...trust, ...(bucketPeer.proxy && { proxy: bucketPeer.proxy }), identity: digestOf(trust.identity, bucketPeer.proxy ?? null, username, password) };
  const { value } = await given.get(digestOf(peer.identity, endpoint), asking, async (signal) => {
    const about = `${shown}: ${new URL(endpoint).host}`;
    const body = new URLSearchParams({ Action: "AssumeRoleWithLDAPIdentity", Version: "2011-06-15", LDAPUsername: username, LDAPPassword: password }).toString();
    const answer = await ask({ method: "POST", url: endpoint, headers: { "content-type": "application/x-www-form-urlencoded" }, body }, { peer, shown: about }, answerBytes, signal);
    if (answer.status !== 200) throw refusal(answer, about, codeIn(answer.body), new Fault("UpstreamUnreachable", about, { detail: "HTTP 404: there is no token service" }));
    return read(answer, about, nowMs());
  });
  return value;
}

function read({ body }: Answer, shown: string, nowMs: number): Granted<AwsCredentials> {
  const refused = () => new Fault("AuthenticationFailed", shown, { detail: "the token service gave no credentials" });
  let credentials: Element | undefined;
  try {
    credentials = find(readXml(body), "AssumeRoleWithLDAPIdentityResult", "Credentials");
  } catch {
    throw refused();
  }
  const [id, secret, token, until] = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"].map((name) => textAt(credentials, name)) as [string, string, string, string];
  if (!id || !secret) throw refused();
  const untilMs = Date.parse(until);
  return { value: { id, secret, token }, livesMs: Number.isNaN(untilMs) ? shortestMs : Math.max(0, untilMs - nowMs) };
}
