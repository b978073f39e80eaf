/** What the clouds' own Git servers take in place of a password: for their own hosts alone (flux.md 2.1, 3; fluxcd/pkg auth). */
import { codecommitPassword } from "../aws/signature.ts";
import { digestOf } from "./account.ts";
import { failed } from "./ask.ts";
import { awsDomain, isAwsRegion } from "./aws.ts";
import type { Asking, Identity } from "./identity.ts";
import { Kept } from "./kept.ts";

export type GitLogin = { username: string; password: string } | { bearerToken: string };

/** A signature is good for a quarter of an hour; the same is used meanwhile, so that those who share a repository share its answers. */
const passwords = new Kept<GitLogin>(1_000);
const passwordMs = 15 * 60_000;

/** @throws Fault ProviderFailed for any other host, and what the identity throws */
export async function gitLogin(provider: "aws" | "azure", url: URL, identity: Identity, asking: Asking): Promise<GitLogin> {
  if (url.protocol !== "https:") throw failed(asking.shown, "a cloud's identity is shown over https:// only");
  return provider === "aws" ? codecommit(url, identity, asking) : devops(url, identity, asking);
}

async function codecommit(url: URL, identity: Identity, asking: Asking): Promise<GitLogin> {
  const [, region = "", domain = ""] = /^git-codecommit(?:-fips)?\.([a-z0-9-]+)\.(.+)$/.exec(url.hostname) ?? [];
  if (!isAwsRegion(region) || domain !== awsDomain(region) || url.port !== "") throw failed(asking.shown, `${url.host} is not AWS CodeCommit`);
  const { value: credentials, livesMs } = await identity.aws(region, asking);
  const { value } = await passwords.get(digestOf(credentials, url.host, url.pathname), asking, async () => {
    const password = codecommitPassword(url, credentials, region, identity.cloud(asking).nowMs());
    return { value: { username: [credentials.id, credentials.token].filter(Boolean).join("%"), password }, livesMs: Math.min(passwordMs, livesMs) };
  });
  return value;
}

/** Azure DevOps. Flux sends the token to any address; whoever writes one must not get it. */
async function devops({ hostname, port, host }: URL, identity: Identity, asking: Asking): Promise<GitLogin> {
  if (!/^(dev\.azure\.com|[a-z0-9-]+\.visualstudio\.com)$/.test(hostname) || port !== "") throw failed(asking.shown, `${host} is not Azure DevOps`);
  return { bearerToken: (await identity.azure("499b84ac-1321-427f-aa17-267ca6975798/.default", asking)).value };
}
