/** What workers rely on in their bus, as cases that run on NATS core and on the fake alike. */
import assert from "node:assert/strict";
import type { Bus } from "#services/store/bus.ts";
import { LogError, type LogErrorKind } from "#services/store/log.ts";
import { eventually } from "../../deploy/local/eventually.ts";

export type Buses = {
  a: Bus;
  b: Bus;
  c: Bus;
  /** Resolves when what was asked of the server before is done: subscriptions begin and end. */
  settled(): Promise<void>;
};

/** @param at a name of the case's own: `fb.<at>.` is all its */
export type BusCase = { title: string; run(buses: Buses, at: string): Promise<void> };

const refuses = (promise: Promise<unknown>, kind: LogErrorKind) =>
  assert.rejects(promise, (thrown) => thrown instanceof LogError && thrown.kind === kind, `should be refused as ${kind}`);

const longMs = 5_000;
const shortMs = 500;

export const busCases: BusCase[] = [
  { title: "[NT1] what is said reaches everybody whose filter matches, the speaker too, and nobody else", async run({ a, b, c, settled }, at) {
    const heard: string[] = [];
    for (const [name, bus, filter] of [["a", a, `fb.${at}.x.one`], ["b", b, `fb.${at}.*.one`], ["c", c, `fb.${at}.>`], ["d", b, `fb.${at}.x.two`], ["e", b, `fb.${at}.*`]] as const)
      bus.subscribe(filter, (data) => heard.push(`${name} ${data}`));
    await settled();
    a.publish(`fb.${at}.x.one`, "1");
    b.publish(`fb.${at}.x.end`, "2");
    await eventually("both", () => heard.length >= 4);
    await settled();
    assert.deepEqual(heard.sort(), ["a 1", "b 1", "c 1", "c 2"]);
  } },
  { title: "[NT2] what one sender says comes in the order it was said", async run({ a, b, settled }, at) {
    const heard: string[] = [];
    b.subscribe(`fb.${at}.*`, (data) => heard.push(data));
    await settled();
    const said = Array.from({ length: 200 }, (_, i) => String(i));
    for (const each of said) a.publish(`fb.${at}.${Number(each) % 3}`, each);
    await eventually("all", () => heard.length === said.length);
    assert.deepEqual(heard, said);
  } },
  { title: "[NT1] who has stopped listening hears nothing more", async run({ a, b, c, settled }, at) {
    const [heard, witness]: [string[], string[]] = [[], []];
    const stop = b.subscribe(`fb.${at}`, (data) => heard.push(data));
    c.subscribe(`fb.${at}`, (data) => witness.push(data));
    await settled();
    a.publish(`fb.${at}`, "1");
    await eventually("the first", () => heard.length === 1);
    stop();
    await settled();
    a.publish(`fb.${at}`, "2");
    await eventually("the second, elsewhere", () => witness.length === 2);
    await settled();
    assert.deepEqual(heard, ["1"]);
  } },
  { title: "[NT3] a request has the first answer; what is only said can not be answered", async run({ a, b, settled }, at) {
    const answerable: boolean[] = [];
    b.subscribe(`fb.${at}`, (data, answer) => {
      answerable.push(answer !== undefined);
      answer?.(`${data} back`);
      answer?.("once more");
    });
    await settled();
    assert.equal(await a.request(`fb.${at}`, "there and", longMs), "there and back");
    a.publish(`fb.${at}`, "nothing");
    await eventually("it was heard", () => answerable.length === 2);
    assert.deepEqual(answerable, [true, false]);
  } },
  { title: "[NT3] a request that nobody listens to fails at once; one that is not answered, when its time is over", async run({ a, b, settled }, at) {
    await refuses(a.request(`fb.${at}`, "?", longMs), "busy");
    b.subscribe(`fb.${at}`, () => undefined);
    await settled();
    await refuses(a.request(`fb.${at}`, "?", shortMs), "unknown");
  } },
  { title: "[NT4] a question to all collects what comes in time, and ends as soon as there is enough", async run({ a, b, c, settled }, at) {
    assert.deepEqual(await a.requestAll(`fb.${at}`, "?", longMs, 10), []);
    for (const [name, bus] of [["a", a], ["b", b], ["c", c]] as const) bus.subscribe(`fb.${at}`, (_, answer) => answer?.(name));
    b.subscribe(`fb.${at}`, () => undefined);
    await settled();
    assert.deepEqual((await a.requestAll(`fb.${at}`, "?", shortMs, 10)).sort(), ["a", "b", "c"]);
    assert.equal((await a.requestAll(`fb.${at}`, "?", longMs, 2)).length, 2);
  } },
  { title: "[NT5] what is too large is refused, and says so", async run({ a }, at) {
    const large = "x".repeat(9 * 2 ** 20);
    assert.throws(() => a.publish(`fb.${at}`, large), (thrown) => thrown instanceof LogError && thrown.kind === "refused");
    await refuses(a.request(`fb.${at}`, large, longMs), "refused");
    await refuses(a.requestAll(`fb.${at}`, large, longMs, 1), "refused");
  } },
];
