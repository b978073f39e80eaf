/** What image automation costs: one repository of many tags, and many policies on some repositories. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { startRegistry, type LocalRegistry, type RegistryRequest, type RegistryTrouble } from "../../deploy/local/registry.ts";
import { isReadyNow, namespace } from "./fleet.ts";
import { percentile, rounded } from "./meters.ts";
import { print, say } from "./report.ts";
import { flotilla, withUp, type Up } from "./up.ts";

const tagCount = Number(process.env["TAGS"] ?? 10_000);
const policies = Number(process.env["POLICIES"] ?? 500);
const repositories = Number(process.env["REPOSITORIES"] ?? 50);
const patience = 300_000;
const pageSize = 1_000;

export const runImage = (): Promise<void> => withUp(flotilla, async (up) => {
  const registry = await startRegistry({ dir: join(up.server.path("fleet"), "..") });
  try {
    await many(up, registry);
    await shared(up, registry);
  } finally {
    await registry.stop();
  }
}, ["ImageRepository", "ImagePolicy"]);

const object = (kind: string, name: string, spec: object): KubeObject => ({ apiVersion: "image.toolkit.fluxcd.io/v1", kind, metadata: { name, namespace }, spec });
const isList = ({ path }: RegistryRequest) => path.endsWith("/tags/list");
const tagsOf = (object: KubeObject | undefined) => (object?.["status"] as { lastScanResult?: { tagCount: number }; lastHandledReconcileAt?: string } | undefined) ?? {};

/** Answers as a registry does whose images have these tags, page by page. */
function tagged(tags: string[]): { spoil: (request: RegistryRequest) => RegistryTrouble | undefined; sent: { bytes: number } } {
  const sent = { bytes: 0 };
  const at = new Map(tags.map((tag, i) => [tag, i + 1]));
  return {
    sent,
    spoil(request) {
      if (!isList(request)) return undefined;
      const from = at.get(new URLSearchParams(request.query).get("last") ?? "") ?? 0;
      const page = tags.slice(from, from + pageSize);
      const body = JSON.stringify({ name: "shop", tags: page });
      sent.bytes += body.length;
      return { status: 200, body, headers: from + pageSize < tags.length ? { link: `<${request.path}?n=${pageSize}&last=${page.at(-1)}>; rel="next"` } : {} };
    },
  };
}

/** Versions, as they are pushed: `1.42.7-a1b2c3d`. */
const versions = (count: number) => Array.from({ length: count }, (_, i) => `1.${Math.floor(i / 10)}.${i % 10}-${((i * 2_654_435_761) % 2 ** 28).toString(16).padStart(7, "0")}`);

async function many({ observer, meter }: Up, registry: LocalRegistry): Promise<void> {
  say(`an image with ${tagCount} tags`);
  let tags = versions(tagCount);
  let { spoil, sent } = tagged(tags);
  registry.spoil = (request) => spoil(request);
  registry.requests.length = 0;
  const before = await meter();
  const startMs = performance.now();
  await observer.create(object("ImageRepository", "many", { image: `${registry.host}/team/many`, interval: "1h" }));
  await observer.create(object("ImagePolicy", "many", { imageRepositoryRef: { name: "many" }, policy: { semver: { range: ">=1.0.0-0" } } }));
  await observer.until("the tags are found", () => tagsOf(observer.get("ImageRepository", "many")).lastScanResult?.tagCount === tagCount, patience);
  const foundMs = performance.now() - startMs;
  await observer.until("one of them is elected", () => isReadyNow(observer.get("ImagePolicy", "many")), patience);
  const electedMs = performance.now() - startMs;
  const first = await meter();
  const firstSent = { bytes: sent.bytes, requests: registry.requests.length };

  const again = async (name: string): Promise<number> => {
    const at = `${name} ${performance.now()}`;
    const beganMs = performance.now();
    await observer.patch("ImageRepository", "many", { metadata: { annotations: { "reconcile.fluxcd.io/requestedAt": at } } });
    await observer.until("scanned again", () => tagsOf(observer.get("ImageRepository", "many")).lastHandledReconcileAt === at, patience);
    return performance.now() - beganMs;
  };
  const rescans: number[] = [];
  for (let i = 0; i < 10; i++) rescans.push(await again(`scan-${i}`));
  const end = await meter();
  tags = [...tags, "2.0.0"];
  ({ spoil, sent } = tagged(tags));
  const pushedMs = performance.now();
  await Promise.all([again("pushed"), observer.until("the new one is elected", () => JSON.stringify(observer.get("ImagePolicy", "many")?.["status"] ?? {}).includes('"tag":"2.0.0"'), patience)]);
  print("image-tags", {
    tags: tagCount, found_seconds: rounded(foundMs / 1000, 2), elected_seconds: rounded(electedMs / 1000, 2), registry_requests: firstSent.requests, registry_bytes: firstSent.bytes,
    stored_bytes: gzipSync(JSON.stringify({ image: `${registry.host}/team/many`, tags })).byteLength, worker_cpu_ms: rounded(first.cpuMs - before.cpuMs), rss_mb_before: rounded(before.rssMb), rss_mb_after: rounded(first.rssMb),
    rescan_p50_ms: rounded(percentile(rescans, 0.5)), rescan_cpu_ms: rounded((end.cpuMs - first.cpuMs) / rescans.length), rescan_rss_mb: rounded(end.rssMb), new_tag_elected_ms: rounded(performance.now() - pushedMs),
  });
}

async function shared({ observer, meter }: Up, registry: LocalRegistry): Promise<void> {
  say(`${policies} policies on ${repositories} repositories`);
  registry.spoil = tagged(versions(100)).spoil;
  registry.requests.length = 0;
  const scans = () => registry.requests.filter(isList).length;
  const before = await meter();
  const startMs = performance.now();
  const names = Array.from({ length: policies }, (_, i) => `policy-${i}`);
  await Promise.all(Array.from({ length: repositories }, (_, i) => observer.create(object("ImageRepository", `shop-${i}`, { image: `${registry.host}/team/shop-${i}`, interval: "1m" }))));
  await Promise.all(names.map((name, i) => observer.create(object("ImagePolicy", name, { imageRepositoryRef: { name: `shop-${i % repositories}` }, policy: { semver: { range: ">=1.0.0-0" } } }))));
  await observer.until("all policies are ready", () => names.every((name) => isReadyNow(observer.get("ImagePolicy", name))), patience);
  const ready = await meter();
  print("image-policies", {
    policies, repositories, seconds: rounded((performance.now() - startMs) / 1000, 2), scans: scans(), requests: ready.requests - before.requests,
    worker_cpu_s: rounded((ready.cpuMs - before.cpuMs) / 1000, 2), rss_mb: rounded(ready.rssMb),
  });
  await pause(5_000);
  registry.requests.length = 0;
  const idle = await meter();
  await pause(60_000);
  const end = await meter();
  print("image-policies-minute", { policies, repositories, scans: scans(), requests: end.requests - idle.requests, worker_cpu_ms: rounded(end.cpuMs - idle.cpuMs), rss_mb: rounded(end.rssMb) });
}
