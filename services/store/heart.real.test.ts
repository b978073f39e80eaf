/** The heart on a real nats-server, on this thread and on one of its own, by the same cases. */
import assert from "node:assert/strict";
import test, { after, before, describe } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";
import { subject } from "#protocol/names/subject.ts";
import { memberRecord } from "#protocol/records/cell.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { scratchFolder } from "../../test/kit/cluster.ts";
import { systemClock } from "./clock.ts";
import { createHeart } from "./heart-beat.ts";
import { startHeartThread } from "./heart-thread.ts";
import type { About, Heart } from "./heart.ts";
import type { Log } from "./log.ts";
import { connectNats, type NatsAddress } from "./nats-connect.ts";
import { openNatsLog } from "./nats-log.ts";

const stream = "FL_heart";
const about: About = { capacity: 1, actors: 0, load: 0, draining: false, refuses: [] };

let nats: Nats;
let address: NatsAddress;
let connection: NatsConnection;
let log: Log;

before(async () => {
  nats = await startNats({ dir: scratchFolder() });
  address = { url: nats.url, token: nats.token, name: "heart test" };
  connection = await connectNats(address);
  log = await openNatsLog(connection, stream);
});

after(async () => {
  await connection.close();
  await nats.stop();
});

type Told = { onLost(reason: string): void; stillOwns(): Promise<boolean> };
const makes: { on: string; make(worker: string, told: Told): Heart }[] = [
  { on: "on this thread", make: (worker, told) => createHeart(log, { worker, clock: systemClock, about, ...told }) },
  { on: "on a thread of its own", make: (worker, told) => startHeartThread(address, { stream, worker, about, ...told }) },
];

const record = async (worker: string) => memberRecord.safeParse(JSON.parse((await log.read(subject.member(worker)))?.data || "{}")).data;
const acts = (heart: Heart) => heart.state().leaseUntilMs > systemClock.monoMs();

for (const [index, { on, make }] of makes.entries())
  describe(`heart ${on}`, () => {
    const lost: string[] = [];
    const hearts: Heart[] = [];
    let owns: boolean | undefined;
    let asked = 0;
    const begin = async (name: string) => {
      lost.splice(0);
      owns = true;
      asked = 0;
      const worker = `${name}${index}`;
      const heart = make(worker, {
        onLost: (reason) => lost.push(reason),
        stillOwns: async () => {
          asked++;
          if (owns === undefined) throw new Fault("NatsUnreachable", "here");
          return owns;
        },
      });
      hearts.push(heart);
      await heart.start();
      return { worker, heart };
    };
    after(async () => { for (const each of hearts) await each.stop(); });

    test(`[NT10] it beats, and says what the worker says (${on})`, async () => {
      const { worker, heart } = await begin("beats");
      assert.equal(acts(heart), true);
      const first = (await record(worker))?.beat ?? 0;
      heart.say({ ...about, actors: 42, refuses: [1, 2] });
      await eventually("two more beats", async () => ((await record(worker))?.beat ?? 0) >= first + 2);
      const { actors, refuses } = (await record(worker)) ?? {};
      assert.deepEqual({ actors, refuses, holds: acts(heart) }, { actors: 42, refuses: [1, 2], holds: true });
      await heart.stop();
    });

    test(`[NT17] stopped, it says goodbye (${on})`, async () => {
      const { worker, heart } = await begin("stops");
      const stopping = heart.stop();
      assert.deepEqual(heart.state(), { leaseUntilMs: 0, steadySinceMs: 0 });
      await stopping;
      assert.equal((await log.read(subject.member(worker)))?.data, "");
      await heart.stop();
      assert.deepEqual(lost, []);
    });

    test(`[NT13] a mark of death ends it, told once (${on})`, async () => {
      const { worker, heart } = await begin("buried");
      await log.publish({ subject: subject.member(worker), data: "", ttlSeconds: 60 });
      await eventually("it is told", () => lost.length > 0);
      assert.deepEqual([lost, heart.state()], [["another worker declared this one dead"], { leaseUntilMs: 0, steadySinceMs: 0 }]);
      await heart.stop();
      assert.deepEqual([lost.length, (await log.read(subject.member(worker)))?.data], [1, ""]);
    });

    for (const taken of [false, true])
      test(`[NT14] its record gone, it ${taken ? "ends when somebody took over" : "goes on when nobody did"} (${on})`, async () => {
        const { worker, heart } = await begin(`gone${taken}`);
        owns = undefined;
        const jsm = await jetstreamManager(connection);
        await jsm.streams.purge(stream, { filter: subject.member(worker) });
        await eventually("it has asked twice: nobody could say", () => asked >= 2);
        owns = !taken;
        if (taken) await eventually("it is told", () => lost.length > 0);
        else await eventually("it may act", () => acts(heart));
        assert.equal(acts(heart), !taken);
        await heart.stop();
        assert.equal((await log.read(subject.member(worker)))?.data, ""); // nobody relies on a beat of one that ends
      });

    test(`[NT12] while the server is silent the right ends; afterwards it comes back (${on})`, async () => {
      const { heart } = await begin("silent");
      process.kill(nats.pid, "SIGSTOP");
      try {
        await eventually("it may not act", () => !acts(heart));
      } finally {
        process.kill(nats.pid, "SIGCONT");
      }
      await eventually("it may act", () => acts(heart));
      assert.deepEqual(lost, []);
      await heart.stop();
    });
  });

test("[NT16] the main thread may be busy for longer than a lease: its own thread keeps it", async () => {
  const heart = startHeartThread(address, { stream, worker: "busy", about, onLost: () => undefined, stillOwns: async () => true });
  await heart.start();
  const { steadySinceMs } = heart.state();
  const { beat = 0 } = (await record("busy")) ?? {};
  for (const endMs = systemClock.monoMs() + 2_500; systemClock.monoMs() < endMs; ) continue;
  const { leaseUntilMs, steadySinceMs: still } = heart.state();
  assert.ok(leaseUntilMs > 0);
  assert.equal(still, steadySinceMs);
  assert.ok(((await record("busy"))?.beat ?? 0) >= beat + 3);
  await heart.stop();
});

test("[NT17] a thread that cannot connect says why, and ends", async () => {
  for (const [url, token, reason] of [[nats.url, "wrong", /refused the credentials/], ["nats://127.0.0.1:1", "any", /can be reached/]] as const) {
    const lost: string[] = [];
    const heart = startHeartThread({ url, token, name: "x" }, { stream, worker: "x", about, onLost: (why) => lost.push(why), stillOwns: async () => true });
    await assert.rejects(heart.start(), (thrown) => thrown instanceof Fault && thrown.code === "NatsUnreachable" && reason.test(thrown.message) && !thrown.message.includes(token));
    await heart.stop();
    assert.deepEqual(lost, []);
  }
});
