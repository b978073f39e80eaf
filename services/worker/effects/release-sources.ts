/** What the sources of a release offer: its chart, and files of values. */
import type { ReleaseContext } from "#machines/release/machine.ts";
import type { SourceContext } from "#machines/source/machine.ts";
import { mayRefer, type Tenancy } from "#machines/rules/tenancy.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Offered } from "#protocol/messages/release.ts";
import { markOf, type Artifact } from "#protocol/messages/source.ts";
import { actorId, parseActorId, type ActorKey } from "#protocol/names/actor.ts";
import { handleOf } from "#services/store/artifacts.ts";
import { sourceOfFile, valuesSources } from "../values-from.ts";
import { shown } from "./effects.ts";
import type { ReleasePorts } from "./release-scope.ts";
import type { Spec, ValuesPorts } from "./release-values.ts";

type Ports = Pick<ReleasePorts, "held" | "recordOf" | "kindOf"> & { tenancy: Tenancy };

type Offers = {
  chart: Offered;
  values?: Record<string, Offered>;
  /** The chart is made from a source of values, and not yet from what that holds now. */
  behind?: boolean;
};

/**
 * Of values, by the sources' ids; undefined when nothing names any. A source that may be missing and is, is left out; one that
 * is there and has no artifact yet is waited for.
 *
 * @throws Fault AccessDenied, SourceMissing, ValuesMissing, ArtifactMissing
 */
export async function offersTo(release: ActorKey, spec: Spec, chart: ActorKey, ports: Ports): Promise<Offers> {
  const sources = valuesSources(release, spec);
  const making = sources.length > 0 ? await makingOf(chart, ports) : {}; // read first: the chart that is offered is as new
  const nameOf = (source: ActorKey) => shown(ports.kindOf(source.kind), source);
  const offered = await offeredBy(chart, release, ports);
  if (!offered) throw new Fault("SourceMissing", nameOf(chart), { detail: `could not get Source object: ${nameOf(chart)} not found` });
  if (sources.length === 0) return { chart: offered };
  const values: Record<string, Offered> = {};
  for (const source of sources) {
    const found = await offeredBy(source, release, ports);
    if (found) values[actorId(source)] = found;
    else if (isNeeded(source, release, spec)) throw new Fault("ValuesMissing", nameOf(source), { detail: `could not find ${ports.kindOf(source.kind)} '${source.namespace}/${source.name}'` });
  }
  return { chart: offered, values, behind: isBehind(making, values) };
}

type Making = { madeFrom?: readonly string[] | undefined; madeOf?: readonly string[] | undefined; busy?: boolean };

/** From which sources a chart is made, and of which of their artifacts it was last looked up; nothing while it is suspended. */
async function makingOf(chart: ActorKey, { recordOf }: Ports): Promise<Making> {
  const record = await recordOf(chart);
  const { facts, madeOf } = (record?.snapshot.context ?? {}) as Partial<Pick<SourceContext, "facts" | "madeOf">>;
  return facts && !facts.suspended ? { madeFrom: facts.madeFrom, madeOf, busy: record?.busySinceMs !== undefined } : {};
}

/** One that is busy may have been looked up already, and offers what it was before. */
const isBehind = ({ madeFrom = [], madeOf = [], busy = false }: Making, values: Record<string, Offered>): boolean =>
  madeFrom.some((id) => { const held = values[id]; return held !== undefined && (busy || !madeOf.includes(markOf(held.artifact))); });

/** Undefined: there is no such source. */
async function offeredBy(source: ActorKey, release: ActorKey, { held, kindOf, tenancy }: Ports): Promise<Offered | undefined> {
  const kind = kindOf(source.kind);
  const name = shown(kind, source);
  if (!mayRefer(release, source.namespace, tenancy))
    throw new Fault("AccessDenied", shown("HelmRelease", release), { detail: `can't access '${name}', cross-namespace references have been blocked` });
  const found = await held(source);
  if (found === "no artifact") throw new Fault("ArtifactMissing", name, { detail: `${kind} '${source.namespace}/${source.name}' is not ready: does not have an artifact` });
  return found === "no source" ? undefined : found;
}

/** The files of the sources that were found; the spec may name others by now. */
export const filesFor = (release: ActorKey, { facts, valuesFrom = {} }: ReleaseContext, { renderer, artifacts }: Pick<ReleasePorts, "renderer" | "artifacts">): ValuesPorts["files"] =>
  async (source) => {
    const id = actorId(source);
    if (!facts?.madeFrom?.includes(id)) throw new Fault("InputsChanged", shown("HelmRelease", release));
    const held = valuesFrom[id];
    return held && { tree: await renderer.tree(handleOf(artifacts, held)).catch((thrown: unknown) => { throw movedOn(thrown, release); }), revision: held.revision };
  };

/** Of an artifact's predecessors its source keeps one: what was found a moment ago may be gone. */
const movedOn = (thrown: unknown, release: ActorKey): unknown =>
  (thrown instanceof Fault && thrown.code === "ArtifactMissing" ? new Fault("InputsChanged", shown("HelmRelease", release), { detail: `${thrown.subject}: ${thrown.detail ?? ""}`, cause: thrown }) : thrown);

const isNeeded = (source: ActorKey, release: ActorKey, { valuesFrom = [] }: Spec): boolean =>
  valuesFrom.some((reference) => {
    const named = sourceOfFile(release, reference);
    return named && actorId(named) === actorId(source) && reference.optional !== true;
  });

/** Tags move, so that only the digest tells two charts of one version apart. */
export const isTracked = (source: string, { revision }: Artifact): boolean => kindOf(parseActorId(source).kind)?.source?.tracked === true && revision.includes(":");
