import assert from "node:assert/strict";
import test from "node:test";
import { Gathered } from "./gathered.ts";
import { LogError, type Log, type Message } from "./log.ts";

/** A log that notes each batch and refuses what expects something that is not so. */
function logOf(broken?: LogError): { log: Log; batches: string[][]; expected: Map<string, number> } {
  const batches: string[][] = [];
  const expected = new Map<string, number>();
  let sequence = 0;
  const publishAll = async (messages: Message[]) => {
    batches.push(messages.map(({ subject }) => subject));
    await new Promise((resolve) => { setImmediate(resolve); });
    if (broken) throw broken;
    if (messages.some(({ subject, expectLast }) => expectLast !== undefined && expectLast !== (expected.get(subject) ?? 0))) throw new LogError("fenced", "wrong last sequence");
    for (const { subject } of messages) expected.set(subject, ++sequence);
    return sequence;
  };
  return { log: { publishAll, publish: (message: Message) => publishAll([message]) } as unknown as Log, batches, expected };
}

test("what is asked for while a batch is under way leaves in the next one, each with its own sequence", async () => {
  const { log, batches, expected } = logOf();
  const gathered = new Gathered(log);
  const first = ["a", "b"].map((subject) => gathered.publish({ subject, data: "" }));
  await new Promise((resolve) => { queueMicrotask(() => queueMicrotask(() => resolve(undefined))); });
  const later = ["c", "d", "e"].map((subject) => gathered.publish({ subject, data: "" }));
  assert.deepEqual(await Promise.all([...first, ...later]), [1, 2, 3, 4, 5]);
  assert.deepEqual(batches, [["a", "b"], ["c", "d", "e"]]);
  assert.equal(expected.get("d"), 4);
});

test("one that is refused holds up no other", async () => {
  const { log } = logOf();
  const gathered = new Gathered(log);
  const settled = await Promise.allSettled([
    gathered.publish({ subject: "a", data: "", expectLast: 0 }), gathered.publish({ subject: "b", data: "", expectLast: 7 }), gathered.publish({ subject: "c", data: "" }),
  ]);
  assert.deepEqual(settled.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
  assert.equal((settled[1] as PromiseRejectedResult).reason.kind, "fenced");
});

test("two for one subject follow each other: the second finds the first", async () => {
  const { log, batches } = logOf();
  const gathered = new Gathered(log);
  const settled = await Promise.allSettled([
    gathered.publish({ subject: "a", data: "", expectLast: 0 }), gathered.publish({ subject: "b", data: "" }), gathered.publish({ subject: "a", data: "", expectLast: 1 }),
  ]);
  assert.deepEqual(batches, [["a", "b"], ["a"]]);
  assert.deepEqual(settled.map((each) => (each.status === "fulfilled" ? each.value : "refused")), [1, 2, 3]);
});

test("no answer: nobody is told that it was stored, and nothing is written again", async () => {
  const { log, batches } = logOf(new LogError("unknown", "no answer"));
  const gathered = new Gathered(log);
  const settled = await Promise.allSettled(["a", "b"].map((subject) => gathered.publish({ subject, data: "" })));
  assert.deepEqual(settled.map(({ status }) => status), ["rejected", "rejected"]);
  assert.equal(batches.length, 1);
});
