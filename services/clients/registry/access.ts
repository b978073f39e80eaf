/** The way to a repository of a registry: whom one asks, who one is there, and through which proxy, as a spec says it. */
import type { Identity, Provider } from "../cloud/identity.ts";
import { readProxy } from "../http/proxy.ts";
import { RegistryClient } from "./client.ts";
import { loginFrom, peerFrom, type SecretData } from "./credentials.ts";
import type { Login } from "./login.ts";
import type { Repository } from "./names.ts";

/** The part of a spec that says it. */
export type RegistrySpec = {
  provider?: "generic" | Provider | undefined;
  secretRef?: { name: string } | undefined;
  serviceAccountName?: string | undefined;
  certSecretRef?: { name: string } | undefined;
  proxySecretRef?: { name: string } | undefined;
  insecure?: boolean | undefined;
};

/** Where what the spec names is found: Secrets and ServiceAccounts of its object's namespace. */
export type RegistryAccess = {
  secret(name: string): Promise<SecretData>;
  pullSecrets?(serviceAccount: string): Promise<SecretData[]>;
  identity?(serviceAccount: string | undefined): Identity;
  signal: AbortSignal;
};

/** @returns `access`: the same for those who may have one another's answers */
export async function openRegistry(
  spec: RegistrySpec, repository: Repository, call: RegistryAccess, { providerFirst = false }: { /** A pull secret counts without a provider only. */ providerFirst?: boolean } = {},
): Promise<{ registry: RegistryClient; access: unknown }> {
  const { shown } = repository;
  const { provider = "generic", insecure = false } = spec;
  const secrets = providerFirst && provider !== "generic" ? [] : await pullSecretsOf(spec, call);
  const proxy = spec.proxySecretRef && (await call.secret(spec.proxySecretRef.name));
  const inCloud = provider !== "generic" && secrets.length === 0 ? call.identity?.(spec.serviceAccountName || undefined) : undefined;
  const login: Login | undefined = inCloud && provider !== "generic"
    ? await (await import("./cloud-login.ts")).cloudLogin(provider, repository, inCloud, { shown, signal: call.signal, proxy: proxy && readProxy(shown, proxy) })
    : loginFrom(secrets, repository);
  const peer = peerFrom({ insecure, shown, login, cert: spec.certSecretRef && (await call.secret(spec.certSecretRef.name)), proxy });
  // Everything by which one who asks may differ from another: who they are there, whom they trust, and the way they go.
  const access = [repository.host, repository.path, insecure, peer.identity];
  return { registry: new RegistryClient({ repository, peer, login, insecure }), access };
}

async function pullSecretsOf({ secretRef, serviceAccountName }: RegistrySpec, { secret, pullSecrets }: RegistryAccess): Promise<SecretData[]> {
  const named = secretRef ? [await secret(secretRef.name)] : [];
  return serviceAccountName ? [...named, ...((await pullSecrets?.(serviceAccountName)) ?? [])] : named;
}
