/**
 * Flux's own controllers as a contender, where their programs are named by FLUX_SOURCE_CONTROLLER and FLUX_KUSTOMIZE_CONTROLLER,
 * and the folders of their CustomResourceDefinitions by FLUX_CRDS (with commas between). Both run with raised limits.
 */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { eventually } from "../../deploy/local/eventually.ts";
import { freePorts } from "../../deploy/local/free-ports.ts";
import { startChild } from "../../deploy/local/processes.ts";
import { provideAll } from "../../deploy/local/tools.ts";
import { openKube } from "../system/kube.ts";
import { namespace } from "./fleet.ts";
import { cpuMsOf, rssMbOf, type Reading } from "./meters.ts";
import { say } from "./report.ts";
import type { Start } from "./up.ts";

const { FLUX_SOURCE_CONTROLLER: source = "", FLUX_KUSTOMIZE_CONTROLLER: kustomize = "", FLUX_CRDS: crds = "" } = process.env;

export const isFluxGiven = source !== "" && kustomize !== "" && crds !== "";

export const flux: Start = async ({ dir, plane }) => {
  const { kubectl } = await provideAll(say);
  const folders = crds.split(",").flatMap((folder) => ["-f", folder]);
  await promisify(execFile)(kubectl, ["--kubeconfig", plane.kubeconfig, "apply", "--server-side", ...folders]);
  const ports = await freePorts("storage", "sourceMetrics", "sourceHealth", "kustomizeMetrics", "kustomizeHealth");
  const storage = join(dir, "storage");
  await mkdir(storage, { recursive: true });
  const address = `127.0.0.1:${ports.storage}`;
  const limits = ["--concurrent=20", "--kube-api-qps=500", "--kube-api-burst=1000", "--requeue-dependency=5s", "--enable-leader-election=false", "--events-addr="];
  const start = (name: string, command: string, args: string[]) => startChild({
    name, command, args: [...args, ...(name === "source-controller" ? limits.filter((limit) => !limit.startsWith("--requeue")) : limits)], logFile: join(dir, `${name}.log`), cwd: dir,
    env: { ...process.env, KUBECONFIG: plane.kubeconfig, RUNTIME_NAMESPACE: namespace, TMPDIR: dir },
  });
  const children = [
    start("source-controller", source, [
      `--storage-path=${storage}`, `--storage-addr=${address}`, `--storage-adv-addr=${address}`, `--metrics-addr=127.0.0.1:${ports.sourceMetrics}`, `--health-addr=127.0.0.1:${ports.sourceHealth}`,
    ]),
    start("kustomize-controller", kustomize, [`--metrics-addr=127.0.0.1:${ports.kustomizeMetrics}`, `--health-addr=127.0.0.1:${ports.kustomizeHealth}`]),
  ];
  const metrics = [ports.sourceMetrics, ports.kustomizeMetrics].map((port) => `http://127.0.0.1:${port}/metrics`);
  await eventually("Flux's controllers answer", async () => (await Promise.all(metrics.map((url) => fetch(url).then(({ ok }) => ok, () => false)))).every(Boolean), { withinMs: 60_000 });
  const kube = openKube(plane.kubeconfig);
  const now = () => ({ metadata: { annotations: { "reconcile.fluxcd.io/requestedAt": new Date().toISOString() } } });
  return {
    meter: () => readFlux(metrics, children.map(({ pid }) => pid)),
    // What notification-controller does for a webhook.
    announce: () => kube.merge(`/apis/source.toolkit.fluxcd.io/v1/namespaces/${namespace}/gitrepositories/fleet`, now()),
    stop: async () => {
      await Promise.all(children.map((child) => child.kill()));
      await kube.close();
    },
  };
};

/** `rest_client_requests_total` counts what client-go sends; long watches are counted once each. */
async function readFlux(urls: string[], pids: number[]): Promise<Reading> {
  const texts = await Promise.all(urls.map(async (url) => (await fetch(url)).text()));
  const sum = (pattern: RegExp) => texts.flatMap((text) => [...text.matchAll(pattern)]).reduce((total, [, value]) => total + Number(value), 0);
  const total = async (of: (pid: number) => Promise<number>) => (await Promise.all(pids.map(of))).reduce((all, each) => all + each, 0);
  return {
    requests: sum(/^rest_client_requests_total\{.*\} (\S+)$/gm), writes: sum(/^rest_client_requests_total\{.*method="(?:PATCH|POST|PUT|DELETE)".*\} (\S+)$/gm), renders: 0,
    cpuMs: await total(cpuMsOf), rssMb: await total(rssMbOf),
  };
}
