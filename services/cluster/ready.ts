/** Waits until definitions can be used by what comes after them; only they are asked, and only while they are not. */
import { setTimeout as sleep } from "node:timers/promises";
import { health, type Health } from "#machines/rules/health.ts";
import { displayName, objectIdOf, type KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { isNotFound } from "#services/clients/kubernetes/error.ts";
import { pathOf } from "./discovery.ts";
import type { ClusterHandle } from "./handle.ts";

/** Flux's wait timeout between stages. */
const longestMs = 60_000;
const firstPollMs = 50;
const longestPollMs = 1_000;

/**
 * @param objects as the server gave them back when they were written
 * @throws Fault ApplyFailed naming what is not ready, in Flux's words
 */
export async function waitUsable(cluster: ClusterHandle, objects: KubeObject[], signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + longestMs;
  const late = (await Promise.all(objects.map((object) => follow(cluster, object, deadlineMs, signal)))).filter((one) => one !== undefined);
  if (late.length === 0) return;
  const list = late.map(({ name, is }) => `${name} status: '${is.status}'`).join(", ");
  const failed = late.every(({ is }) => is.status === "Failed");
  throw new Fault("ApplyFailed", late[0]?.name ?? "", {
    detail: `${failed ? "failed early due to stalled resources" : "timeout waiting for"}: [${list}]`,
  });
}

async function follow(
  cluster: ClusterHandle, object: KubeObject, deadlineMs: number, signal: AbortSignal,
): Promise<{ name: string; is: Health } | undefined> {
  const id = objectIdOf(object);
  const resource = await cluster.discovery.find(object.apiVersion, object.kind);
  let is = health(object);
  for (let waitMs = firstPollMs; is.status !== "Current"; waitMs = Math.min(longestPollMs, waitMs * 2)) {
    if (is.status === "Failed" || performance.now() > deadlineMs) return { name: displayName(id), is };
    await sleep(waitMs, undefined, { signal });
    try {
      const { body } = await cluster.client.request<KubeObject>({ method: "GET", path: pathOf(resource, id), signal });
      is = health(body);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      is = { status: "NotFound", message: "" };
    }
  }
  return undefined;
}
