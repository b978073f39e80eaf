/** What happens to the workers of one cell, as data: made from a seed, printed line by line, and cut down when it fails. */
import type { CellScript, CellStep } from "./cells.ts";
import { seeded, type Random } from "./random.ts";

type Trouble = CellStep extends infer Step ? (Step extends CellStep ? Omit<Step, "atMs"> : never) : never;

const troubles: ((random: Random) => Trouble)[] = [
  () => ({ do: "join" }),
  (random) => ({ do: "kill", nth: random.between(0, 9) }),
  (random) => ({ do: "stop", nth: random.between(0, 9), forMs: random.between(500, 9_000) }),
  (random) => ({ do: "leave", nth: random.between(0, 9) }),
  (random) => ({ do: "drain", nth: random.between(0, 9), on: random.chance(0.6) }),
  (random) => ({ do: "cut", nth: random.chance(0.3) ? "all" : random.between(0, 9), forMs: random.between(300, 15_000) }),
  (random) => ({ do: "lose acks", forMs: random.between(2_000, 20_000) }),
  (random) => ({ do: "land late", forMs: random.between(2_000, 20_000) }),
  (random) => ({ do: "lose copies", forMs: random.between(2_000, 20_000) }),
  (random) => ({ do: "lose words", forMs: random.between(2_000, 20_000) }),
];

export function writeCellScript(seed: number): CellScript {
  const random = seeded(seed);
  const troubleMs = random.between(20, 60) * 1000;
  const steps = Array.from({ length: random.between(2, 9) }, (): CellStep => ({ atMs: random.between(0, troubleMs), ...random.pick(troubles)(random) }));
  steps.sort((a, b) => a.atMs - b.atMs);
  return { seed, workers: random.between(1, 4), actors: 60, replicated: random.chance(0.5), troubleMs, steps };
}

/** One kind of trouble, often. */
export function often(script: CellScript, ...kinds: CellStep["do"][]): CellScript {
  const random = seeded(script.seed ^ 0x0f7e);
  const wanted = troubles.map((make) => make(seeded(1)).do).flatMap((kind, i) => (kinds.includes(kind) ? [troubles[i] ?? troubles[0]] : []));
  const more = Array.from({ length: 6 }, (): CellStep[] => {
    const make = random.pick(wanted);
    return make ? [{ atMs: random.between(0, script.troubleMs), ...make(random) }] : [];
  }).flat();
  return { ...script, workers: Math.max(2, script.workers), steps: [...script.steps, ...more].sort((a, b) => a.atMs - b.atMs) };
}

export const cellLine = ({ atMs, do: kind, ...rest }: CellStep): string => `${(atMs / 1000).toFixed(3).padStart(8)}s ${kind} ${JSON.stringify(rest)}`;

/** Leaves out whatever is not needed for the failure; tries at most `tries` times. */
export async function shrinkCell(script: CellScript, fails: (script: CellScript) => Promise<boolean>, tries: number): Promise<CellScript> {
  let smallest = script;
  let left = tries;
  for (let size = Math.ceil(script.steps.length / 2); size >= 1 && left > 0; size = Math.floor(size / 2))
    for (let from = 0; from < smallest.steps.length && left > 0; left--) {
      const candidate = { ...smallest, steps: smallest.steps.filter((_, i) => i < from || i >= from + size) };
      if (await fails(candidate)) smallest = candidate;
      else from += size;
    }
  return smallest;
}
