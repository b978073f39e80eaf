/** Who an object is in a cloud: the ServiceAccount it names, the operator's for all that name none, or the worker. */
import { accountOf, isAccountName, type Tenancy } from "#machines/rules/tenancy.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { Clouds, Identity } from "#services/clients/cloud/identity.ts";

/** @throws Fault InvalidObject for a name that no ServiceAccount has */
export function identityOf(clouds: Clouds, key: ActorKey, named: string | undefined, tenancy: Tenancy): Identity {
  const account = accountOf(key, named, tenancy);
  if (account && !isAccountName(account.name)) throw new Fault("InvalidObject", actorId(key), { detail: "serviceAccountName is not the name of a ServiceAccount" });
  return clouds.as(account);
}
