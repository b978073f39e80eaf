/** The Flux kinds of this release, between the key of an actor and the path of its object. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { kinds } from "#protocol/api/registry.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { HubKind } from "#services/cluster/hub.ts";
import type { HubRef } from "#services/cluster/objects.ts";

export const hubKinds: HubKind[] = kinds.map(({ group, kind, plural, versions }) =>
  ({ group, kind, plural, version: versions.find(({ storage }) => storage)?.name ?? "v1" }));

/** @throws Fault KindUnknown */
export function hubKindOf(actorKind: string): HubKind {
  const found = hubKinds.find(({ kind }) => kind.toLowerCase() === actorKind);
  if (!found) throw new Fault("KindUnknown", actorKind);
  return found;
}

/** @throws Fault KindUnknown */
export const refOf = ({ kind, namespace, name }: ActorKey): HubRef => ({ ...hubKindOf(kind), namespace, name });

export const keyOf = ({ kind }: HubKind, { namespace = "", name }: Pick<KubeObject["metadata"], "namespace" | "name">): ActorKey =>
  ({ kind: kind.toLowerCase(), namespace, name });

