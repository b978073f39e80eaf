/** What the cluster last said of an object that does not become ready, for whoever reads the failure. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { segment } from "#services/cluster/discovery.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";

const mostRead = 500;
const mostTold = 3;
const longestMessage = 200;
/** What a workload makes says why the workload is not ready. */
const made = new Set(["Pod", "ReplicaSet", "Job"]);

type Event = {
  type?: string; reason?: string; message?: string; count?: number; lastTimestamp?: string | null; eventTime?: string | null;
  metadata?: { creationTimestamp?: string }; involvedObject?: { kind?: string; name?: string };
};

/** `Warning Failed: …` of the object and of what it made, oldest first; empty when there is none, or nobody may read them. */
export async function lastEvents({ client }: ClusterHandle, object: KubeObject, signal: AbortSignal): Promise<string[]> {
  const { kind, metadata: { name, namespace = "default" } } = object;
  try {
    const { body } = await client.request<{ items?: Event[] }>({ method: "GET", path: `/api/v1/namespaces/${segment(namespace)}/events`, query: { limit: mostRead }, signal });
    const about = (body.items ?? []).filter(({ involvedObject: of = {} }) => (of.kind === kind && of.name === name) || (made.has(of.kind ?? "") && of.name?.startsWith(`${name}-`) === true));
    const warnings = about.filter(({ type }) => type === "Warning");
    return (warnings.length > 0 ? warnings : about).sort((a, b) => timeOf(a) - timeOf(b)).slice(-mostTold).map(told);
  } catch {
    return [];
  }
}

function told({ type = "", reason = "", message = "", count = 1, involvedObject: { kind = "", name = "" } = {} }: Event): string {
  const line = message.replaceAll(/\s+/g, " ").trim();
  return `${kind}/${name} ${type} ${reason}${count > 1 ? ` (x${count})` : ""}: ${line.length > longestMessage ? `${line.slice(0, longestMessage)}…` : line}`;
}

const timeOf = ({ lastTimestamp, eventTime, metadata }: Event): number => Date.parse(lastTimestamp ?? eventTime ?? metadata?.creationTimestamp ?? "") || 0;
