/** What the kustomization chart asks for: find the artifact, build, apply, prune, follow health, remove. */
import { displayName, groupOf, inventoryId, objectIdOf, parseInventoryId, versionOf } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import { kustomization } from "#protocol/api/kustomization.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ApplyOutcome, ApplyScope, BuildOutcome, InventoryEntry, PruneOutcome, SourceFound } from "#protocol/messages/kustomization.ts";
import type { Artifact } from "#protocol/messages/source.ts";
import { parseActorId, type ActorKey } from "#protocol/names/actor.ts";
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
  /** The artifact a source actor of this worker holds now, and the trace of its change. */
  held(source: ActorKey): { artifact: Artifact; traceparent: string } | undefined;
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
  async function build(call: EffectCall, previous: BuildOutcome | null): Promise<BuildOutcome | RenderedObject[]> {
    const { source } = contextOf(call);
    if (!source) throw new Fault("ArtifactMissing", shown("Kustomization", call.key));
    const { spec } = kustomization.parse(declared(hub.need(call.key)));
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
      if (!hub.find(source)) throw new Fault("SourceMissing", name, { detail: `${name} not found` });
      const found = ports.held(source);
      if (!found) throw new Fault("ArtifactMissing", name, { detail: "Source artifact not found, retrying in 30s" });
      return { ...found, inventory: listed(hub.need(call.key)) };
    },

    build: (call) => build(call, contextOf(call).build),

    async apply(call): Promise<ApplyOutcome> {
      const { scope } = call.input as { scope: ApplyScope };
      const { inventory } = contextOf(call);
      const { spec } = kustomization.parse(declared(hub.need(call.key)));
      const objects = await objectsOf(call);
      refuseDoubles(objects, call.key);
      const drifted = new Map(cluster.drifted(inventory).map(({ id, by }) => [id, by]));
      const outcome = await cluster.apply({
        key: call.key, objects, owner: ownerOf(call.key), inventory, scope, drifted, force: spec.force, signal: call.signal,
      });
      // Not the unit's failure: the worker tries again when it may write again.
      if (outcome.fault?.code === "LeaseLost") throw new Fault("LeaseLost", outcome.fault.subject);
      const changes = outcome.changes.map((change) => {
        const manager = change.action === "unchanged" ? undefined : drifted.get(change.id);
        return manager ? { ...change, by: manager } : change;
      });
      return { ...outcome, changes };
    },

    prune(call): Promise<PruneOutcome> {
      return cluster.prune({ key: call.key, entries: contextOf(call).leftovers, owner: ownerOf(call.key), signal: call.signal });
    },

    async followHealth(call) {
      const { inventory, facts, build: built } = contextOf(call);
      const { spec } = kustomization.parse(declared(hub.need(call.key)));
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

    async remove(call) {
      const context = contextOf(call);
      const live = await hub.leaving(call.key, context.facts?.uid ?? "");
      if (!live) return null;
      // Suspended objects are let go without deleting anything (flux.md 0.4).
      const policy = context.facts?.suspended ? "Orphan" : (context.facts?.deletion ?? "Orphan");
      if (policy !== "Orphan") {
        const known = [...context.inventory, ...context.leftovers];
        const entries = known.length > 0 ? known : listed(live);
        const { fault } = await cluster.prune({
          key: call.key, entries, owner: ownerOf(call.key), signal: call.signal,
          ...(policy === "WaitForTermination" && { waitMs: context.facts?.timeoutMs ?? 60_000 }),
        });
        if (fault) throw new Fault(fault.code, fault.subject, { detail: fault.detail });
      }
      rendered.drop(unitOf(call.key));
      return hub.removeFinalizer(call.key);
    },
  };
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

