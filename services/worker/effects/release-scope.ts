/** What everything that is done for a release goes by: its object, where it lies, who acts, and how what came of it is told. */
import type { ReleaseContext } from "#machines/release/machine.ts";
import { helmRelease } from "#protocol/api/helm-release.ts";
import type { DependencyOutcome } from "#protocol/messages/kustomization.ts";
import type { ActInput, ActOutcome, Offered, ReleasePlace } from "#protocol/messages/release.ts";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Tenancy } from "#machines/rules/tenancy.ts";
import type { Acted, ReleaseCall } from "#services/release/call.ts";
import type { Ledger } from "#services/release/ledger.ts";
import type { Cel } from "#services/render/cel.ts";
import type { Helm } from "#services/render/helm/types.ts";
import type { Renderer } from "#services/render/render.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import type { Clock } from "#services/store/clock.ts";
import type { ClusterPort, Target } from "../cluster-port.ts";
import { declared, type RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { judgeOf } from "./health-expressions.ts";
import type { HubObjects } from "./hub-objects.ts";
import { redacted, withoutValues } from "./redaction.ts";
import { ReleaseStorage } from "./release-storage.ts";
import { targetOf } from "./target.ts";

/** Helm's engine. */
export type HelmPort = Pick<Helm, "loadChart" | "composeValues" | "render" | "digest" | "digestSpec">;

export type ReleasePorts = {
  hub: HubObjects;
  /** The artifact a source holds now, and the trace of its change. */
  held(source: ActorKey): Promise<Offered | "no artifact" | "no source">;
  /** Of any actor, wherever it is hosted. */
  recordOf(key: ActorKey): Promise<ActorRecord | undefined>;
  dependencies(call: EffectCall): Promise<DependencyOutcome>;
  epochOf(unit: ActorKey): number;
  artifacts: Pick<ArtifactStore, "get">;
  renderer: Pick<Renderer, "tree">;
  helm: HelmPort;
  cel: Pick<Cel, "compile" | "evaluate" | "evaluateAll">;
  cluster: ClusterPort;
  tenancy: Tenancy;
  clock: Clock;
  kindOf(actorKind: string): string;
};

export type Spec = ReturnType<typeof helmRelease.parse>["spec"];

/** Of a run's last lines, so many are told. */
const mostLines = 10;

export class ReleaseScope {
  readonly ports: ReleasePorts;
  readonly storage: ReleaseStorage;

  constructor(ports: ReleasePorts) {
    this.ports = ports;
    this.storage = new ReleaseStorage(ports);
  }

  async spec(key: ActorKey): Promise<Spec> {
    return specOf(await this.ports.hub.need(key));
  }

  target(call: EffectCall, spec: Spec): Target {
    return targetOf(call.key, spec, this.ports.tenancy, contextOf(call).facts?.timeoutMs ?? 300_000);
  }

  /** Runs with what every action of the release needs, where it lies or is to lie. */
  onRelease<T>(call: EffectCall, spec: Spec, place: ReleasePlace, intent: string, run: (release: ReleaseCall) => Promise<T>, ledger?: Ledger): Promise<T> {
    const { cel, cluster, epochOf } = this.ports;
    const { traceparent } = contextOf(call);
    return cluster.within(call.key, this.target(call, spec), (handle, guard, table) => run({
      cluster: handle, place, guard, ledger, table: isWatched(contextOf(call)) ? table : { ...table, follow: () => {} }, signal: call.signal, intent, origin: { namespace: call.key.namespace, name: call.key.name },
      ...(traceparent && { traceparent: () => traceparent }),
      ...((call.recovered || contextOf(call).wary !== undefined) && { wary: true }),
      ...(call.recovered && { touch: { epoch: `${partitionOf(call.key)}:${epochOf(call.key)}` } }),
      ...(spec.healthCheckExprs && { judge: judgeOf(spec.healthCheckExprs, cel) }),
    }));
  }

  /** @param confidential what must not be quoted */
  async outcomeOf(call: EffectCall, place: ReleasePlace, { written, entries, testHooks, absent, gone = [], resumed, log, hookLogs, fault }: Acted, confidential: readonly string[], act?: ActInput): Promise<ActOutcome> {
    return {
      written: await Promise.all(written.map((stored) => this.storage.described(call, stored, act))),
      ...(entries && { entries }), ...(testHooks && { testHooks }), ...(absent && { absent }), ...(gone.length > 0 && { gone: { place, objects: gone } }), ...(resumed && { resumed }),
      log: [...log, ...hookLogs].map((line) => withoutValues(line, confidential)).slice(-mostLines),
      ...(fault && { fault: redacted(fault, confidential) }),
    };
  }
}

export const contextOf = ({ context }: EffectCall): ReleaseContext => context as unknown as ReleaseContext;

export const specOf = (live: RawObject): Spec => helmRelease.parse(declared(live)).spec;

export const isWatched = ({ facts }: ReleaseContext): boolean => facts !== null && facts.drift !== "disabled";

/** Where the release lies now; where it is to lie, while it lies nowhere. */
export function placeNow({ facts, history: [latest], storageNamespace }: ReleaseContext): ReleasePlace {
  if (latest && storageNamespace) return { name: latest.name, namespace: latest.namespace, storageNamespace };
  if (!facts) throw new TypeError("nothing is done for an object that was never seen");
  return facts.place;
}

/** Every text among the values. */
export const leavesOf = (value: unknown): string[] =>
  typeof value === "string" ? [value] : typeof value === "object" && value !== null ? Object.values(value).flatMap(leavesOf) : [];
