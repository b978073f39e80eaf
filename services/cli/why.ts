/**
 * Why a unit is not where it should be: from its own conditions to whatever holds it up, down to the object that is the
 * cause. Read from the cluster alone, so that it answers also when nothing of Flotilla runs.
 */
import { health } from "#machines/rules/health.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { faults } from "#protocol/errors/fault.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { ObjectRef } from "#protocol/names/awaited.ts";
import { dependencies } from "#services/worker/depends-on.ts";
import { sourceRefOf, valuesSourcesIn, type FluxObject, type SourceRef } from "./cluster.ts";
import { readyOf } from "./view.ts";

/** `waits`: for what is below it. All but `ready` hold up whoever depends on it. */
export type State = "ready" | "waits" | "works" | "fails" | "stalled" | "suspended" | "missing" | "unseen";

export type Finding = {
  /** `Kind/namespace/name` */
  object: string;
  state: State;
  /** The reason of the condition that says so. */
  reason?: string;
  /** In the words of the object. */
  says: string;
  /** Since when, RFC 3339, as far as a condition tells. */
  since?: string;
  /** What a person can do about it; only where nothing below it is the cause. */
  todo?: string;
  because: Finding[];
};

export type Look = {
  unit(key: ActorKey): Promise<FluxObject | undefined>;
  /** Undefined: there is none, or no such kind. */
  source(kind: string, key: ActorKey): Promise<FluxObject | undefined>;
  object(ref: ObjectRef): Promise<KubeObject | undefined>;
  nowMs: number;
};

export const isBlocked = ({ state }: Finding): boolean => state !== "ready";

/** The innermost findings: what has to change first. */
export const causesOf = (finding: Finding): Finding[] => (finding.because.length === 0 ? [finding] : finding.because.flatMap(causesOf));

export async function explain(key: ActorKey, look: Look, above: readonly string[] = []): Promise<Finding> {
  const object = `${kindOf(key.kind)?.kind ?? key.kind}/${key.namespace}/${key.name}`;
  const unit = await look.unit(key);
  if (!unit) return { object, state: "missing", says: "there is no such object", todo: "create it, or correct who refers to it", because: [] };
  const verdict = verdictOf(unit);
  if (verdict.state === "suspended" || verdict.reason === "DependencyCycle") return { object, ...verdict, because: [] };
  const values = await valuesSourcesOf(unit, key, look);
  const because = [await sourceOf(unit, key, look), ...values, ...(verdict.reason === "DependencyNotReady" ? await dependenciesOf(unit, key, look, [...above, actorId(key)]) : [])].filter(isBlocked);
  const isHeldUp = because.length > 0 && (verdict.state === "ready" || verdict.reason === "ArtifactFailed" || verdict.reason === "SourceNotReady" || (verdict.reason === "ValuesError" && values.some(isBlocked)));
  const state = isHeldUp || verdict.reason === "DependencyNotReady" ? "waits" : verdict.state;
  const behind = verdict.state === "ready" && because.length === 0 ? await whyBehind(unit, key, look) : undefined;
  if (behind) return { object, ...verdict, state: "works", says: behind, because };
  const { todo, ...known } = verdict;
  return { object, ...known, state, ...(todo !== undefined && because.length === 0 && { todo }), because };
}

async function dependenciesOf(unit: FluxObject, asking: ActorKey, look: Look, above: readonly string[]): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const { unit: key, object } of dependencies(asking, unit.spec)) {
    if (object) found.push(await objectOf(object, look));
    else if (key && !above.includes(actorId(key))) found.push(await explain(key, look, above));
  }
  return found;
}

async function objectOf(ref: ObjectRef, look: Look): Promise<Finding> {
  const name = `${ref.kind}/${ref.namespace}/${ref.name}`;
  const live = await look.object(ref);
  if (!live) return { object: name, state: "missing", says: "there is no such object", todo: "create it, or correct spec.dependsOn", because: [] };
  const { status, message } = health(live, look.nowMs);
  const condition = ((live["status"] as { conditions?: Condition[] } | undefined)?.conditions ?? []).find(({ type }) => type === "Ready" || type === "Available");
  const since = condition?.lastTransitionTime;
  const state = status === "Current" ? "ready" : status === "Failed" ? "fails" : "works";
  return { object: name, state, reason: status, says: message, ...(since && { since }), todo: "look at the object and its events", because: [] };
}

