/** Where spec.kubeConfig leads: to a cluster and its credentials, read from the unit's own namespace on the hub (flux.md 2.6.7). */
import { createHash } from "node:crypto";
import { isAccountName } from "#machines/rules/tenancy.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Granted } from "#services/clients/cloud/ask.ts";
import { clusterToken, describeCluster } from "#services/clients/cloud/clusters.ts";
import { Clouds, type Asking, type Provider } from "#services/clients/cloud/identity.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import type { ClusterConfig } from "#services/clients/kubernetes/config.ts";
import { isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import { isUsable, parseKubeconfig, serverOf, type Allowed } from "#services/clients/kubernetes/kubeconfig.ts";
import { accountsOf } from "./accounts.ts";
import { segment } from "./discovery.ts";
import { getSecret } from "./objects.ts";

export type KubeConfigRef = { secretRef?: { name: string; key?: string | undefined } | undefined; configMapRef?: { name: string } | undefined };

export type Located = {
  config: ClusterConfig;
  /** Changes with whatever the credentials or the way to the cluster depend on. */
  digest: string;
};

export type LocateOptions = Allowed & {
  /** ServiceAccount of a ConfigMap that names none. */
  defaultAccount?: string;
  /** Shared with whatever else acts in clouds. */
  clouds?: Clouds;
};

/** @throws Fault KubeConfigMissing, KubeConfigInvalid, ClusterUnreachable; none of them quotes what was read */
export function locate(hub: KubeClient, namespace: string, { secretRef, configMapRef }: KubeConfigRef, options: LocateOptions): Promise<Located> {
  if (secretRef) return fromSecret(hub, namespace, secretRef, options);
  if (configMapRef) return fromConfigMap(hub, namespace, configMapRef.name, options);
  throw new Fault("KubeConfigInvalid", namespace, { detail: "neither spec.kubeConfig.secretRef nor spec.kubeConfig.configMapRef is given" });
}

async function fromSecret(hub: KubeClient, namespace: string, { name, key }: { name: string; key?: string | undefined }, options: LocateOptions): Promise<Located> {
  const subject = `Secret/${namespace}/${name}`;
  const data = await getSecret(hub, namespace, name).catch((thrown: unknown) => {
    if (thrown instanceof Fault && thrown.code === "SecretMissing") throw new Fault("KubeConfigMissing", subject, { detail: "not found" });
    throw thrown;
  });
  const found = key ? data[key] : (data["value"] ?? data["value.yaml"]);
  if (!found) throw new Fault("KubeConfigInvalid", subject, { detail: `has no key ${key ? `'${key}'` : "'value' or 'value.yaml'"}` });
  const text = Buffer.from(found).toString("utf8");
  return { config: parseKubeconfig(text, subject, options), digest: digestOf(text) };
}

const providers = new Set(["generic", "aws", "azure", "gcp"]);
const longestMs = 60_000;

async function fromConfigMap(hub: KubeClient, namespace: string, name: string, { defaultAccount, clouds = new Clouds({ accounts: accountsOf(hub) }) }: LocateOptions): Promise<Located> {
  const subject = `ConfigMap/${namespace}/${name}`;
  const invalid = (detail: string) => new Fault("KubeConfigInvalid", subject, { detail });
  const data = await readConfigMap(hub, namespace, name, subject);
  const { provider = "", address = "", "ca.crt": ca = "", audiences = "", serviceAccountName = "", cluster = "" } = data;
  if (!providers.has(provider)) throw invalid("provider is none of aws, azure, gcp, generic");
  const isGeneric = provider === "generic";
  if ((isGeneric || address) && serverOf(https(address)) === undefined) throw invalid("address is not the https address of an API server");
  if (ca && !isUsable({ ca })) throw invalid("ca.crt is no certificate");
  const account = serviceAccountName || defaultAccount;
  // Without one Flux sends a token of its own to wherever the ConfigMap says.
  if (!account && (isGeneric || address)) throw invalid("serviceAccountName is missing, and Flotilla's own identity is not given away; the operator may name one by --default-kubeconfig-service-account");
  if (account && !isAccountName(account)) throw invalid("serviceAccountName is not the name of a ServiceAccount");
  const wanted = audiences.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const identity = clouds.as(account ? { namespace, name: account } : undefined, wanted);
  const asking = (): Asking => ({ shown: subject, signal: AbortSignal.timeout(longestMs) });
  const token = () => told(subject, () => isGeneric ? identity.hub(wanted.length > 0 ? wanted : [address], asking()) : clusterToken(provider as Provider, { cluster }, identity, asking()));
  const first = await token();
  const place = isGeneric ? { address, ca } : await told(subject, () => describeCluster(provider as Provider, { cluster, address, ca }, identity, asking()));
  const server = serverOf(https(place.address));
  if (server === undefined || !isUsable({ ca: place.ca || undefined })) throw invalid("what the cloud says of the cluster's address and authority cannot be read");
  return {
    config: { server, ...(place.ca && { ca: place.ca }), authorization: renewed(first, token) },
    digest: digestOf(JSON.stringify([provider, await told(subject, () => identity.fingerprint(asking())), namespace, account, wanted, cluster, place])),
  };
}

const https = (address: string): string => (address.includes("://") ? address : `https://${address}`);

/** As the ConfigMap's own fault, which is what its user can change. */
async function told<T>(subject: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (thrown) {
    if (!(thrown instanceof Fault) || !["ProviderFailed", "AccountMissing", "ObjectForbidden"].includes(thrown.code)) throw thrown;
    const { detail = "" } = thrown;
    throw new Fault("KubeConfigInvalid", subject, { detail: thrown.subject === subject ? detail : `${thrown.subject} ${detail}`, cause: thrown });
  }
}

/** A header for each request: the token that is at hand while it serves, then the next one. */
function renewed(first: Granted<string>, ask: () => Promise<Granted<string>>): () => string | Promise<string> {
  const until = ({ livesMs }: Granted<string>) => performance.now() + livesMs;
  let held = { header: `Bearer ${first.value}`, untilMs: until(first) };
  let asking: Promise<string> | undefined;
  const renew = async () => {
    try {
      const next = await ask();
      held = { header: `Bearer ${next.value}`, untilMs: until(next) };
      return held.header;
    } finally {
      asking = undefined;
    }
  };
  return () => (performance.now() < held.untilMs ? held.header : (asking ??= renew()));
}

async function readConfigMap(hub: KubeClient, namespace: string, name: string, subject: string): Promise<Record<string, string>> {
  try {
    const path = `/api/v1/namespaces/${segment(namespace)}/configmaps/${segment(name)}`;
    const { body } = await hub.request<{ data?: Record<string, string> }>({ method: "GET", path });
    return body.data ?? {};
  } catch (thrown) {
    if (isNotFound(thrown)) throw new Fault("KubeConfigMissing", subject, { detail: "not found" });
    if (thrown instanceof KubeError) throw new Fault("ObjectForbidden", subject, { detail: thrown.message, cause: thrown });
    throw thrown;
  }
}

const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");
