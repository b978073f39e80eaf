/** Scripts that make one kind of trouble frequent: what a mutant needs to be caught within a few seeds. */
import { gate } from "./objects.ts";
import { seeded, type Random } from "./random.ts";
import { sourceId, units, type Script } from "./script.ts";

type Steps = Script["steps"];

const withSteps = (script: Script, steps: Steps, change: Partial<Script> = {}): Script => ({
  ...script, ...change, troubleMs: Math.max(script.troubleMs, ...steps.map(({ atMs }) => atMs + 5_000)),
  steps: [...script.steps, ...steps].sort((a, b) => a.atMs - b.atMs),
});

/** Commits in quick succession; `more` goes with each of them. */
function commits(script: Script, more: (random: Random, i: number, atMs: number) => Steps): Steps {
  const random = seeded(script.seed + 1);
  return Array.from({ length: 16 }, (_, i): Steps => {
    const atMs = 5_000 + i * 5_000;
    const set = Object.fromEntries(["a", "b", "c"].map((path) => [path, { w: `w${i}`, x: i % 2 === 0 ? `x${i}` : null, y: `y${i}` }]));
    return [{ atMs, do: "commit", set, hinted: true }, ...more(random, i, atMs)];
  }).flat();
}

/** Workers that stop in the middle of an apply and go on when another has taken over. */
export const zombies = (script: Script): Script => withSteps(script, [
  { atMs: 4_000, do: "delay requests", forMs: 90_000 },
  ...commits(script, (random, i, atMs) => [{ atMs: atMs + random.between(300, 1_500), do: "stop", slot: i % 2, forMs: random.between(3_500, 6_000) }]),
], { slots: 2 });

/** Crashes a moment after something happened that people are told of. */
export const crashes = (script: Script): Script => withSteps(script, [
  { atMs: 4_000, do: "delay requests", forMs: 90_000 },
  ...commits(script, (random, _, atMs) => [{ atMs: atMs + random.between(100, 1_500), do: "crash", slot: 0, backMs: 50 }]),
], { slots: 1 });

/** Values that come back, in quick succession, with whatever happens in the middle of the writing. */
function flipping(script: Script, more: (random: Random, i: number, atMs: number) => Steps): Script {
  const random = seeded(script.seed + 2);
  const steps = Array.from({ length: 24 }, (_, i): Steps => {
    const atMs = 6_000 + i * 4_000;
    const set = Object.fromEntries(["a", "b", "c"].map((path) => [path, { w: `w${i % 2}`, x: `x${i % 2}` }]));
    return [{ atMs, do: "commit", set, hinted: true }, ...more(random, i, atMs)];
  }).flat();
  return withSteps(script, [{ atMs: 4_000, do: "delay requests", forMs: 100_000 }, ...steps], { slots: 2 });
}

/** Workers that hand everything over, and take it back, while requests are slow and everybody is busy. */
export const handovers = (script: Script): Script => flipping(script, (random, i, atMs) => [
  { atMs: atMs + random.between(200, 2_000), do: "drain", slot: i % 2, on: true },
  { atMs: atMs + random.between(3_000, 4_000), do: "drain", slot: i % 2, on: false },
]);

/** Applies that are cut short just before a hand-over, and whose unit goes back to what it was right after. */
export const interruptions = (script: Script): Script => {
  const random = seeded(script.seed + 4);
  const value = (i: number) => Object.fromEntries(["a", "b", "c"].map((path) => [path, { w: `w${i}`, x: `x${i}` }]));
  const steps = Array.from({ length: 14 }, (_, i): Steps => {
    const atMs = 6_000 + i * 8_000;
    const cutMs = atMs + random.between(500, 1_400);
    return [
      { atMs, do: "commit", set: value(1), hinted: true }, { atMs, do: "delay requests", forMs: cutMs - atMs },
      ...units.map((unit) => ({ atMs: cutMs, do: "suspend" as const, unit, on: true })),
      { atMs: cutMs, do: "commit", set: value(0), hinted: true },
      { atMs: cutMs + 20, do: "drain", slot: i % 2, on: true },
      ...units.map((unit) => ({ atMs: cutMs + 1_200, do: "suspend" as const, unit, on: false })),
      { atMs: atMs + 6_500, do: "drain", slot: i % 2, on: false },
    ];
  }).flat();
  return withSteps(script, steps, { slots: 2 });
};

