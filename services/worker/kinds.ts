/** Which chart decides for a kind of actor, and how Kubernetes spells it. */
import type { AnyStateMachine } from "xstate";
import { cluster } from "#machines/cluster/machine.ts";
import { kustomization } from "#machines/kustomization/machine.ts";
import { source } from "#machines/source/machine.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";

/** The hub's own actor: whoever hosts it watches for all. */
export const hubKey: ActorKey = { kind: "cluster", namespace: "flotilla", name: "hub" };
export const hubPartition = partitionOf(hubKey);

export const isHub = ({ kind }: ActorKey): boolean => kind === hubKey.kind;

/** @param sources kinds of sources that this worker knows */
export function machineOf(kind: string, sources: object): AnyStateMachine | undefined {
  if (kind === "kustomization") return kustomization;
  if (kind === hubKey.kind) return cluster;
  return Object.hasOwn(sources, kind) ? source : undefined;
}

export const kindName = (actorKind: string): string => kindOf(actorKind)?.kind ?? actorKind;
