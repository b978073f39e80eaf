/** ServiceAccounts of the hub for those who act in their name elsewhere: what is said about one, and tokens by TokenRequest. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { isAccountName } from "#machines/rules/tenancy.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Account, Accounts } from "#services/clients/cloud/account.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import { segment } from "./discovery.ts";

export const accountsOf = (client: KubeClient): Accounts => ({
  async find(account, signal) {
    const { metadata } = (await asked(account, () => client.request<KubeObject>({ method: "GET", path: pathOf(account), signal }))).body;
    return { uid: metadata.uid ?? "", annotations: metadata.annotations ?? {} };
  },

  async token(account, audiences, signal) {
    const { body, serverMs } = await asked(account, () => client.request<{ status?: { token?: string; expirationTimestamp?: string } }>({
      method: "POST", path: `${pathOf(account)}/token`, signal,
      body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { audiences } },
      repeatable: true, // nothing is stored
    }));
    const { token = "", expirationTimestamp = "" } = body.status ?? {};
    return { value: token, livesMs: Math.max(0, Date.parse(expirationTimestamp) - (serverMs || Date.now())) || 0 };
  },
});

const pathOf = ({ namespace, name }: Account): string => `/api/v1/namespaces/${segment(namespace)}/serviceaccounts/${segment(name)}`;

async function asked<T>({ namespace, name }: Account, ask: () => Promise<T>): Promise<T> {
  const subject = `ServiceAccount/${namespace}/${name}`;
  if (!isAccountName(name)) throw new Fault("InvalidObject", subject, { detail: "that is not the name of a ServiceAccount" });
  try {
    return await ask();
  } catch (error) {
    if (isNotFound(error)) throw new Fault("AccountMissing", subject, { detail: "not found" });
    if (error instanceof KubeError) throw new Fault("ObjectForbidden", subject, { detail: error.message, cause: error });
    throw error;
  }
}
