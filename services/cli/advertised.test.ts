import assert from "node:assert/strict";
import test from "node:test";
import { subject } from "#protocol/names/subject.ts";
import { systemClock, type Clock } from "#services/store/clock.ts";
import { LogError, type Log } from "#services/store/log.ts";
import { memoryLog, MemoryStream, perfectWire } from "../../test/simulate/memory-log.ts";
import { openAdvertised } from "./advertised.ts";

const store = (): Log => memoryLog(new MemoryStream(() => 0), perfectWire(systemClock));
const write = (log: Log, data: string) => log.publish({ subject: subject.gateway, data });
const stored = async (log: Log) => (await log.read(subject.gateway))?.data;

/** Stands still; `turn` lets one waiting call come. */
function stoppedClock(): Clock & { turn(): void; waiting(): number } {
  let calls: (() => void)[] = [];
  return {
    nowMs: () => 0,
    monoMs: () => 0,
    at: (_dueMs, run) => { calls.push(run); return () => { calls = calls.filter((each) => each !== run); }; },
    turn: () => calls.shift()?.(),
    waiting: () => calls.length,
  };
}

const record = (url: string) => JSON.stringify({ v: 1, url });
const own = "http://127.0.0.1:41001";
const rows: { why: string; before?: string; given?: string; url: string; after: string }[] = [
  { why: "nothing is written: its own, and that is written", url: own, after: record(own) },
  { why: "another worker's address stands", before: record("http://gateway.example"), url: "http://gateway.example", after: record("http://gateway.example") },
  { why: "an explicit one replaces it", before: record("http://old.example"), given: "https://new.example/f/", url: "https://new.example/f", after: record("https://new.example/f") },
  { why: "what is no record counts for nothing", before: "}{", url: own, after: record(own) },
  { why: "nor does what is no address", before: record("javascript:alert(1)"), url: own, after: record(own) },
  { why: "a version nobody here knows counts for nothing", before: '{"v":2,"url":"http://later.example"}', url: own, after: record(own) },
];
for (const { why, before, given, url, after } of rows)
  test(`[FL3] address of artifacts: ${why}`, async () => {
    const log = store();
    if (before !== undefined) await write(log, before);
    const advertised = await openAdvertised(log, stoppedClock(), { given, own });
    assert.equal(advertised.url(), url);
    assert.equal(await stored(log), after);
    advertised.close();
  });

test("[FL3] of two workers that start at once one address is written, and both go by it", async () => {
  const log = store();
  const both = await Promise.all(["http://127.0.0.1:1", "http://127.0.0.1:2"].map((address) => openAdvertised(log, stoppedClock(), { own: address })));
  const urls = both.map((each) => each.url());
  assert.equal(urls[0], urls[1]);
  assert.equal(await stored(log), record(urls[0] ?? ""));
});

test("[FL3] an address chosen later reaches the workers that run already; NATS away changes nothing; closed, it asks no more", async () => {
  const log = store();
  let away = false;
  const flaky: Log = { ...log, publish: (m) => log.publish(m), read: (name) => (away ? Promise.reject(new LogError("unknown", "away")) : log.read(name)) };
  const clock = stoppedClock();
  const advertised = await openAdvertised(flaky, clock, { own });
  const reread = async () => { clock.turn(); while (clock.waiting() === 0) await new Promise(setImmediate); };

  away = true;
  await reread();
  assert.equal(advertised.url(), own);
  away = false;
  await write(log, record("http://chosen.example"));
  await reread();
  assert.equal(advertised.url(), "http://chosen.example");
  advertised.close();
  assert.equal(clock.waiting(), 0);
});
