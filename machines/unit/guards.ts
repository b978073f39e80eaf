/** What the charts of units ask beside what all charts do: about what stands in their way. */
import type { FaultData } from "#protocol/errors/fault.ts";
import type { DependencyOutcome } from "#protocol/messages/kustomization.ts";
import type { KustomizationFacts, ReleaseFacts } from "#protocol/messages/object.ts";

type UnitFacts = KustomizationFacts | ReleaseFacts;

type Asked = {
  context: { facts: UnitFacts | null; fault: FaultData | null };
  event: { type: string; facts?: UnitFacts | null };
};

/** What a check of dependencies answered. */
const checkedIn = (event: object) => (event as { output?: DependencyOutcome }).output;

export const unitGuards = {
  // Of the same object: one that was changed itself begins anew anyway.
  inputsRenewed({ context, event }: Asked) {
    const seen = event.type === "object" ? event.facts : undefined;
    return !!seen && context.facts !== null && context.facts.inputs !== seen.inputs;
  },
  independent: ({ context }: Asked) => (context.facts?.dependsOn ?? []).length === 0,
  foundInCycle: ({ event }: { event: object }) => checkedIn(event)?.fault?.code === "DependencyCycle",
  foundBlocked: ({ event }: { event: object }) => checkedIn(event)?.fault !== undefined,
  inCycle: ({ context }: Asked) => context.fault?.code === "DependencyCycle",
};
