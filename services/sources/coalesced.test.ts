import assert from "node:assert/strict";
import test from "node:test";
import { nameOf, Coalesced } from "./coalesced.ts";

const forever = new AbortController().signal;
const gone = new Error("another owner");

/** Work that ends when it is told to, on a clock that stands still. */
function bench() {
  let nowMs = 0;
  const begun: { resolve(value: { n: number }): void; reject(error: Error): void; signal: AbortSignal }[] = [];
  const shared = new Coalesced<{ n: number }>({ keepMs: 60_000, maxSize: 10, sizeOf: () => 1, nowMs: () => nowMs });
  const ask = (maxAgeMs: number, signal = forever, name = "a") =>
    shared.ask(name, { signal, maxAgeMs }, (ends) => {
      const { promise, resolve, reject } = Promise.withResolvers<{ n: number }>();
      begun.push({ resolve, reject, signal: ends });
      return promise;
    });
  return { ask, begun, pass: (ms: number) => { nowMs += ms; } };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("[SR76] a hundred who ask for the same at once cost one question, and those who must have it later one more", async () => {
  const { ask, begun } = bench();
  const first = ask(0);
  const others = Array.from({ length: 100 }, () => ask(0));
  await turn();
  assert.equal(begun.length, 1, "what is under way may have looked before their news");
  begun[0]?.resolve({ n: 1 });
  assert.deepEqual(await first, { n: 1 });
  await turn();
  assert.equal(begun.length, 2);
  begun[1]?.resolve({ n: 2 });
  assert.deepEqual(new Set((await Promise.all(others)).map(({ n }) => n)), new Set([2]));
});

test("[SR76] who may have an older answer gets the one that is there, or on its way", async () => {
  const { ask, begun, pass } = bench();
  const first = ask(0);
  pass(5);
  const second = ask(10);
  begun[0]?.resolve({ n: 1 });
  assert.deepEqual(await Promise.all([first, second]), [{ n: 1 }, { n: 1 }]);
  pass(4);
  assert.deepEqual(await ask(10), { n: 1 });
  pass(2);
  const late = ask(10);
  assert.equal(begun.length, 2, "by when it began, not by when it ended");
  begun[1]?.resolve({ n: 2 });
  assert.deepEqual(await late, { n: 2 });
});

test("[SR76] other names share nothing", () => {
  const { ask, begun } = bench();
  void ask(1_000, forever, "a").catch(() => undefined);
  void ask(1_000, forever, "b").catch(() => undefined);
  assert.equal(begun.length, 2);
});

test("[SR76] who leaves ends only what nobody else waits for", async () => {
  const { ask, begun } = bench();
  const [one, two] = [new AbortController(), new AbortController()];
  const asks = [ask(1_000, one.signal), ask(1_000, two.signal)].map((each) => each.catch((error: unknown) => error));
  one.abort(gone);
  assert.equal(await asks[0], gone);
  assert.equal(begun[0]?.signal.aborted, false);
  two.abort(gone);
  assert.equal(await asks[1], gone);
  assert.equal(begun[0]?.signal.aborted, true);
  void ask(1_000).catch(() => undefined);
  assert.equal(begun.length, 2, "who asks next begins anew");
  await assert.rejects(ask(0, AbortSignal.abort(gone)), gone);
});

test("[SR76] a failure is everybody's who waits, and is not kept", async () => {
  const { ask, begun } = bench();
  const asks = [ask(1_000), ask(1_000), ask(0)];
  const failed = Promise.allSettled(asks.slice(0, 2));
  begun[0]?.reject(gone);
  assert.deepEqual((await failed).map(({ status }) => status), ["rejected", "rejected"]);
  await turn();
  begun[1]?.resolve({ n: 2 });
  assert.deepEqual(await asks[2], { n: 2 });
});

test("[SR77] names differ by credentials, and by nothing that makes no difference", () => {
  const secret = { username: Buffer.from("ada"), password: Buffer.from("x") };
  assert.equal(nameOf({ url: "u", secret }), nameOf({ secret: { password: new Uint8Array(Buffer.from("x")), username: Buffer.from("ada") }, url: "u" }));
  assert.notEqual(nameOf({ url: "u", secret }), nameOf({ url: "u", secret: { ...secret, password: Buffer.from("y") } }));
  assert.notEqual(nameOf({ url: "u", secret }), nameOf({ url: "u" }));
  assert.doesNotMatch(nameOf({ secret }), /ada/);
});
