/**
 * Units that wait for one another and for somebody else's object, on workers that come, go and die, with hints that get
 * lost: none goes on before what it depends on, each that can go on does, and cycles resolve when they are broken.
 */
import "./partitions.ts";
import assert from "node:assert/strict";
import test from "node:test";

const { dependents, dependentsMoving, patience } = await import("./hardships.ts");
const { line, writeScript } = await import("./script.ts");
const { World } = await import("./world.ts");

const first = Number(process.env["SEED"] ?? 1);
const count = Number(process.env["SEEDS"] ?? 3);

for (const [name, harden] of Object.entries({ patience, dependents, dependentsMoving }))
  for (let seed = first; seed < first + count; seed++)
    test(`[DP1] [DP4] [DP8] [DP10] whoever waits goes on in time and in order: ${name}, seed ${seed}`, async () => {
      const script = harden(writeScript(seed));
      const world = new World(script);
      await world.run();
      const [violation] = world.violations;
      if (!violation) return;
      const told = [JSON.stringify(script.dependsOn), ...script.steps.map(line), "", ...world.lines.slice(-60)];
      assert.fail(`[${violation.rule}] ${violation.text}, at ${violation.at}:\n${told.join("\n")}`);
    });
