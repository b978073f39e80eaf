/** What every log must do: the cases that the cell relies on, losing ones above all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LogError, type Log, type LogErrorKind, type Stored } from "#services/store/log.ts";

export type Subject = {
  name: string;
  /** A log on an empty stream; `pass` lets so many milliseconds go by. */
  open(): Promise<{ log: Log; pass(ms: number): Promise<void>; close(): Promise<void> }>;
};

const refusedAs = (kind: LogErrorKind) => (thrown: unknown) => thrown instanceof LogError && thrown.kind === kind;

async function all(stored: AsyncIterable<Stored>): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for await (const { subject, data } of stored) found.push([subject, data]);
  return found;
}

export function logContract({ name, open }: Subject): void {
  const on = (title: string, prove: (log: Log, pass: (ms: number) => Promise<void>) => Promise<void>) =>
    test(`${title} (${name})`, async () => {
      const { log, pass, close } = await open();
      try {
        await prove(log, pass);
      } finally {
        await close();
      }
    });

  on("[LG1] a message replaces the one before it, and sequences grow", async (log) => {
    const first = await log.publish({ subject: "fl.1.own", data: "a" });
    const other = await log.publish({ subject: "fl.2.own", data: "b" });
    const again = await log.publish({ subject: "fl.1.own", data: "c" });
    assert.ok(first < other && other < again);
    assert.deepEqual(await all(log.scan("fl.*.own")), [["fl.2.own", "b"], ["fl.1.own", "c"]]);
  });

  on("[LG2] a fence holds until its subject is written", async (log) => {
    const token = await log.publish({ subject: "fl.1.own", data: "me" });
    const fence = { subject: "fl.1.own", sequence: token };
    await log.publish({ subject: "fl.1.snap.a.b.c", data: "one", fence });
    await log.publish({ subject: "fl.1.own", data: "somebody else" });
    await assert.rejects(log.publish({ subject: "fl.1.snap.a.b.c", data: "two", fence }), refusedAs("fenced"));
    assert.equal((await log.read("fl.1.snap.a.b.c"))?.data, "one");
  });

  on("[LG3] expectLast creates once and replaces one", async (log) => {
    const made = await log.publish({ subject: "fl.1.own", data: "a", expectLast: 0 });
    await assert.rejects(log.publish({ subject: "fl.1.own", data: "b", expectLast: 0 }), refusedAs("fenced"));
    await log.publish({ subject: "fl.1.own", data: "c", expectLast: made });
    await assert.rejects(log.publish({ subject: "fl.1.own", data: "d", expectLast: made }), refusedAs("fenced"));
    assert.equal((await log.read("fl.1.own"))?.data, "c");
  });

  on("[LG4] one stale fence refuses the whole batch", async (log) => {
    const mine = await log.publish({ subject: "fl.1.own", data: "me" });
    await assert.rejects(
      log.publishAll([
        { subject: "fl.1.snap.a.b.c", data: "1", fence: { subject: "fl.1.own", sequence: mine } },
        { subject: "fl.2.snap.a.b.c", data: "1", fence: { subject: "fl.2.own", sequence: 77 } },
        { subject: "fl.1.mbx.a.b.c.look", data: "{}", fence: { subject: "fl.1.own", sequence: mine } },
      ]),
      refusedAs("fenced"),
    );
    assert.deepEqual(await all(log.scan("fl.*.snap.>")), []);
    assert.deepEqual(await all(log.scan("fl.*.mbx.>")), []);
  });

  on("[LG4] a batch is stored in order", async (log) => {
    const before = await log.publish({ subject: "fl.1.own", data: "me" });
    const last = await log.publishAll(["x", "y", "z"].map((data, i) => ({ subject: `fl.${i}.snap.a.b.c`, data })));
    assert.equal(last, before + 3);
    assert.deepEqual(await all(log.scan("fl.*.snap.>")), [["fl.0.snap.a.b.c", "x"], ["fl.1.snap.a.b.c", "y"], ["fl.2.snap.a.b.c", "z"]]);
  });

  on("[LG5] a batch stands under the fences of several partitions", async (log) => {
    const one = await log.publish({ subject: "fl.1.own", data: "me" });
    const two = await log.publish({ subject: "fl.2.own", data: "me" });
    const under = (partition: number, sequence: number, key: string) =>
      ({ subject: `fl.${partition}.snap.a.b.${key}`, data: key, fence: { subject: `fl.${partition}.own`, sequence } });
    await log.publishAll([under(1, one, "c"), under(2, two, "d"), under(1, one, "e")]);
    assert.equal((await all(log.scan("fl.*.snap.>"))).length, 3);
  });

  on("[LG6] a scan begins where it is told and passes over what does not match", async (log) => {
    const sequences: number[] = [];
    for (const key of ["a", "b", "c"]) sequences.push(await log.publish({ subject: `fl.1.mbx.k.n.${key}.look`, data: key }));
    await log.publish({ subject: "fl.1.own", data: "me" });
    await log.publish({ subject: "fl.1.mbx.k.n.a.look", data: "again" });
    const found = await all(log.scan("fl.*.mbx.>", sequences[1]));
    assert.deepEqual(found.map(([, data]) => data), ["b", "c", "again"]);
    assert.deepEqual(await all(log.scan("fl.*.int.>")), []);
  });

  on("[LG7] a reader sees what was acknowledged; of nothing there is nothing", async (log) => {
    assert.equal(await log.read("fl.9.own"), undefined);
    const sequence = await log.publish({ subject: "fl.9.own", data: "now", headers: { "Fl-Test": "kept" } });
    const stored = await log.read("fl.9.own");
    assert.deepEqual({ sequence: stored?.sequence, data: stored?.data, kept: stored?.headers["Fl-Test"] }, { sequence, data: "now", kept: "kept" });
  });

  on("[LG8] listeners get a copy with its sequence, and nothing of a refused write", async (log) => {
    const copies: { subject: string; sequence: number; data: string }[] = [];
    const heard = Promise.withResolvers<void>();
    const stop = log.listen("fll.*.mbx.>", ({ subject, sequence, data }) => {
      copies.push({ subject, sequence, data });
      if (data === "last") heard.resolve();
    });
    await log.read("fl.1.own"); // the subscription is known to the server before the first write
    await assert.rejects(log.publish({ subject: "fl.1.mbx.a.b.c.look", data: "refused", expectLast: 5 }));
    const first = await log.publish({ subject: "fl.1.mbx.a.b.c.look", data: "first" });
    await log.publish({ subject: "fl.1.own", data: "not for a mailbox" });
    const last = await log.publish({ subject: "fl.1.mbx.a.b.c.look", data: "last" });
    await heard.promise;
    stop();
    assert.deepEqual(copies, [
      { subject: "fll.1.mbx.a.b.c.look", sequence: first, data: "first" },
      { subject: "fll.1.mbx.a.b.c.look", sequence: last, data: "last" },
    ]);
  });

  on("[LG9] a time to live ends", async (log, pass) => {
    await log.publish({ subject: "fl.1.snap.a.b.c", data: "", ttlSeconds: 1 });
    await log.publish({ subject: "fl.1.snap.a.b.d", data: "stays" });
    await pass(3_000);
    assert.deepEqual(await all(log.scan("fl.*.snap.>")), [["fl.1.snap.a.b.d", "stays"]]);
  });

  on("[LG9] what is too large is refused for good", async (log) => {
    await assert.rejects(log.publish({ subject: "fl.1.snap.a.b.c", data: "x".repeat(600 * 1024) }), refusedAs("refused"));
  });
}
