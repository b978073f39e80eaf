import assert from "node:assert/strict";
import test from "node:test";
import { begin } from "#machines/step.ts";
import { Play } from "../../test/simulate/play.ts";
import { coordinator, type CoordinatorContext } from "./coordinator.ts";

function begun(): Play<CoordinatorContext> {
  const play = new Play<CoordinatorContext>(coordinator, "");
  play.record = begin(coordinator, { me: "me" }, 0).record;
  return play;
}

const leader = (name: string, alive = true) => ({ type: "leader", leader: name, alive });
/** Lets its timer fire once, whether or not that moves it on. */
function round(play: Play<CoordinatorContext>): Play<CoordinatorContext> {
  const [timer] = play.record.timers;
  if (!timer) throw new RangeError("nothing is waited for");
  play.nowMs = timer.dueMs;
  return play.send(timer.event);
}

const rows = [
  { what: "nobody leads: it stands", play: () => round(begun()), running: "stand" },
  { what: "a living one leads: it follows", play: () => round(begun().send(leader("them"))), running: "" },
  { what: "the one that leads may be dead: it stands", play: () => round(begun().send(leader("them", false))), running: "stand" },
  { what: "the one that led is held for dead from now on: it stands at once", play: () => begun().send(leader("them")).send(leader("them", false)), running: "stand" },
  { what: "it leads itself", play: () => begun().send(leader("me")), running: "lead" },
  { what: "its own heartbeat is late: it leads all the same", play: () => begun().send(leader("me", false)), running: "lead" },
  { what: "it was elected", play: () => round(begun()).send(leader("me")).answer(), running: "lead" },
  { what: "another was faster", play: () => round(round(begun()).send(leader("them")).fail("LeaseLost")), running: "" },
  { what: "standing failed and nobody leads: it stands again", play: () => round(round(begun()).fail("Unexpected")), running: "stand" },
  { what: "a round is over: it rests", play: () => begun().send(leader("me")).answer(), running: "" },
  { what: "the next round", play: () => round(begun().send(leader("me")).answer()), running: "lead" },
  { what: "a round that failed is followed by the next", play: () => round(begun().send(leader("me")).fail("Unexpected")), running: "lead" },
  { what: "news while it rests", play: () => begun().send(leader("me")).answer().send({ type: "news" }), running: "lead" },
  { what: "another leads meanwhile", play: () => round(begun().send(leader("me")).send(leader("them")).answer()), running: "" },
  { what: "another led for a while and died", play: () => round(begun().send(leader("me")).send(leader("them")).answer()).send(leader("them", false)), running: "stand" },
];
for (const { what, play, running } of rows) test(`[OW34] ${what}`, () => assert.equal(play().running, running));
