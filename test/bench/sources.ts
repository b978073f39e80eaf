/** What sources cost: many on few upstreams, many artifacts of a registry with a unit each, and one fetch of a repository. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { gitRepository as kind } from "#services/sources/git/include.ts";
import type { SourceCall } from "#services/sources/define.ts";
import { startGitServer, type GitServer } from "../../deploy/local/git-server.ts";
import { fluxContent, startRegistry, type LocalRegistry } from "../../deploy/local/registry.ts";
import { startS3 } from "../../deploy/local/s3-server.ts";
import { appFiles, appName, isReadyNow, namespace } from "./fleet.ts";
import { rounded } from "./meters.ts";
import { print, say } from "./report.ts";
import { flotilla, withUp } from "./up.ts";

const sources = Number(process.env["SOURCES"] ?? 1_000);
const upstreams = Number(process.env["UPSTREAMS"] ?? 50);
const artifacts = Number(process.env["ARTIFACTS"] ?? 500);
const patience = 600_000;

export async function runSources(runs: (scenario: string) => boolean): Promise<void> {
  if (runs("sources-shared")) await shared();
  if (runs("sources-oci")) await registry();
  if (runs("sources-fetch")) await fetches();
}

const meta = (name: string) => ({ name, namespace });
/** An upstream of each kind that is shared, in turn: what a source of it says, and what was asked of all of that kind. */
type Upstreams = { specOf(upstream: number): { kind: string; spec: Record<string, unknown> }; asked(): Record<string, number>; forget(): void; stop(): Promise<unknown> };

async function startUpstreams(server: GitServer): Promise<Upstreams> {
  const dir = join(server.path("fleet"), "..");
  const [store, s3] = await Promise.all([startRegistry({ dir }), startS3({ dir, bucket: "fleet" })]);
  let indexes = 0;
  const helm = createServer((_, response) => {
    indexes++;
    response.end("apiVersion: v1\nentries:\n  web: [{ name: web, version: 1.0.0, apiVersion: v2, urls: [web-1.0.0.tgz] }]\n");
  });
  await new Promise<void>((resolve) => helm.listen(0, "127.0.0.1", resolve));
  for (let i = 0; i < upstreams; i++) {
    const files = appFiles(i, "example.com/web:1");
    if (i % 4 === 0) {
      await server.createRepo(`up-${i}`);
      await server.commit(`up-${i}`, { files, message: "first" });
    } else if (i % 4 === 1) await store.push(`up-${i}`, "v1", [{ mediaType: fluxContent, bytes: await archive(files) }]);
    else if (i % 4 === 2) for (const [name, text] of Object.entries(files)) await s3.put(`up-${i}/${name}`, text);
  }
  const kinds = [
    (i: number) => ({ kind: "GitRepository", spec: { url: server.repoUrl(`up-${i}`), ref: { branch: "main" } } }),
    (i: number) => ({ kind: "OCIRepository", spec: { url: store.repoUrl(`up-${i}`), insecure: true, ref: { tag: "v1" } } }),
    (i: number) => ({ kind: "Bucket", spec: { bucketName: "fleet", endpoint: s3.host, insecure: true, prefix: `up-${i}/` } }),
    (i: number) => ({ kind: "HelmRepository", spec: { url: `http://127.0.0.1:${(helm.address() as AddressInfo).port}/up-${i}` } }),
  ];
  return {
    specOf: (upstream) => (kinds[upstream % 4] as (typeof kinds)[0])(upstream),
    asked: () => ({ git_requests: server.requests.length, registry_requests: store.requests.length, bucket_listings: s3.requests.filter(({ query }) => query.has("list-type")).length, bucket_requests: s3.requests.length, helm_indexes: indexes }),
    forget() {
      for (const { requests } of [server, store, s3]) requests.length = 0;
      indexes = 0;
    },
    stop: () => Promise.all([store.stop(), s3.stop(), new Promise((done) => helm.close(done))]),
  };
}

const shared = (): Promise<void> => withUp(flotilla, async ({ server, observer, meter }) => {
  say(`${sources} sources of four kinds on ${upstreams} upstreams`);
  const from = await startUpstreams(server);
  try {
    from.forget();
    const before = await meter();
    const startMs = performance.now();
    const all = Array.from({ length: sources }, (_, i) => ({ name: `source-${i}`, ...from.specOf(i % upstreams) }));
    await Promise.all(all.map(({ name, kind, spec }) => observer.create({ apiVersion: "source.toolkit.fluxcd.io/v1", kind, metadata: meta(name), spec: { ...spec, interval: "1m" } })));
    await observer.until("all sources are ready", () => all.every(({ kind, name }) => isReadyNow(observer.get(kind, name))), patience);
    const after = await meter();
    print("sources-shared", {
      sources, upstreams, seconds: rounded((performance.now() - startMs) / 1000, 2), ...from.asked(), requests: after.requests - before.requests,
      worker_cpu_s: rounded((after.cpuMs - before.cpuMs) / 1000, 2), rss_mb: rounded(after.rssMb),
    });
    await pause(5_000);
    from.forget();
    const idle = await meter();
    await pause(60_000);
    const end = await meter();
    print("sources-shared-minute", { sources, upstreams, ...from.asked(), requests: end.requests - idle.requests, worker_cpu_ms_per_source: rounded((end.cpuMs - idle.cpuMs) / sources, 2) });
  } finally {
    await from.stop();
  }
}, ["GitRepository", "OCIRepository", "Bucket", "HelmRepository"]);

