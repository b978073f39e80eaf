/** A thousand Kustomizations of four objects from one repository: what a fleet costs to install, to change and to leave alone. */
import { setTimeout as pause } from "node:timers/promises";
import { appFiles, appName, gitRepository, imageOf, kustomization } from "./fleet.ts";
import { flux, isFluxGiven } from "./flux.ts";
import { percentile, rounded, type Reading } from "./meters.ts";
import { print, say } from "./report.ts";
import { flotilla, withUp, type Start } from "./up.ts";

const sizes = (process.env["UNITS"] ?? "1000").split(",").map(Number);
const objectsPerUnit = 4;
const patience = 900_000;

export async function runThousand(): Promise<void> {
  for (const units of sizes) {
    await measureFleet("fleet", flotilla, units);
    if (isFluxGiven) await measureFleet("flux", flux, units);
  }
}

const measureFleet = (who: string, start: Start, units: number): Promise<void> => withUp(start, async ({ server, observer, meter, announce, allReady }) => {
  const every = <T>(of: (i: number) => T) => Array.from({ length: units }, (_, i) => of(i));
  const filesAt = (image: string) => Object.assign({}, ...every((i) => appFiles(i, image))) as Record<string, string>;
  const cost = (before: Reading, after: Reading, ms: number) => ({
    units, objects_per_unit: objectsPerUnit, seconds: rounded(ms / 1000, 2), requests: after.requests - before.requests,
    requests_per_unit: rounded((after.requests - before.requests) / units, 2), worker_cpu_s: rounded((after.cpuMs - before.cpuMs) / 1000, 2),
    worker_cpu_ms_per_unit: rounded((after.cpuMs - before.cpuMs) / units), rss_mb: rounded(after.rssMb), renders: after.renders - before.renders,
  });

  say(`installing ${units} units of ${objectsPerUnit} objects`);
  let head = await server.commit("fleet", { files: filesAt("example.com/web:0"), message: "the fleet" });
  let before = await meter();
  const startMs = performance.now();
  await observer.create(gitRepository(server.repoUrl("fleet")));
  await Promise.all(every((i) => observer.create(kustomization(i))));
  await observer.until("all units are ready", allReady(units, head), patience);
  print(`${who}-install`, { ...cost(before, await meter(), performance.now() - startMs), goal_seconds: 28 });

  say("a commit that changes one object of every unit");
  before = await meter();
  head = await server.commit("fleet", { files: filesAt("example.com/web:1"), message: "upgrade all" });
  await announce();
  let tookMs = await observer.until("all units are upgraded", allReady(units, head), patience);
  print(`${who}-upgrade`, { ...cost(before, await meter(), tookMs), goal_seconds: 28 });

  say("a commit that changes one unit");
  await pause(5_000); // what was still to be told
  before = await meter();
  head = await server.commit("fleet", { files: appFiles(7, "example.com/web:touched"), message: "touch one app" });
  await announce();
  const appliedMs = await observer.until("the app is applied", () => imageOf(observer.get("Deployment", appName(7))) === "example.com/web:touched", patience);
  const atApply = await meter();
  tookMs = appliedMs + (await observer.until("all units are at the new revision", allReady(units, head), patience));
  print(`${who}-touch`, {
    ...cost(before, await meter(), tookMs), touched_applied_ms: rounded(appliedMs), goal_touched_applied_ms: 500, requests_until_applied: atApply.requests - before.requests,
  });

  say("an idle minute at a 1-minute interval");
  await pause(5_000);
  before = await meter();
  await pause(60_000);
  print(`${who}-idle`, { ...cost(before, await meter(), 60_000), goal_requests: 0 });

  say(`${units} edits by hand at once`);
  before = await meter();
  const foreign = "example.com/foreign:1";
  const right = every((i) => imageOf(observer.get("Deployment", appName(i))));
  const editedMs: number[] = [];
  const seen = new Set<number>();
  const backMs: number[] = [];
  await Promise.all(every(async (i) => {
    await observer.patch("Deployment", appName(i), { spec: { template: { spec: { containers: [{ name: "web", image: foreign }] } } } });
    editedMs[i] = performance.now();
  }));
  const stormMs = await observer.until("every edit is put back", () => {
    const nowMs = performance.now();
    for (let i = 0; i < units; i++)
      if (!seen.has(i) && editedMs[i] !== undefined && imageOf(observer.get("Deployment", appName(i))) === right[i]) {
        seen.add(i);
        backMs.push(nowMs - (editedMs[i] ?? nowMs));
      }
    return seen.size === units;
  }, patience);
  print(`${who}-storm`, { ...cost(before, await meter(), stormMs), p50_ms: rounded(percentile(backMs, 0.5)), p99_ms: rounded(percentile(backMs, 0.99)) });
});
