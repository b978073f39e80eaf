/** How a unit waits for what it depends on. */
import { faultOf } from "#machines/rules/notice.ts";
import { busy } from "#machines/step.ts";
import type { DependencyOutcome } from "#protocol/messages/kustomization.ts";

// By way of `adopting`: nothing is applied for an object that does not carry our finalizer.
export const again = { guard: "stale", target: "adopting" } as const;

/** What Flux calls --requeue-dependency, as far as a unit waits for an object that it names. */
export const missedDependencyMs = 300_000;

/** What `checkDependencies` answered, for as long as the unit waits. */
export const heldBy = (event: { type: string }) => {
  const { awaits } = (event as unknown as { output: DependencyOutcome }).output;
  return { awaits: awaits.length > 0 ? awaits : undefined, fault: faultOf(event) };
};

/** @param next the state in which nothing stands in its way any more */
export const waitingThen = <Next extends string>(next: Next) =>
  ({
    awaiting: {
      tags: busy,
      always: { guard: "independent", target: next, actions: "releaseWait" },
      // What changed just now may have been looked at before.
      on: { dependency: { target: "awaiting", reenter: true } },
      invoke: {
        id: "checkDependencies", src: "checkDependencies", input: null,
        onError: { target: "failing", actions: "fail" },
        onDone: [
          { guard: "foundInCycle", target: "stalled", actions: ["fail", "hold"] },
          { guard: "foundBlocked", target: "blocked", actions: "hold" },
          { target: next, actions: "releaseWait" },
        ],
      },
    },
    // Flux's order: nothing is moved in the object's Ready before everything it depends on is ready.
    blocked: {
      entry: "endHandling",
      always: again,
      on: { dependency: "awaiting" },
      after: { patience: { actions: "tellBlocked" }, missedDependency: "adopting" },
    },
  }) as const;
