/** The objects of the hub as effects need them: the copy at hand to read, preconditioned writes to change. */
import { finalizerOf } from "#protocol/api/registry.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { Owned } from "#services/cluster/owned.ts";
import type { DataObject, DataRef } from "#services/cluster/objects.ts";
import type { RawObject } from "../facts.ts";
import { shown } from "./effects.ts";

export type HubPorts = {
  cached(key: ActorKey): RawObject | undefined;
  reread(key: ActorKey): Promise<RawObject | undefined>;
  patchFinalizers(key: ActorKey, live: RawObject, finalizers: string[]): Promise<void>;
  /** Versions of watched ConfigMaps and Secrets that the object refers to, by `referenceId`. */
  inputsOf(key: ActorKey): Record<string, string>;
  data(ref: DataRef): Promise<DataObject | undefined>;
  secret(namespace: string, name: string): Promise<Record<string, Uint8Array>>;
  /** Names of a ServiceAccount's imagePullSecrets. @throws Fault AccountMissing */
  pullSecretNames(namespace: string, account: string): Promise<string[]>;
  /** Every object of a Flux kind in a namespace, as the server has them now. */
  list(actorKind: string, namespace: string): Promise<RawObject[]>;
  /** An object that the owner has made, under the version that was looked at. @throws Fault ApplyConflict, LeaseLost of the owner */
  applyOwned(owner: ActorKey, key: ActorKey, owned: Owned, live: RawObject | undefined): Promise<RawObject>;
  /** @throws Fault ApplyConflict when another goes by its name, LeaseLost of the owner */
  removeOwned(owner: ActorKey, key: ActorKey, uid: string): Promise<void>;
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
    return live?.metadata.uid === uid && live.metadata.finalizers?.includes(finalizerOf(key.kind)) ? live : undefined;
  }

  inputsOf(key: ActorKey): Record<string, string> {
    return this.ports.inputsOf(key);
  }

  data(ref: DataRef): Promise<DataObject | undefined> {
    return this.ports.data(ref);
  }

  secret(namespace: string, name: string): Promise<Record<string, Uint8Array>> {
    return this.ports.secret(namespace, name);
  }

  /** What the imagePullSecrets of a ServiceAccount hold. */
  async pullSecrets(namespace: string, account: string): Promise<Record<string, Uint8Array>[]> {
    const names = await this.ports.pullSecretNames(namespace, account);
    return Promise.all(names.map((name) => this.ports.secret(namespace, name)));
  }

  list(actorKind: string, namespace: string): Promise<RawObject[]> {
    return this.ports.list(actorKind, namespace);
  }

  applyOwned(owner: ActorKey, key: ActorKey, owned: Owned, live: RawObject | undefined): Promise<RawObject> {
    return this.ports.applyOwned(owner, key, owned, live);
  }

  removeOwned(owner: ActorKey, key: ActorKey, uid: string): Promise<void> {
    return this.ports.removeOwned(owner, key, uid);
  }

  /** Of an object that stays: nothing is kept for it any more. */
  async dropFinalizer(key: ActorKey): Promise<null> {
    const live = await this.ports.reread(key);
    const before = live?.metadata.finalizers ?? [];
    if (live && before.includes(finalizerOf(key.kind))) await this.ports.patchFinalizers(key, live, before.filter((name) => name !== finalizerOf(key.kind)));
    return null;
  }

  async addFinalizer(key: ActorKey): Promise<null> {
    const live = await this.need(key);
    const before = live.metadata.finalizers ?? [];
    if (!before.includes(finalizerOf(key.kind))) await this.ports.patchFinalizers(key, live, [...before, finalizerOf(key.kind)]);
    return null;
  }

  /** Lets the API server finish the deletion. An object that is gone already is fine. */
  async removeFinalizer(key: ActorKey): Promise<null> {
    const live = await this.ports.reread(key);
    const before = live?.metadata.finalizers ?? [];
    if (live?.metadata.deletionTimestamp && before.includes(finalizerOf(key.kind))) await this.ports.patchFinalizers(key, live, before.filter((name) => name !== finalizerOf(key.kind)));
    return null;
  }
}
