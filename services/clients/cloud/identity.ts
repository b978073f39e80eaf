/**
 * Who one is in a cloud: the worker itself, or a ServiceAccount of the hub that a cloud takes for one of its own (flux.md 6.2,
 * ObjectLevelWorkloadIdentity). Each cloud's part is loaded when it is first asked for.
 */
import { readFile } from "node:fs/promises";
import { Fault } from "#protocol/errors/fault.ts";
import type { AwsCredentials } from "../aws/signature.ts";
import type { Proxy } from "../http/proxy.ts";
import { digestOf, type Account, type AccountFound, type Accounts, type Bearer } from "./account.ts";
import type { Cloud, Granted } from "./ask.ts";
import { Kept } from "./kept.ts";

export type Provider = "aws" | "azure" | "gcp";

/** One question: what it is about, for messages, and when it ends. */
export type Asking = { shown: string; signal: AbortSignal; proxy?: Proxy | undefined };

export type Identity = {
  /** The account as `namespace/name`; undefined: the worker. */
  account?: string;
  /** Another one when a cloud takes the account for somebody else, or it is another account of this name. Not a secret. */
  fingerprint(asking: Asking): Promise<string>;
  /** All throw Fault ProviderFailed, AccountMissing, ObjectForbidden, and the signal's reason. */
  /** @param sts address of the service that gives them; the region's own when absent. It is shown who asks: to be checked by whoever names it. */
  aws(region: string, asking: Asking, sts?: string): Promise<Granted<AwsCredentials>>;
  /** @param scope of the service that the token is for, with its `/.default` */
  azure(scope: string, asking: Asking): Promise<Granted<string>>;
  gcp(asking: Asking): Promise<Granted<string>>;
  /** The account's own token, for whoever trusts the hub's word. Fault ProviderFailed for the worker, which gives none away. */
  hub(audiences: string[], asking: Asking): Promise<Granted<string>>;
  /** What the asking of a service of this cloud takes. */
  cloud(asking: Asking): Cloud;
};

export type CloudOptions = Partial<Pick<Cloud, "env" | "readFile" | "nowMs" | "reach">> & {
  /** Without them there is the worker's own identity alone. */
  accounts?: Accounts;
};

/** Flux keeps 100 (`--token-cache-max-size`); each is a few kilobytes. */
const mostTokens = 1_000;

export class Clouds {
  private readonly options: CloudOptions;
  private readonly tokens: Kept<unknown>;

  constructor(options: CloudOptions = {}) {
    this.options = options;
    this.tokens = new Kept(mostTokens);
  }

  /** @param audiences whom the account's word is for, in place of those that the cloud documents */
  as(account?: Account, audiences: string[] = []): Identity {
    const { accounts } = this.options;
    const bearerOf = async (asking: Asking): Promise<Bearer | undefined> => {
      if (!account) return undefined;
      if (!accounts) throw new Fault("ProviderFailed", asking.shown, { detail: "ServiceAccounts are not known here" });
      // Looked at each time: an identity that was taken away counts no longer.
      const found = await accounts.find(account, asking.signal);
      return { ...account, ...found, proof: (audience, { signal }) => accounts.token(account, audiences.length > 0 ? audiences : [audience], signal).then(({ value }) => value) };
    };
    const given = async <T>(asking: Asking, what: unknown[], grant: (bearer: Bearer | undefined, cloud: Cloud) => Promise<Granted<T>>): Promise<Granted<T>> => {
      const bearer = await bearerOf(asking);
      const name = digestOf(identityOf(bearer), audiences, asking.proxy ?? null, ...what);
      return (await this.tokens.get(name, asking, (signal) => grant(bearer, this.cloud({ ...asking, signal })))) as Granted<T>;
    };
    return {
      ...(account && { account: `${account.namespace}/${account.name}` }),
      fingerprint: async (asking) => digestOf(identityOf(await bearerOf(asking)), audiences),
      aws: (region, asking, sts) => given(asking, ["aws", region, sts ?? null], async (bearer, cloud) =>
        (await import("./aws.ts")).awsCredentials(region, bearer, sts === undefined ? cloud : { ...cloud, env: { ...cloud.env, AWS_ENDPOINT_URL_STS: sts } })),
      azure: (scope, asking) => given(asking, ["azure", scope], async (bearer, cloud) => (await import("./azure.ts")).azureToken(scope, bearer, cloud)),
      gcp: (asking) => given(asking, ["gcp"], async (bearer, cloud) => (await import("./gcp.ts")).gcpToken(bearer, cloud)),
      hub: (whom, asking) => given(asking, ["hub", whom], async (_, { signal }) => {
        if (!account || !accounts) throw new Fault("ProviderFailed", asking.shown, { detail: "a ServiceAccount is needed: the worker's own token is not given away" });
        return accounts.token(account, whom, signal);
      }),
      cloud: (asking) => this.cloud(asking),
    };
  }

  private cloud({ shown, signal, proxy }: Asking): Cloud {
    const { env = process.env, readFile: read = (path: string) => readFile(path, "utf8"), nowMs = Date.now, reach } = this.options;
    return { env, readFile: read, nowMs, shown, signal, ...(proxy && { proxy }), ...(reach && { reach }) };
  }
}

/** Everything that the clouds' answers depend on: the account itself, and what its annotations make of it. */
const identityOf = (bearer: (Account & AccountFound) | undefined): unknown => bearer && [bearer.namespace, bearer.name, bearer.uid, Object.entries(bearer.annotations).filter(([key]) => isAboutClouds(key)).sort()];

const isAboutClouds = (key: string): boolean => /^(eks\.amazonaws\.com|azure\.workload\.identity|iam\.gke\.io|gcp\.auth\.fluxcd\.io)\//.test(key);
