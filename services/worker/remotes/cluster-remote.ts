/** The port to other clusters in front of real API servers: credentials from the hub, one client and one discovery each. */
import { createKubeClient, type KubeClient, type RequestSeen } from "#services/clients/kubernetes/client.ts";
import { createDiscovery } from "#services/cluster/discovery.ts";
import type { ApplySettings } from "#services/cluster/handle.ts";
import { locate, type LocateOptions } from "#services/cluster/kubeconfig.ts";
import { followStorage } from "#services/release/storage-watch.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import { unitRequests } from "../feed/unit-requests.ts";
import { watchApplied } from "../feed/watch-applied.ts";
import { createPace } from "../pace.ts";
import type { RemotePort } from "./ports.ts";

export type RemoteOptions = LocateOptions & { onRequest?: ((seen: RequestSeen) => void) | undefined; settings?: ApplySettings | undefined };

/** What a cluster may make us keep of each kind under one set of credentials. */
const mostObjects = 50_000;

export function clusterRemote(hub: KubeClient, { onRequest, settings, ...options }: RemoteOptions, clock: Clock, log: Pick<Log, "info">): RemotePort {
  return {
    async locate(namespace, ref) {
      const { config, digest } = await locate(hub, namespace, ref, options);
      return {
        digest, server: config.server,
        open() {
          const client = createKubeClient(config, { foreign: true, gate: createPace({ clock }).gate, ...(onRequest && { onRequest }) });
          const handle = { client, discovery: createDiscovery(client), ...(settings && { settings }) };
          return {
            requests: unitRequests(handle, clock, log),
            check: async () => void (await client.request({ method: "GET", path: "/version" })),
            watch(user, listener, signal) {
              return watchApplied(user === undefined ? handle : { ...handle, client: client.as(user) }, listener, signal, clock, mostObjects);
            },
            watchStorage: (user, namespace, listener, signal) => followStorage(user === undefined ? client : client.as(user), namespace, listener, signal),
            close: () => client.close(),
          };
        },
      };
    },
  };
}
