import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { finish, lanes, laneWeights, openQueue, startNext, submit, withdraw, type FairnessOptions, type FairQueue, type Job, type Lane } from "./fairness.ts";

let count = 0;
const job = (tenant: string, lane: Lane = "change", cost = 1): Job => ({ id: `${tenant}-${++count}`, tenant, lane, cost });
function filled(options: FairnessOptions, jobs: Job[]): FairQueue {
  const queue = openQueue(options);
  for (const entry of jobs) submit(queue, entry);
  return queue;
}
/** One job at a time until the queue is empty, or so many have run. */
function order(queue: FairQueue, most = Infinity): Job[] {
  const started: Job[] = [];
  for (let next = startNext(queue); next; next = started.length < most ? startNext(queue) : undefined) {
    started.push(next);
    finish(queue, next.id);
  }
  return started;
}
const times = <T>(size: number, make: (i: number) => T): T[] => Array.from({ length: size }, (_, i) => make(i));
const tally = (jobs: Job[], of: (job: Job) => string) => Object.fromEntries(Map.groupBy(jobs, of).entries().map(([name, list]) => [name, list.length]));
const one: FairnessOptions = { inFlight: 1 };

test("[FA1] lanes with work share the places by weight", () => {
  const queue = filled(one, lanes.flatMap((lane) => times(200, () => job("a", lane))));
  assert.deepEqual(tally(order(queue, 370), ({ lane }) => lane), { command: 160, recovery: 80, drift: 80, change: 40, interval: 10 });
});

for (const lane of lanes)
  test(`[FA1] ${lane} alone gets everything`, () => assert.equal(order(filled({ inFlight: 4, inFlightPerTenant: 4 }, times(50, () => job("a", lane)))).length, 50));

test("[FA1] a command goes before what waits already", () => {
  const queue = filled(one, lanes.slice(1).flatMap((lane) => times(100, () => job("a", lane))));
  order(queue, 123);
  submit(queue, job("b", "command"));
  assert.equal(order(queue, 1)[0]?.lane, "command");
});

test("[FA2] tenants take turns, whoever has how much waiting, and keep their own order", () => {
  const jobs = [...times(6, () => job("a")), ...times(2, () => job("b")), ...times(3, () => job("c"))];
  const started = order(filled(one, jobs));
  assert.equal(started.map(({ tenant }) => tenant).join(""), "abcabcacaaa");
  for (const tenant of "abc") assert.deepEqual(started.filter((entry) => entry.tenant === tenant), jobs.filter((entry) => entry.tenant === tenant));
});

test("[FA2] a tenant's weight multiplies its turns, a job's cost divides them", () => {
  const weights = new Map([["heavy", 3], ["light", 0.5], ["odd", Number.NaN]]);
  const queue = filled({ ...one, weightOf: (tenant) => weights.get(tenant) ?? 1 }, times(400, (i) => job(["heavy", "light", "odd", "dear"][i % 4] ?? "", "change", i % 4 === 3 ? 2 : 1)));
  assert.deepEqual(tally(order(queue, 100), ({ tenant }) => tenant), { heavy: 60, light: 10, odd: 20, dear: 10 });
});

test("[FA2] jobs that no credit covers yet are not waited for round by round", () => {
  const queue = filled({ ...one, weightOf: () => 1e-6 }, [job("a", "change", 1e6), job("b", "change", 5e5), job("c", "change", 1e6)]);
  assert.deepEqual(order(queue).map(({ tenant }) => tenant), ["b", "a", "c"]);
});

test("[FA3] no more places than there are, and half of them for one tenant", () => {
  const queue = filled({ inFlight: 5 }, [...times(9, () => job("a")), job("b", "interval")]);
  const running = times(9, () => startNext(queue)).flatMap((entry) => entry ?? []);
  assert.deepEqual(tally(running, ({ tenant }) => tenant), { a: 2, b: 1 });
  finish(queue, running[0]?.id ?? "");
  assert.equal(startNext(queue)?.tenant, "a");
});

for (const wrong of [{ inFlight: 0 }, { inFlight: 1.5 }, { inFlight: 4, inFlightPerTenant: 0 }])
  test(`[FA3] ${JSON.stringify(wrong)} is a bug`, () => assert.throws(() => openQueue(wrong), RangeError));

test("[FA3] a job that is there twice, costs nothing or does not run is a bug", () => {
  const first = job("a");
  const queue = filled(one, [first]);
  assert.throws(() => submit(queue, first), RangeError);
  for (const cost of [0, -1, Number.NaN, Infinity]) assert.throws(() => submit(queue, job("a", "change", cost)), RangeError);
  assert.throws(() => finish(queue, first.id), RangeError);
  startNext(queue);
  assert.throws(() => submit(queue, first), RangeError);
});

