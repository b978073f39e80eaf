/** Whether everything that a unit depends on is ready, as Flux asks it; and whether it could ever be. */
import { shownCycle, whyObjectNotReady, whyUnitNotReady, type Expression } from "#machines/rules/dependency.ts";
import { health } from "#machines/rules/health.ts";
import { accountOf, isAccountName, mayRefer, userOf, type Tenancy } from "#machines/rules/tenancy.ts";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import type { DependsAnswer } from "#protocol/messages/feed.ts";
import type { Awaited, DependencyOutcome } from "#protocol/messages/kustomization.ts";
import { objectId, parseActorId, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Cel } from "#services/render/cel.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import { dependencies, dependencyId, type Dependency } from "../depends-on.ts";
import type { RawObject } from "../facts.ts";
import type { RequestPort } from "../feed/ports.ts";
import type { EffectCall } from "../host.ts";
import { kindName } from "../kinds.ts";
import { readinessOf } from "../shown.ts";
import { shown } from "./effects.ts";
import type { HubObjects } from "./hub-objects.ts";

export type DependencyPorts = {
  clock: Clock;
  hub: Pick<HubObjects, "need" | "find">;
  /** The record of any unit, wherever it is hosted. */
  recordOf(key: ActorKey): Promise<ActorRecord | undefined>;
  wires: {
    /** Asks whoever sees every unit of the hub. @throws Fault ClusterUnreachable */
    depends(unit: ActorKey): Promise<DependsAnswer>;
    readObject: RequestPort["readObject"];
  };
  cel: Pick<Cel, "compile" | "evaluate">;
  tenancy: Tenancy;
  /** Flux's gate AdditiveCELDependencyCheck. */
  additive: boolean;
};

/** Whoever watches for all may be changing just now. */
const askAgainMs = 500;
const mostAsks = 20;

