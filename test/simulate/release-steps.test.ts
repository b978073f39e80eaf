/**
 * A release whose owner dies, stops, or hands over at each of the writes that its actions come to, one life for each: every
 * action makes one revision, no hook runs twice, nothing stays pending, and what a dead owner had sent leaves nothing behind.
 * WRITE=… and HOW=… live through one of them.
 */
process.env["PARTITIONS"] ??= "8";
await import("./partitions.ts");
await import("./virtual.ts");
import assert from "node:assert/strict";
import test from "node:test";
import type { Life } from "./release-lives.ts";
import type { Interruption, Script } from "./script.ts";

const { World } = await import("./world.ts");
const { lifeOf, lives } = await import("./release-lives.ts");

const { WRITE, HOW, STEPS, SEEDS = "4" } = process.env;
const hows = (["dies after", "late", "stops", "stops before", "hands over"] satisfies Interruption["how"][]).filter((how) => (HOW ?? how) === how);
/** Where many lives are lived something happens at every other write, one thing at each; STEPS=1: everything, at each. */
const stride = Number(STEPS ?? (Number(SEEDS) >= 10 ? 2 : 6) * hows.length);
const rules = "[HR11] [HR12] [RL2] [RL3] [RL20] [RL25] [FN16] [FN17] [FN18] [FN19] [OW3] [OW9] [OW13] [OW14]";

for (const [name, life] of Object.entries(lives))
  test(`${rules} ${name}: whatever happens to the owner at a write`, async (t) => {
    const { writes } = await live(lifeOf(life, "stops", 0));
    assert.ok(writes >= 4, `${writes} writes`);
    for (const [i, how] of hows.entries())
      for (let write = Number(WRITE ?? 1 + ((2 * i) % stride)); write <= Number(WRITE ?? writes); write += stride)
        await t.test(`${how} at write ${write} of ${writes}`, async () => void (await live(lifeOf(life, how, write))));
  });

/** Jobs take so long that whoever takes over finds them running. */
const longMs = 12_000;
const settledMs = 80_000;

for (const name of ["install", "upgrade", "uninstall"] as const)
  test(`[HR12] [RL20] [RL31] ${name}: who takes over while a hook runs goes on with the same revision, and does not run it again`, async (t) => {
    const { steps, fromMs }: Life = lives[name];
    const later = (atMs: number) => (atMs === 0 ? 0 : atMs + settledMs);
    const life = { steps: steps.map((step) => ({ ...step, atMs: later(step.atMs) })), fromMs: later(fromMs) };
    const scriptOf = (how: Interruption["how"], write: number): Script => ({ ...lifeOf(life, how, write), troubleMs: 2 * settledMs, jobsMs: [longMs, longMs] });
    const { hookWrites } = await live(scriptOf("stops", 0));
    const writes = hookWrites.filter((write) => write > 0); // what came before has its own life
    assert.ok(writes.length > 0);
    for (const how of ["hands over", "dies after", "stops before"] as const)
      for (const write of writes)
        await t.test(`${how} at write ${write}`, async () => {
          const { checks } = await live(scriptOf(how, write));
          assert.ok([...checks.releases.writers.values()].some(({ size }) => size > 1), "nobody took over");
        });
  });

async function live(script: Script): Promise<InstanceType<typeof World>> {
  const world = new World(script);
  await world.run();
  const [violation] = world.violations;
  if (violation) assert.fail(`[${violation.rule}] ${violation.text}, at ${violation.at}:\n${world.lines.slice(-100).join("\n")}`);
  return world;
}
