/** The objects of the hub as effects need them: the copy at hand to read, preconditioned writes to change. */
import { finalizer } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { RawObject } from "../facts.ts";
import { shown } from "./effects.ts";

export type HubPorts = {
  cached(key: ActorKey): RawObject | undefined;
  reread(key: ActorKey): Promise<RawObject | undefined>;
  patchFinalizers(key: ActorKey, live: RawObject, finalizers: string[]): Promise<void>;
  secret(namespace: string, name: string): Promise<Record<string, Uint8Array>>;
  kindOf(actorKind: string): string;
};

export class HubObjects {
  private readonly ports: HubPorts;

  constructor(ports: HubPorts) {
    this.ports = ports;
  }

  /** As this worker knows it; of another worker's partition, as the server has it now. @throws Fault ObjectGone */
  async need(key: ActorKey): Promise<RawObject> {
    const object = await this.find(key);
    if (!object) throw new Fault("ObjectGone", shown(this.ports.kindOf(key.kind), key));
    return object;
  }

  async find(key: ActorKey): Promise<RawObject | undefined> {
    return this.ports.cached(key) ?? (await this.ports.reread(key));
  }

  /**
   * The object as the server has it now, when it still is the one with this uid and waits for our finalizer: a hint of
   * a deletion may be old, and another object may go by the same name.
   */
  async leaving(key: ActorKey, uid: string): Promise<RawObject | undefined> {
    const live = await this.ports.reread(key);
    return live?.metadata.uid === uid && live.metadata.finalizers?.includes(finalizer) ? live : undefined;
  }

  secret(namespace: string, name: string): Promise<Record<string, Uint8Array>> {
    return this.ports.secret(namespace, name);
  }

  async addFinalizer(key: ActorKey): Promise<null> {
    const live = await this.need(key);
    const before = live.metadata.finalizers ?? [];
    if (!before.includes(finalizer)) await this.ports.patchFinalizers(key, live, [...before, finalizer]);
    return null;
  }

  /** Lets the API server finish the deletion. An object that is gone already is fine. */
  async removeFinalizer(key: ActorKey): Promise<null> {
    const live = await this.ports.reread(key);
    const before = live?.metadata.finalizers ?? [];
    if (live?.metadata.deletionTimestamp && before.includes(finalizer)) await this.ports.patchFinalizers(key, live, before.filter((name) => name !== finalizer));
    return null;
  }
}
