/** Lives through a script; what fails is cut down to what it takes, and told step by step. */
import assert from "node:assert/strict";
import { line, shrink, type Script } from "./script.ts";
import { World } from "./world.ts";

const tries = 30;
const linesShown = 60;

/** @throws AssertionError with the first rule that was broken */
export async function assertLives(script: Script): Promise<void> {
  let world = new World(script);
  await world.run();
  const [violation] = world.violations;
  if (!violation) return;
  const smallest = await shrink(script, async (candidate) => {
    const other = new World(candidate);
    await other.run();
    const same = other.violations[0]?.rule === violation.rule;
    if (same) world = other;
    return same;
  }, tries);
  const { steps, ...others } = smallest;
  const told = [JSON.stringify(others), ...steps.map(line), "", ...world.lines.slice(-linesShown)].join("\n");
  assert.fail(`[${violation.rule}] ${violation.text}, at ${violation.at}; ${steps.length} steps are enough:\n${told}`);
}
