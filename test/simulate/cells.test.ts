/**
 * Workers come, go, die, stop and are cut off; whatever gets lost or comes late: at no time two of them act for one
 * partition, nothing is counted twice or lost, and once it is calm the cell is shared evenly. SEED=… SEEDS=… lives through
 * others, and more of them.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { cellLine, often, shrinkCell, writeCellScript } from "./cell-script.ts";
import { CellWorld, type CellScript } from "./cells.ts";

const first = Number(process.env["SEED"] ?? 1);
const count = Number(process.env["SEEDS"] ?? 4);
const seeds = Array.from({ length: count }, (_, i) => first + i);

// What CellWorld looks for. Their ids stand with each expectation there.
const rules = "[OW1] [OW2] [OW3] [OW6] [OW17] [OW30] [OW31] [OW40]";

test(`${rules} hold whatever happens to the workers of a cell`, async (t) => {
  for (const seed of seeds) await t.test(`seed ${seed}`, () => live(writeCellScript(seed)));
});

const hardships: Record<string, (script: CellScript) => CellScript> = {
  "nothing is heard": (script) => often(script, "lose copies", "lose words"),
  zombies: (script) => often(script, "stop", "cut"),
  "lost answers": (script) => often(script, "lose acks", "land late", "drain"),
};

test(`${rules} hold where one kind of trouble is frequent`, async (t) => {
  for (const [name, harden] of Object.entries(hardships))
    for (const seed of seeds.slice(0, Math.ceil(count / 4))) await t.test(`${name}, seed ${seed}`, () => live(harden(writeCellScript(seed))));
});

const tries = 20;
const linesShown = 60;

async function live(script: CellScript): Promise<void> {
  let world = new CellWorld(script);
  await world.run();
  const [violation] = world.violations;
  if (!violation) return;
  const smallest = await shrinkCell(script, async (candidate) => {
    const other = new CellWorld(candidate);
    await other.run();
    const same = other.violations[0]?.rule === violation.rule;
    if (same) world = other;
    return same;
  }, tries);
  const told = [...smallest.steps.map(cellLine), "", ...world.lines.slice(-linesShown)].join("\n");
  assert.fail(`[${violation.rule}] ${violation.text}, at ${violation.at}; ${smallest.steps.length} steps are enough:\n${told}`);
}
