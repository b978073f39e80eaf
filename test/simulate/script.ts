/** What happens in one simulated life, as data: made from a seed, printed line by line, and cut down when it fails. */
import { seeded, type Random } from "./random.ts";

export type Fault =
  | { do: "crash"; slot: number; backMs: number }
  | { do: "leave"; slot: number; backMs: number }
  | { do: "stop"; slot: number; forMs: number }
  | { do: "cut log"; slot: number | "all"; forMs: number }
  | { do: "cut cluster"; slot: number | "all"; forMs: number }
  | { do: "lose acks"; forMs: number }
  | { do: "land late"; forMs: number }
  | { do: "lose copies"; forMs: number }
  | { do: "lose words"; forMs: number }
  | { do: "join"; slot: number }
  | { do: "drain"; slot: number; on: boolean }
  | { do: "delay requests"; forMs: number }
  | { do: "fail requests"; forMs: number }
  | { do: "fail upstream"; forMs: number }
  | { do: "damage"; actor: string; slot: number };

export type Work =
  | { do: "commit"; set: Record<string, Record<string, string | null>>; broken?: string; hinted: boolean }
  | { do: "request"; unit: string; value: string }
  | { do: "suspend"; unit: string; on: boolean }
  | { do: "edit"; unit: string; retry: string }
  | { do: "delete"; unit: string; backMs: number | null }
  | { do: "touch object"; nth: number; value: string }
  | { do: "delete object"; nth: number }
  | { do: "plant object"; name: string }
  | { do: "depend"; unit: string; on: string[] }
  | { do: "gate"; open: boolean }
  | { do: "leave pending" }
  | { do: "change release"; spec: Record<string, unknown> }
  | { do: "touch release"; nth: number; /** null: deletes it. */ value: string | null }
  | { do: "ask release"; for: "force" | "reset"; value: string }
  | { do: "label"; unit: string; key: string | null };

/** At the `write`th write that leaves for the release, from `fromMs` on. `late`: its owner dies, and it arrives when another is at work. `stops before`: in the tick before it asks for its lease. */
export type Interruption = { fromMs: number; write: number; how: "dies after" | "late" | "stops" | "stops before" | "hands over" };

export type Step = { atMs: number } & (Fault | Work);

export type Script = { seed: number; slots: number; replicated: boolean; troubleMs: number; steps: Step[]; /** Whom each unit depends on, at the beginning and at the end. */ dependsOn?: Record<string, string[]>; /** Whether there is a source that is made from the repository. */ made?: boolean; /** Whether a Helm release is made of that. */ release?: boolean; /** Whether there are no Kustomizations. */ bare?: boolean; /** What happens at a write of the release. */ interruption?: Interruption; /** How long its Jobs take, at least and at most. */ jobsMs?: [number, number]; /** Whether its objects are touched, and are put back when all is calm at the latest. */ drifts?: boolean; /** Whether its chart changes once more when all is calm. */ renewed?: boolean; /** Of the worker in each slot that is there for a shard: its key. */ shards?: Record<number, string> };

export const units = ["kustomization/apps/a", "kustomization/apps/b", "kustomization/apps/c"];
/** A source that is made from the other one. */
export const madeId = "helmchart/apps/made";
export const sourceId = "gitrepository/apps/shop";
const names = ["w", "x", "y", "z"];

const faults: ((random: Random, slot: () => number) => Fault)[] = [
  (random, slot) => ({ do: "crash", slot: slot(), backMs: random.between(50, 8_000) }),
  (random, slot) => ({ do: "crash", slot: slot(), backMs: random.between(50, 500) }),
  (random, slot) => ({ do: "leave", slot: slot(), backMs: random.between(50, 2_000) }),
  (random, slot) => ({ do: "stop", slot: slot(), forMs: random.between(500, 9_000) }),
  (random, slot) => ({ do: "stop", slot: slot(), forMs: random.between(2_000, 90_000) }),
  (random, slot) => ({ do: "cut log", slot: random.pick([slot(), slot(), "all"] as const), forMs: random.between(200, 20_000) }),
  (random, slot) => ({ do: "cut cluster", slot: random.pick([slot(), slot(), "all"] as const), forMs: random.between(200, 15_000) }),
  (random) => ({ do: "lose acks", forMs: random.between(5_000, 40_000) }),
  (random) => ({ do: "land late", forMs: random.between(5_000, 40_000) }),
  (random) => ({ do: "lose copies", forMs: random.between(5_000, 60_000) }),
  (random) => ({ do: "lose words", forMs: random.between(5_000, 60_000) }),
  (random) => ({ do: "delay requests", forMs: random.between(5_000, 60_000) }),
  (random) => ({ do: "fail requests", forMs: random.between(2_000, 20_000) }),
  (random) => ({ do: "fail upstream", forMs: random.between(2_000, 30_000) }),
  (random, slot) => ({ do: "damage", actor: random.pick([sourceId, "kustomization/apps/c"]), slot: slot() }),
  (_, slot) => ({ do: "drain", slot: slot(), on: true }),
  (_, slot) => ({ do: "drain", slot: slot(), on: false }),
];

