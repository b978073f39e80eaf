/**
 * Shards: labels come, change and go, and workers that are there for a key die and come back, beside all other trouble.
 * At every write the log names one place for the object, and it is the writer's.
 */
import "./partitions.ts";
import assert from "node:assert/strict";
import test from "node:test";

const { labelled } = await import("./hardships.ts");
const { line, writeScript } = await import("./script.ts");
const { World } = await import("./world.ts");

const first = Number(process.env["SEED"] ?? 1);
const count = Math.ceil(Number(process.env["SEEDS"] ?? 14) / 3);

test("[SH1] [SH2] [SH4] an object is in the place its label names, whatever happens, and never in two", async (t) => {
  for (let seed = first; seed < first + count; seed++)
    await t.test(`seed ${seed}`, async () => {
      const script = labelled(writeScript(seed));
      const world = new World(script);
      await world.run();
      const [violation] = world.violations;
      if (violation)
        assert.fail(`[${violation.rule}] ${violation.text}, at ${violation.at}:\n${[...script.steps.map(line), "", ...world.lines.slice(-80)].join("\n")}`);
    });
});
