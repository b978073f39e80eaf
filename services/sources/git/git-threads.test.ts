import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { defaultLimits } from "./limits.ts";
import { Slots } from "#services/threads/slots.ts";
import { gitThreads } from "./git-threads.ts";

const threads = gitThreads(1);
after(() => threads.close());

/** Any job will do: what the thread answers to this one is that it cannot be done. */
const job = () => ({
  access: { url: "file:///srv/shop" },
  wanted: { commit: "1".repeat(40), ref: "HEAD", pinned: false },
  tagName: "",
  limits: defaultLimits,
});
const answered = (error: unknown) => error instanceof Fault && error.code === "UnsupportedReference";
const forever = AbortSignal.timeout(60_000);
const reason = new Error("another owner");

test("[SR13] a thread ends with its call, who waits leaves the queue, the next one gets a thread", async () => {
  const [working, waiting] = [new AbortController(), new AbortController()];
  const calls = [
    assert.rejects(threads.run("snapshot", job(), working.signal), reason),
    assert.rejects(threads.run("snapshot", job(), waiting.signal), reason),
    assert.rejects(threads.run("snapshot", job(), forever), answered),
  ];
  waiting.abort(reason);
  working.abort(reason);
  await Promise.all(calls);
  await assert.rejects(threads.run("snapshot", job(), forever), answered);
  await assert.rejects(threads.run("snapshot", job(), AbortSignal.abort(reason)), reason);
});

test("[SR14] no more at a time than there are slots, in the order they came, whatever becomes of them", async () => {
  const slots = new Slots(2);
  const log: string[] = [];
  let running = 0;
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
  const calls = gates.map(({ promise }, i) =>
    slots.run(forever, async () => {
      log.push(`${i} begins, ${++running} at work`);
      await promise.finally(() => running--);
    }),
  );
  const settled = Promise.allSettled(calls);
  for (const [i, { resolve, reject }] of gates.entries()) {
    if (i % 2) reject(reason);
    else resolve();
    await calls[i]?.catch(() => undefined);
  }
  assert.deepEqual(
    (await settled).map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled", "rejected", "fulfilled"],
  );
  assert.deepEqual(
    log.map((line) => line[0]),
    ["0", "1", "2", "3", "4"],
  );
  assert.ok(
    log.every((line) => /[12] at work/.test(line)),
    log.join(),
  );
});
