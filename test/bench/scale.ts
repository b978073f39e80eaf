/** The install scenario with 1, 2 and 4 workers: how much faster, and who is busy. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { startGitServer } from "../../deploy/local/git-server.ts";
import { startWorker } from "../system/flotilla.ts";
import { appFiles, appName, gitRepository, isReadyAt, kustomization, namespace, Observer } from "./fleet.ts";
import { cpuMsOf, read, rounded } from "./meters.ts";
import { print, say } from "./report.ts";
import { onStage } from "./stage.ts";

const units = Number(process.env["UNITS"] ?? 300);
const sizes = [1, 2, 4];

export async function runScale(): Promise<void> {
  for (const count of sizes) await onStage((stage) => install(count, stage));
}

async function install(count: number, { dir, plane, nats, natsUrl, atEnd }: Parameters<Parameters<typeof onStage>[0]>[0]): Promise<void> {
  const server = await startGitServer({ dir: join(dir, "git") });
  atEnd(() => server.stop());
  await server.createRepo("fleet");
  const tokens = { token: randomBytes(12).toString("hex"), webhookToken: randomBytes(12).toString("hex") };
  const workers = await Promise.all(Array.from({ length: count }, () => startWorker({ kubeconfig: plane.kubeconfig, nats: natsUrl, data: join(dir, "workers"), tokens })));
  atEnd(() => Promise.all(workers.map((worker) => worker.crash())));
  const observer = await Observer.open(plane.kubeconfig);
  atEnd(() => observer.close());
  await observer.client.request({ method: "POST", path: "/api/v1/namespaces", body: { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } } });
  const files = Object.assign({}, ...Array.from({ length: units }, (_, i) => appFiles(i, "example.com/web:0"))) as Record<string, string>;
  const head = await server.commit("fleet", { files, message: "the fleet" });

  const meter = async () => {
    const readings = await Promise.all(workers.map(({ url, pid }) => read(url, pid)));
    const cpu = (...names: string[]) => Promise.all(names.map((name) => cpuMsOf(plane.pids[name] ?? 0)));
    const [apiServer = 0, etcd = 0] = await cpu("kube-apiserver", "etcd");
    return {
      requests: readings.reduce((sum, each) => sum + each.requests, 0), workerCpu: readings.reduce((sum, each) => sum + each.cpuMs, 0),
      rssMb: Math.max(...readings.map((each) => each.rssMb)), apiServer, etcd, nats: await cpuMsOf(nats.pid),
    };
  };
  say(`installing ${units} units with ${count} worker${count === 1 ? "" : "s"}`);
  const before = await meter();
  const startMs = performance.now();
  await observer.create(gitRepository(server.repoUrl("fleet")));
  await Promise.all(Array.from({ length: units }, (_, i) => observer.create(kustomization(i))));
  const isReady = (i: number) => isReadyAt(observer.get("Kustomization", appName(i)), head);
  await observer.until("all units are ready", () => Array.from({ length: units }, (_, i) => i).every(isReady), 600_000);
  const seconds = (performance.now() - startMs) / 1000;
  const after = await meter();
  // Seconds of CPU per second: who is at its limit, and whether the machine is.
  const busy = (what: "workerCpu" | "apiServer" | "etcd" | "nats") => rounded((after[what] - before[what]) / 1000 / seconds, 2);
  print("scale", {
    workers: count, units, seconds: rounded(seconds, 2), units_per_second: rounded(units / seconds), requests_per_unit: rounded((after.requests - before.requests) / units, 2),
    cores_workers: busy("workerCpu"), cores_api_server: busy("apiServer"), cores_etcd: busy("etcd"), cores_nats: busy("nats"), largest_worker_rss_mb: rounded(after.rssMb),
  });
}