export function writeScript(seed: number): Script {
  const random = seeded(seed);
  const troubleMs = random.between(60, 200) * 1000;
  const slots = random.pick([1, 2, 2, 2, 3, 3, 4]);
  const at = () => random.between(0, troubleMs);
  let values = 0;
  const steps: Step[] = [{ atMs: 0, ...commit(random, () => `v${values++}`) }];
  const add = (least: number, most: number, make: () => Fault | Work) => {
    for (let n = random.between(least, most); n > 0; n--) steps.push({ atMs: at(), ...make() });
  };
  add(3, 10, () => commit(random, () => `v${values++}`));
  add(0, 4, () => ({ do: "request", unit: random.pick([sourceId, ...units]), value: "" }));
  add(0, 2, () => ({ do: "suspend", unit: random.pick([sourceId, ...units]), on: true }));
  add(0, 2, () => ({ do: "suspend", unit: random.pick([sourceId, ...units]), on: false }));
  add(0, 2, () => ({ do: "edit", unit: random.pick(units), retry: `${random.between(10, 40)}s` }));
  add(0, 2, () => ({ do: "delete", unit: random.pick(units), backMs: random.chance(0.5) ? null : random.pick([0, 50, 2_000, 20_000]) }));
  add(0, 4, () => ({ do: "touch object", nth: random.between(0, 99), value: `theirs${values++}` }));
  add(0, 2, () => ({ do: "delete object", nth: random.between(0, 99) }));
  let joined = 0;
  add(2, 9, () => random.pick(faults)(random, () => random.between(0, slots + joined - 1)));
  add(0, Math.min(2, 4 - slots), () => ({ do: "join", slot: slots + joined++ }));
  steps.sort((a, b) => a.atMs - b.atMs);
  let requests = 0;
  for (const step of steps) if (step.do === "request") step.value = String(++requests).padStart(3, "0");
  return { seed, slots, replicated: random.chance(0.5), troubleMs, steps };
}

/** Changes a few objects of one or two directories; now and then what is committed does not build. */
function commit(random: Random, value: () => string): Work {
  const set: Record<string, Record<string, string | null>> = {};
  for (let n = random.between(1, 2); n > 0; n--) {
    const objects: Record<string, string | null> = {};
    for (let k = random.between(1, 3); k > 0; k--)
      objects[random.pick(names)] = random.chance(0.3) ? null : `${random.chance(0.1) ? "sick" : ""}${value()}`;
    set[random.pick(["a", "b", "c"])] = objects;
  }
  return { do: "commit", set, hinted: random.chance(0.6), ...(random.chance(0.15) && { broken: random.pick(["a", "b", "c"]) }) };
}

export function line({ atMs, do: kind, ...rest }: Step): string {
  return `${(atMs / 1000).toFixed(3).padStart(8)}s ${kind} ${JSON.stringify(rest)}`;
}

/** Leaves out whatever is not needed for the failure; tries at most `tries` times. */
export async function shrink(script: Script, fails: (script: Script) => Promise<boolean>, tries: number): Promise<Script> {
  let smallest = script;
  let left = tries;
  for (let size = Math.ceil(script.steps.length / 2); size >= 1 && left > 0; size = Math.floor(size / 2))
    for (let from = 0; from < smallest.steps.length && left > 0; left--) {
      const steps = smallest.steps.filter((_, i) => i < from || i >= from + size);
      const candidate = { ...smallest, steps };
      if (steps.some(({ do: kind }) => kind === "commit") && (await fails(candidate))) smallest = candidate;
      else from += size;
    }
  return smallest;
}
