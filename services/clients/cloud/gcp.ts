/** Google Cloud: access tokens of the worker's service account, or of what a ServiceAccount is there. */
import type { Bearer } from "./account.ts";
import { ask, failed, form, livesMsIn, textIn, tokenIn, type Cloud, type Granted } from "./ask.ts";

const emailOf = "iam.gke.io/gcp-service-account";
const providerOf = "gcp.auth.fluxcd.io/workload-identity-provider";
const everything = "https://www.googleapis.com/auth/cloud-platform";
const scopes = [everything, "https://www.googleapis.com/auth/userinfo.email"];

/**
 * What Google takes the account for: a service account of Google's by its address, or itself; and who vouches for it, when
 * that is not the cluster of GKE the worker runs in. Patterns are Flux's (fluxcd/pkg auth/gcp/options.go).
 *
 * @throws Fault ProviderFailed
 */
export function gcpIdentity({ annotations }: Pick<Bearer, "annotations">, shown: string): { email: string; provider: string } {
  const [email = "", provider = ""] = [annotations[emailOf], annotations[providerOf]];
  if (email && !/^[a-zA-Z0-9-]{1,100}@[a-zA-Z0-9-]{1,100}\.iam\.gserviceaccount\.com$/.test(email)) throw failed(shown, `the ServiceAccount's annotation ${emailOf} is not the address of a service account`);
  if (provider && !/^projects\/\d{1,30}\/locations\/global\/workloadIdentityPools\/[^/]{1,100}\/providers\/[^/]{1,100}$/.test(provider))
    throw failed(shown, `the ServiceAccount's annotation ${providerOf} is not the name of a provider`);
  return { email, provider };
}

/** @param account whose; the worker's own when absent @throws Fault ProviderFailed */
export async function gcpToken(account: Bearer | undefined, cloud: Cloud): Promise<Granted<string>> {
  if (!account) {
    const answer = await metadata(cloud, "instance/service-accounts/default/token");
    return { value: tokenIn(cloud, answer, "access_token"), livesMs: livesMsIn(answer, "expires_in") };
  }
  const { email, provider } = gcpIdentity(account, cloud.shown);
  const { audience, pool } = provider ? { audience: `//iam.googleapis.com/${provider}`, pool: `//iam.googleapis.com/${provider}` } : await clusterOf(cloud);
  const exchanged = await ask(cloud, { url: "https://sts.googleapis.com/v1/token", ...form({
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange", requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt", subject_token: await account.proof(pool, cloud), audience, scope: email ? everything : scopes.join(" "),
  }) });
  const own = { value: tokenIn(cloud, exchanged, "access_token"), livesMs: livesMsIn(exchanged, "expires_in") };
  if (!email) return own;
  const answer = await ask(cloud, {
    method: "POST", url: `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${email}:generateAccessToken`,
    headers: { authorization: `Bearer ${own.value}`, "content-type": "application/json" }, body: JSON.stringify({ scope: scopes, lifetime: "3600s" }),
  });
  return { value: tokenIn(cloud, answer, "accessToken"), livesMs: Math.max(0, Date.parse(textIn(cloud, answer, "expireTime")) - cloud.nowMs()) || 0 };
}

/** Of the cluster of GKE that the worker runs in: who its accounts are to Google. */
async function clusterOf(cloud: Cloud): Promise<{ audience: string; pool: string }> {
  const [project, location, name] = (await Promise.all([
    metadata(cloud, "project/project-id"), metadata(cloud, "instance/attributes/cluster-location"), metadata(cloud, "instance/attributes/cluster-name"),
  ])).map((text) => text.trim());
  if (!project || !location || !name) throw failed(cloud.shown, `the metadata server knows no cluster of GKE; elsewhere the ServiceAccount needs the annotation ${providerOf}`);
  const pool = `${project}.svc.id.goog`;
  return { pool, audience: `identitynamespace:${pool}:https://container.googleapis.com/v1/projects/${project}/locations/${location}/clusters/${name}` };
}

function metadata(cloud: Cloud, path: string): Promise<string> {
  const server = cloud.env["GCE_METADATA_HOST"] || "metadata.google.internal";
  return ask(cloud, { url: `http://${server}/computeMetadata/v1/${path}`, headers: { "metadata-flavor": "Google" } });
}
