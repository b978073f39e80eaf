/**
 * Workers that die, freeze, come and go while commits flow. On a control plane of its own: what else is reconciled there
 * would be reconciled by this fleet too. `SCALE=10` makes the largest fleet larger, for a machine with more than two cores.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { after, before, test } from "node:test";
import { startControlPlane, type ControlPlane } from "../../deploy/local/control-plane.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { scratchFolder } from "../kit/cluster.ts";
import { isAlive, runCommand, type RunningWorker } from "../system/flotilla.ts";
import { startFleet, type Fleet } from "./fleet.ts";

const scale = Number(process.env["SCALE"] ?? 6);
const small = 3;

let plane: ControlPlane;
let nats: Nats;
let fleet: Fleet;
before(async () => {
  const dir = scratchFolder();
  plane = await startControlPlane({ dir: join(dir, "plane"), audit: true });
  nats = await startNats({ dir: join(dir, "nats") });
  fleet = await startFleet({
    dir, kubeconfig: plane.kubeconfig, auditLog: plane.auditLog ?? "", nats: nats.url.replace("//", `//${nats.token}@`),
    workers: small, sizes: [...Array<number>(3).fill(40), ...Array<number>(17).fill(2)],
  });
});
after(async () => {
  await fleet?.close();
  await nats?.stop();
  await plane?.stop();
});

test("[CH1] a worker killed in the middle of an apply: the others finish it, and nothing is written twice", async () => {
  const wrong = await fleet.suffer(async () => {
    const victim = await fleet.freezeMidApply();
    await victim.crash();
    await fleet.untilShared();
  });
  assert.deepEqual(wrong, []);
  await fleet.add();
});

test("[CH2] a worker that stands still for 4 s in the middle of an apply and goes on: it has lost what it held, and writes none of it", async () => {
  const wrong = await fleet.suffer(async () => {
    const frozen = await fleet.freezeMidApply();
    await eventually("its partitions with others", () => !fleet.owners.counts().has(frozen.name));
    await pause(2_000); // the others work on
    frozen.signal("SIGCONT");
    assert.equal(await frozen.ended, "exit code 1"); // on finding out that it was declared dead
  });
  assert.deepEqual(wrong, []);
  while (fleet.living().length < small) await fleet.add();
});

test("[CH3] every worker replaced one after the other, the first drained before: each hands over and ends with exit code 0", async () => {
  const old = fleet.living();
  const wrong = await fleet.suffer(async () => {
    for (const worker of old) {
      await fleet.add();
      await fleet.untilShared();
      if (worker === old[0]) await drain(worker);
      assert.equal(await fleet.leave(worker), "exit code 0");
    }
    await fleet.untilShared();
  });
  assert.deepEqual(wrong, []);
});

test(`[CH4] from ${small} workers to ${scale} and back to ${small}: every partition is always somebody's`, async () => {
  const stay = fleet.living().slice(0, small);
  const wrong = await fleet.suffer(async () => {
    while (fleet.living().length < scale) await Promise.all([fleet.add(), fleet.living().length + 1 < scale && fleet.add()]);
    await fleet.untilShared();
    const ended = await Promise.all(fleet.living().filter((worker) => !stay.includes(worker)).map((worker) => fleet.leave(worker)));
    assert.deepEqual([...new Set(ended)], ["exit code 0"]);
    await fleet.untilShared();
  });
  assert.deepEqual(wrong, []);
  assert.deepEqual((await fleet.views()).map(({ name }) => name).sort(), stay.map(({ name }) => name).sort());
});

test("[CH5] the coordinator killed: another one takes its part, and what it held", async () => {
  const wrong = await fleet.suffer(async () => {
    const { name } = (await fleet.views()).find(({ coordinator }) => coordinator) ?? assert.fail("nobody coordinates");
    const victim = fleet.named(name);
    await victim.crash();
    await fleet.untilShared();
    assert.equal(isAlive(victim.pid), false);
  });
  assert.deepEqual(wrong, []);
});

/** By the command, which waits until the worker holds nothing. */
async function drain({ name, url, token }: RunningWorker): Promise<void> {
  const { code, stderr } = await runCommand(["drain", name, "--timeout", "30s", "--server", url], { FLOTILLA_TOKEN: token });
  assert.equal(code, 0, stderr);
  const { stdout } = await runCommand(["workers", "--server", url], { FLOTILLA_TOKEN: token });
  assert.match(stdout, new RegExp(`^${name} *\\tdraining *\\t0 `, "m"));
}
