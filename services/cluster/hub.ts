/** Follows the Flux objects of a hub by watches: what users declare. What is told is kept by others; here only which version it was. */
import { apiVersionOf, type KubeObject } from "#machines/rules/inventory.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isForbidden } from "#services/clients/kubernetes/error.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";

export type HubKind = { group: string; version: string; kind: string; plural: string };

export type HubListener = {
  /** The object as it is now, without managedFields. */
  changed(kind: HubKind, object: KubeObject): void;
  deleted(kind: HubKind, key: { namespace: string; name: string }): void;
  /** All objects of all kinds have been told; again after each new list of one of them. */
  synced(): void;
  /** `forbidden`: the account lacks the right to list or watch it; it is tried again all the same. */
  lost?(kind: HubKind, reason: string, forbidden: boolean): void;
};

/** @param signal ends all watches */
export function followHub(client: KubeClient, kinds: HubKind[], listener: HubListener, signal: AbortSignal): void {
  const listed = new Set<HubKind>();
  for (const kind of kinds) {
    /** uid and version, by `namespace/name`. */
    const told = new Map<string, string>();
    void watch<KubeObject>(client, { path: `/apis/${kind.group}/${kind.version}/${kind.plural}` }, {
      upsert(object) {
        const { uid = "", resourceVersion = "" } = object.metadata;
        const id = idOf(object.metadata);
        const version = `${uid} ${resourceVersion}`;
        if (told.get(id) === version) return; // a new list names what stands
        told.set(id, version);
        listener.changed(kind, stripped(object, kind));
      },
      remove(key) {
        if (told.delete(idOf(key))) listener.deleted(kind, key);
      },
      *held() {
        for (const id of told.keys()) {
          const [namespace = "", name = ""] = id.split("/");
          yield { namespace, name };
        }
      },
      synced() {
        listed.add(kind);
        if (listed.size === kinds.length) listener.synced();
      },
      lost: ({ message, detail = message, cause }) => listener.lost?.(kind, detail, isForbidden(cause)),
    }, signal);
  }
}

/** A list leaves out what its items are; and managedFields are half of an object, and nobody here reads them. */
export function stripped(object: KubeObject, { group, version, kind }: HubKind): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, apiVersion: apiVersionOf(group, version), kind, metadata };
}

const idOf = ({ namespace = "", name }: { namespace?: string; name: string }) => `${namespace}/${name}`;