/** Live copies that get lost while partitions change hands. */
export const lostOnTheWay = (script: Script): Script => withSteps(handovers(script), [{ atMs: 1_000, do: "lose copies", forMs: 100_000 }], { replicated: true });

/** Workers that stop in the middle of it: the next owner finds all as wanted. */
export const flips = (script: Script): Script => flipping(script, (random, i, atMs) => (i % 2 === 0 ? [] : [
  random.chance(0.5)
    ? { atMs: atMs + random.between(300, 3_000), do: "crash", slot: (i >> 1) % 2, backMs: 500 }
    : { atMs: atMs + random.between(300, 3_000), do: "stop", slot: (i >> 1) % 2, forMs: 6_000 },
]));

/** Workers that nobody hears for a while, though they go on. */
export const cuts = (script: Script): Script => withSteps(script, [
  ...commits(script, (random, i, atMs) => [{ atMs: atMs + random.between(300, 1_500), do: "cut log", slot: i % 2, forMs: random.between(500, 6_000) }]),
], { slots: 2 });

/** Writes whose answers get lost, and that land when nobody counts on them any more; hand-overs meanwhile. */
export const lateWrites = (script: Script): Script => withSteps(script, [
  { atMs: 2_000, do: "lose acks", forMs: 95_000 }, { atMs: 2_000, do: "land late", forMs: 95_000 },
  ...commits(script, (random, i, atMs) => (i % 2 === 0 ? [] : [
    { atMs: atMs + random.between(0, 1_500), do: "drain", slot: (i >> 1) % 2, on: true },
    { atMs: atMs + random.between(4_000, 5_000), do: "drain", slot: (i >> 1) % 2, on: false },
  ])),
], { slots: 2 });

/** Words between workers that get lost while people ask for things. */
export const whispers = (script: Script): Script => {
  const random = seeded(script.seed + 3);
  const steps = Array.from({ length: 40 }, (_, i): Steps => [
    { atMs: 4_000 + i * 1_500, do: "request", unit: random.pick(["kustomization/apps/a", "kustomization/apps/b", "kustomization/apps/c"]), value: String(100 + i) },
  ]).flat();
  return withSteps({ ...script, steps: script.steps.filter((step) => step.do === "commit") }, [{ atMs: 1_000, do: "lose words", forMs: 63_000 }, ...steps], { slots: 2 });
};

/** Objects that others delete and create while requests are slow. */
export const meddling = (script: Script): Script => withSteps(script, [
  { atMs: 4_000, do: "delay requests", forMs: 90_000 },
  ...commits(script, (random, _, atMs) => Array.from({ length: 12 }, (): Steps => {
    const at = atMs + random.between(0, 2_500);
    return [{ atMs: at, do: "delete object", nth: random.between(0, 99) }, { atMs: at + 30, do: "plant object", name: random.pick(["a-x", "b-x", "c-x"]) }];
  }).flat()),
], { slots: 1 });

/** Objects that somebody creates at the very moment at which a unit does. */
export const planting = (script: Script): Script => withSteps(script, [
  { atMs: 4_000, do: "delay requests", forMs: 90_000 },
  ...commits(script, (random, i, atMs) => (i % 2 === 1 ? [] : ["a-x", "b-x", "c-x"].map((name) => ({ atMs: atMs + random.between(100, 1_800), do: "plant object", name })))),
], { slots: 1 });

/** Live copies that get lost. */
export const silence = (script: Script): Script => withSteps(script, [{ atMs: 1_000, do: "lose copies", forMs: 100_000 }, ...commits(script, () => [])], { slots: 2 });

/** Workers that leave in good order while everybody is busy, between replicas that lag. */
export const departures = (script: Script): Script => withSteps(script, [
  ...commits(script, (random, i, atMs) => [{ atMs: atMs + random.between(100, 1_500), do: "leave", slot: i % 2, backMs: 500 }]),
], { slots: 2, replicated: true });

