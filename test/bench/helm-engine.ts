/** What the Helm engine costs by itself: to start, and per render of a chart like podinfo's. */
import { hash } from "node:crypto";
import { HelmEngine } from "#services/render/helm/engine.ts";
import type { RenderRequest } from "#services/render/helm/types.ts";
import { chartFiles } from "./helm-chart.ts";
import { rounded } from "./meters.ts";
import { print } from "./report.ts";

const renders = Number(process.env["RENDERS"] ?? 300);
const { signal } = new AbortController();
const mib = (bytes: number) => rounded(bytes / 1024 / 1024);

export async function runHelmEngine(): Promise<void> {
  const rssBefore = process.memoryUsage.rss();
  const engine = new HelmEngine();
  try {
    const [, startMs] = await timed(() => engine.warm());
    const { tgz } = await engine.packageChart({ chart: new Map(Object.entries(chartFiles).map(([path, text]) => [path, new TextEncoder().encode(text)])) }, signal);
    const chart = { digest: `sha256:${hash("sha256", tgz)}`, load: async () => tgz };
    const request = (n: number, origin: boolean): RenderRequest => ({
      chart, values: { text: `{"ui":{"message":"release ${n}"}}` }, release: { name: `podinfo-${n}`, namespace: "apps", revision: 1, isUpgrade: false },
      capabilities: { kubeVersion: "v1.37.2", apiVersions: ["v1", "apps/v1"] }, ...(origin && { postRender: { origin: { name: `podinfo-${n}`, namespace: "apps" } } }),
    });
    const [, firstMs] = await timed(() => engine.render(request(0, true), signal));
    const p50 = async (origin: boolean) => {
      const took: number[] = [];
      for (let n = 0; n < renders; n++) took.push((await timed(() => engine.render(request(n, origin), signal)))[1]);
      return rounded(took.sort((a, b) => a - b)[Math.floor(renders / 2)] ?? 0, 1);
    };
    const [plain, labelled] = [await p50(false), await p50(true)];
    const { document } = await engine.render(request(0, true), signal);
    const [, digestMs] = await timed(() => engine.digest(document, "", signal));
    print("helm-engine", {
      renders, start_ms: rounded(startMs), first_render_ms: rounded(firstMs), render_p50_ms: labelled, render_plain_p50_ms: plain, digest_ms: rounded(digestMs, 1),
      module_mb: mib(engine.memoryBytes), rss_rise_mb: mib(process.memoryUsage.rss() - rssBefore),
    });
  } finally {
    await engine.close();
  }
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const startedMs = performance.now();
  return [await work(), performance.now() - startedMs];
}
