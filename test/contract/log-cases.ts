/** What a cell relies on in its log, as cases that run on NATS JetStream and on the fake alike. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { LogError, type Log, type LogErrorKind, type Stored } from "#services/store/log.ts";

/** @param at a partition of the case's own: `fl.<at>.` is all its */
export type LogCase = { title: string; run(log: Log, at: number): Promise<void> };

const all = async (log: Log, filter: string | string[], from?: number): Promise<Stored[]> => {
  const found: Stored[] = [];
  for await (const stored of log.scan(filter, from)) found.push(stored);
  return found;
};

const refuses = (promise: Promise<unknown>, kind: LogErrorKind) =>
  assert.rejects(promise, (thrown) => thrown instanceof LogError && thrown.kind === kind, `should be refused as ${kind}`);

/** Until it holds; what is asynchronous on a real server has two seconds more than it needs. */
async function eventually(holds: () => boolean | Promise<boolean>, withinMs = 4_000): Promise<void> {
  for (const endMs = Date.now() + withinMs; !(await holds()); await sleep(20)) if (Date.now() > endMs) assert.fail(`not within ${withinMs} ms`);
}

/** Asks again what was refused for now. */
async function insist<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;)
    try {
      return await attempt();
    } catch (thrown) {
      if (!(thrown instanceof LogError) || thrown.kind !== "busy") throw thrown;
      await sleep(5);
    }
}