const registry = (): Promise<void> => withUp(flotilla, async ({ observer, meter, server }) => {
  const store: LocalRegistry = await startRegistry({ dir: join(server.path("fleet"), "..") });
  try {
    say(`${artifacts} artifacts of a registry, each with its Kustomization`);
    for (let i = 0; i < artifacts; i++) await store.push(appName(i), "v1", [{ mediaType: fluxContent, bytes: await archive(appFiles(i, "example.com/web:1")) }]);
    const before = await meter();
    const startMs = performance.now();
    await Promise.all(Array.from({ length: artifacts }, async (_, i) => {
      const name = appName(i);
      await observer.create({ apiVersion: "source.toolkit.fluxcd.io/v1", kind: "OCIRepository", metadata: meta(name), spec: { url: store.repoUrl(name), interval: "1m", insecure: true, ref: { tag: "v1" } } });
      await observer.create({
        apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: meta(name),
        spec: { interval: "1m", path: "./", prune: true, wait: true, sourceRef: { kind: "OCIRepository", name } },
      });
    }));
    await observer.until("all units are ready", () => Array.from({ length: artifacts }, (_, i) => observer.get("Kustomization", appName(i))).every((unit) => isReadyNow(unit)), patience);
    const after = await meter();
    print("sources-oci", {
      artifacts, seconds: rounded((performance.now() - startMs) / 1000, 2), goal_seconds: 18, requests: after.requests - before.requests, registry_requests: store.requests.length,
      worker_cpu_s: rounded((after.cpuMs - before.cpuMs) / 1000, 2), rss_mb: rounded(after.rssMb),
    });
  } finally {
    await store.stop();
  }
});

async function archive(files: Record<string, string>): Promise<Buffer> {
  const stream = pack();
  for (const [name, text] of Object.entries(files)) stream.entry({ name }, text);
  stream.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks));
}

/** Repositories as podinfo's (754 files), and one of 2,000 files and 30 MB that does not compress well. */
async function fetches(): Promise<void> {
  const server = await startGitServer({ dir: join(process.env["TMPDIR"] ?? "/tmp", `flotilla-bench-git-${process.pid}`) });
  try {
    await fetchOne(server, 754, 2_000);
    await fetchOne(server, 2_000, 15_000);
  } finally {
    await server.stop();
  }
}

async function fetchOne(server: GitServer, files: number, bytesEach: number): Promise<void> {
  const name = `files-${files}`;
  await server.createRepo(name);
  let seed = 1;
  const text = () => Array.from({ length: Math.ceil(bytesEach / 8) }, () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648).toString(36).padStart(7, "0")).join("\n");
  await server.commit(name, { files: Object.fromEntries(Array.from({ length: files }, (_, i) => [`dir-${i % 40}/file-${i}.yaml`, `# ${text()}`])), message: "all of it" });
  const call = { key: { kind: "gitrepository", namespace, name }, spec: { url: server.repoUrl(name), ref: { branch: "main" } }, secret: async () => ({}), signal: new AbortController().signal };
  const source = kind as unknown as { resolve(call: SourceCall<unknown>): Promise<string>; fetch(call: SourceCall<unknown> & { revision: string }): Promise<{ archive: Uint8Array }> };
  const delay = monitorEventLoopDelay({ resolution: 5 });
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  delay.enable();
  const revision = await source.resolve(call as unknown as SourceCall<unknown>);
  const { archive: made } = await source.fetch({ ...(call as unknown as SourceCall<unknown>), revision });
  const wallMs = performance.now() - startMs;
  delay.disable();
  const { user, system } = process.cpuUsage(cpu);
  const pollCpu = process.cpuUsage();
  for (let i = 0; i < 20; i++) await source.resolve(call as unknown as SourceCall<unknown>);
  const polled = process.cpuUsage(pollCpu);
  print("sources-fetch", {
    files, archive_kb: rounded(made.byteLength / 1024), wall_ms: rounded(wallMs), cpu_ms: rounded((user + system) / 1_000), rss_mb: rounded(process.memoryUsage.rss() / 1024 ** 2),
    longest_stall_ms: rounded(delay.max / 1e6), goal_stall_ms: 50, unchanged_poll_cpu_ms: rounded((polled.user + polled.system) / 20_000, 2),
  });
}
