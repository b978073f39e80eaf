/** Kubernetes clusters of the clouds: where one is, whom to trust there, and a token for it (flux.md 2.6.7; fluxcd/pkg auth). */
import { load } from "js-yaml";
import { presigned, signed } from "../aws/signature.ts";
import { ask, failed, textIn, valueIn, type Granted } from "./ask.ts";
import { awsDomain } from "./aws.ts";
import type { Asking, Identity, Provider } from "./identity.ts";

export type CloudCluster = {
  /** Its name in the cloud: an ARN, an id of Azure's, a resource of Google's. */
  cluster: string;
  /** As far as they are known; the cloud is asked for what is not. */
  address?: string;
  ca?: string;
};

export type ClusterPlace = { address: string; /** PEM. */ ca: string };

/** @throws Fault ProviderFailed for a name that is none of this cloud */
export async function describeCluster(provider: Provider, { cluster, address, ca }: CloudCluster, identity: Identity, asking: Asking): Promise<ClusterPlace> {
  if (address && ca) return { address, ca };
  const found = await describers[provider](cluster, identity, asking, address);
  return { address: address || found.address, ca: ca || found.ca };
}

/** For the cluster's API server. @throws Fault ProviderFailed */
export async function clusterToken(provider: Provider, { cluster }: Pick<CloudCluster, "cluster">, identity: Identity, asking: Asking): Promise<Granted<string>> {
  if (provider === "gcp") return identity.gcp(asking);
  if (provider === "azure") return identity.azure(`${aksServer}/.default`, asking);
  return eksToken(cluster, identity, asking);
}

/** The application that every API server of AKS is. */
const aksServer = "6dae42f8-4368-4678-94ff-3960e28e3630";
/** The longest that EKS takes one for, and how long it is used: a request may be long on its way. */
const eksTokenS = 900;
const eksUsedMs = 720_000;

function eksName(cluster: string, shown: string): { region: string; name: string } {
  const [, region = "", name = ""] = /^arn:aws[\w-]*:eks:([a-z0-9-]{1,60}):\d{1,30}:cluster\/([\w-]{1,100})$/.exec(cluster) ?? [];
  if (!name) throw failed(shown, "cluster is not the ARN of a cluster of EKS");
  return { region, name };
}

/** A question to STS who one is, signed, and not asked: EKS asks it. */
async function eksToken(cluster: string, identity: Identity, asking: Asking): Promise<Granted<string>> {
  const { region, name } = eksName(cluster, asking.shown);
  const { value: credentials, livesMs } = await identity.aws(region, asking);
  const url = presigned({
    url: `https://sts.${region}.${awsDomain(region)}/`, headers: { "x-k8s-aws-id": name }, query: { Action: "GetCallerIdentity", Version: "2011-06-15" }, livesS: eksTokenS,
  }, credentials, { service: "sts", region }, identity.cloud(asking).nowMs());
  return { value: `k8s-aws-v1.${Buffer.from(url).toString("base64url")}`, livesMs: Math.min(livesMs, eksUsedMs) };
}

type Describe = (cluster: string, identity: Identity, asking: Asking, address?: string) => Promise<ClusterPlace>;

const describers: Record<Provider, Describe> = {
  async aws(cluster, identity, asking) {
    const { region, name } = eksName(cluster, asking.shown);
    const { value: credentials } = await identity.aws(region, asking);
    const cloud = identity.cloud(asking);
    const url = `https://eks.${region}.${awsDomain(region)}/clusters/${name}`;
    const { headers: { host: _, ...headers } } = signed({ method: "GET", url, headers: {}, body: "" }, credentials, { service: "eks", region }, cloud.nowMs());
    const answer = await ask(cloud, { url, headers });
    return { address: textIn(cloud, answer, "cluster", "endpoint"), ca: decoded(textIn(cloud, answer, "cluster", "certificateAuthority", "data")) };
  },

  async azure(cluster, identity, asking, address) {
    if (!/^\/subscriptions\/[0-9a-f-]{36}\/resourceGroups\/(?!\.+\/)[\w.()-]{1,90}\/providers\/Microsoft\.ContainerService\/managedClusters\/[\w-]{1,63}$/i.test(cluster))
      throw failed(asking.shown, "cluster is not the id of a cluster of AKS");
    const cloud = identity.cloud(asking);
    const manager = managerOf(cloud.env["AZURE_AUTHORITY_HOST"]);
    const headers = { authorization: `Bearer ${(await identity.azure(`${manager}/.default`, asking)).value}` };
    const version = "api-version=2024-09-01";
    const about = await ask(cloud, { url: `${manager}${cluster}?${version}`, headers });
    if (typeof valueIn(about, "properties", "aadProfile") !== "object") throw failed(asking.shown, "the cluster does not take tokens of the directory: Microsoft Entra ID integration is off");
    const answer = await ask(cloud, { method: "POST", url: `${manager}${cluster}/listClusterUserCredential?${version}`, headers: { ...headers, "content-length": "0" } });
    const listed = valueIn(answer, "kubeconfigs");
    const places = (Array.isArray(listed) ? listed : []).flatMap((each: unknown) => placeIn((each as { value?: unknown } | null)?.value) ?? []);
    const found = address ? places.find((place) => canonical(place.address) === canonical(address)) : places[0];
    if (!found) throw failed(asking.shown, address ? "the cluster has no such address" : "the cluster has no address");
    return found;
  },

  async gcp(cluster, identity, asking) {
    if (!/^projects\/(?!\.+\/)[\w.:-]{1,100}\/locations\/[a-z0-9-]{1,63}\/clusters\/[a-z0-9-]{1,63}$/.test(cluster)) throw failed(asking.shown, "cluster is not the name of a cluster of GKE");
    const cloud = identity.cloud(asking);
    const answer = await ask(cloud, { url: `https://container.googleapis.com/v1/${cluster}`, headers: { authorization: `Bearer ${(await identity.gcp(asking)).value}` } });
    return { address: textIn(cloud, answer, "endpoint"), ca: decoded(textIn(cloud, answer, "masterAuth", "clusterCaCertificate")) };
  },
};

const decoded = (text: string): string => Buffer.from(text, "base64").toString();

/** Of the cloud whose directory is asked. */
function managerOf(authority = ""): string {
  if (authority.includes("chinacloudapi.cn")) return "https://management.chinacloudapi.cn";
  return authority.includes("microsoftonline.us") ? "https://management.usgovcloudapi.net" : "https://management.azure.com";
}

/** The first cluster of a kubeconfig, which is all that Azure puts into one. */
function placeIn(base64: unknown): ClusterPlace | undefined {
  if (typeof base64 !== "string") return undefined;
  try {
    const { clusters } = load(decoded(base64)) as { clusters: { cluster: Record<string, unknown> }[] };
    const { server, "certificate-authority-data": ca } = clusters[0]?.cluster ?? {};
    return typeof server === "string" && typeof ca === "string" ? { address: server, ca: decoded(ca) } : undefined;
  } catch {
    return undefined;
  }
}

function canonical(address: string): string {
  const text = address.includes("://") ? address : `https://${address}`;
  if (!URL.canParse(text)) return "";
  const { hostname, port } = new URL(text);
  return `${hostname}:${port || "443"}`;
}