async function sourceOf(unit: FluxObject, key: ActorKey, look: Look): Promise<Finding> {
  const { namespace } = key;
  const ref = sourceRefOf(unit);
  if (!ref) return { object: `source of ${namespace}/${unit.metadata.name}`, state: "unseen", says: "nobody has made its chart yet", todo: "does Flotilla run? flotilla workers", because: [] };
  return offeredBy(ref, key, look, "spec.sourceRef");
}

/** Of a release: those that files of its values are in, but for the ones that may be missing and are. */
async function valuesSourcesOf(unit: FluxObject, key: ActorKey, look: Look): Promise<Finding[]> {
  const found = await Promise.all(valuesSourcesIn(unit).map(async (reference) => ({ ...(await offeredBy(reference, key, look, "spec.valuesFrom")), optional: reference.optional === true })));
  const needed = found.flatMap(({ optional, ...finding }) => (optional && finding.state === "missing" ? [] : [finding]));
  return [...new Map(needed.map((finding) => [finding.object, finding])).values()];
}

async function offeredBy({ kind = "", name = "", namespace: at }: SourceRef, { namespace }: ActorKey, look: Look, field: string): Promise<Finding> {
  const object = `${kind}/${at ?? namespace}/${name}`;
  const source = await look.source(kind, { kind: kind.toLowerCase(), namespace: at ?? namespace, name });
  if (!source) return { object, state: "missing", says: "there is no such source", todo: `create it, or correct ${field}`, because: [] };
  const verdict = verdictOf(source);
  // A source that keeps what it has feeds its units; what is new does not come, and that is worth knowing.
  return { object, ...verdict, because: [] };
}

async function whyBehind(unit: FluxObject, { namespace }: ActorKey, look: Look): Promise<string | undefined> {
  const { kind = "", name = "", namespace: at = namespace } = sourceRefOf(unit) ?? {};
  const held = (await look.source(kind, { kind: kind.toLowerCase(), namespace: at, name }))?.status?.artifact?.revision;
  const applied = unit.status?.lastAppliedRevision;
  return held && applied && held !== applied ? `${held} is fetched, ${applied} is applied` : undefined;
}

type Condition = NonNullable<NonNullable<FluxObject["status"]>["conditions"]>[number];

function verdictOf(object: FluxObject): Omit<Finding, "object" | "because"> {
  const { metadata, spec, status } = object;
  const stalled = status?.conditions?.find(({ type, status: is }) => type === "Stalled" && is === "True");
  const ready = readyOf(object);
  const about = ({ reason, message = "", lastTransitionTime }: Condition) => ({
    ...(reason && { reason }), says: message, ...(lastTransitionTime && { since: lastTransitionTime }),
  });
  if (spec?.suspend) return { state: "suspended", says: "it is suspended: nothing is done for it", todo: `somebody stopped it by hand; once that is over: flotilla resume, with -n ${metadata.namespace}` };
  if (stalled) return { state: "stalled", ...about(stalled), todo: helpOf(stalled.reason) };
  const isOld = status?.observedGeneration !== metadata.generation;
  if (!ready) return { state: "unseen", says: "nobody has looked at it yet", todo: "does Flotilla run? flotilla workers" };
  if (ready.status === "False") return { state: "fails", ...about(ready), todo: helpOf(ready.reason) };
  if (ready.status === "Unknown") {
    const doing = status?.conditions?.find(({ type }) => type === "Reconciling");
    return { state: "works", ...about(doing ?? ready), todo: "it is being worked on: wait, or look at flotilla trace" };
  }
  if (isOld) return { state: "unseen", ...about(ready), says: "its newest specification was not acted on yet", todo: "does Flotilla run? flotilla workers" };
  return { state: "ready", ...about(ready) };
}

/** What the list of faults has for a reason; several share some, and then their messages say more. */
function helpOf(reason: string | undefined): string {
  const helps = [...new Set(Object.values(faults).flatMap((fault) => (fault.reason === reason ? [fault.help] : [])))];
  return helps.length === 1 ? (helps[0] as string) : "its message says what is wrong; docs/troubleshooting.md explains the reason";
}
