/** What the pods of a hook printed, where its author asks for that (`helm.sh/hook-output-log-policy`); bounded in lines and bytes. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { segment } from "#services/cluster/discovery.ts";
import type { ReleaseCall } from "./call.ts";
import type { ManifestObject } from "./manifest.ts";

const mostPods = 3;
const mostContainers = 5;
const mostLines = 20;
const mostBytes = 4_096;

/** A line per container: `POD LOGS: <pod> (<container>)` and what it printed last. What cannot be read is said. */
export async function hookLogs(call: ReleaseCall, items: ManifestObject[]): Promise<string[]> {
  const found = await Promise.all(items.map(({ object }) => podsOf(call, object).catch(() => [])));
  const pods = found.flat().slice(0, mostPods);
  const containers = pods.flatMap((pod) => {
    const { initContainers = [], containers: list = [] } = (pod["spec"] ?? {}) as { initContainers?: { name: string }[]; containers?: { name: string }[] };
    return [...initContainers, ...list].slice(0, mostContainers).map(({ name }) => ({ pod, name }));
  });
  return Promise.all(containers.map(async ({ pod, name }) => `POD LOGS: ${pod.metadata.name} (${name})\n${await printed(call, pod, name)}`));
}

async function podsOf({ cluster: { client }, signal }: ReleaseCall, { kind, metadata: { name, namespace = "" } }: KubeObject): Promise<KubeObject[]> {
  if (kind !== "Job" && kind !== "Pod") return [];
  const query = kind === "Job" ? { labelSelector: `job-name=${name}` } : { fieldSelector: `metadata.name=${name}` };
  const { body } = await client.request<{ items?: KubeObject[] }>({ method: "GET", path: `/api/v1/namespaces/${segment(namespace)}/pods`, query: { ...query, limit: mostPods }, signal });
  return body.items ?? [];
}

async function printed({ cluster: { client }, signal }: ReleaseCall, { metadata: { name, namespace = "" } }: KubeObject, container: string): Promise<string> {
  try {
    const path = `/api/v1/namespaces/${segment(namespace)}/pods/${segment(name)}/log`;
    const chunks: Buffer[] = [];
    for await (const chunk of await client.stream({ method: "GET", path, query: { container, tailLines: mostLines, limitBytes: mostBytes }, accept: "*/*", signal })) chunks.push(chunk);
    return Buffer.concat(chunks).subarray(0, mostBytes).toString("utf8").trimEnd();
  } catch {
    return "cannot be read";
  }
}
