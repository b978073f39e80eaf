/**
 * Whatever dies, stops, gets lost or comes late: the rules hold at every moment, and once it is calm everything is as the
 * newest commit wants it. SEED=… SEEDS=… lives through others, and more of them; PARTITIONS=1024 in a cell of full size.
 */
import "./partitions.ts";
import test from "node:test";

const hardships = await import("./hardships.ts");
const { assertLives } = await import("./living.ts");
const { writeScript } = await import("./script.ts");

// Seeds that once failed: a lost wake-up, an object nobody listed, a late sighting, a second owner, a stale replica.
const pinned = [7, 14, 125, 1258, 1294, 10_110];
const first = Number(process.env["SEED"] ?? 1);
const count = Number(process.env["SEEDS"] ?? 14);
const seeds = process.env["SEED"] ? [] : pinned;

// What World and Checks look for. Their ids stand with each expectation there.
const rules = "[OW1] [OW2] [OW3] [OW4] [OW5] [OW6] [OW7] [OW8] [OW9] [OW10] [OW11] [OW12] [OW13] [OW14] [OW15] [OW16] [OW17] [OW18] [OW19] [OW21] [OW30] [FD2] [RC1] [RC4] [RC6] [RC12] [RC13] [RC14] [RC15] [RT5]";

test(`${rules} hold whatever happens`, async (t) => {
  for (const seed of [...seeds, ...Array.from({ length: count }, (_, i) => first + i)])
    await t.test(`seed ${seed}`, () => assertLives(writeScript(seed)));
});

test("they hold where one kind of trouble is frequent", async (t) => {
  for (const [name, harden] of Object.entries(hardships))
    for (let seed = first; seed < first + Math.ceil(count / 40); seed++) await t.test(`${name}, seed ${seed}`, () => assertLives(harden(writeScript(seed))));
});
