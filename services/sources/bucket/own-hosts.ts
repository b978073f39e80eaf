/** Where the worker may show what it is: a tenant chooses the address, and would be handed the worker's own token. */
import { Fault } from "#protocol/errors/fault.ts";

export const ownHosts = {
  aws: /(?:^|\.)(?:amazonaws\.com(?:\.cn)?|api\.aws|on\.aws)$/,
  azure: /\.(?:blob|dfs)\.core\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)$/,
};

/**
 * @param also an address that the worker's operator has named
 * @throws Fault ProviderFailed
 */
export function requireOwnHost(url: URL, hosts: RegExp, shown: string, also?: string): void {
  if (also && URL.canParse(also) && new URL(also).origin === url.origin) return;
  if (hosts.test(url.hostname) && url.protocol === "https:") return;
  throw new Fault("ProviderFailed", shown, { detail: `${url.host} is not the cloud's own, over https, so the worker does not show its identity there: name credentials in spec.secretRef` });
}

/** Credentials of a Secret go over https, or stay on this machine. @throws Fault AuthenticationFailed */
export function requireSafe(address: string, shown: string, what: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const isLocal = url && /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
  if (url?.protocol === "https:" || (url?.protocol === "http:" && isLocal)) return address.replace(/\/+$/, "");
  throw new Fault("AuthenticationFailed", shown, { detail: `${what} of the Secret is no https address` });
}
