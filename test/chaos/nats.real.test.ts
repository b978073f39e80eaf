/** Servers of a NATS cluster that die while commits flow through a fleet of workers. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { stream } from "#protocol/names/subject.ts";
import { startControlPlane, type ControlPlane } from "../../deploy/local/control-plane.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNatsCluster, type NatsCluster, type NatsNode } from "../../deploy/local/nats-cluster.ts";
import { scratchFolder } from "../kit/cluster.ts";
import { startFleet, type Fleet } from "./fleet.ts";

let plane: ControlPlane;
let nats: NatsCluster;
let fleet: Fleet;
before(async () => {
  const dir = scratchFolder();
  plane = await startControlPlane({ dir: join(dir, "plane"), audit: true });
  nats = await startNatsCluster({ dir: join(dir, "nats") });
  fleet = await startFleet({
    dir, kubeconfig: plane.kubeconfig, auditLog: plane.auditLog ?? "", workers: 3, sizes: Array<number>(12).fill(4),
    nats: nats.urls.map((url) => url.replace("//", `//${nats.token}@`)).join(","),
  });
});
after(async () => {
  await fleet?.close();
  await nats?.stop();
  await plane?.stop();
});

const leader = () => eventually("a leader of the cell's stream", () => nats.leaderOf(stream.cell("main")));

test("[CH6] a follower of a NATS cluster of three killed and brought back: nobody loses what it owns, and work goes on", () =>
  survives(async () => {
    const { name } = await leader();
    return nats.nodes.find((node) => node.name !== name) ?? assert.fail("no follower");
  }));

test("[CH7] the leader killed and brought back: the same", () => survives(leader));

async function survives(choose: () => Promise<NatsNode>): Promise<void> {
  const beganMs = Date.now();
  const { apps, owners } = fleet;
  const wrong = await fleet.suffer(async () => {
    const victim = await choose();
    await victim.kill();
    await leader();
    const { version } = apps;
    const isNewer = (name: string) => apps.versionOf(name) > version;
    await eventually("a later commit applied everywhere", () => apps.units.every(({ objects }) => objects.every(isNewer)), { withinMs: 40_000 });
    await victim.start();
  });
  assert.deepEqual(wrong, []);
  // What is handed over to even out the load is not lost.
  const lost = owners.changes(beganMs).filter(({ reign }) => reign.cause !== "handover");
  assert.deepEqual(lost.map(({ partition, before: was, reign }) => `${partition}: ${was?.worker} -> ${reign.worker} (${reign.cause})`), []);
  assert.equal(fleet.living().length, 3);
}
