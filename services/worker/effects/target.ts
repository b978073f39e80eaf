/** Where a unit acts and as whom: what its object says and the operator allows. */
import { accountOf, isAccountName, userOf, type Tenancy } from "#machines/rules/tenancy.ts";
import type { kustomization } from "#protocol/api/kustomization.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { Target } from "../cluster-port.ts";
import { kindName } from "../kinds.ts";
import { shown } from "./effects.ts";

/** Of either kind of unit. */
type Spec = Pick<ReturnType<typeof kustomization.parse>["spec"], "serviceAccountName" | "kubeConfig">;

/** @throws Fault InvalidObject for a name that no ServiceAccount has */
export function targetOf(key: ActorKey, { serviceAccountName, kubeConfig }: Spec, tenancy: Tenancy, timeoutMs: number): Target {
  const account = accountOf(key, serviceAccountName, tenancy);
  if (account && !isAccountName(account.name))
    throw new Fault("InvalidObject", shown(kindName(key.kind), key), { detail: "spec.serviceAccountName is not the name of a ServiceAccount" });
  return {
    ...(account && { user: userOf(account) }),
    ...(kubeConfig && { remote: { namespace: key.namespace, ref: kubeConfig, timeoutMs } }),
  };
}
