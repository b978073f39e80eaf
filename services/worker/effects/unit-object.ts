/** What is read from a Kustomization's object, and asked of what it renders: by the worker, and by those who want to know what it would do. */
import { displayName, inventoryId, objectIdOf, parseInventoryId } from "#machines/rules/inventory.ts";
import type { Kustomization } from "#protocol/api/kustomization.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { KustomizeSpec } from "#services/render/spec.ts";
import type { RawObject } from "../facts.ts";
import { shown } from "./effects.ts";

/** The part of its specification that its build depends on. */
export function kustomizeSpec(spec: Kustomization["spec"]): KustomizeSpec {
  const { targetNamespace, namePrefix, nameSuffix, patches, images, components, ignoreMissingComponents, commonMetadata, buildMetadata, ignore } = spec;
  const given = { targetNamespace, namePrefix, nameSuffix, patches, images, components, ignoreMissingComponents, commonMetadata, buildMetadata, ignore };
  return JSON.parse(JSON.stringify(given)) as KustomizeSpec; // leaves out what is undefined, at every depth
}

/** Two objects of one identity would overwrite each other on every run. @throws Fault BuildFailed */
export function refuseDoubles(objects: RenderedObject[], key: ActorKey): void {
  const seen = new Set<string>();
  for (const { object } of objects) {
    const id = inventoryId(objectIdOf(object));
    if (seen.has(id)) throw new Fault("BuildFailed", shown("Kustomization", key), { detail: `${displayName(parseInventoryId(id))} is rendered twice` });
    seen.add(id);
  }
}

/** What the object's status lists as applied. Nothing is known of how: it is compared once and then known. */
export function listed(live: RawObject): InventoryEntry[] {
  const { entries = [] } = (live["status"] as { inventory?: { entries?: { id?: unknown; v?: unknown }[] } } | undefined)?.inventory ?? {};
  return entries.flatMap(({ id, v }) => (typeof id === "string" && typeof v === "string" ? [{ id, v, uid: "", digest: "", owned: "" }] : []));
}
