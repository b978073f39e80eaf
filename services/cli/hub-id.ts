/** Which cluster the kubeconfig leads to: two of them in one cell would undo each other's work. */
import { setTimeout as pause } from "node:timers/promises";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";

const path = "/api/v1/namespaces/kube-system";
const usualRetryMs = 2_000;
const tellEveryMs = 30_000;
/** A server that has just started refuses for a moment what it has not read its rules for yet. */
const usualPatienceMs = 15_000;

/**
 * The uid of its namespace kube-system, which lives as long as the cluster does. Waits while the API server is away.
 *
 * @throws Fault ObjectForbidden when the account may not read it, and goes on not to
 */
export async function readHubId(
  client: Pick<KubeClient, "request">,
  isAway: (thrown: unknown) => void,
  signal: AbortSignal,
  { retryMs = usualRetryMs, patienceMs = usualPatienceMs } = {},
): Promise<string> {
  let refusedSinceMs = Infinity;
  for (let toldMs = -Infinity; ; await pause(retryMs, undefined, { signal }))
    try {
      const { body } = await client.request<KubeObject>({ method: "GET", path, signal });
      if (body.metadata.uid) return body.metadata.uid;
      throw new Fault("ClusterUnreachable", "namespaces/kube-system", { detail: "the answer is no namespace" });
    } catch (thrown) {
      signal.throwIfAborted();
      const isRefused = thrown instanceof KubeError && (thrown.code === 401 || thrown.code === 403);
      refusedSinceMs = isRefused ? Math.min(refusedSinceMs, performance.now()) : Infinity;
      if (isRefused && performance.now() - refusedSinceMs >= patienceMs)
        throw new Fault("ObjectForbidden", "namespaces/kube-system", { detail: `${thrown.message}; it tells one cluster from another`, cause: thrown });
      if (performance.now() - toldMs < tellEveryMs) continue;
      toldMs = performance.now();
      isAway(thrown);
    }
}