test("[FA4] a neighbour is not delayed by what a tenant queues and by how fast it fails", () =>
  fc.assert(fc.property(
    fc.record({
      places: fc.integer({ min: 1, max: 8 }), tenants: fc.integer({ min: 1, max: 5 }), lane: fc.constantFrom(...lanes), before: fc.nat(60),
      floods: fc.uniqueArray(fc.constantFrom(...lanes), { minLength: 1 }), ends: fc.array(fc.nat(7), { minLength: 1, maxLength: 50 }),
    }),
    ({ places, tenants, lane, before, floods, ends }) => {
      const flood = (tenant: number) => floods.map((lane) => job(`bad-${tenant}`, lane));
      const queue = filled({ inFlight: places }, times(tenants, (tenant) => times(2_000 / tenants, () => flood(tenant)).flat()).flat());
      const running: Job[] = [];
      let started = 0;
      const round = (i: number) => {
        for (let next = startNext(queue); next; next = startNext(queue)) {
          if (next.tenant === "good") return true;
          started++;
          running.push(next);
        }
        const [ended] = running.splice((ends[i % ends.length] ?? 0) % running.length, 1);
        assert.ok(ended);
        finish(queue, ended.id);
        submit(queue, job(ended.tenant, ended.lane)); // it failed, and wants to be tried again
        return false;
      };
      for (let i = 0; i < before; i++) round(i);
      submit(queue, job("good", lane));
      started = 0;
      for (let i = 0; !round(i); i++) assert.ok(i < 5_000, "the neighbour starves");
      const turns = tenants + 1; // of its lane, until it is its own
      const busy = [...new Set([...floods, lane])];
      const bound = busy.reduce((sum, other) => sum + Math.ceil((turns * laneWeights[other]) / laneWeights[lane]) + 1, 0);
      assert.ok(started <= bound, `${started} others began first; at most ${bound}`);
    }), { numRuns: 150 }));

test("[FA5] a lane that was empty takes no turns it did not use", () => {
  const queue = filled(one, times(300, () => job("a", "interval")));
  order(queue, 200);
  for (let i = 0; i < 100; i++) submit(queue, job("b", "change"));
  const { change = 0 } = tally(order(queue, 50), ({ lane }) => lane);
  assert.ok(change >= 39 && change <= 41, `${change} of 50; its part is 40`);
});

test("[FA5] a lane whose tenants hold all they may takes no turns it did not use", () => {
  const queue = filled({ inFlight: 2, inFlightPerTenant: 1 }, [...times(400, () => job("a", "drift")), ...times(400, () => job("b", "change"))]);
  const holder = startNext(queue);
  assert.equal(holder?.lane, "drift");
  const meanwhile = order(queue, 200);
  assert.ok(meanwhile.every(({ lane }) => lane === "change"));
  finish(queue, holder?.id ?? "");
  submit(queue, job("c", "change"));
  const { drift = 0 } = tally(order(queue, 30), ({ lane }) => lane);
  assert.ok(drift >= 19 && drift <= 21, `${drift} of 30; its part is 20`);
});

test("[FA5] a tenant that comes back has no credit left", () => {
  const queue = filled({ ...one, weightOf: (tenant) => (tenant === "a" ? 5 : 1) }, [job("a"), ...times(10, () => job("b"))]);
  order(queue, 3); // a has gone with four turns unused
  times(12, () => submit(queue, job("a")));
  assert.equal(order(queue, 7).map(({ tenant }) => tenant).join(""), "aaaaaba");
});

test("[FA6] whatever is submitted, withdrawn and finished, everything ends once and nothing is left", () =>
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }),
    fc.array(fc.record({ act: fc.constantFrom("submit", "submit", "start", "finish", "withdraw"), tenant: fc.constantFrom("a", "b", "c"), lane: fc.constantFrom(...lanes), cost: fc.double({ min: 0.01, max: 50, noNaN: true }), which: fc.nat() }), { maxLength: 150 }),
    (inFlight, inFlightPerTenant, acts) => {
      const queue = openQueue({ inFlight, inFlightPerTenant, weightOf: (tenant) => (tenant === "a" ? 0.3 : 2) });
      const [waiting, running] = [new Set<string>(), new Set<string>()];
      const start = () => {
        const next = startNext(queue);
        if (next) assert.ok(waiting.delete(next.id) && running.add(next.id));
        return next !== undefined;
      };
      const end = (id: string | undefined) => id !== undefined && running.delete(id) && finish(queue, id);
      for (const { act, tenant, lane, cost, which } of acts) {
        if (act === "start") start();
        else if (act === "finish") end([...running][which % running.size]);
        else if (act === "withdraw") {
          const id = [...waiting][which % waiting.size];
          if (id) assert.ok(withdraw(queue, id) && waiting.delete(id) && !withdraw(queue, id));
        } else {
          const entry = job(tenant, lane, cost);
          submit(queue, entry);
          waiting.add(entry.id);
        }
        assert.ok(queue.running.size <= inFlight && [...queue.held.values()].every((held) => held > 0 && held <= inFlightPerTenant));
        assert.deepEqual([queue.waiting.size, queue.running.size], [waiting.size, running.size]);
      }
      while (waiting.size > 0 || running.size > 0) if (!start()) end([...running][0]);
      assert.deepEqual([queue.waiting.size, queue.running.size, queue.held.size], [0, 0, 0]);
      for (const lane of lanes) assert.deepEqual([queue.lanes[lane].tenants.size, queue.lanes[lane].ring], [0, { first: undefined, last: undefined }]);
    }), { numRuns: 300 }));
