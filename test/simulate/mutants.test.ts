/** The simulator is worth something only if it notices when a line of safety is missing. */
import "./partitions.ts";
import assert from "node:assert/strict";
import test from "node:test";
import type { Mutant } from "./mutants.ts";
import type { Violation } from "./world.ts";

const { alive, mutants } = await import("./mutants.ts");
const { writeScript } = await import("./script.ts");
const { World } = await import("./world.ts");

const most = Number(process.env["SEEDS"] ?? 60);
/** They are noticed in one life of thirty or so: a change of timing anywhere may take the pinned seed away. */
const mostOfRare = Math.max(most, 150);

test("without this line something is noticed", async (t) => {
  for (const mutant of mutants)
    await t.test(`${mutant.rules.map((rule) => `[${rule}]`).join(" ")} ${mutant.name}`, async (each) => {
      const seeds = [mutant.seed, ...Array.from({ length: mutant.rare ? mostOfRare : most }, (_, i) => i + 1)];
      for (const seed of seeds) {
        const caught = await live(mutant, seed);
        if (!caught) continue;
        each.diagnostic(`caught by seed ${seed}: [${caught.rule}] ${caught.text}`);
        return;
      }
      assert.fail(`alive after ${seeds.length} seeds`);
    });
  for (const { name, why } of alive) t.diagnostic(`not noticed: ${name} (${why})`);
});

async function live(mutant: Mutant, seed: number): Promise<Violation | undefined> {
  const script = writeScript(seed);
  const world = new World(mutant.tune?.(script) ?? script, mutant);
  await world.run();
  return world.violations.find(({ rule }) => mutant.rules.includes(rule));
}
