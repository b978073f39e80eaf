/**
 * A source that is made from another, on workers that come, go and die, with copies and words that get lost: in the end it is
 * made of the newest, though it would look by itself only hours later.
 */
import "./partitions.ts";
import assert from "node:assert/strict";
import test from "node:test";

const { made, madeMoving, madeSilent } = await import("./hardships.ts");
const { line, writeScript } = await import("./script.ts");
const { World } = await import("./world.ts");

const first = Number(process.env["SEED"] ?? 1);
const count = Number(process.env["SEEDS"] ?? 3);

for (const [name, harden] of Object.entries({ made, madeMoving, madeSilent }))
  for (let seed = first; seed < first + count; seed++)
    test(`[SR80] what is made from a source is made of its newest artifact in the end: ${name}, seed ${seed}`, async () => {
      const script = harden(writeScript(seed));
      const world = new World(script);
      await world.run();
      const [violation] = world.violations;
      if (violation) assert.fail(`[${violation.rule}] ${violation.text}, at ${violation.at}:\n${[...script.steps.map(line), "", ...world.lines.slice(-60)].join("\n")}`);
    });
