/** What one `flotilla up` does: the scenarios share one cluster and one Flotilla, in this order. */
import { setTimeout as pause } from "node:timers/promises";
import { appFiles, appName, gitRepository, imageOf, kustomization } from "./fleet.ts";
import { percentile, rounded } from "./meters.ts";
import { print, say } from "./report.ts";
import { flotilla, withUp } from "./up.ts";

const units = Number(process.env["UNITS"] ?? 100);
const moreUnits = 200;
const objectsPerUnit = 4;
const rounds = 30;
const restMs = 65_000; // idle threads end after a minute

export async function runSingle(runs: (scenario: string) => boolean): Promise<void> {
  await withUp(flotilla, async ({ server, observer, meter, announce, allReady }) => {
    const files = Object.assign({}, ...Array.from({ length: units }, (_, i) => appFiles(i, "example.com/web:0"))) as Record<string, string>;
    let head = await server.commit("fleet", { files, message: "the fleet" });

    say(`installing ${units} units of ${objectsPerUnit} objects`);
    const before = await meter();
    const startMs = performance.now();
    await observer.create(gitRepository(server.repoUrl("fleet")));
    await Promise.all(Array.from({ length: units }, (_, i) => observer.create(kustomization(i))));
    await observer.until("all units are ready", allReady(units, head), 300_000);
    const installMs = performance.now() - startMs;
    const after = await meter();
    if (runs("install"))
      print("install", {
        units, objects_per_unit: objectsPerUnit, seconds: rounded(installMs / 1000, 2), goal_seconds: 3,
        requests_per_unit: rounded((after.requests - before.requests) / units, 2), goal_requests_per_unit: 2 * objectsPerUnit + 3,
        worker_cpu_ms_per_unit: rounded((after.cpuMs - before.cpuMs) / units), renders: after.renders - before.renders,
      });

    if (runs("idle")) {
      say("an idle minute at a 1-minute interval");
      await pause(5_000); // what the install still had to tell
      const quiet = await meter();
      await pause(60_000);
      const later = await meter();
      print("idle", {
        units, seconds: 60, api_requests: later.requests - quiet.requests, goal_api_requests: 0,
        worker_cpu_ms: rounded(later.cpuMs - quiet.cpuMs), renders: later.renders - quiet.renders,
      });
    }

    if (runs("touch")) {
      say("one commit that touches one app");
      const quiet = await meter();
      head = await server.commit("fleet", { files: appFiles(7, "example.com/web:touched"), message: "touch one app" });
      await announce();
      const appliedMs = await observer.until("the touched app is applied", () => imageOf(observer.get("Deployment", appName(7))) === "example.com/web:touched");
      const readyMs = appliedMs + (await observer.until("all units are at the new revision", allReady(units, head)));
      const later = await meter();
      print("touch", {
        units, touched_applied_ms: rounded(appliedMs), all_at_revision_ms: rounded(readyMs), renders: later.renders - quiet.renders,
        api_requests: later.requests - quiet.requests, worker_cpu_ms: rounded(later.cpuMs - quiet.cpuMs),
      });
    }

    if (runs("push")) {
      say(`${rounds} pushes with a hint`);
      const tookMs: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const image = `example.com/web:push-${round}`;
        const name = appName(round % units);
        head = await server.commit("fleet", { files: appFiles(round % units, image), message: `push ${round}` });
        const atMs = performance.now();
        await announce();
        await observer.until(`push ${round}`, () => imageOf(observer.get("Deployment", name)) === image, 30_000);
        tookMs.push(performance.now() - atMs);
        await observer.until("all units are at the new revision", allReady(units, head));
      }
      print("push", { rounds, units, p50_ms: rounded(percentile(tookMs, 0.5)), p99_ms: rounded(percentile(tookMs, 0.99)), goal_p50_ms: 500 });
    }

    if (runs("drift")) {
      say(`${rounds} edits by hand`);
      const tookMs: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const name = appName((round * 3 + 1) % units);
        const right = imageOf(observer.get("Deployment", name));
        const foreign = `example.com/foreign:${round}`;
        const atMs = performance.now();
        await observer.patch("Deployment", name, { spec: { template: { spec: { containers: [{ name: "web", image: foreign }], serviceAccountName: name } } } });
        await observer.until("the edit is seen", () => imageOf(observer.get("Deployment", name)) !== right || performance.now() - atMs > 50, 10_000);
        await observer.until(`edit ${round} is put back`, () => imageOf(observer.get("Deployment", name)) === right, 30_000);
        tookMs.push(performance.now() - atMs);
      }
      print("drift", { rounds, units, p50_ms: rounded(percentile(tookMs, 0.5)), p99_ms: rounded(percentile(tookMs, 0.99)), goal_p50_ms: 300 });
    }

    if (runs("memory")) {
      say(`memory, and ${moreUnits} units more`);
      await pause(restMs);
      const small = await meter();
      const more = Object.assign({}, ...Array.from({ length: moreUnits }, (_, i) => appFiles(units + i, "example.com/web:0"))) as Record<string, string>;
      head = await server.commit("fleet", { files: more, message: "more apps" });
      await announce();
      await Promise.all(Array.from({ length: moreUnits }, (_, i) => observer.create(kustomization(units + i))));
      await observer.until("all units are ready", allReady(units + moreUnits, head), 300_000);
      await pause(restMs);
      const large = await meter();
      print("memory", {
        units, rss_mb: rounded(small.rssMb), goal_rss_mb: 300, units_after: units + moreUnits, rss_mb_after: rounded(large.rssMb),
        kb_per_further_unit: rounded(((large.rssMb - small.rssMb) * 1024) / moreUnits),
      });
    }
  });
}
