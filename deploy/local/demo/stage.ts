/** Sets the stage: the parts, a control plane, a Git server with the sample, Flotilla. All files are in one folder. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startControlPlane, type ControlPlane } from "../control-plane.ts";
import { buildPrograms } from "../programs.ts";
import { startRegistry, type LocalRegistry } from "../registry.ts";
import { tools } from "../tools.ts";
import { cacheFolder } from "../tools/cache.ts";
import { program, startFlotilla, type Flotilla } from "./flotilla.ts";
import { startRepository, type Repository } from "./repository.ts";
import { runProgram, type Command } from "./run-program.ts";
import { clusterFiles, imageFiles, watchedImage, type Files } from "./sample.ts";
import type { Screen } from "./screen.ts";
import { openView, type View } from "./view.ts";

export type Stage = {
  dir: string;
  cluster: ControlPlane;
  repository: Repository;
  flotilla: Flotilla;
  view: View;
  registry: LocalRegistry;
  /** The folder of what is applied to the cluster. */
  resources: string;
  /** And of what looks after an image. */
  images: string;
  /** Where Flotilla keeps its files. */
  data: string;
  kubectlProgram: string;
  /** Runs kubectl against the cluster; returns what it printed. */
  kubectl(...args: string[]): Promise<string>;
  /** Runs the flotilla command against the running one. */
  command(...args: string[]): Promise<string>;
};

const parts = [
  "nats-server", "oci-registry", "kubectl", "etcd", "kube-apiserver", "kwok", "kube-controller-manager", "kube-scheduler",
] as const;

export type Folder = { dir: string; logFile: string };

/** The one folder everything is in. It goes when `closing` does, after everything started later. */
export async function makeFolder(closing: AsyncDisposableStack): Promise<Folder> {
  const dir = await mkdtemp(join(tmpdir(), "flotilla-demo-"));
  closing.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  return { dir, logFile: join(dir, "flotilla.log") };
}

/** @param closing undoes all of it, last first */
export async function setStage({ dir, logFile }: Folder, screen: Screen, closing: AsyncDisposableStack): Promise<Stage> {
  screen.step("Get the parts", "Real ones: Kubernetes, nats-server, kustomize. Built or fetched once, then kept.");
  const say = (line: string) => screen.done(line);
  const path = await tools(parts, say);
  const programs = await buildPrograms(say);
  screen.done(`all in place, in ${cacheFolder()}`);

  screen.step("Start a cluster, a Git server and a registry", "Where things shall run, where they are written down, and where images are.");
  const cluster = await startIn(closing, () => startControlPlane({ dir: join(dir, "cluster"), onProgress: say }));
  screen.done(`Kubernetes at ${cluster.url}, with two simulated nodes: pods reach Running, no container runs`);
  const repository = await startIn(closing, () => startRepository(dir));
  screen.done(`Git at ${repository.url}: a web shop, as a base with the overlays dev, test and prod`);

  const registry = await startIn(closing, () => startRegistry({ dir }));
  screen.done(`a registry at ${registry.host}`);

  screen.step("Start Flotilla", "One process: it brings its own nats-server and installs its CustomResourceDefinitions.");
  const data = join(dir, "data");
  screen.command(`npx flotilla up --listen 127.0.0.1:0 \\\n  --kubeconfig ${cluster.kubeconfig} --data ${data}`);
  const env = { ...process.env, FLOTILLA_NATS_SERVER: path["nats-server"], ...programs };
  const { kubeconfig } = cluster;
  const flotilla = await startIn(closing, () => startFlotilla({ kubeconfig, dataDir: data, logFile, env }));
  screen.done(`ready at ${flotilla.url}`);
  await repository.callOnPush({ url: `${flotilla.url}/hook/push`, token: flotilla.webhookToken });

  const view = await openView(kubeconfig, (what, instead) => screen.done(`still waiting: ${what} (${instead})`));
  closing.defer(() => view.close());
  const kubernetes = { ...process.env, KUBECONFIG: kubeconfig };
  const run = async (command: Command) => (await runProgram(command)).out;
  return {
    dir, cluster, repository, flotilla, view, data,
    registry,
    resources: await writeFiles(join(dir, "resources"), await clusterFiles(repository.url)),
    images: await writeFiles(join(dir, "images"), await imageFiles(`${registry.host}/${watchedImage.name}`)),
    kubectlProgram: path.kubectl,
    kubectl: (...args) => run({ file: path.kubectl, args, env: kubernetes, shown: `kubectl ${args.join(" ")}` }),
    command: (...args) =>
      run({
        file: process.execPath,
        args: [program, ...args],
        env: { ...kubernetes, COLUMNS: String(screen.columns) },
        shown: `flotilla ${args.join(" ")}`,
      }),
  };
}

type Part = { stop(): Promise<void> };

/** An interruption may come while it starts: then it is stopped as soon as it has, before its files are removed. */
function startIn<T extends Part>(closing: AsyncDisposableStack, start: () => Promise<T>): Promise<T> {
  if (closing.disposed) throw new Error("interrupted");
  const starting = start();
  closing.defer(() => starting.then((part) => part.stop(), () => undefined));
  return starting;
}

async function writeFiles(folder: string, files: Files): Promise<string> {
  for (const [name, text] of Object.entries(files)) {
    const file = join(folder, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  return folder;
}
