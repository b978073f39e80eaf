/** From a hint's body, which anybody with a connection could have written, to an event a chart may be given. */
import type { AnyEventObject } from "xstate";
import * as z from "zod";
import { kustomizationFacts, releaseFacts, sourceFacts } from "#protocol/messages/object.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { HintKind } from "#protocol/names/subject.ts";

const artifactHint = z.object({ revision: z.string().min(1), digest: z.string().min(1), path: z.string().optional() });

const factsIn = (kind: string) => (kind === "kustomization" ? kustomizationFacts : kind === "helmrelease" ? releaseFacts : sourceFacts);

/** Undefined when the body does not fit its kind. */
export function eventOf(key: ActorKey, kind: HintKind, body: unknown): AnyEventObject | undefined {
  switch (kind) {
    case "object": {
      const facts = z.object({ facts: factsIn(key.kind).nullable() }).safeParse(body);
      return facts.success ? { type: "object", facts: facts.data.facts } : undefined;
    }
    case "artifact": {
      const artifact = artifactHint.safeParse(body);
      return artifact.success ? { type: "artifact", ...artifact.data } : undefined;
    }
    default:
      return { type: kind };
  }
}
