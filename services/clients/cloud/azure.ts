/** Azure: tokens of the directory, for the worker itself or for the application that a ServiceAccount's annotations name. */
import type { Bearer } from "./account.ts";
import { ask, failed, fileOf, form, livesMsIn, tokenIn, type Cloud, type Granted } from "./ask.ts";

const annotation = (name: string) => `azure.workload.identity/${name}`;

/** Tenant and client. @throws Fault ProviderFailed */
export function azureIdentity({ annotations }: Pick<Bearer, "annotations">, shown: string): { tenant: string; client: string } {
  const read = (name: string) => {
    const value = annotations[annotation(name)] ?? "";
    if (!/^[A-Za-z0-9.-]{1,128}$/.test(value)) throw failed(shown, `the ServiceAccount has no annotation ${annotation(name)}, or it is no id`);
    return value;
  };
  return { tenant: read("tenant-id"), client: read("client-id") };
}

/**
 * @param scope of the service that the token is for, with its `/.default`
 * @param account whose; the worker's own when absent
 * @throws Fault ProviderFailed
 */
export async function azureToken(scope: string, account: Bearer | undefined, cloud: Cloud): Promise<Granted<string>> {
  if (account) {
    const { tenant, client } = azureIdentity(account, cloud.shown);
    return byDirectory(cloud, scope, tenant, client, assertion(await account.proof("api://AzureADTokenExchange", cloud)));
  }
  const { env } = cloud;
  const [id, tenant, secret] = [env["AZURE_CLIENT_ID"], env["AZURE_TENANT_ID"], env["AZURE_CLIENT_SECRET"]];
  if (id && tenant && secret) return byDirectory(cloud, scope, tenant, id, { client_secret: secret });
  if (id && tenant && env["AZURE_FEDERATED_TOKEN_FILE"]) return byDirectory(cloud, scope, tenant, id, assertion(await fileOf(cloud, "AZURE_FEDERATED_TOKEN_FILE")));
  // The machine's managed identity.
  const base = (env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] || "http://169.254.169.254").replace(/\/$/, "");
  const query = new URLSearchParams({ "api-version": "2018-02-01", resource: scope.replace(/\/\.default$/, ""), ...(id && { client_id: id }) });
  return read(cloud, await ask(cloud, { url: `${base}/metadata/identity/oauth2/token?${query}`, headers: { metadata: "true" } }));
}

const assertion = (token: string) => ({ client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", client_assertion: token });

async function byDirectory(cloud: Cloud, scope: string, tenant: string, client: string, proof: Record<string, string>): Promise<Granted<string>> {
  const authority = (cloud.env["AZURE_AUTHORITY_HOST"] || "https://login.microsoftonline.com").replace(/\/$/, "");
  const fields = { grant_type: "client_credentials", client_id: client, scope, ...proof };
  return read(cloud, await ask(cloud, { url: `${authority}/${encodeURIComponent(tenant)}/oauth2/v2.0/token`, ...form(fields) }));
}

const read = (cloud: Cloud, answer: string): Granted<string> => ({ value: tokenIn(cloud, answer, "access_token"), livesMs: livesMsIn(answer, "expires_in") });
