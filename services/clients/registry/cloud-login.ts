/** Credentials for a cloud's registry, by an identity in that cloud, and for that cloud's registries alone. */
import { signed } from "../aws/signature.ts";
import { digestOf } from "../cloud/account.ts";
import { ask, failed, form, textIn, type Cloud, type Granted } from "../cloud/ask.ts";
import { awsDomain } from "../cloud/aws.ts";
import type { Asking, Identity, Provider } from "../cloud/identity.ts";
import { Kept } from "../cloud/kept.ts";
import type { Login } from "./login.ts";

type Registry = {
  /** `host[:port]` */
  host: string;
};

/** What registries gave for what a cloud gave. */
const given = new Kept<Login>(500);

/** Both live for hours; they are not kept for that long. */
const passwordMs = 3 * 3_600_000;

/** Asked for once for all repositories of a registry. @throws Fault ProviderFailed, AccountMissing; the signal's reason when it ended the call */
export async function cloudLogin(provider: Provider, { host }: Registry, identity: Identity, asking: Asking): Promise<Login> {
  if (provider === "aws") return amazon(host, identity, asking);
  if (provider === "azure") return azure(host, identity, asking);
  return google(host, identity, asking);
}

const amazonHost = /^\d{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.(amazonaws\.com(?:\.cn)?|amazonaws\.eu|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov|on\.aws)$/;

/** Amazon's: a password for half a day (ECR, GetAuthorizationToken). */
async function amazon(host: string, identity: Identity, asking: Asking): Promise<Login> {
  const isPublic = host === "public.ecr.aws";
  const [, fips, named = ""] = amazonHost.exec(host) ?? [];
  if (!isPublic && !named) throw failed(asking.shown, `${host} is no registry of Amazon's`);
  const region = named || "us-east-1"; // where the public one is
  const { value: credentials } = await identity.aws(region, asking);
  const service = isPublic
    ? { url: "https://api.ecr-public.us-east-1.amazonaws.com/", target: "SpencerFrontendService.GetAuthorizationToken", service: "ecr-public", region }
    : { url: `https://${fips ? "ecr-fips" : "api.ecr"}.${region}.${awsDomain(region)}/`, target: "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", service: "ecr", region };
  return grant(["aws", host, credentials], identity, asking, async (cloud) => {
    const url = cloud.env["AWS_ENDPOINT_URL_ECR"] || service.url;
    const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": service.target };
    const { headers: { host: _, ...sent }, body } = signed({ method: "POST", url, headers, body: "{}" }, credentials, service, cloud.nowMs());
    const answer = await ask(cloud, { method: "POST", url, headers: sent, body });
    const token = isPublic ? textIn(cloud, answer, "authorizationData", "authorizationToken") : textIn(cloud, answer, "authorizationData", 0, "authorizationToken");
    const [, username = "", password = ""] = /^([^:]+):(.+)$/.exec(Buffer.from(token, "base64").toString()) ?? [];
    if (!username) throw failed(cloud.shown, "the token of the registry cannot be read");
    return { username, password };
  });
}

const anyone = "00000000-0000-0000-0000-000000000000"; // who the registry's own token is for

/** Azure's: a token of the directory is exchanged at the registry (AAD-OAuth of ACR). */
async function azure(host: string, identity: Identity, asking: Asking): Promise<Login> {
  if (!/^[a-z0-9-]+\.azurecr\.(io|cn|us|de)$/.test(host)) throw failed(asking.shown, `${host} is no registry of Azure's`);
  const { value: token } = await identity.azure("https://containerregistry.azure.net/.default", asking);
  return grant(["azure", host, token], identity, asking, async (cloud) => {
    const answer = await ask(cloud, { url: `https://${host}/oauth2/exchange`, ...form({ grant_type: "access_token", service: host, access_token: token }) });
    return { username: anyone, password: textIn(cloud, answer, "refresh_token") };
  });
}

/** Google's take the access token as it is. */
async function google(host: string, identity: Identity, asking: Asking): Promise<Login> {
  if (!/^(?:(?:[a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev|docker\.s3nsregistry\.fr)$/.test(host)) throw failed(asking.shown, `${host} is no registry of Google's`);
  return { username: "oauth2accesstoken", password: (await identity.gcp(asking)).value };
}

/** By what it is given for, so that another identity never gets it. */
async function grant(parts: unknown[], identity: Identity, asking: Asking, give: (cloud: Cloud) => Promise<Login>): Promise<Login> {
  const granted = await given.get(digestOf(...parts), asking, async (signal): Promise<Granted<Login>> => ({ value: await give(identity.cloud({ ...asking, signal })), livesMs: passwordMs }));
  return granted.value;
}
