/** What everything has to look like some time after the last thing went wrong. */
import { inventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { annotations, labels } from "#protocol/api/annotations.ts";
import { actorId, parseActorId, partitionsWith, shardOfPartition } from "#protocol/names/actor.ts";
import { listOf, pathOfUnit, type Checks } from "./checks.ts";
import type { SimulatedKube } from "./kube.ts";
import { releaseId } from "./release-objects.ts";
import { madeId, units, type Script } from "./script.ts";
import type { Upstream } from "./upstream.ts";
import type { SimulatedWorker } from "./worker.ts";

export type Peace = {
  kube: SimulatedKube;
  upstream: Upstream;
  checks: Checks;
  script: Script;
  /** Units that are meant to exist. */
  wanted: ReadonlySet<string>;
  workers: SimulatedWorker[];
};

/** Empty when everything is as it should be. */
export function whyNotCalm(peace: Peace): string[] {
  const { kube, checks } = peace;
  const homes = whyNotAtHome(peace);
  if (homes.length > 0) return homes;
  return [
    ...units.flatMap((unit) => whyUnitNotCalm(peace, unit)),
    ...(peace.script.made ? whyMadeNotCalm(peace) : []),
    ...(peace.script.release ? whyReleaseNotCalm(peace) : []),
    ...[...checks.untold].map((notice) => `[OW18] notice ${notice} was never told`),
    ...(JSON.stringify(kube.get("ConfigMap/apps/foreign")?.["data"]) === "{\"value\":\"theirs\"}" ? [] : ["somebody else's object was touched"]),
  ];
}

/** Every partition has a living owner that has taken it up, and as many as the others. */
function whyNotAtHome({ workers: present, checks }: Peace): string[] {
  const away = present.filter((worker) => !worker.joined || worker.leaving || worker.process.state !== "running");
  if (away.length > 0) return away.map(({ process }) => `${process.name} is not ready`);
  const byName = new Map(present.map((worker) => [worker.process.name, worker]));
  const reasons: string[] = [];
  const keys = present[0]?.cell.roster.shards ?? [];
  for (let partition = 0; partition < partitionsWith(keys.length); partition++) {
    const owner = checks.ownerOf(partition) ?? "";
    const key = keys[shardOfPartition(partition) ?? -1] ?? "";
    if (byName.get(owner)?.shard !== key && present.some(({ shard }) => shard === key)) reasons.push(`[SH4] partition ${partition} of "${key}" is ${owner}'s`);
    if (!byName.get(owner)?.cell.owns(partition)) reasons.push(`[OW30] partition ${partition} is ${owner || "nobody"}'s, and not taken up`);
  }
  const shares = present.map(({ cell }) => cell.owned.length);
  if (keys.length === 0 && Math.max(...shares) - Math.min(...shares) > 1) reasons.push(`[OW30] shares are ${shares.join()}`);
  for (const { host, hub, process } of present) {
    const frozen = Reflect.get(host, "frozen") as Map<number, unknown>;
    if (frozen.size > 0) reasons.push(`[OW30] ${process.name} keeps ${[...frozen.keys()].join()} frozen`);
    if (!hub.isConnected()) reasons.push(`${process.name} is not shown everything`);
    const hosted = [...host.all()].map(({ key }) => actorId(key)).filter((id) => !id.startsWith("cluster/")).sort().join();
    const kept = [...checks.durable.keys()].filter((id) => !id.startsWith("cluster/") && checks.owner(parseActorId(id)) === process.name).sort().join();
    if (hosted !== kept) reasons.push(`[OW21] ${process.name} hosts ${hosted}, and records say ${kept}`);
  }
  return reasons;
}

function whyUnitNotCalm({ workers, kube, upstream, checks, script, wanted: existing }: Peace, unit: string): string[] {
  const { name } = parseActorId(unit);
  const object = kube.get(pathOfUnit(unit));
  const { key, record } = checks.placed(unit) ?? {};
  const ours = kube.list().filter(({ object: each }) => each.metadata.labels?.[labels.ownerName] === name).map((each) => each.object);
  const prunes = name !== "c" && !letsGo(script, unit);
  if (!existing.has(unit)) {
    const left = prunes && !object ? ours.map((each) => `${each.metadata.name} of ${unit} is left`) : [];
    return [...(object ? [`${unit} is not gone`] : []), ...(record ? [`${unit} has a record`] : []), ...left];
  }
  const head = upstream.revision(upstream.head);
  const status = (object?.["status"] ?? {}) as { lastAppliedRevision?: string; lastHandledReconcileAt?: string; observedGeneration?: number };
  const wanted = upstream.objects(upstream.head, name, "apps") ?? [];
  const listed = new Set(listOf(record).map(({ id }) => id));
  const requested = object?.metadata.annotations?.[annotations.requestedAt] ?? "";
  const shard = workers[0]?.cell.roster.shards.indexOf(object?.metadata.labels?.[labels.shardKey] ?? "");
  const place = shard === undefined || shard < 0 ? undefined : shard;
  return [
    ...(key?.shard === place ? [] : [`[SH1] ${unit} is in ${key?.shard ?? "no shard"}, its label says ${place ?? "none"}`]),
    ...(record?.snapshot["value"] === "settled" ? [] : [`${unit} is ${String(record?.snapshot["value"])}`]),
    ...(status.lastAppliedRevision === head ? [] : [`${unit} says ${status.lastAppliedRevision}, head is ${head}`]),
    ...(status.observedGeneration === object?.metadata.generation ? [] : [`${unit} has not observed its generation`]),
    ...((status.lastHandledReconcileAt ?? "") === requested ? [] : [`${unit}: request ${requested} is not handled`]),
    ...wanted.flatMap(({ object: each }) => {
      const live = kube.get(`ConfigMap/apps/${each.metadata.name}`);
      return JSON.stringify(live?.["data"]) === JSON.stringify(each["data"]) ? [] : [`${each.metadata.name} is not as rendered`];
    }),
    ...ours.flatMap((each) => {
      if (wanted.some(({ object: one }) => one.metadata.name === each.metadata.name)) return [];
      return prunes ? [`${each.metadata.name} of ${unit} is not wanted`] : [];
    }),
    ...ours.filter((each) => prunes && !listed.has(idOf(each))).map((each) => `[OW12] ${each.metadata.name} is in no list of ${unit}`),
  ];
}

/** What is made from the repository is made from its head. */
function whyMadeNotCalm({ kube, upstream, checks }: Peace): string[] {
  const { record } = checks.placed(madeId) ?? {};
  const status = (kube.get(pathOfUnit(madeId))?.["status"] ?? {}) as { artifact?: { revision?: string }; conditions?: { type: string; status: string }[] };
  const wanted = `made-${upstream.revision(upstream.head)}`;
  const ready = status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True");
  return [
    ...(record?.snapshot["value"] === "settled" ? [] : [`[SR80] ${madeId} is ${String(record?.snapshot["value"])}`]),
    ...(status.artifact?.revision === wanted && ready ? [] : [`[SR80] ${madeId} says ${status.artifact?.revision}, the head makes ${wanted}`]),
  ];
}

function whyReleaseNotCalm({ kube, upstream, checks, script, wanted }: Peace): string[] {
  const chart = upstream.commits.at(-1)?.["chart"];
  const isWanted = wanted.has(releaseId) && chart !== undefined && chart !== "broken";
  const wasLetGo = letsGo(script, releaseId);
  const left = !isWanted && kube.get(pathOfUnit(releaseId)) ? [`[HR11] ${releaseId} is not gone`] : [];
  return [...left, ...checks.releases.whyNotCalm(releaseId, isWanted ? chart : undefined, checks.placed(releaseId)?.record, wasLetGo)];
}

/** Whether it may have been suspended when it was deleted: then its objects stay, and nobody knows of them any more. */
function letsGo(script: Script, unit: string): boolean {
  const did = (kind: string) => script.steps.some((step) => step.do === kind && "unit" in step && step.unit === unit);
  return did("suspend") && did("delete");
}

const idOf = ({ metadata, kind }: KubeObject) => inventoryId({ namespace: metadata.namespace ?? "", name: metadata.name, group: "", kind });