/** Objects that come, and go again while the API server refuses every third request. */
export const refusals = (script: Script): Script => withSteps(script, Array.from({ length: 12 }, (_, i): Steps => {
  const atMs = 6_000 + i * 8_000;
  const both = (value: string | null) => ({ a: { [`n${i}`]: value }, b: { [`n${i}`]: value } });
  return [
    { atMs, do: "commit", set: both("one"), hinted: true },
    { atMs: atMs + 4_000, do: "commit", set: both(null), hinted: true }, { atMs: atMs + 4_000, do: "fail requests", forMs: 3_000 },
  ];
}).flat(), { slots: 1 });

/** Units that depend on one another and on an object of somebody's; cycles come and go. */
export const dependents = (script: Script): Script => {
  const random = seeded(script.seed + 6);
  const [a = "", b = "", c = ""] = units;
  const shapes: Record<string, string[]>[] = [{ [b]: [a], [c]: [b] }, { [b]: [a], [c]: [a, b] }, { [a]: [c], [b]: [c, gate] }, { [a]: [gate], [b]: [a], [c]: [a] }];
  const dependsOn = { [a]: [], [b]: [], [c]: [], ...random.pick(shapes) };
  const steps = Array.from({ length: random.between(3, 9) }, (_, i): Steps => {
    const atMs = 4_000 + i * random.between(3_000, 12_000);
    const unit = random.pick(units);
    const others = [...units, gate].filter(() => random.chance(0.4));
    return random.chance(0.4)
      ? [{ atMs, do: "gate", open: random.chance(0.5) }]
      : [{ atMs, do: "depend", unit, on: others }, { atMs: atMs + random.between(500, 15_000), do: "depend", unit, on: dependsOn[unit] ?? [] }];
  }).flat();
  return withSteps({ ...script, dependsOn }, steps);
};

/** The same, with nothing else going on: whoever waits too long waits for no reason. */
export const patience = (script: Script): Script => {
  const { dependsOn, steps } = dependents({ ...script, steps: [] });
  return withSteps({ ...script, steps: script.steps.filter(({ do: kind }) => kind === "commit"), ...(dependsOn && { dependsOn }) }, steps);
};

/** The same, with commits in quick succession and workers that come, go and die. */
export const dependentsMoving = (script: Script): Script => withSteps(dependents(script), commits(script, (random, i, atMs) => {
  const at = atMs + random.between(50, 3_000);
  return [random.pick<Steps[number]>([
    { atMs: at, do: "crash", slot: i % 2, backMs: random.between(50, 4_000) }, { atMs: at, do: "drain", slot: i % 2, on: true },
    { atMs: at, do: "drain", slot: i % 2, on: false }, { atMs: at, do: "leave", slot: i % 2, backMs: 50 }, { atMs: at, do: "lose copies", forMs: 6_000 },
    { atMs: at, do: "lose words", forMs: 4_000 }, { atMs: at, do: "stop", slot: i % 2, forMs: random.between(500, 6_000) },
  ])];
}), { slots: 2 });

/** A source that is made from another, while partitions change hands, copies get lost and workers die. */
export const made = (script: Script): Script => ({ ...script, made: true });
export const madeMoving = (script: Script): Script => ({ ...dependentsMoving(script), made: true });
export const madeSilent = (script: Script): Script => ({ ...lostOnTheWay(script), made: true });

/** Labels come, change and go, and the workers that are there for a key die and leave. */
export function labelled(script: Script): Script {
  const random = seeded(script.seed ^ 0x5a4d);
  const slots = Math.max(2, script.slots);
  const steps: Script["steps"] = Array.from({ length: random.between(4, 12) }, () => ({
    atMs: random.between(0, script.troubleMs), do: "label", unit: random.pick([sourceId, ...units]), key: random.pick(["one", "one", "two", null]),
  }));
  for (let n = random.between(1, 3); n > 0; n--)
    steps.push({ atMs: random.between(0, script.troubleMs), do: random.pick(["crash", "leave"] as const), slot: slots - 1, backMs: random.between(200, 20_000) });
  const shards = random.chance(0.3) ? { [slots - 1]: "one", 0: "two" } : { [slots - 1]: "one" };
  return { ...script, slots, shards, steps: [...script.steps, ...steps].sort((a, b) => a.atMs - b.atMs) };
}
