/** kill -9 of one of three workers: how long until its units are acted for again, and what that costs the API server. */
import { setTimeout as pause } from "node:timers/promises";
import { eventually } from "../../deploy/local/eventually.ts";
import { startFleet, type Fleet } from "../chaos/fleet.ts";
import { endOf, requestsSince } from "../chaos/writes.ts";
import { Kept, nudge, partitionOfUnit } from "./kept.ts";
import { percentile, rounded } from "./meters.ts";
import { print, say } from "./report.ts";
import { onStage } from "./stage.ts";

const units = Number(process.env["UNITS"] ?? 1_000);
const workers = 3;
const rounds = 3;
const restMs = 5_000;

export const runFailover = (): Promise<void> =>
  onStage(async ({ dir, plane, auditLog, natsUrl, atEnd }) => {
    say(`${workers} workers, ${units} units of one object`);
    const fleet = await startFleet({
      dir, kubeconfig: plane.kubeconfig, auditLog, nats: natsUrl, workers, repositories: 10, sizes: Array<number>(units).fill(1), withinMs: 300_000,
    });
    atEnd(() => fleet.close());
    const kept = new Kept(fleet.owners, fleet.apps.units);

    const owned: number[] = [];
    const acted: number[] = [];
    const earliest: number[] = [];
    let [moved, requests, writes, missing] = [0, 0, 0, 0];
    for (let round = 0; round < rounds; round++) {
      await pause(restMs); // what is left to be told
      const victim = await victimOf(fleet, round);
      const offset = await endOf(auditLog, fleet.kube);
      const killedMs = Date.now();
      await victim.crash();
      await fleet.owners.catchUp();
      const mine = fleet.apps.units.filter(({ key }) => fleet.owners.ofActor(key, killedMs) === victim.name);
      say(`round ${round + 1}: killed ${victim.name}, which had ${mine.length} units`);
      for (const unit of mine) nudge(fleet.owners, unit); // work that waits for whoever comes
      await fleet.untilShared();
      await eventually("every unit acted for", () => mine.every(({ key }) => kept.first(key, takenMs(fleet, key, killedMs)) !== undefined), { withinMs: 30_000 })
        .catch((thrown: unknown) => say(String(thrown)));
      const before = acted.length;
      for (const unit of mine) {
        const reignMs = takenMs(fleet, unit.key, killedMs);
        const actionMs = kept.first(unit.key, reignMs);
        owned.push(reignMs - killedMs);
        if (actionMs === undefined) missing++;
        else acted.push(actionMs - killedMs);
      }
      earliest.push(Math.min(...acted.slice(before)));
      await pause(restMs);
      const seen = await requestsSince(auditLog, offset, fleet.kube, fleet.isWorker);
      moved += mine.length;
      for (const [verb, count] of seen) {
        requests += count;
        if (!["get", "list"].includes(verb)) writes += count;
      }
      await fleet.add();
      await fleet.untilShared();
    }
    kept.close();
    print("failover", {
      workers, units, rounds, moved_units: moved, never_acted: missing,
      owned_p50_ms: rounded(percentile(owned, 0.5)), owned_p99_ms: rounded(percentile(owned, 0.99)),
      earliest_action_max_ms: rounded(Math.max(...earliest)), first_action_p50_ms: rounded(percentile(acted, 0.5)), first_action_p99_ms: rounded(percentile(acted, 0.99)), goal_first_action_p99_ms: 2_500,
      api_requests_per_moved_unit: rounded(requests / Math.max(1, moved), 3), api_writes_per_moved_unit: rounded(writes / Math.max(1, moved), 3), goal_api_requests_per_moved_unit: 0,
    });
  });

/** The coordinator first, then whoever has been there longest. */
async function victimOf(fleet: Fleet, round: number) {
  const coordinator = (await fleet.views()).find(({ coordinator }) => coordinator)?.name;
  return round === 0 ? fleet.named(coordinator) : (fleet.living().find(({ name }) => name !== coordinator) ?? fleet.named(coordinator));
}

/** When the unit's partition got the owner after the one that was killed. */
function takenMs({ owners }: Fleet, key: Parameters<Kept["first"]>[0], killedMs: number): number {
  return owners.history(partitionOfUnit({ key })).find(({ atMs }) => atMs >= killedMs)?.atMs ?? Infinity;
}
