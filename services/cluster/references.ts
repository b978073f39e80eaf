/** Follows the ConfigMaps and Secrets whose label asks for it, by their metadata alone: which version stands, and none of their data. */
import { labels } from "#protocol/api/annotations.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";
import { dataVersion, type DataRef } from "./objects.ts";

export type ReferenceListener = {
  /** Its version now; undefined: it is gone, or does not ask to be watched. */
  changed(ref: DataRef, version: string | undefined): void;
  /** All there are were told, or it is known that they cannot be watched now. Once. */
  ready(): void;
  lost?(kind: string, reason: string): void;
};

const kinds = [["ConfigMap", "configmaps"], ["Secret", "secrets"]] as const;

/** @param signal ends the watches */
export function followReferences(client: KubeClient, listener: ReferenceListener, signal: AbortSignal): void {
  const waiting = new Set<string>(kinds.map(([kind]) => kind));
  const heard = (kind: string) => { if (waiting.delete(kind) && waiting.size === 0) listener.ready(); };
  for (const [kind, plural] of kinds) {
    const told = new Map<string, DataRef & { version: string }>();
    void watch<KubeObject>(client, { path: `/api/v1/${plural}`, metadataOnly: true, labelSelector: `${labels.watch}=Enabled` }, {
      upsert({ metadata }) {
        const ref = { kind, namespace: metadata.namespace ?? "", name: metadata.name };
        const id = `${ref.namespace}/${ref.name}`;
        const version = dataVersion(metadata);
        if (told.get(id)?.version === version) return; // a new list names what stands
        told.set(id, { ...ref, version });
        listener.changed(ref, version);
      },
      remove({ namespace, name }) {
        if (told.delete(`${namespace}/${name}`)) listener.changed({ kind, namespace, name }, undefined);
      },
      held: () => told.values(),
      synced: () => heard(kind),
      lost({ message }) {
        listener.lost?.(kind, message);
        heard(kind); // nobody waits for what the worker may not watch
      },
    }, signal);
  }
}
