/** The kinds of this release. */
import { gitRepository } from "./git-repository.ts";
import { kustomization } from "./kustomization.ts";

export const kinds = [gitRepository, kustomization] as const;

/** By the lower-case name an actor's key carries (protocol/names/actor.ts). */
export const kindOf = (actorKind: string) => kinds.find(({ kind }) => kind.toLowerCase() === actorKind);
