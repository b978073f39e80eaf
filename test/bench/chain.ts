/** A chain of units, each of which depends on the one before, and a commit that changes them all. */
import { join } from "node:path";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { openApi, type Api } from "#services/cli/api.ts";
import { startFlotilla } from "../system/flotilla.ts";
import { appFiles, appName, gitRepository, kustomization } from "./fleet.ts";
import { read, rounded } from "./meters.ts";
import { print, say } from "./report.ts";
import { withUp } from "./up.ts";

const length = Number(process.env["UNITS"] ?? 20);
const rounds = 3;
const patience = 300_000;

/** @param withinChain whether it waits for the one before */
function link(index: number, withinChain: boolean): KubeObject {
  const unit = kustomization(index);
  return { ...unit, spec: { ...(unit["spec"] as object), ...(withinChain && index > 0 && { dependsOn: [{ name: appName(index - 1) }] }) } };
}

export async function runChain(): Promise<void> {
  let api: Api | undefined;
  await withUp(async ({ dir, plane, server }) => {
    const data = join(dir, "data");
    const up = await startFlotilla({ kubeconfig: plane.kubeconfig, data });
    api = await openApi({ data }, {});
    return { meter: () => read(up.url, up.pid), announce: () => up.announce(server.repoUrl("fleet")), stop: () => up.stop() };
  }, async ({ server, observer, meter, announce, allReady }) => {
    const files = (image: string) => Object.assign({}, ...Array.from({ length }, (_, i) => appFiles(i, image))) as Record<string, string>;
    let head = await server.commit("fleet", { files: files("example.com/web:0"), message: "the chain" });
    say(`a chain of ${length} units`);
    await observer.create(gitRepository(server.repoUrl("fleet")));
    await Promise.all(Array.from({ length }, (_, i) => observer.create(link(i, true))));
    await observer.until("the chain is ready", allReady(length, head), patience);
    for (let round = 1; round <= rounds; round++) {
      const before = await meter();
      head = await server.commit("fleet", { files: files(`example.com/web:${round}`), message: `round ${round}` });
      const startMs = performance.now();
      await announce();
      await observer.until("the chain is ready again", allReady(length, head), patience);
      const totalMs = performance.now() - startMs;
      const after = await meter();
      const worked = await workOf(head, api as Api);
      print("chain", {
        units: length, round, total_seconds: rounded(totalMs / 1000, 2), sum_of_units_seconds: rounded(worked.sumMs / 1000, 2), units_traced: worked.units,
        total_over_sum: rounded(totalMs / worked.sumMs, 2), goal_total_over_sum: 1.5, requests_per_unit: rounded((after.requests - before.requests) / length, 1),
        worker_cpu_ms_per_unit: rounded((after.cpuMs - before.cpuMs) / length),
      });
    }
  });
}

/** What the units worked on a commit, each by itself, waits for others left out: the longest span of each. */
async function workOf(commit: string, api: Api): Promise<{ sumMs: number; units: number }> {
  for (let looks = 0; ; looks++) {
    const longest = new Map<string, number>();
    for (const { traceId } of await api.tracesOfCommit(commit))
      for (const { name, startMs, endMs } of await api.spans(traceId))
        if (name.includes("kustomization/")) longest.set(name, Math.max(longest.get(name) ?? 0, endMs - startMs));
    // Spans are written a moment after the status.
    if (longest.size >= length || looks === 60) return { sumMs: [...longest.values()].reduce((sum, ms) => sum + ms, 0), units: longest.size };
    await new Promise((resolve) => { setTimeout(resolve, 500); });
  }
}
