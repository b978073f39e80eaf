/** Other clusters than the hub, as the worker uses them. The real port is in cluster-remote.ts; tests have their own. */
import type { KubeConfigRef } from "#services/cluster/kubeconfig.ts";
import type { StorageListener } from "#services/release/storage-watch.ts";
import type { UnitRequests, Watch, WatchListener } from "../feed/ports.ts";

export type RemotePort = {
  /**
   * Where what the reference names leads now. Opens nothing.
   *
   * @throws Fault KubeConfigMissing, KubeConfigInvalid, ClusterUnreachable when the hub does not answer
   */
  locate(namespace: string, ref: KubeConfigRef): Promise<Location>;
};

export type Location = {
  /** The same for the same credentials, and no other. */
  digest: string;
  server: string;
  open(): RemoteConnection;
};

/** To one cluster under one set of credentials. */
export type RemoteConnection = {
  requests: UnitRequests;
  /** @throws Fault ClusterUnreachable when nobody answers there */
  check(): Promise<void>;
  /** Lists and watches what carries a unit's labels, in this user's name; kinds as they are followed. */
  watch(user: string | undefined, listener: RemoteListener, signal: AbortSignal): Watch;
  /** Watches Helm's storage in one namespace, in this user's name. */
  watchStorage(user: string | undefined, namespace: string, listener: StorageListener, signal: AbortSignal): void;
  close(): Promise<void>;
};

export type RemoteListener = Pick<WatchListener, "managed" | "kind" | "lost">;
