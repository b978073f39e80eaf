/** What the kustomization chart asks for: find the artifact, build, apply, prune, follow health, remove. */
import { displayName, groupOf, inventoryId, objectIdOf, parseInventoryId, versionOf } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { isUnfinished } from "#machines/kustomization/context.ts";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import { kustomization } from "#protocol/api/kustomization.ts";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import type { ApplyOutcome, ApplyScope, BuildOutcome, InventoryEntry, PruneOutcome, RemoveOutcome, SourceFound } from "#protocol/messages/kustomization.ts";
import type { Artifact } from "#protocol/messages/source.ts";
import { parseActorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { Renderer } from "#services/render/render.ts";
import type { KustomizeSpec } from "#services/render/spec.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import type { ClusterPort } from "../cluster-port.ts";
import { declared, type RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import type { RenderedCache } from "../rendered-cache.ts";
import { shown, type Effects } from "./effects.ts";
import type { HubObjects } from "./hub-objects.ts";

export type KustomizationPorts = {
  hub: HubObjects;
  /** The artifact a source holds now, and the trace of its change: from its actor's record, wherever that lives. */
  held(source: ActorKey): Promise<{ artifact: Artifact; traceparent: string } | "no artifact" | "no source">;
  /** Under which epoch this worker owns the unit's partition. */
  epochOf(unit: ActorKey): number;
  /** Whether what is written carries the epoch, for the admission policy of deploy/policy. */
  stamps?: boolean;
  artifacts: Pick<ArtifactStore, "get">;
  renderer: Pick<Renderer, "render">;
  rendered: RenderedCache;
  cluster: ClusterPort;
  kindOf(actorKind: string): string;
};

export function kustomizationEffects(ports: KustomizationPorts): Effects {
  const { hub, artifacts, renderer, rendered, cluster, kindOf } = ports;

  const contextOf = ({ context }: EffectCall) => context as unknown as KustomizationContext;
  const ownerOf = ({ namespace, name }: ActorKey): Owner => ({ namespace, name });

  /** Renders; `previous` lets the renderer answer that nothing changed. */
  async function build(call: EffectCall, previous: BuildOutcome | null): Promise<BuildOutcome> {
    const { source } = contextOf(call);
    if (!source) throw new Fault("ArtifactMissing", shown("Kustomization", call.key));
    const { spec } = kustomization.parse(declared(await hub.need(call.key)));
    const answer = await renderer.render({
      artifact: { digest: source.digest, load: () => artifacts.get(source.path, { digest: source.digest }) },
      path: spec.path ?? "",
      spec: kustomizeSpec(spec),
      ...(previous && { previous: { key: previous.renderKey, readSet: previous.readSet } }),
    }, call.signal);
    if (answer.unchanged) return previous as BuildOutcome;
    rendered.put(unitOf(call.key), { key: answer.key, objects: answer.objects });
    return { renderKey: answer.key, readSet: answer.readSet };
  }

  /** The objects of the unit's last build, built again when they are no longer at hand. */
  async function objectsOf(call: EffectCall): Promise<RenderedObject[]> {
    const key = contextOf(call).build?.renderKey ?? "";
    const atHand = rendered.get(unitOf(call.key), key);
    if (atHand) return atHand.objects;
    await build(call, null);
    return rendered.get(unitOf(call.key), key)?.objects ?? changedMeanwhile(call.key);
  }

  return {
    adopt: ({ key }) => hub.addFinalizer(key),

    async findSource(call): Promise<SourceFound> {
      const { facts } = contextOf(call);
      const source = parseActorId(facts?.source ?? "");
      const name = shown(kindOf(source.kind), source);
      const found = await ports.held(source);
      if (found === "no source") throw new Fault("SourceMissing", name, { detail: `${name} not found` });
      if (found === "no artifact") throw new Fault("ArtifactMissing", name, { detail: "Source artifact not found, retrying in 30s" });
      return { ...found, inventory: listed(await hub.need(call.key)) };
    },

    async build(call) {
      const { build: previous, appliedKey } = contextOf(call);
      const outcome = await build(call, previous);
      if (outcome.renderKey === appliedKey) return outcome;
      const objects = rendered.get(unitOf(call.key), outcome.renderKey)?.objects;
      return objects ? { ...outcome, objects: await cluster.idsOf(objects) } : outcome;
    },

    apply: (call) => recovering<ApplyOutcome>(call, () => apply(call), { entries: [], changes: [] }),

    prune: (call) => recovering<PruneOutcome>(call, () => prune(call), { deleted: [], left: contextOf(call).leftovers }),

    async followHealth(call) {
      const { inventory, facts, build: built } = contextOf(call);
      const { spec } = kustomization.parse(declared(await hub.need(call.key)));
      // spec.wait overrides spec.healthChecks (flux.md 1.8); a unit never waits for itself.
      const itself = inventoryId({ ...call.key, group: "kustomize.toolkit.fluxcd.io", kind: "Kustomization" });
      const applied = inventory.filter(({ id, uid }) => uid !== "" && id !== itself).map(({ id }) => id);
      const checks = spec.wait ? [] : (spec.healthChecks ?? []).map(({ apiVersion, kind, name, namespace }) => {
        const version = apiVersion || "apps/v1";
        return { id: inventoryId({ group: groupOf(version), kind, name, namespace: namespace ?? call.key.namespace }), v: versionOf(version) };
      });
      const objects = rendered.get(unitOf(call.key), built?.renderKey ?? "")?.objects ?? [];
      await cluster.waitHealthy(spec.wait ? applied : checks.map(({ id }) => id).filter((id) => applied.includes(id)), {
        timeoutMs: facts?.timeoutMs ?? 60_000, signal: call.signal,
        mayBeGone: new Set(objects.filter(removesItself).map(({ object }) => inventoryId(objectIdOf(object)))),
        foreign: checks.filter(({ id }) => !applied.includes(id)),
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
        const known = [...context.inventory, ...context.leftovers];
        const { fault } = await cluster.prune({
          key: call.key, entries: known.length > 0 ? known : listed(live), owner: ownerOf(call.key), signal: call.signal, traceparent: traceOf(call),
          ...(policy === "WaitForTermination" && { waitMs: context.facts?.timeoutMs ?? 60_000 }),
        });
        if (fault) throw new Fault(fault.code, fault.subject, { detail: fault.detail });
        const recovered = call.recovered && isUnfinished(context);
        if (recovered || context.wary === "crashed") return { late: true, recovered };
      }
      rendered.drop(unitOf(call.key));
      await hub.removeFinalizer(call.key);
      return { late: false };
    },
  };

  async function apply(call: EffectCall): Promise<ApplyOutcome> {
    const { scope } = call.input as { scope: ApplyScope };
    const { inventory, unfenced } = contextOf(call);
    const { spec } = kustomization.parse(declared(await hub.need(call.key)));
    const objects = await objectsOf(call);
    refuseDoubles(objects, call.key);
    const drifted = new Map(cluster.drifted(call.key, inventory).map(({ id, by }) => [id, by]));
    const epoch = `${partitionOf(call.key)}:${ports.epochOf(call.key)}`;
    const outcome = await cluster.apply({
      key: call.key, objects, owner: ownerOf(call.key), inventory, scope, drifted, force: spec.force, signal: call.signal, traceparent: traceOf(call),
      ...((call.recovered || unfenced) && { touch: { epoch } }),
      ...(ports.stamps && { stamp: epoch }),
    });
    const changes = outcome.changes.map((change) => {
      const manager = change.action === "unchanged" ? undefined : drifted.get(change.id);
      return manager ? { ...change, by: manager } : change;
    });
    return { ...outcome, changes };
  }

  function prune(call: EffectCall): Promise<PruneOutcome> {
    const { leftovers, inventory } = contextOf(call);
    return cluster.prune({
      key: call.key, entries: leftovers, keep: new Set(inventory.map(({ id }) => id)), owner: ownerOf(call.key), signal: call.signal,
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

function changedMeanwhile(key: ActorKey): never {
  throw new Fault("ArtifactCorrupt", shown("Kustomization", key), { detail: "the source's contents changed under the same digest" });
}

/** Two objects of one identity would overwrite each other on every run. */
function refuseDoubles(objects: RenderedObject[], key: ActorKey): void {
  const seen = new Set<string>();
  for (const { object } of objects) {
    const id = inventoryId(objectIdOf(object));
    if (seen.has(id)) throw new Fault("BuildFailed", shown("Kustomization", key), { detail: `${displayName(parseInventoryId(id))} is rendered twice` });
    seen.add(id);
  }
}

/** What the object's status lists as applied. Nothing is known of how: it is compared once and then known. */
function listed(live: RawObject): InventoryEntry[] {
  const { entries = [] } = (live["status"] as { inventory?: { entries?: { id?: unknown; v?: unknown }[] } } | undefined)?.inventory ?? {};
  return entries.flatMap(({ id, v }) => (typeof id === "string" && typeof v === "string" ? [{ id, v, uid: "", digest: "", owned: "" }] : []));
}

type Spec = ReturnType<typeof kustomization.parse>["spec"];

function kustomizeSpec(spec: Spec): KustomizeSpec {
  const { targetNamespace, namePrefix, nameSuffix, patches, images, components, ignoreMissingComponents, commonMetadata, buildMetadata } = spec;
  const given = { targetNamespace, namePrefix, nameSuffix, patches, images, components, ignoreMissingComponents, commonMetadata, buildMetadata };
  return JSON.parse(JSON.stringify(given)) as KustomizeSpec; // leaves out what is undefined, at every depth
}

