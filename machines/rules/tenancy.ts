/** Who a unit acts as, and what it may refer to (flux.md 2.6.7, 6.1). */
import type { ActorKey } from "#protocol/names/actor.ts";

/** What the operator has locked down. Every field absent or false: as in Flux without flags. */
export type Tenancy = {
  /** The ServiceAccount, of the unit's own namespace, of a unit that names none. */
  defaultServiceAccount?: string;
  /** A unit uses sources of its own namespace only. */
  noCrossNamespaceRefs?: boolean;
  /** Builds fetch nothing from elsewhere. */
  noRemoteBases?: boolean;
};

/** A ServiceAccount of the hub. */
export type Account = { namespace: string; name: string };

/** In whose name a unit acts; undefined: in the worker's own. Always one of the unit's own namespace. */
export function accountOf({ namespace }: Pick<ActorKey, "namespace">, named: string | undefined, { defaultServiceAccount }: Tenancy): Account | undefined {
  const name = named || defaultServiceAccount;
  return name ? { namespace, name } : undefined;
}

/** The user that an API server knows a ServiceAccount as. */
export const userOf = ({ namespace, name }: Account): string => `system:serviceaccount:${namespace}:${name}`;

/** The API server's own rule for names of ServiceAccounts: anything else would make another kind of user of it. */
export const isAccountName = (name: string): boolean => name.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name);

/** `spec.accessFrom`: namespaces by their labels, any of the selectors. */
type AccessFrom = { namespaceSelectors: readonly { matchLabels?: Readonly<Record<string, string>> | undefined }[] };

/** Whether objects of a namespace with these labels may refer to it from there. One without labels is allowed where all are. */
export const allowsFrom = ({ namespaceSelectors }: AccessFrom, labels: Readonly<Record<string, string>> = {}): boolean =>
  namespaceSelectors.some(({ matchLabels = {} }) => Object.entries(matchLabels).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value));

/** Whether a unit may use what lies in this namespace. */
export const mayRefer = (unit: Pick<ActorKey, "namespace">, namespace: string, { noCrossNamespaceRefs = false }: Tenancy): boolean =>
  !noCrossNamespaceRefs || namespace === unit.namespace;
