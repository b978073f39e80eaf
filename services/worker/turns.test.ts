import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { Costs } from "./costs.ts";
import type { EffectCall } from "./host-ports.ts";
import { Turns } from "./turns.ts";

const key: ActorKey = { kind: "kustomization", namespace: "apps", name: "shop" };

function bench() {
  const time = new VirtualTime();
  const { clock } = new Process(time, "w");
  const state = { shown: true };
  const turns = new Turns({ clock, costs: new Costs(clock.monoMs()), isShown: () => state.shown, tenantOf: ({ namespace }) => namespace, fenced: async () => {} });
  const controller = new AbortController();
  const call = (of = key): EffectCall =>
    ({ key: of, context: {}, input: null, run: { id: "x", src: "x", input: null, attempt: 1, sinceMs: 0 }, signal: controller.signal, recovered: false });
  const settled: string[] = [];
  const follow = (name: string, work: Promise<unknown>) => void work.then(() => settled.push(name), (thrown: unknown) => settled.push(`${name}: ${thrown instanceof Fault ? thrown.code : String(thrown)}`));
  return { turns, state, controller, call, settled, follow, run: (ms: number) => time.run(ms, () => false) };
}

test("[FA20] an effect waits to be shown its objects, but not for long: then it asks the API server itself", async () => {
  const { turns, state, call, settled, follow, run } = bench();
  state.shown = false;
  follow("find", turns.run("findSource", call(), async () => {}));
  await run(400);
  assert.deepEqual(settled, []);
  await run(200);
  assert.deepEqual(settled, ["find"]);
});

test("[OW9] an effect that may not write now is no failure: it is tried again until it may, or is told to stop", async () => {
  const { turns, controller, call, settled, follow, run } = bench();
  let refusals = 3;
  follow("apply", turns.run("apply", call(), async () => { if (refusals-- > 0) throw new Fault("LeaseLost", "w"); }));
  await run(5_000);
  assert.deepEqual(settled, ["apply"]);
  follow("stopped", turns.run("apply", call(), async () => { throw new Fault("LeaseLost", "w"); }));
  await run(500);
  controller.abort();
  await run(500);
  assert.deepEqual(settled, ["apply", "stopped: LeaseLost"]);
});

test("[FA21] a person's wish goes before a tenant's thousand, and what is no work takes no turn", async () => {
  const { turns, call, settled, follow, run } = bench();
  const never = new Promise<never>(() => {});
  for (let i = 0; i < 100; i++) follow(`busy ${i}`, turns.run("apply", call({ ...key, name: `app-${i}` }), () => never));
  const order: string[] = [];
  follow("health", turns.run("followHealth", call(), async () => { order.push("health"); }));
  const wish = { ...key, namespace: "other", name: "wish" };
  turns.because(wish, "command");
  follow("wish", turns.run("apply", call(wish), async () => { order.push("wish"); }));
  await run(10);
  assert.deepEqual([order, settled], [["health", "wish"], ["health", "wish"]]);
});
