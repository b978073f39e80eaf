/** What the kustomization chart asks for: find the artifact, build, apply, prune, follow health, remove. */
import { hash } from "node:crypto";
import { groupOf, inventoryId, objectIdOf, versionOf } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { accountOf, isAccountName, mayRefer, type Account, type Tenancy } from "#machines/rules/tenancy.ts";
import { isUnfinished } from "#machines/kustomization/context.ts";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import { annotations } from "#protocol/api/annotations.ts";
import { historyEntry as snapshot, kustomization } from "#protocol/api/kustomization.ts";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import type { ApplyOutcome, ApplyScope, BuildOutcome, CompareOutcome, DependencyOutcome, PruneOutcome, RemoveOutcome, Snapshot, SourceFound } from "#protocol/messages/kustomization.ts";
import type { Artifact } from "#protocol/messages/source.ts";
import { parseActorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { BasePort } from "#services/render/bases.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { Cel } from "#services/render/cel.ts";
import type { Renderer } from "#services/render/render.ts";
import { handleOf, type ArtifactStore } from "#services/store/artifacts.ts";
import type { ClusterPort, Target } from "../cluster-port.ts";
import { declared, type RawObject } from "../facts.ts";
import type { FeatureGates } from "../feature-gates.ts";
import type { EffectCall } from "../host.ts";
import type { RenderedCache, RenderedUnit } from "../rendered-cache.ts";
import { decryptionOf, type DecryptionPorts } from "./decryption.ts";
import { shown, type Effects } from "./effects.ts";
import { checkExpressions, judgeOf } from "./health-expressions.ts";
import type { HubObjects } from "./hub-objects.ts";
import { redacting, withoutValues } from "./redaction.ts";
import { targetOf } from "./target.ts";
import { kustomizeSpec, listed, refuseDoubles } from "./unit-object.ts";
import { substitutionOf } from "./variables.ts";

export type KustomizationPorts = {
  hub: HubObjects;
  /** The artifact a source holds now, and the trace of its change: from its actor's record, wherever that lives. */
  held(source: ActorKey): Promise<{ artifact: Artifact; traceparent: string } | "no artifact" | "no source">;
  /** Whether everything the unit depends on is ready. */
  dependencies(call: EffectCall): Promise<DependencyOutcome>;
  /** Units that are being deleted and go before this one, because they depend on it. */
  dependents(unit: ActorKey): Promise<string[]>;
  nowMs(): number;
  /** Under which epoch this worker owns the unit's partition. */
  epochOf(unit: ActorKey): number;
  /** Whether what is written carries the epoch, for the admission policy of deploy/policy. */
  stamps?: boolean;
  features: FeatureGates;
  artifacts: Pick<ArtifactStore, "get">;
  renderer: Pick<Renderer, "render">;
  cel: Pick<Cel, "compile" | "evaluate" | "evaluateAll">;
  rendered: RenderedCache;
  decryption: Omit<DecryptionPorts, "secret">;
  /** For digests of objects with values from Secrets; the same for all workers. */
  digestKey(): Promise<Uint8Array>;
  /** Fetches remote bases; they are refused when absent. */
  bases?: BasePort | undefined;
  cluster: ClusterPort;
  tenancy: Tenancy;
  kindOf(actorKind: string): string;
};

export function kustomizationEffects(ports: KustomizationPorts): Effects {
  const { hub, artifacts, renderer, rendered, cluster, tenancy, kindOf } = ports;

  const contextOf = ({ context }: EffectCall) => context as unknown as KustomizationContext;
  const ownerOf = ({ namespace, name }: ActorKey): Owner => ({ namespace, name });

  /** Renders; `previous` lets the renderer answer that nothing changed, and then there are no objects. */
  async function render(call: EffectCall, previous: BuildOutcome | null): Promise<{ outcome: BuildOutcome; unit?: RenderedUnit }> {
    const { source } = contextOf(call);
    if (!source) throw new Fault("ArtifactMissing", shown("Kustomization", call.key));
    const { spec } = kustomization.parse(declared(await hub.need(call.key)));
    const strict = ports.features.StrictPostBuildSubstitutions;
    const substitution = await substitutionOf(spec.postBuild, call.key.namespace, { strict }, { data: (ref) => hub.data(ref), watched: hub.inputsOf(call.key), digestKey: ports.digestKey });
    const answer = await renderer.render({
      tenant: call.key.namespace,
      artifact: handleOf(artifacts, source),
      path: spec.path ?? "",
      spec: kustomizeSpec(spec),
      decryption: decryptionOf(call.key, spec, { ...ports.decryption, secret: (namespace, name) => hub.secret(namespace, name) }),
      ...(substitution && { substitution }),
      ...(!tenancy.noRemoteBases && ports.bases && { bases: ports.bases }),
      ...(previous && { previous: { key: previous.renderKey, readSet: previous.readSet } }),
    }, call.signal);
    if (answer.unchanged) return { outcome: previous as BuildOutcome };
    const { key, readSet, objects, confidential } = answer;
    const passing = new Set(objects.filter(removesItself).map(({ object }) => inventoryId(objectIdOf(object))));
    const unit = { key, objects, confidential, passing };
    rendered.put(unitOf(call.key), unit);
    return { outcome: { renderKey: key, readSet, digest: digestOf(objects) }, unit };
  }

  /** What the unit's last build gave, built again when it is no longer at hand. */
  async function renderedOf(call: EffectCall): Promise<RenderedUnit> {
    const key = contextOf(call).build?.renderKey ?? "";
    const atHand = rendered.get(unitOf(call.key), key);
    if (atHand) return atHand;
    const { unit } = await render(call, null);
    if (unit?.key !== key && contextOf(call).build?.readSet.bases) throw new Fault("InputsChanged", shown("Kustomization", call.key));
    return unit?.key === key ? unit : changedMeanwhile(call.key, kustomization.parse(declared(await hub.need(call.key))).spec);
  }

  /** Who has to be gone before it, where its object asks for that; nobody after its timeout: one may be unable to go. */
  async function goFirst(key: ActorKey, { metadata }: RawObject, timeoutMs: number): Promise<string[]> {
    if (metadata.annotations?.[annotations.deletionOrder] !== "dependents-first") return [];
    if (ports.nowMs() - Date.parse(metadata.deletionTimestamp ?? "") > timeoutMs) return [];
    return ports.dependents(key);
  }

  const isThere = async (account: Account): Promise<boolean> => isAccountName(account.name) && cluster.hasAccount(account);

  /** Its specification as it is now, and where that says to act. */
  async function wishesOf(call: EffectCall, object?: RawObject): Promise<{ spec: Spec; target: Target }> {
    const { spec } = kustomization.parse(declared(object ?? (await hub.need(call.key))));
    return { spec, target: targetOf(call.key, spec, tenancy, contextOf(call).facts?.timeoutMs ?? 60_000) };
  }

  return {
    adopt: ({ key }) => hub.addFinalizer(key),

    async findSource(call): Promise<SourceFound> {
      const { facts } = contextOf(call);
      const live = await hub.need(call.key);
      await checkExpressions(kustomization.parse(declared(live)).spec.healthCheckExprs ?? [], ports.cel);
      const source = parseActorId(facts?.source ?? "");
      const name = shown(kindOf(source.kind), source);
      if (!mayRefer(call.key, source.namespace, tenancy))
        throw new Fault("AccessDenied", shown("Kustomization", call.key), { detail: `can't access '${name}', cross-namespace references have been blocked` });
      const found = await ports.held(source);
      if (found === "no source") throw new Fault("SourceMissing", name, { detail: `${name} not found` });
      if (found === "no artifact") throw new Fault("ArtifactMissing", name, { detail: "Source artifact not found, retrying in 30s" });
      const inventory = listed(live);
      const known = contextOf(call).inventory;
      const { target } = await wishesOf(call, live);
      const { cluster: where, blind } = await cluster.reach(call.key, target, known.length > 0 ? known : inventory);
      return { ...found, inventory, history: historyIn(live), ...(where && { cluster: where }), ...(target.user && { user: target.user }), ...(blind && { blind }) };
    },

    checkDependencies: (call) => ports.dependencies(call),

    async build(call) {
      const { build: previous, appliedKey } = contextOf(call);
      const { outcome, unit } = await render(call, previous);
      if (outcome.renderKey === appliedKey) return outcome;
      const objects = (unit ?? rendered.get(unitOf(call.key), outcome.renderKey))?.objects;
      if (!objects) return outcome;
      const { target } = await wishesOf(call);
      return { ...outcome, objects: await cluster.idsOf(call.key, objects, target) };
    },

    apply: (call) => recovering<ApplyOutcome>(call, () => apply(call).finally(() => rendered.applied(unitOf(call.key))), { entries: [], changes: [] }),

    prune: (call) => recovering<PruneOutcome>(call, () => prune(call), { deleted: [], left: contextOf(call).leftovers }),

    compare: (call) => compare(call),

    async followHealth(call) {
      const { inventory, facts, build: built } = contextOf(call);
      const { spec, target } = await wishesOf(call);
      // spec.wait overrides spec.healthChecks (flux.md 1.8); a unit never waits for itself.
      const itself = inventoryId({ ...call.key, group: "kustomize.toolkit.fluxcd.io", kind: "Kustomization" });
      const applied = inventory.filter(({ id, uid }) => uid !== "" && id !== itself);
      const isApplied = (id: string) => applied.some((entry) => entry.id === id);
      const checks = spec.wait ? [] : (spec.healthChecks ?? []).map(({ apiVersion, kind, name, namespace }) => {
        const version = apiVersion || "apps/v1";
        return { id: inventoryId({ group: groupOf(version), kind, name, namespace: namespace ?? call.key.namespace }), v: versionOf(version) };
      });
      await cluster.waitHealthy(spec.wait ? applied : checks.filter(({ id }) => isApplied(id)), {
        key: call.key, target, timeoutMs: facts?.timeoutMs ?? 60_000, signal: call.signal,
        mayBeGone: rendered.passing(unitOf(call.key), built?.renderKey ?? ""),
        foreign: checks.filter(({ id }) => !isApplied(id)),
        ...(spec.healthCheckExprs && { judge: judgeOf(spec.healthCheckExprs, ports.cel) }),
        failFast: !ports.features.DisableFailFastBehavior,
      });
      return null;
    },

    async remove(call): Promise<RemoveOutcome> {
      const context = contextOf(call);
      const live = await hub.leaving(call.key, context.facts?.uid ?? "");
      if (!live) return { late: false };
      // Suspended objects are let go without deleting anything (flux.md 0.4).
      const policy = context.facts?.suspended ? "Orphan" : (context.facts?.deletion ?? "Orphan");
      if (policy !== "Orphan") {
        const first = await goFirst(call.key, live, context.facts?.timeoutMs ?? 60_000);
        if (first.length > 0) return { late: false, awaits: first.map((id) => ({ id, any: true as const })) };
        const known = [...context.inventory, ...context.leftovers];
        const entries = known.length > 0 ? known : listed(live);
        let outcome: PruneOutcome = { deleted: [], left: [] };
        if (entries.length > 0) {
          const account = accountOf(call.key, kustomization.parse(declared(live)).spec.serviceAccountName, tenancy);
          // Nobody is left in whose name they could be deleted, as when a whole namespace goes.
          if (account && !(await isThere(account))) return { late: false, abandoned: { account, ids: entries.map(({ id }) => id) } };
          const { target } = await wishesOf(call, live);
          outcome = await cluster.prune({
            key: call.key, target, entries, owner: ownerOf(call.key), signal: call.signal, traceparent: traceOf(call),
            ...(policy === "WaitForTermination" && { waitMs: context.facts?.timeoutMs ?? 60_000 }),
          });
        }
        const { fault, deleted, missing = [], outlasting = [] } = outcome;
        if (fault) throw new Fault(fault.code, fault.subject, { detail: fault.detail });
        const recovered = call.recovered && isUnfinished(context);
        if (recovered || context.wary === "crashed") return { late: true, recovered };
        const ids = deleted.filter((id) => !missing.includes(id));
        if (ids.length > 0) return { late: false, removed: { ids, outlasting } };
      }
      rendered.drop(unitOf(call.key));
      await hub.removeFinalizer(call.key);
      return { late: false };
    },

    async release({ key }) {
      rendered.drop(unitOf(key));
      await hub.removeFinalizer(key);
      return null;
    },
  };

  async function apply(call: EffectCall): Promise<ApplyOutcome> {
    const { scope } = call.input as { scope: ApplyScope };
    const { inventory, unfenced } = contextOf(call);
    const { spec, target } = await wishesOf(call);
    const { objects, confidential } = await renderedOf(call);
    refuseDoubles(objects, call.key);
    const drifted = new Map(cluster.drifted(call.key, inventory).map(({ id, by }) => [id, by]));
    const epoch = `${partitionOf(call.key)}:${ports.epochOf(call.key)}`;
    const outcome = await redacting(confidential, () => cluster.apply({
      key: call.key, target, objects, owner: ownerOf(call.key), inventory, scope, drifted, force: spec.force, ignore: spec.ignore, signal: call.signal, traceparent: traceOf(call),
      ...((call.recovered || unfenced) && { touch: { epoch } }),
      ...(ports.stamps && { stamp: epoch }),
    }));
    const changes = outcome.changes.map((change) => {
      const manager = change.action === "unchanged" ? undefined : drifted.get(change.id);
      return manager ? { ...change, by: manager } : change;
    });
    return { ...outcome, changes };
  }

  /** What is known to differ costs requests, and nothing else does. */
  async function compare(call: EffectCall): Promise<CompareOutcome> {
    const { inventory, compareAll } = contextOf(call);
    const drifted = new Map(cluster.drifted(call.key, inventory).map(({ id, by }) => [id, by]));
    if (drifted.size === 0 && !compareAll) return { differences: [] };
    const { spec, target } = await wishesOf(call);
    const { objects, confidential } = await renderedOf(call);
    return redacting(confidential, () => cluster.compare({
      key: call.key, target, objects, owner: ownerOf(call.key), inventory, scope: compareAll ? "all" : "changed", drifted, ignore: spec.ignore, signal: call.signal,
      ...(ports.stamps && { stamp: `${partitionOf(call.key)}:${ports.epochOf(call.key)}` }),
      redact: (text) => withoutValues(text, confidential),
    }));
  }

  async function prune(call: EffectCall): Promise<PruneOutcome> {
    const { leftovers, inventory } = contextOf(call);
    const { target } = await wishesOf(call);
    return cluster.prune({
      key: call.key, target, entries: leftovers, keep: new Set(inventory.map(({ id }) => id)), owner: ownerOf(call.key), signal: call.signal,
      traceparent: traceOf(call),
    });
  }

  /** What no change caused, such as putting drift back, is traced apart from it. */
  function traceOf(call: EffectCall): () => string | undefined {
    const { traceparent, attempted, applied } = contextOf(call);
    return () => (attempted !== applied && traceparent ? traceparent : undefined);
  }
}

/**
 * What came of a run that writes, and whether it took over from a crashed owner: the chart must hear of that also when
 * the run failed. A lost lease is not the unit's failure: the worker tries again when it may write again.
 */
async function recovering<T extends { fault?: FaultData }>(
  { recovered, key }: EffectCall, run: () => Promise<T>, nothing: T,
): Promise<T & { recovered?: boolean }> {
  const outcome = await run().catch((thrown: unknown) => {
    const fault = Fault.from(thrown, shown("Kustomization", key));
    if (!recovered || fault.code === "LeaseLost") throw thrown;
    return { ...nothing, fault: fault.toJSON() };
  });
  if (outcome.fault?.code === "LeaseLost") throw new Fault("LeaseLost", outcome.fault.subject);
  return recovered ? { ...outcome, recovered } : outcome;
}

const unitOf = ({ namespace, name }: ActorKey): string => `${namespace}/${name}`;

const removesItself = ({ object }: RenderedObject): boolean =>
  object.kind === "Job" && (object["spec"] as { ttlSecondsAfterFinished?: unknown } | undefined)?.ttlSecondsAfterFinished !== undefined;

function changedMeanwhile(key: ActorKey, { postBuild }: Spec): never {
  if (postBuild?.substituteFrom) throw new Fault("InputsChanged", shown("Kustomization", key));
  throw new Fault("ArtifactCorrupt", shown("Kustomization", key), { detail: "the source's contents changed under the same digest" });
}

/** Flux's is over the YAML of the build; anything that differs whenever the build does serves its readers. */
const digestOf = (objects: RenderedObject[]): string => `sha256:${hash("sha256", objects.map(({ digest }) => digest).join("\n"))}`;

/** Of an object that another controller reconciled before; what cannot be read is left out. */
function historyIn(live: RawObject): Snapshot[] {
  const { history = [] } = (live["status"] ?? {}) as { history?: unknown };
  return Array.isArray(history) ? history.flatMap((each: unknown) => snapshot.safeParse(each).data ?? []) : [];
}

type Spec = ReturnType<typeof kustomization.parse>["spec"];
