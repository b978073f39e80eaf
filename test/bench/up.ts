/** Whatever reconciles, on a control plane of its own with an empty repository `fleet`, for as long as a measurement. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startControlPlane, type ControlPlane } from "../../deploy/local/control-plane.ts";
import { startGitServer, type GitServer } from "../../deploy/local/git-server.ts";
import { startFlotilla } from "../system/flotilla.ts";
import { appName, isReadyAt, namespace, Observer } from "./fleet.ts";
import { read, type Reading } from "./meters.ts";
import { say } from "./report.ts";

export type Up = {
  server: GitServer;
  observer: Observer;
  meter(): Promise<Reading>;
  /** Word of a push, as a webhook brings it. */
  announce(): Promise<unknown>;
  /** Whether the first so many apps are Ready at this commit. */
  allReady(count: number, commit: string): () => boolean;
};

/** What is measured, started on the control plane. */
export type Contender = Pick<Up, "meter" | "announce"> & { stop(): Promise<unknown> };
export type Start = (stage: { dir: string; plane: ControlPlane; server: GitServer }) => Promise<Contender>;

export const flotilla: Start = async ({ dir, plane, server }) => {
  const profile = process.env["CPU_PROFILE_DIR"];
  const up = await startFlotilla({ kubeconfig: plane.kubeconfig, data: join(dir, "data"), ...(profile && { nodeArgs: ["--cpu-prof", `--cpu-prof-dir=${profile}`] }) });
  return { meter: () => read(up.url, up.pid), announce: () => up.announce(server.repoUrl("fleet")), stop: () => up.stop() };
};

export async function withUp(start: Start, measure: (up: Up) => Promise<void>, also: string[] = []): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "flotilla-bench-"));
  const stops: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })];
  try {
    const plane = await startControlPlane({ dir: join(dir, "cluster"), onProgress: say });
    stops.push(() => plane.stop());
    const server = await startGitServer({ dir: join(dir, "git") });
    stops.push(() => server.stop());
    await server.createRepo("fleet");
    const { meter, announce, stop } = await start({ dir, plane, server });
    stops.push(stop);
    const observer = await Observer.open(plane.kubeconfig, also);
    stops.push(() => observer.close());
    await observer.client.request({ method: "POST", path: "/api/v1/namespaces", body: { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } } });
    await measure({
      server, observer, meter, announce,
      allReady: (count, commit) => () => Array.from({ length: count }, (_, i) => observer.get("Kustomization", appName(i))).every((unit) => isReadyAt(unit, commit)),
    });
  } finally {
    for (const stop of stops.toReversed()) await stop().catch((thrown: unknown) => say(String(thrown)));
  }
}
