/** The bus on a real nats-server, by the cases that hold for the fake. */
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import type { NatsConnection } from "nats";
import type { Bus } from "#services/store/bus.ts";
import { openNatsBus } from "#services/store/nats-bus.ts";
import { connectNats } from "#services/store/nats-connect.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { scratchFolder } from "../kit/cluster.ts";
import { busCases } from "./bus-cases.ts";

const dir = scratchFolder();
let nats: Nats;
let connections: NatsConnection[];
let buses: [Bus, Bus, Bus];

before(async () => {
  nats = await startNats({ dir });
  const open = (name: string) => connectNats({ url: nats.url, token: nats.token, name });
  connections = [await open("a"), await open("b"), await open("c")];
  buses = connections.map(openNatsBus) as [Bus, Bus, Bus];
});

after(async () => {
  for (const each of connections) await each.close();
  await nats.stop();
});

const settled = async (): Promise<void> => { for (const each of connections) await each.flush(); };

for (const [at, { title, run }] of busCases.entries())
  test(`${title} (NATS)`, () => {
    const [a, b, c] = buses;
    return run({ a, b, c, settled }, `case${at}`);
  });

test("[NT6] what is said while the server is away is lost, not sent later; who listened hears again when it is back", async () => {
  const [a, b] = buses;
  const heard: string[] = [];
  b.subscribe("fb.away", (data) => heard.push(data));
  await settled();
  a.publish("fb.away", "before");
  await eventually("the first", () => heard.length === 1);
  await nats.kill();
  await eventually("both have noticed", () => connections.every(({ info }) => info === undefined));
  a.publish("fb.away", "meanwhile");
  nats = await startNats({ dir, port: nats.port, token: nats.token });
  await eventually("both are back", () => settled().then(() => true));
  a.publish("fb.away", "after");
  await eventually("the last", () => heard.includes("after"));
  assert.deepEqual(heard, ["before", "after"]);
});
