/** The request port in front of a real API server. */
import { followAwaited, readAwaited } from "#services/cluster/awaited.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { isNotFound } from "#services/clients/kubernetes/error.ts";
import { segment } from "#services/cluster/discovery.ts";
import { metadataOnly, type ClusterHandle } from "#services/cluster/handle.ts";
import { stripped } from "#services/cluster/hub.ts";
import { getData, getPullSecretNames, getSecret, patchMetadata, patchStatus, postEvent } from "#services/cluster/objects.ts";
import { applyOwned, removeOwned } from "#services/cluster/owned.ts";
import { raiseEpoch } from "#services/cluster/touch.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import { hubKindOf, refOf } from "./hub-kinds.ts";
import type { RequestPort } from "./ports.ts";
import { unitRequests } from "./unit-requests.ts";

/** As deploy/policy names it. */
const epochs = { namespace: "flux-system", name: "flotilla-epochs" };

/** @param worker names this worker in events */
export function clusterRequests(handle: ClusterHandle, worker: string, clock: Clock, log: Pick<Log, "info">): RequestPort {
  const { client } = handle;

  return {
    ...unitRequests(handle, clock, log),
    async get(key) {
      const { group, version, plural, namespace, name } = refOf(key);
      const path = `/apis/${group}/${version}/namespaces/${segment(namespace)}/${plural}/${segment(name)}`;
      try {
        const { body } = await client.request<KubeObject>({ method: "GET", path });
        return stripped(body, hubKindOf(key.kind));
      } catch (thrown) {
        if (isNotFound(thrown)) return undefined;
        throw thrown;
      }
    },
    async list(actorKind, namespace) {
      const kind = hubKindOf(actorKind);
      const path = `/apis/${kind.group}/${kind.version}/namespaces/${segment(namespace)}/${kind.plural}`;
      const { body: { items } } = await client.request<{ items: KubeObject[] }>({ method: "GET", path });
      return items.map((each) => stripped(each, kind)).sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    },
    patchStatus: async (key, status, condition, guard) =>
      stripped(await patchStatus(client, refOf(key), status, condition, guard), hubKindOf(key.kind)),
    patchMetadata: async (key, metadata, condition, guard) =>
      stripped(await patchMetadata(client, refOf(key), metadata, condition, guard), hubKindOf(key.kind)),
    applyOwned: async (key, owned, live, guard) => stripped(await applyOwned(client, refOf(key), owned, live, guard), hubKindOf(key.kind)),
    removeOwned: (key, uid, guard) => removeOwned(client, refOf(key), uid, guard),
    event(key, object, { severity, reason, message, revision, digest, originRevision, commitStatus, token, appVersion, ociDigest }, guard) {
      // Keys as in fluxcd/pkg apis/event.
      const metadata = {
        ...(revision && { revision }), ...(digest && { digest }), ...(originRevision && { originRevision }),
        ...(commitStatus && { commit_status: commitStatus }), ...(token && { token }),
        // As helm-controller writes them.
        ...(appVersion && { "app-version": appVersion }), ...(ociDigest && { "oci-digest": ociDigest }),
      };
      return postEvent(client, refOf(key), object, { type: severity, reason, message, metadata }, worker, guard);
    },
    data: (ref) => getData(client, ref),
    secret: (namespace, name) => getSecret(client, namespace, name),
    pullSecretNames: (namespace, account) => getPullSecretNames(client, namespace, account),
    readObject: (ref, { user }) => readAwaited(user === undefined ? handle : { ...handle, client: client.as(user) }, ref),
    followObject: (ref, changed, signal) => void followAwaited(handle, ref, changed, signal),
    raiseEpoch: (fence, context) => raiseEpoch(handle, epochs, fence, context),
    async hasAccount({ namespace, name }) {
      try {
        await client.request({ method: "GET", path: `/api/v1/namespaces/${segment(namespace)}/serviceaccounts/${segment(name)}`, accept: metadataOnly });
        return true;
      } catch (thrown) {
        if (isNotFound(thrown)) return false;
        throw thrown;
      }
    },
  };
}
