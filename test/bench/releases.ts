/** Many releases of one chart like podinfo's: installed, upgraded by other values, and left alone. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { startRegistry } from "../../deploy/local/registry.ts";
import { tarball } from "../kit/helm-server.ts";
import { appName, isReadyNow, namespace } from "./fleet.ts";
import { chartFiles } from "./helm-chart.ts";
import { rounded, type Reading } from "./meters.ts";
import { print, say } from "./report.ts";
import { flotilla, withUp } from "./up.ts";

const releases = Number(process.env["RELEASES"] ?? 200);
const patience = 600_000;
const layer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/** No pods: nodes are simulated, and their kubelets are not what is measured. */
const values = (message: string) => ({ replicaCount: 0, hpa: { enabled: false }, ui: { color: "#34577c", message } });

const release = (index: number): KubeObject => ({
  apiVersion: "helm.toolkit.fluxcd.io/v2", kind: "HelmRelease", metadata: { name: appName(index), namespace },
  spec: { chartRef: { kind: "OCIRepository", name: "podinfo" }, interval: "1m", values: values("one") },
});

export const runReleases = (): Promise<void> => withUp(flotilla, async ({ server, observer, meter }) => {
  const registry = await startRegistry({ dir: join(server.path("fleet"), "..") });
  try {
    const bytes = await tarball(Object.entries(chartFiles).map(([path, contents]) => ({ path: `podinfo/${path}`, contents })));
    await registry.push("podinfo", "6.5.0", [{ mediaType: layer, bytes }]);
    await observer.create({
      apiVersion: "source.toolkit.fluxcd.io/v1", kind: "OCIRepository", metadata: { name: "podinfo", namespace },
      spec: { url: registry.repoUrl("podinfo"), interval: "1m", insecure: true, ref: { tag: "6.5.0" }, layerSelector: { mediaType: layer, operation: "copy" } },
    });
    await observer.until("the chart is there", () => isReadyNow(observer.get("OCIRepository", "podinfo")), patience);
    const every = Array.from({ length: releases }, (_, i) => i);
    const allAt = (generation: number) => () => every.every((i) => isReadyNow(observer.get("HelmRelease", appName(i)), generation));
    const cost = (before: Reading, after: Reading, ms: number) => ({
      releases, seconds: rounded(ms / 1000, 2), requests: after.requests - before.requests, requests_per_release: rounded((after.requests - before.requests) / releases, 2),
      worker_cpu_s: rounded((after.cpuMs - before.cpuMs) / 1000, 2), rss_mb: rounded(after.rssMb),
    });
    const step = async (scenario: string, goalSeconds: number, generation: number, act: (i: number) => Promise<unknown>) => {
      const before = await meter();
      const startMs = performance.now();
      await Promise.all(every.map(act));
      await observer.until(scenario, allAt(generation), patience);
      print(scenario, { ...cost(before, await meter(), performance.now() - startMs), goal_seconds: goalSeconds });
    };
    say(`${releases} releases of one chart`);
    await step("releases-install", 15, 1, (i) => observer.create(release(i)));
    await step("releases-upgrade", 12, 2, (i) => observer.patch("HelmRelease", appName(i), { spec: { values: values("two") } }));
    await pause(5_000);
    const before = await meter();
    await pause(60_000);
    print("releases-idle", { ...cost(before, await meter(), 60_000), goal_requests: 0 });
  } finally {
    await registry.stop();
  }
}, ["OCIRepository", "HelmRelease"]);
