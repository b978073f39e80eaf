/** What the charts ask for, by chart and name, joined to what carries it out. */
import type { ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Cell } from "#services/store/cell.ts";
import type { Awaiting } from "../awaiting.ts";
import { featureGates } from "../feature-gates.ts";
import type { Host } from "../host.ts";
import type { Hub } from "../hub.ts";
import { kindName } from "../kinds.ts";
import type { Places } from "../places.ts";
import type { RenderedCache } from "../rendered-cache.ts";
import type { WorkerOptions } from "../worker-options.ts";
import { dependencyCheck } from "./dependencies.ts";
import type { Effects } from "./effects.ts";
import { generatorEffects } from "./generator.ts";
import type { HubObjects } from "./hub-objects.ts";
import { imageEffects } from "./image.ts";
import { imageUpdateEffects } from "./image-update.ts";
import { kustomizationEffects } from "./kustomization.ts";
import { releaseEffects } from "./release.ts";
import { sourceEffects, type SourcePorts } from "./source.ts";

/** The parts of a worker that effects act through. */
export type EffectParts = {
  options: WorkerOptions;
  kinds: SourcePorts["kinds"];
  hub: Hub;
  hubObjects: HubObjects;
  cell: Cell;
  host: Host;
  places: Places;
  awaiting: Awaiting;
  rendered: RenderedCache;
  guard: SourcePorts["guard"];
};

export function effectsOf({ options, kinds, hub, hubObjects, cell, host, places, awaiting, rendered, guard }: EffectParts): Record<string, Effects> {
  const { clock, spans, artifacts, renderer, cel, decryption, digestKey, bases, tenancy = {}, features = featureGates } = options;
  const held: Awaiting["held"] = (key) => awaiting.held(key);
  const recordOf = async (key: ActorKey): Promise<ActorRecord | undefined> => host.record(places.hosted(key)) ?? cell.transfers.readAnywhere(key);
  const dependencies = dependencyCheck({
    clock, hub: hubObjects, recordOf, wires: hub,
    cel, tenancy, additive: features.AdditiveCELDependencyCheck,
  });
  return {
    source: sourceEffects({ kinds, hub: hubObjects, artifacts, held, tenancy, spans, clock, guard, clouds: options.clouds, notation: options.notation }),
    kustomization: kustomizationEffects({
      hub: hubObjects, held, dependencies, dependents: async (key) => (await hub.depends(key)).goFirst, nowMs: () => clock.nowMs(),
      artifacts, renderer, cel, rendered, decryption, digestKey, bases, cluster: hub.cluster, tenancy, features, kindOf: kindName,
      epochOf: (key) => cell.epochOf(key), stamps: options.stampEpochs === true,
    }),
    release: releaseEffects({
      hub: hubObjects, held, recordOf, dependencies, clock, epochOf: (key) => cell.epochOf(key), artifacts, renderer, helm: options.helm, cel, cluster: hub.cluster, tenancy, kindOf: kindName,
    }),
    generator: generatorEffects({ hub: hubObjects, artifacts, held, tenancy, clock, artifactUrl: (path) => options.artifactUrl(path), guard }),
    image: imageEffects({
      hub: hubObjects, artifacts, held, tenancy, spans, clock, guard, clouds: options.clouds,
      namespaceLabels: async (name) => (await hub.readObject({ apiVersion: "v1", kind: "Namespace", namespace: "", name }, {})).object?.metadata.labels,
    }),
    imageUpdate: imageUpdateEffects({ kinds, hub: hubObjects, artifacts, recordOf, engine: options.engine, tenancy, spans, clock, guard, clouds: options.clouds, kindOf: kindName }),
    cluster: { connect: () => hub.connect(), watch: ({ signal }) => hub.watch(signal) },
  };
}
