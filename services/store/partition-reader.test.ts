import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { partitionCount, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { memoryLog, MemoryStream } from "../../test/simulate/memory-log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { ownData } from "./committer.ts";
import { LogError, type Log } from "./log.ts";
import { PartitionReader, type Contents } from "./partition-reader.ts";

const partition = 7;
/** Names that lie in partition 7. */
const names = Array.from({ length: 20_000 }, (_, i) => `app-${i}`).filter((name) => partitionOf({ kind: "kustomization", namespace: "apps", name }) === partition);
const unit = (nth: number): ActorKey => ({ kind: "kustomization", namespace: "apps", name: names[nth] ?? "" });
const record = (attempts: number): ActorRecord => ({
  v: 1, machine: "kustomization", snapshot: { status: "active", context: {} }, timers: [], runs: [], attempts, outbox: [], seen: {},
});

function bench() {
  const time = new VirtualTime();
  const stream = new MemoryStream(() => time.nowMs);
  const process = new Process(time, "w1");
  const way = { lagMs: 0, refusal: undefined as LogError | undefined };
  const scans: { filter: string | string[]; from: number; read: number }[] = [];
  const log = memoryLog(stream, {
    client: "w1", clock: process.clock, later: (ms, does) => void time.in(ms, does), enter: (does) => process.enter(does),
    fate: () => ({ arriveMs: 0, answerMs: 1, ...(way.refusal && { refusal: way.refusal }) }), copyMs: () => 1, lagMs: () => way.lagMs, commitMs: () => 0,
  });
  const watched: Log = {
    ...log,
    async *scan(filter, from = 1) {
      const said = { filter, from, read: 0 };
      scans.push(said);
      for await (const stored of log.scan(filter, from)) { said.read++; yield stored; }
    },
  };
  const unreadable: string[] = [];
  const reader = new PartitionReader(watched, process.clock, (name) => unreadable.push(name));
  const own = (to = "w1", epoch = 1, of = partition) => stream.store([{ subject: subject.own(of), data: ownData(to, epoch, "handover") }]);
  const write = (nth: number, attempts: number) => stream.store([{ subject: subject.snapshot(unit(nth)), data: JSON.stringify(record(attempts)) }]);
  const read = (sequence: number, isOver = () => false, of = partition) => {
    const seen: { contents?: Contents; failure?: string } = {};
    reader.upTo(of, sequence, isOver).then((contents) => { seen.contents = contents; }, (thrown: unknown) => { seen.failure = thrown instanceof Fault ? thrown.code : String(thrown); });
    return seen;
  };
  return { time, stream, way, scans, reader, unreadable, own, write, read, run: (ms: number) => time.run(ms, () => false) };
}

const attempts = (seen: { contents?: Contents }) => seen.contents?.records.map((each) => each.record.attempts);

test("[OW19] a replica that lags is asked again, until it shows our own record", async () => {
  const { run, own, write, read, way } = bench();
  for (let n = 1; n <= 3; n++) {
    write(0, n);
    await run(50);
  }
  const sequence = own();
  way.lagMs = 1_000;
  const seen = read(sequence);
  await run(400);
  assert.equal(seen.contents, undefined);
  way.lagMs = 0;
  await run(100);
  assert.deepEqual(attempts(seen), [3]);
});

test("[OW44] what was read ahead is not read again", async () => {
  const { run, own, write, read, reader, scans } = bench();
  for (let nth = 0; nth < 10; nth++) write(nth, 1);
  void reader.ahead(partition);
  await run(10);
  write(3, 2);
  const seen = read(own());
  await run(10);
  assert.deepEqual(scans.map((scan) => scan.read), [10, 2]);
  assert.deepEqual(attempts(seen)?.sort(), [1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
});

test("[OW44] what was read long ago is: what was over since then left nothing that says so", async () => {
  const { run, own, write, read, reader, stream } = bench();
  write(0, 1);
  write(1, 1);
  void reader.ahead(partition);
  await run(10);
  stream.store([{ subject: subject.snapshot(unit(0)), data: "", ttlSeconds: 60 }]);
  await run(90_000);
  const seen = read(own());
  await run(10);
  assert.equal(seen.contents?.records.length, 1);
});

test("[OW44] nor does it count when it was given up", async () => {
  const { run, own, write, read, reader, scans } = bench();
  write(0, 1);
  void reader.ahead(partition);
  await run(10);
  reader.forget(partition);
  const seen = read(own());
  await run(10);
  assert.deepEqual([attempts(seen), scans.map(({ from }) => from)], [[1], [1, 1]]);
});

test("[OW44] of two that ask for a partition both get all of it, and one that is over takes nothing away", async () => {
  const { run, own, write, read } = bench();
  write(0, 4);
  const sequence = own();
  const seen = [read(sequence, () => true), read(sequence), read(sequence)];
  await run(200);
  assert.deepEqual(seen.map((each) => each.failure ?? attempts(each)), ["LeaseLost", [4], [4]]);
});

test("[OW44] whoever is not to have it any more stops asking", async () => {
  const { run, own, write, read, way, scans } = bench();
  write(0, 1);
  const sequence = own();
  way.lagMs = 60_000;
  let over = false;
  const seen = read(sequence, () => over);
  await run(500);
  over = true;
  await run(100);
  const { length } = scans;
  await run(1_000);
  assert.deepEqual([seen.failure, scans.length], ["LeaseLost", length]);
});

test("[OW44] many partitions are read in one scan", async () => {
  const { run, own, read, scans, write } = bench();
  write(0, 1);
  const sequences = Array.from({ length: partitionCount }, (_, each) => own("w1", 1, each));
  const seen = sequences.map((sequence, each) => read(sequence, () => false, each));
  await run(100);
  assert.equal(seen.filter(({ contents }) => contents !== undefined).length, partitionCount);
  assert.deepEqual([scans.map(({ filter }) => filter.length), attempts(seen[partition] ?? {})], [[partitionCount], [1]]);
});

test("[OW44] a reading that is given up while several are read is read from the start, not from where it had come to", async () => {
  const { run, own, write, read, reader } = bench();
  const other = partition + 1;
  write(0, 1);
  own("w0", 1, other);
  void reader.ahead(partition);
  void reader.ahead(other);
  await run(10);
  const [seen, beside] = [read(own("w1", 2)), read(own("w1", 2, other), () => false, other)];
  await run(0.5); // both are on their way, from where they had come to
  reader.forget(partition);
  await run(200);
  assert.deepEqual([attempts(seen), beside.contents?.records], [[1], []]);
});

test("[OW5] what is refused for now is asked again, what is refused for good is told", async () => {
  const { run, own, read, way } = bench();
  const sequence = own();
  way.refusal = new LogError("busy", "no responders");
  const seen = read(sequence);
  await run(500);
  way.refusal = undefined;
  await run(100);
  assert.deepEqual(seen.contents?.records, []);
  way.refusal = new LogError("refused", "no permission");
  const refused = read(sequence);
  await run(500);
  assert.match(refused.failure ?? "", /no permission/);
});

test("[OW17] damaged records are handed over as such, strangers are named, tombstones are nothing", async () => {
  const { run, own, write, read, stream, unreadable } = bench();
  write(0, 1);
  stream.store([
    { subject: subject.snapshot(unit(1)), data: "{\"v\":1" }, { subject: subject.snapshot(unit(2)), data: "{\"v\":1}" }, { subject: subject.snapshot(unit(3)), data: "" },
    { subject: "fl.7.snap.strange", data: "{}" }, { subject: "fl.7.dep.strange", data: "1" },
    { subject: subject.snapshot({ ...unit(0), name: "elsewhere" }).replace(/^fl\.\d+/, "fl.7"), data: "{}" },
  ]);
  const seen = read(own());
  await run(10);
  assert.deepEqual([attempts(seen), seen.contents?.damaged.map(({ key }) => key.name), unreadable.length], [[1], [names[1], names[2]], 3]);
});

test("[OW37] one record of a later version is enough: the partition belongs to a worker that knows it", async () => {
  const { run, own, write, read, stream, reader } = bench();
  write(0, 1);
  stream.store([{ subject: subject.snapshot(unit(1)), data: JSON.stringify({ ...record(1), v: 3 }) }]);
  const seen = read(own());
  let ahead = "";
  reader.ahead(partition).catch((thrown: unknown) => { ahead = thrown instanceof Fault ? thrown.code : String(thrown); });
  await run(100);
  assert.deepEqual([seen.failure, ahead], ["RecordTooNew", "RecordTooNew"]);
});

test("[OW43] who waits for an actor of the partition comes with it, and its mail", async () => {
  const { run, own, read, stream } = bench();
  const waiter = { ...unit(0), name: "blog" };
  stream.store([
    { subject: subject.dependent(unit(0), waiter), data: "1" }, { subject: subject.dependent(unit(1), waiter), data: "" },
    { subject: subject.mailbox(unit(0), "look"), data: "{}" },
  ]);
  const seen = read(own());
  await run(10);
  assert.deepEqual(seen.contents?.dependents.map(({ awaited, word }) => [awaited.name, word]), [[names[0], "1"], [names[1], ""]]);
  assert.deepEqual(seen.contents?.mail.map(({ sequence }) => sequence), [3]);
});