export function dependencyCheck(ports: DependencyPorts): (call: EffectCall) => Promise<DependencyOutcome> {
  const { hub, cel, tenancy, additive } = ports;

  return async ({ key, context, signal }) => {
    const { source, facts } = context as unknown as KustomizationContext;
    const self = await hub.need(key);
    const { cycle } = await askPatiently(() => ports.wires.depends(key), ports.clock, signal);
    if (cycle.length > 0) return inCycle(key, cycle);
    // Releases of one chart need not be of one version of it.
    const own = key.kind === "kustomization" ? { source: facts?.source ?? "", revision: source?.revision ?? "" } : { source: "", revision: "" };
    for (const dependency of dependencies(key, self["spec"])) {
      const detail = await why(key, dependency, self, own);
      if (detail !== undefined) return { awaits: [awaitedFor(dependency)], fault: notReady(dependency, detail) };
    }
    return { awaits: [] };
  };

  async function why(asking: ActorKey, dependency: Dependency, self: RawObject, own: { source: string; revision: string }): Promise<string | undefined> {
    const { unit, object } = dependency;
    const other = unit ?? object;
    if (unit?.kind === asking.kind || !other) return unit && whyUnit(unit, dependency, self, own);
    if (!mayRefer({ namespace: self.metadata.namespace ?? "" }, other.namespace, tenancy))
      throw new Fault("AccessDenied", subjectOf(dependency), { detail: `can't access '${subjectOf(dependency)}', cross-namespace references have been blocked` });
    if (!object) return unit && whyUnit(unit, dependency, self, own);
    const { serviceAccountName } = (self["spec"] ?? {}) as { serviceAccountName?: string };
    // In the unit's own name: what it may not read it may not ask for by an expression either.
    const account = accountOf({ namespace: self.metadata.namespace ?? "" }, serviceAccountName, tenancy);
    const found = await ports.wires.readObject(object, account && isAccountName(account.name) ? { user: userOf(account) } : {});
    const name = nameOf({ namespace: found.object ? (found.object.metadata.namespace ?? "") : object.namespace, name: object.name });
    if (found.refused) return `dependency '${name}' may not be read: ${found.refused}`;
    const expression = found.object && (await expressionOf(dependency, self, found.object));
    if (typeof expression === "string") return expression;
    return whyObjectNotReady(name, found.resource, found.object && health(found.object, ports.clock.nowMs()), expression);
  }

  /** What its record says is newer than its object, which is only asked for when the record says yes. */
  async function whyUnit(key: ActorKey, dependency: Dependency, self: RawObject, own: { source: string; revision: string }): Promise<string | undefined> {
    const record = await ports.recordOf(key);
    const known = record && readinessOf(key, record);
    if (known && !known.ready && dependency.readyExpr === "") return whyUnitNotReady(nameOf(key), resourceOf(key), known, own, undefined);
    const object = await hub.find(key);
    if (!object) return whyUnitNotReady(nameOf(key), resourceOf(key), undefined, own, undefined);
    const expression = await expressionOf(dependency, self, object);
    if (typeof expression === "string") return expression;
    const { generation = 0, uid } = object.metadata;
    const readiness = known ?? { generation, observedGeneration: -1, ready: false, lastAppliedRevision: "", source: "", uid: "" };
    return whyUnitNotReady(nameOf(key), resourceOf(key), { ...readiness, generation, ready: readiness.ready && readiness.uid === uid }, own, expression);
  }

  /** A text: why it has no answer now. One that does not compile never has. */
  async function expressionOf(dependency: Dependency, self: RawObject, dep: object): Promise<Expression | string> {
    if (dependency.readyExpr === "") return undefined;
    const source = { expression: dependency.readyExpr, variables: ["self", "dep"] };
    const wrong = await cel.compile(source);
    const name = (dependency.unit ?? dependency.object)?.name;
    if (wrong !== undefined) throw new Fault("InvalidCELExpression", subjectOf(dependency), { detail: `failed to evaluate dependency ${name}: ${wrong}` });
    const result = await cel.evaluate(source, { self, dep });
    return "error" in result ? `failed to evaluate dependency ${name}: ${result.error}` : { holds: result.value === true, additive };
  }
}

const subjectOf = ({ unit, object }: Dependency): string =>
  unit ? shown(kindName(unit.kind), unit) : `${object?.kind}/${object?.namespace}/${object?.name}`;

function inCycle(key: ActorKey, cycle: string[]): DependencyOutcome {
  const detail = `dependency cycle: ${shownCycle(cycle, (id) => nameOf(parseActorId(id)))}`;
  const others = cycle.filter((id) => id !== objectId(key));
  // Its own object is seen anyway.
  return { awaits: others.map((id) => ({ id, any: true as const })), fault: new Fault("DependencyCycle", shown(kindName(key.kind), key), { detail }).toJSON() };
}

/** What only an expression knows may change with anything that is written in the object. */
const awaitedFor = (dependency: Dependency): Awaited =>
  ({ id: dependencyId(dependency), ...((dependency.readyExpr !== "" || dependency.object) && { any: true as const }) });

const notReady = (dependency: Dependency, detail: string): FaultData =>
  ({ code: "DependencyNotReady", subject: subjectOf(dependency), detail });

function resourceOf({ kind }: ActorKey): string {
  const of = kindOf(kind);
  return of ? `${of.plural}.${of.group}` : kind;
}

const nameOf = ({ namespace, name }: { namespace: string; name: string }): string => (namespace ? `${namespace}/${name}` : name);

async function askPatiently<T>(ask: () => Promise<T>, clock: Clock, signal: AbortSignal): Promise<T> {
  for (let asks = 1; ; asks++)
    try {
      return await ask();
    } catch (thrown) {
      if (signal.aborted || asks === mostAsks || !(thrown instanceof Fault) || thrown.code !== "ClusterUnreachable") throw thrown;
      await sleep(clock, askAgainMs);
    }
}
