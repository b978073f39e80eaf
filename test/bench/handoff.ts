/** A worker drained while commits flow: how long each unit stands still, and whether anything is done twice. */
import { eventually } from "../../deploy/local/eventually.ts";
import { startFleet, type Fleet } from "../chaos/fleet.ts";
import { partitionOfUnit } from "./kept.ts";
import { percentile, rounded } from "./meters.ts";
import { print, say } from "./report.ts";
import { onStage } from "./stage.ts";

const units = Number(process.env["UNITS"] ?? 100);
const workers = 3;

export const runHandoff = (): Promise<void> =>
  onStage(async ({ dir, plane, auditLog, natsUrl, atEnd }) => {
    say(`${workers} workers, ${units} units of two objects, commits all the while`);
    const fleet = await startFleet({
      dir, kubeconfig: plane.kubeconfig, auditLog, nats: natsUrl, workers, sizes: Array<number>(units).fill(2), withinMs: 120_000, args: ["--log-level", "debug"],
    });
    atEnd(() => fleet.close());
    const { owners, apps } = fleet;
    const unitsIn = Map.groupBy(apps.units, partitionOfUnit);

    let [beganMs, drainMs, drained] = [0, 0, 0];
    const wrong = await fleet.suffer(async () => {
      const [first] = fleet.living();
      if (!first) return;
      say(`draining ${first.name}`);
      drained = owners.counts().get(first.name) ?? 0;
      beganMs = Date.now();
      await fleet.drain(first, true);
      await eventually("it holds nothing", () => !owners.counts().has(first.name), { withinMs: 60_000 });
      drainMs = Date.now() - beganMs;
      await fleet.drain(first, false);
      await fleet.untilShared();
    });
    for (const line of wrong) say(line);

    const changes = owners.changes(beganMs);
    const stops = standstills(fleet, beganMs);
    const pauses = stops.flatMap(({ partition, ms }) => (unitsIn.get(partition) ?? []).map(() => ms));
    const ofPartitions = stops.map(({ ms }) => ms);
    print("handoff", {
      workers, units, moved_partitions: changes.length, moved_units: pauses.length, not_planned: changes.filter(({ reign }) => reign.cause !== "handover").length,
      pause_p50_ms: rounded(percentile(pauses, 0.5)), pause_p99_ms: rounded(percentile(pauses, 0.99)), pause_max_ms: rounded(Math.max(0, ...pauses)), goal_pause_p99_ms: 100,
      partition_pause_p50_ms: rounded(percentile(ofPartitions, 0.5)), partition_pause_p99_ms: rounded(percentile(ofPartitions, 0.99)),
      drained_partitions: drained, drained_in_ms: rounded(drainMs), duplicates: wrong.length, goal_duplicates: 0,
    });
  });

/** From the moment one worker stops a partition's actors until another has taken them up, by what both log; their clock is one. */
function standstills(fleet: Fleet, sinceMs: number): { partition: number; ms: number }[] {
  const lines = fleet.living().flatMap(({ logs }) => logs().flatMap(({ msg, ts, partition }) =>
    (msg === "stops a partition's actors" || msg === "took a partition over") ? [{ isStop: msg.startsWith("stops"), atMs: Date.parse(ts), partition: Number(partition) }] : []));
  const stopped = new Map<number, number>();
  const found: { partition: number; ms: number }[] = [];
  for (const { isStop, atMs, partition } of lines.filter(({ atMs }) => atMs >= sinceMs).sort((a, b) => a.atMs - b.atMs || Number(b.isStop) - Number(a.isStop))) {
    const stoppedMs = stopped.get(partition);
    if (isStop) stopped.set(partition, atMs);
    else if (stoppedMs !== undefined && stopped.delete(partition)) found.push({ partition, ms: atMs - stoppedMs });
  }
  return found;
}