export const logCases: LogCase[] = [
  { title: "[LG7] a read sees every write that was acknowledged", async run(log, at) {
    const first = await log.publish({ subject: `fl.${at}.own`, data: "one" });
    const second = await log.publish({ subject: `fl.${at}.own`, data: "two" });
    assert.ok(second > first);
    const found = await log.read(`fl.${at}.own`);
    assert.deepEqual([found?.data, found?.sequence, found?.subject], ["two", second, `fl.${at}.own`]);
    assert.equal(await log.read(`fl.${at}.snap.none`), undefined);
  } },
  { title: "[LG1] an empty message is a message", async run(log, at) {
    await log.publish({ subject: `fl.${at}.snap.a`, data: "" });
    assert.equal((await log.read(`fl.${at}.snap.a`))?.data, "");
    assert.deepEqual((await all(log, `fl.${at}.snap.>`)).map(({ data }) => data), [""]);
  } },
  { title: "[LG1] headers are kept", async run(log, at) {
    await log.publish({ subject: `fl.${at}.snap.a`, data: "x", headers: { traceparent: "00-1" } });
    assert.equal((await log.read(`fl.${at}.snap.a`))?.headers["traceparent"], "00-1");
    assert.equal((await all(log, `fl.${at}.snap.>`))[0]?.headers["traceparent"], "00-1");
  } },
  { title: "[LG2] a write under the fence is accepted while the owner record is the same, and refused after it was rewritten", async run(log, at) {
    const sequence = await log.publish({ subject: `fl.${at}.own`, data: "w1" });
    const fence = { subject: `fl.${at}.own`, sequence };
    await log.publish({ subject: `fl.${at}.snap.a`, data: "1", fence });
    await log.publish({ subject: `fl.${at}.snap.a`, data: "2", fence });
    await log.publish({ subject: `fl.${at}.own`, data: "w2", expectLast: sequence });
    await refuses(log.publish({ subject: `fl.${at}.snap.a`, data: "3", fence }), "fenced");
    assert.equal((await log.read(`fl.${at}.snap.a`))?.data, "2");
  } },
  { title: "[LG2] writes under one fence that are asked for at the same time are stored, or refused for now", async run(log, at) {
    const fence = { subject: `fl.${at}.own`, sequence: await log.publish({ subject: `fl.${at}.own`, data: "w1" }) };
    await Promise.all(Array.from({ length: 20 }, (_, i) => insist(() => log.publish({ subject: `fl.${at}.snap.a${i}`, data: "x", fence }))));
    assert.equal((await all(log, `fl.${at}.snap.>`)).length, 20);
  } },
  { title: "[LG3] a message that must be the first is refused when there is one", async run(log, at) {
    await log.publish({ subject: `fl.${at}.own`, data: "w1", expectLast: 0 });
    await refuses(log.publish({ subject: `fl.${at}.own`, data: "w2", expectLast: 0 }), "fenced");
    assert.equal((await log.read(`fl.${at}.own`))?.data, "w1");
  } },
  { title: "[LG3] of two that expect the same, one is stored", async run(log, at) {
    const sequence = await log.publish({ subject: `fl.${at}.own`, data: "w0" });
    const outcomes = await Promise.allSettled(["w1", "w2"].map((data) => log.publish({ subject: `fl.${at}.own`, data, expectLast: sequence })));
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    await refuses(log.publish({ subject: `fl.${at}.own`, data: "w3", expectLast: sequence }), "fenced");
  } },
  { title: "[LG4] a batch is stored in one piece: its sequences follow each other", async run(log, at) {
    const messages = ["a", "b", "c", "d"].map((name) => ({ subject: `fl.${at}.snap.${name}`, data: name }));
    const last = await log.publishAll(messages);
    const found = await all(log, `fl.${at}.snap.>`);
    assert.deepEqual(found.map(({ data, sequence }) => [data, sequence]), messages.map(({ data }, i) => [data, last - 3 + i]));
  } },
  { title: "[LG4] of a batch with one stale fence nothing is stored", async run(log, at) {
    const sequence = await log.publish({ subject: `fl.${at}.own`, data: "w1" });
    await log.publish({ subject: `fl.${at}.own`, data: "w2" });
    const message = (name: string) => ({ subject: `fl.${at}.snap.${name}`, data: name });
    for (const messages of [
      [message("a"), { ...message("b"), fence: { subject: `fl.${at}.own`, sequence } }],
      [{ ...message("a"), fence: { subject: `fl.${at}.own`, sequence } }, message("b")],
      [message("a"), { ...message("b"), expectLast: 7 }, message("c")],
    ]) await refuses(log.publishAll(messages), "fenced");
    assert.deepEqual(await all(log, `fl.${at}.snap.>`), []);
  } },
  { title: "[LG5] a batch may carry the fences of many partitions, each many times", async run(log, at) {
    const fences = await Promise.all([0, 1, 2].map(async (i) => ({ subject: `fl.${at}.x${i}.own`, sequence: await log.publish({ subject: `fl.${at}.x${i}.own`, data: "w" }) })));
    await log.publishAll(Array.from({ length: 30 }, (_, i) => ({ subject: `fl.${at}.snap.u${i}`, data: "x", fence: fences[i % 3] as (typeof fences)[number] })));
    assert.equal((await all(log, `fl.${at}.snap.>`)).length, 30);
  } },
  { title: "[LG3] owner records are taken by one batch, each compared with its own last sequence", async run(log, at) {
    const own = (i: number) => `fl.${at}.p${i}.own`;
    const last = await log.publishAll(Array.from({ length: 100 }, (_, i) => ({ subject: own(i), data: "w1", expectLast: 0 })));
    await log.publishAll(Array.from({ length: 100 }, (_, i) => ({ subject: own(i), data: "w2", expectLast: last - 99 + i })));
    await refuses(log.publishAll([{ subject: own(0), data: "w3", expectLast: last - 99 }, { subject: own(1), data: "w3", expectLast: last - 98 }]), "fenced");
    assert.ok((await all(log, `fl.${at}.*.own`)).every(({ data }) => data === "w2"));
  } },
  { title: "[LG4] a batch holds 1,000 messages and no more", async run(log, at) {
    const messages = Array.from({ length: 1_001 }, (_, i) => ({ subject: `fl.${at}.snap.u${i}`, data: "x" }));
    await assert.rejects(log.publishAll(messages), RangeError);
    await assert.rejects(log.publishAll([]), RangeError);
    await log.publishAll(messages.slice(1));
    assert.equal((await all(log, `fl.${at}.snap.>`)).length, 1_000);
  } },
  { title: "[LG9] a message that is too large is refused for good, and with it its batch", async run(log, at) {
    const large = { subject: `fl.${at}.snap.a`, data: "x".repeat(5 * 2 ** 20) };
    await refuses(log.publish(large), "refused");
    await refuses(log.publishAll([{ subject: `fl.${at}.snap.b`, data: "x" }, large, { subject: `fl.${at}.snap.c`, data: "x" }]), "refused");
    assert.deepEqual(await all(log, `fl.${at}.snap.>`), []);
  } },
  { title: "[LG6] a scan of several filters gives the newest of every subject of each", async run(log, at) {
    for (const [name, data] of [["a.1", "old"], ["b.1", "b"], ["c.1", "c"], ["a.1", "new"], ["a.2", "more"]] as const) await log.publish({ subject: `fl.${at}.snap.${name}`, data });
    const found = await all(log, [`fl.${at}.snap.a.>`, `fl.${at}.snap.b.>`, `fl.${at}.snap.none.>`]);
    assert.deepEqual(found.map(({ data }) => data).sort(), ["b", "more", "new"]);
    const from = found.find(({ data }) => data === "new")?.sequence;
    assert.deepEqual((await all(log, [`fl.${at}.snap.a.>`, `fl.${at}.snap.b.>`], from)).map(({ data }) => data), ["new", "more"]);
  } },
  { title: "[LG6] a scan has no end that depends on how much there is, of one filter or of many", async run(log, at) {
    const messages = Array.from({ length: 1_300 }, (_, i) => ({ subject: `fl.${at}.snap.${i < 1_100 ? "many" : `few${i % 10}`}.u${i}`, data: String(i) }));
    await log.publishAll(messages.slice(0, 650));
    await log.publishAll(messages.slice(650));
    const filters = ["many", ...Array.from({ length: 10 }, (_, i) => `few${i}`)].map((name) => `fl.${at}.snap.${name}.>`);
    assert.equal(new Set((await all(log, filters)).map(({ data }) => data)).size, 1_300);
    assert.equal((await all(log, `fl.${at}.>`)).length, 1_300);
  } },
  { title: "[LG6] a scan gives the newest of every subject, in order of sequence, from where it is asked to begin", async run(log, at) {
    for (const [name, data] of [["a", "1"], ["b", "2"], ["c", "3"], ["a", "4"]]) await log.publish({ subject: `fl.${at}.mbx.${name}`, data: data ?? "" });
    const found = await all(log, `fl.${at}.mbx.>`);
    assert.deepEqual(found.map(({ data }) => data), ["2", "3", "4"]);
    const [, second, last] = found.map(({ sequence }) => sequence) as [number, number, number];
    assert.deepEqual((await all(log, `fl.${at}.mbx.>`, second)).map(({ data }) => data), ["3", "4"]);
    assert.deepEqual(await all(log, `fl.${at}.mbx.>`, last + 1), []);
    assert.deepEqual(await all(log, `fl.${at}.nothing.>`), []);
  } },
  { title: "[LG6] a scan leaves out what its filter does not name", async run(log, at) {
    await log.publishAll([`fl.${at}.own`, `fl.${at}.mbx.a`, `fl.${at}.snap.a`, `fl.${at}.snap.a.b`].map((subject) => ({ subject, data: "x" })));
    const named = async (filter: string) => (await all(log, filter)).map(({ subject }) => subject.slice(`fl.${at}.`.length));
    assert.deepEqual(await named(`fl.${at}.snap.>`), ["snap.a", "snap.a.b"]);
    assert.deepEqual(await named(`fl.${at}.snap.*`), ["snap.a"]);
    assert.deepEqual(await named(`fl.${at}.>`), ["own", "mbx.a", "snap.a", "snap.a.b"]);
  } },
  { title: "[LG6] a scan is complete however much there is", async run(log, at) {
    for (let round = 0; round < 3; round++)
      await log.publishAll(Array.from({ length: 900 }, (_, i) => ({ subject: `fl.${at}.mbx.r${round}u${i}`, data: "x".repeat(200) })));
    const sequences = (await all(log, `fl.${at}.mbx.>`)).map(({ sequence }) => sequence);
    assert.equal(sequences.length, 2_700);
    assert.deepEqual(sequences, [...sequences].sort((a, b) => a - b));
  } },
  { title: "[LG8] what is stored is repeated to listeners with its sequence, a batch too, until they stop", async run(log, at) {
    const heard: Stored[] = [];
    const stop = log.listen(`fll.${at}.mbx.>`, (stored) => heard.push(stored));
    await sleep(50); // a subscription takes a moment to reach the server
    const first = await log.publish({ subject: `fl.${at}.mbx.a`, data: "1" });
    await log.publish({ subject: `fl.${at}.own`, data: "not for us" });
    const last = await log.publishAll([{ subject: `fl.${at}.mbx.b`, data: "2" }, { subject: `fl.${at}.mbx.c`, data: "3" }]);
    await eventually(() => heard.length === 3);
    assert.deepEqual(heard.map(({ subject, sequence, data }) => [subject, sequence, data]), [
      [`fll.${at}.mbx.a`, first, "1"], [`fll.${at}.mbx.b`, last - 1, "2"], [`fll.${at}.mbx.c`, last, "3"],
    ]);
    stop();
    await log.publish({ subject: `fl.${at}.mbx.a`, data: "4" });
    await sleep(50);
    assert.equal(heard.length, 3);
  } },
  { title: "[LG9] a message goes when its time is over, and its subject is as if it had never been", async run(log, at) {
    const sequence = await log.publish({ subject: `fl.${at}.member.w`, data: "beat", ttlSeconds: 1 });
    await log.publish({ subject: `fl.${at}.member.v`, data: "beat", ttlSeconds: 1 });
    await log.publish({ subject: `fl.${at}.member.v`, data: "renewed, and for ever" });
    await eventually(async () => (await log.read(`fl.${at}.member.w`)) === undefined);
    await refuses(log.publish({ subject: `fl.${at}.member.w`, data: "beat", expectLast: sequence }), "fenced");
    await log.publish({ subject: `fl.${at}.member.w`, data: "beat", expectLast: 0 });
    assert.equal((await log.read(`fl.${at}.member.v`))?.data, "renewed, and for ever");
  } },
  { title: "[LG9] a time to live is whole seconds", async run(log, at) {
    await refuses(log.publish({ subject: `fl.${at}.member.w`, data: "x", ttlSeconds: 0.5 }), "refused");
  } },
];
