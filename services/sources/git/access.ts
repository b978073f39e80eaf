/** How a repository is reached, as the spec of its object and its Secrets say. */
import { Fault } from "#protocol/errors/fault.ts";
import type { Identity } from "#services/clients/cloud/identity.ts";
import { readProxy } from "#services/clients/http/proxy.ts";
import type { SourceCall } from "#services/sources/define.ts";
import { parseAddress } from "./address.ts";
import { isAppSecret, type GithubApps } from "./github-app.ts";
import type { GitSpec } from "./reference.ts";
import type { Access } from "./transport.ts";

/** @throws Fault of a Secret that is missing, or does not say what it should */
export async function accessOf({ spec, secret, identity, signal }: SourceCall<GitSpec>, apps: GithubApps): Promise<Access> {
  const { url, provider, secretRef, proxySecretRef, serviceAccountName } = spec;
  const access = {
    url,
    ...(secretRef && { secret: await secret(secretRef.name) }),
    ...(proxySecretRef && { proxySecret: await secret(proxySecretRef.name) }),
  };
  if (provider === "github") return apps.open(access, signal);
  if (provider === "azure" || provider === "aws") return inCloud(provider, access, identity?.(serviceAccountName || undefined), signal);
  if (isAppSecret(access.secret))
    throw new Fault("ProviderInvalid", parseAddress(url).shown, { detail: "the Secret is a GitHub App's, and spec.provider is not github" });
  return access;
}

/** The same repository with what the cloud's server takes in place of a password; of the Secret the certificates remain. */
async function inCloud(provider: "aws" | "azure", access: Access, identity: Identity | undefined, signal: AbortSignal): Promise<Access> {
  const { base, shown } = parseAddress(access.url);
  if (!identity) throw new Fault("ProviderFailed", shown, { detail: "no identity of a cloud is known here" });
  const { gitLogin } = await import("#services/clients/cloud/git-login.ts");
  const login = await gitLogin(provider, base, identity, { shown, signal, proxy: access.proxySecret && readProxy(shown, access.proxySecret) });
  const kept = Object.entries(access.secret ?? {}).filter(([key]) => !["username", "password", "bearerToken"].includes(key));
  return { ...access, secret: { ...Object.fromEntries(kept), ...Object.fromEntries(Object.entries(login).map(([key, value]) => [key, Buffer.from(value)])) } };
}
