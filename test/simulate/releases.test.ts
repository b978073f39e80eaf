/**
 * Random lives of a Helm release: whatever happens to it and to its workers, every decision makes one revision, nothing is
 * applied that none wants and nothing deleted that was not asked for, and once it is calm the newest is deployed, and nothing pends.
 * SEED=… SEEDS=… lives through others, and more of them.
 */
process.env["PARTITIONS"] ??= "8";
await import("./partitions.ts");
await import("./virtual.ts");
import test from "node:test";

const { releasing } = await import("./release-scripts.ts");
const { assertLives } = await import("./living.ts");
const { writeScript } = await import("./script.ts");

// Seeds that once failed: a deletion that stuck at its hook, a leftover of a failed upgrade, an uninstall nobody went on with,
// a hook that stayed, an uninstall that left what a failed revision had made, and one that forgot what an action had that it called off.
const pinned = [3, 14, 72, 77, 158, 20_203];
const first = Number(process.env["SEED"] ?? 1);
const count = Number(process.env["SEEDS"] ?? 8);
const seeds = process.env["SEED"] ? [] : pinned;

const rules = "[HR1] [HR11] [HR12] [RL2] [RL3] [RL7] [RL20] [FN16] [FN17] [FN18] [OW3] [OW9] [OW13] [OW14]";

test(`${rules} a release survives whatever happens`, async (t) => {
  for (const seed of [...seeds, ...Array.from({ length: count }, (_, i) => first + i)])
    await t.test(`seed ${seed}`, () => assertLives(releasing(writeScript(seed))));
});
