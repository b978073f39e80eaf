/** Which chart decides for a kind of actor, and how Kubernetes spells it. */
import type { AnyStateMachine } from "xstate";
import { cluster } from "#machines/cluster/machine.ts";
import { generator } from "#machines/generator/machine.ts";
import { image } from "#machines/image/machine.ts";
import { imageUpdate } from "#machines/image-update/machine.ts";
import { kustomization } from "#machines/kustomization/machine.ts";
import { release } from "#machines/release/machine.ts";
import { source } from "#machines/source/machine.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";

/** The hub's own actor: whoever hosts it watches for all. */
export const hubKey: ActorKey = { kind: "cluster", namespace: "flotilla", name: "hub" };
export const hubPartition = partitionOf(hubKey);

/** It applies something, waits for a source and may depend on others of its like. */
export const isUnit = ({ kind }: Pick<ActorKey, "kind">): boolean => kind === "kustomization" || kind === "helmrelease";

export const isHub = ({ kind }: ActorKey): boolean => kind === hubKey.kind;

/** @param sources kinds of sources that this worker knows */
export function machineOf(kind: string, sources: object): AnyStateMachine | undefined {
  if (kind === "kustomization") return kustomization;
  if (kind === "artifactgenerator") return generator;
  if (kind === "helmrelease") return release;
  if (kind === "imagerepository" || kind === "imagepolicy") return image;
  if (kind === "imageupdateautomation") return imageUpdate;
  if (kind === hubKey.kind) return cluster;
  return Object.hasOwn(sources, kind) ? source : undefined;
}

export const kindName = (actorKind: string): string => kindOf(actorKind)?.kind ?? actorKind;
