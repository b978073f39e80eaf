/** How long from a tag that is pushed to a registry to the pod that runs it: by way of a policy, a commit and its source. */
import { join } from "node:path";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { ociManifest, startRegistry } from "../../deploy/local/registry.ts";
import { gitRepository, isReadyAt, namespace } from "./fleet.ts";
import { percentile, rounded } from "./meters.ts";
import { print, say } from "./report.ts";
import { flotilla, withUp, type Up } from "./up.ts";

const rounds = Number(process.env["ROUNDS"] ?? 20);
const intervalMs = 10_000;
const patience = 120_000;
const image = (name: string, spec: object): KubeObject => ({ apiVersion: "image.toolkit.fluxcd.io/v1", kind: name, metadata: { name: "web", namespace }, spec });
const statusOf = (object: KubeObject | undefined) => (object?.["status"] ?? {}) as { latestRef?: { tag?: string }; lastPushCommit?: string };

export const runImageUpdate = (): Promise<void> => withUp(flotilla, async (up) => {
  const registry = await startRegistry({ dir: join(up.server.path("fleet"), "..") });
  const push = async (tag: string) => {
    const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: await registry.pushBlob("team/web", Buffer.from("{}")), size: 2 };
    await registry.pushManifest("team/web", tag, ociManifest, { schemaVersion: 2, mediaType: ociManifest, config, layers: [], annotations: { tag } });
  };
  try {
    await setUp(up, `${registry.host}/team/web`, push);
    await measure(up, "image-update", push, rounds, true);
    await measure(up, "image-update-interval", push, Math.ceil(rounds / 4), false);
  } finally {
    await registry.stop();
  }
}, ["ImageRepository", "ImagePolicy", "ImageUpdateAutomation"]);

async function setUp({ server, observer }: Up, name: string, push: (tag: string) => Promise<void>): Promise<void> {
  await push("1.0.0");
  const deployment = `apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web, namespace: ${namespace} }\nspec:\n  replicas: 1\n  selector: { matchLabels: { app: web } }\n`
    + `  template:\n    metadata: { labels: { app: web } }\n    spec:\n      containers:\n        - name: web\n          image: ${name}:1.0.0 # {"$imagepolicy": "${namespace}:web"}\n`;
  const commit = await server.commit("fleet", { files: { "web/web.yaml": deployment }, message: "The web" });
  const api = "kustomize.toolkit.fluxcd.io/v1";
  await observer.create(gitRepository(server.repoUrl("fleet")));
  await observer.create({ apiVersion: api, kind: "Kustomization", metadata: { name: "web", namespace }, spec: { interval: "1h", path: "./web", prune: true, wait: true, sourceRef: { kind: "GitRepository", name: "fleet" } } });
  await observer.create(image("ImageRepository", { image: name, interval: `${intervalMs / 1000}s` }));
  await observer.create(image("ImagePolicy", { imageRepositoryRef: { name: "web" }, policy: { semver: { range: "1.x" } } }));
  await observer.create(image("ImageUpdateAutomation", { interval: "1h", sourceRef: { kind: "GitRepository", name: "fleet" }, git: { commit: { author: { email: "bench@example.com" } } } }));
  await observer.until("the first image runs", () => isReadyAt(observer.get("Kustomization", "web"), commit), patience);
}

let released = 0;

async function measure({ observer }: Up, scenario: string, push: (tag: string) => Promise<void>, count: number, asks: boolean): Promise<void> {
  const [elected, committed, running]: [number[], number[], number[]] = [[], [], []];
  for (let i = 0; i < count; i++) {
    const tag = `1.${++released}.0`;
    const before = statusOf(observer.get("ImageUpdateAutomation", "web")).lastPushCommit;
    await push(tag);
    const startMs = performance.now();
    if (asks) await observer.patch("ImageRepository", "web", { metadata: { annotations: { "reconcile.fluxcd.io/requestedAt": tag } } });
    await observer.until(`${tag} is elected`, () => statusOf(observer.get("ImagePolicy", "web")).latestRef?.tag === tag, patience);
    elected.push(performance.now() - startMs);
    await observer.until("it is committed", () => statusOf(observer.get("ImageUpdateAutomation", "web")).lastPushCommit !== before, patience);
    committed.push(performance.now() - startMs);
    const commit = statusOf(observer.get("ImageUpdateAutomation", "web")).lastPushCommit ?? "";
    await observer.until("its pod runs", () => isReadyAt(observer.get("Kustomization", "web"), commit), patience);
    running.push(performance.now() - startMs);
    say(`${tag}: ${Math.round(running.at(-1) ?? 0)} ms`);
  }
  const of = (values: number[]) => [rounded(percentile(values, 0.5)), rounded(percentile(values, 0.99))] as const;
  const [[e50, e99], [c50, c99], [r50, r99]] = [of(elected), of(committed), of(running)];
  print(scenario, { rounds: count, elected_p50_ms: e50, elected_p99_ms: e99, committed_p50_ms: c50, committed_p99_ms: c99, running_p50_ms: r50, running_p99_ms: r99, ...(!asks && { interval_ms: intervalMs }) });
}
