import assert from "node:assert/strict";
import test from "node:test";
import { Stops } from "./stops.ts";

test("[FL1] parts stop in reverse, one after the other, and one that fails does not keep the others running", async () => {
  const stops = new Stops();
  const seen: string[] = [];
  const part = (name: string, fails = false) => async () => {
    seen.push(`${name} begins`);
    await Promise.resolve();
    seen.push(`${name} ends`);
    if (fails) throw new RangeError(name);
  };
  stops.add(part("first"));
  stops.add(part("second", true));
  stops.add(part("third"));
  await Promise.all([stops.all(), stops.all()]);
  assert.deepEqual(seen, ["third", "second", "first"].flatMap((name) => [`${name} begins`, `${name} ends`]));
});

test("[FL1] what is there only after the end has begun is stopped at once", async () => {
  const stops = new Stops();
  await stops.all();
  const late = Promise.withResolvers<string>();
  stops.add(async () => late.resolve("stopped"));
  assert.equal(await late.promise, "stopped");
});

test("[FL2] in a hurry a part that hangs is left behind, and the others are still told", async () => {
  const stops = new Stops();
  const seen: string[] = [];
  stops.add(async () => seen.push("first"));
  stops.add(() => new Promise(() => seen.push("hangs")));
  const ended = stops.all();
  stops.hurry();
  await ended;
  assert.deepEqual(seen, ["hangs", "first"]);
});
