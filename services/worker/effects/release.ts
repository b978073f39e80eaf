/** What the release chart asks for. Making revisions, drift and the end have files of their own; here it is found out what there is. */
import { trackedVersion } from "#machines/rules/chart-version.ts";
import { storagePlace } from "#machines/rules/release-storage.ts";
import type { SourceContext } from "#machines/source/machine.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import type { ChartFound, Inspected } from "#protocol/messages/release.ts";
import { parseActorId } from "#protocol/names/actor.ts";
import type { Effects } from "./effects.ts";
import { checkExpressions } from "./health-expressions.ts";
import { releaseActing } from "./release-acting.ts";
import { applyChart, isStanding } from "./release-chart.ts";
import { releaseDrift } from "./release-drift.ts";
import { knownIn } from "./release-known.ts";
import { releaseLeaving } from "./release-leaving.ts";
import { contextOf, isWatched, placeNow, ReleaseScope, specOf, type ReleasePorts } from "./release-scope.ts";
import { isTracked, offersTo } from "./release-sources.ts";
import { listed } from "./unit-object.ts";

export function releaseEffects(ports: ReleasePorts): Effects {
  const { hub, cluster, tenancy } = ports;
  const scope = new ReleaseScope(ports);

  /** What its own actor saw last of a source. */
  async function seenOf(id: string): Promise<SourceFacts | undefined> {
    const record = await ports.recordOf(parseActorId(id));
    return (record?.snapshot.context as unknown as SourceContext | undefined)?.facts ?? undefined;
  }

  return {
    ...releaseActing(scope), ...releaseDrift(scope), ...releaseLeaving(scope),

    adopt: ({ key }) => hub.addFinalizer(key),

    async applyChart(call) {
      const spec = await scope.spec(call.key);
      await checkExpressions(spec.healthCheckExprs ?? [], ports.cel);
      const { chart, chartSeen: seen } = contextOf(call);
      if (seen && isStanding(call.key, spec, { chart, seen }, await seenOf(contextOf(call).facts?.source ?? ""))) return { chart, seen };
      const before = chart || knownIn(await hub.need(call.key)).chart;
      if (!spec.chart && before === "") return { chart: "" };
      return cluster.within(call.key, {}, (handle, guard) => applyChart(call.key, spec, before, { cluster: handle, guard, signal: call.signal, tenancy, nowMs: ports.clock.nowMs() }));
    },

    checkDependencies: (call) => ports.dependencies(call),

    async findChart(call): Promise<ChartFound> {
      const context = contextOf(call);
      const live = await hub.need(call.key);
      const spec = specOf(live);
      const { chart: found, values, behind } = await offersTo(call.key, spec, parseActorId(context.facts?.source ?? ""), ports);
      const known = knownIn(live);
      const target = scope.target(call, spec);
      const { cluster: where, blind } = await cluster.reach(call.key, target, isWatched(context) ? (context.takenOver ? context.inventory : listed(live)) : [], storagePlace(context.facts?.place ?? placeNow(context)));
      const ociDigest = isTracked(context.facts?.source ?? "", found.artifact) ? digestIn(found.artifact.revision) : "";
      return { ...found, ...(values && { values }), ...(behind && { behind }), ociDigest, known, ...(where && { cluster: where }), ...(target.user && { user: target.user }), ...(blind && { blind }) };
    },

    async inspect(call): Promise<Inspected> {
      const context = contextOf(call);
      const place = context.facts?.place ?? placeNow(context);
      const remembered = scope.storage.remembered(call, place);
      if (remembered) return remembered;
      return scope.onRelease(call, await scope.spec(call.key), place, "", (release) => scope.storage.inspect(call, release));
    },
  };
}

/** As `trackedVersion` remembers it, before the chart's own version is known. */
function digestIn(revision: string): string {
  const tracked = trackedVersion(revision.split("@")[0]?.replaceAll("_", "+") ?? "", revision);
  return "ociDigest" in tracked ? tracked.ociDigest : revision;
}
