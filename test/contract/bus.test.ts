/** The fake bus, by the cases that hold for the real one; and the ways in which it fails. */
import assert from "node:assert/strict";
import test from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { systemClock } from "#services/store/clock.ts";
import { MemoryExchange, memoryBus, perfectBusWire } from "../simulate/memory-bus.ts";
import { Process, VirtualTime } from "../simulate/time.ts";
import { busCases } from "./bus-cases.ts";

const exchange = new MemoryExchange();
const [a, b, c] = ["a", "b", "c"].map((name) => memoryBus(exchange, perfectBusWire(name, systemClock))) as [ReturnType<typeof memoryBus>, ReturnType<typeof memoryBus>, ReturnType<typeof memoryBus>];

for (const [at, { title, run }] of busCases.entries()) test(`${title} (fake)`, () => run({ a, b, c, settled: () => turn() }, `case${at}`));

/** Clients in virtual time whose way can be slow or lose. */
function clients() {
  const time = new VirtualTime();
  const server = new MemoryExchange();
  const start = (name: string) => {
    const process = new Process(time, name);
    const way = { deliverMs: (_: string): number | undefined => 1 };
    const bus = memoryBus(server, {
      client: name, clock: process.clock, later: (ms, run) => void time.in(ms, run), enter: (run) => process.enter(run), deliverMs: (to) => way.deliverMs(to),
    });
    return { bus, process, way };
  };
  return { server, start, run: (ms: number) => time.run(ms, () => false) };
}

test("[NT2] however long each takes, they arrive in order (fake)", async () => {
  const { start, run } = clients();
  const [one, two] = [start("one"), start("two")];
  const heard: string[] = [];
  two.bus.subscribe("fb.x", (data) => heard.push(data));
  const delays = [50, 1, 30, 0];
  one.way.deliverMs = () => delays.shift();
  for (const each of ["1", "2", "3", "4"]) one.bus.publish("fb.x", each);
  await run(49);
  assert.deepEqual(heard, []);
  await run(51);
  assert.deepEqual(heard, ["1", "2", "3", "4"]);
});

test("[NT1] what gets lost is lost for one receiver; a stopped one hears it later, a dead one never (fake)", async () => {
  const { start, run, server } = clients();
  const [one, two, three] = [start("one"), start("two"), start("three")];
  const heard: string[] = [];
  for (const { bus, process } of [two, three]) bus.subscribe("fb.x", (data) => heard.push(`${process.name} ${data}`));
  one.way.deliverMs = (to) => (to === "two" ? undefined : 1);
  one.bus.publish("fb.x", "1");
  await run(10);
  assert.deepEqual(heard, ["three 1"]);
  three.process.stop();
  one.bus.publish("fb.x", "2");
  await run(10);
  assert.deepEqual(heard, ["three 1"]);
  three.process.resume();
  await run(10);
  assert.deepEqual(heard, ["three 1", "three 2"]);
  three.process.kill();
  server.drop("three");
  one.bus.publish("fb.x", "3");
  await run(10);
  assert.deepEqual(heard, ["three 1", "three 2"]);
});

test("[NT3] a request whose answer gets lost fails when its time is over; after the death of who listened, at once (fake)", async () => {
  const { start, run, server } = clients();
  const [one, two] = [start("one"), start("two")];
  two.bus.subscribe("fb.x", (_, answer) => answer?.("yes"));
  two.way.deliverMs = () => undefined;
  const said: string[] = [];
  one.bus.request("fb.x", "?", 300).catch((thrown: unknown) => said.push(String(thrown)));
  await run(299);
  assert.equal(said.length, 0);
  await run(2);
  assert.match(said[0] ?? "", /unknown/);
  server.drop("two");
  one.bus.request("fb.x", "?", 300).catch((thrown: unknown) => said.push(String(thrown)));
  await run(5);
  assert.match(said[1] ?? "", /busy/);
});
