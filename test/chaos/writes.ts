/** Every write that the API server accepted, from its audit log, with the time at which it came. */
import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { open } from "node:fs/promises";
import { eventually } from "../../deploy/local/eventually.ts";
import type { Kube, KubeObject } from "../system/kube.ts";
import { versionIn } from "./apps.ts";

export type Written = {
  atMs: number;
  user: string;
  verb: string;
  resource: string;
  subresource: string;
  namespace: string;
  name: string;
  /** The name under which fields were written. */
  manager: string;
  /** The version that was sent, and where in the server's order it came; only of ConfigMaps. */
  stored?: { order: number; version: number };
};

type Line = {
  stage: string;
  verb: string;
  requestURI: string;
  requestReceivedTimestamp: string;
  user?: { username?: string };
  objectRef?: { namespace?: string; resource?: string; subresource?: string; name?: string };
  responseStatus?: { code?: number };
  requestObject?: KubeObject;
  /** As the client asked for it, which may be its metadata alone. */
  responseObject?: KubeObject;
};

const writing = new Set(["create", "update", "patch", "delete", "deletecollection"]);

/** Where what comes from now on begins; what came before is in the log by then. */
export async function endOf(auditLog: string, kube: Kube): Promise<number> {
  await textSince(auditLog, statSync(auditLog).size, kube);
  return statSync(auditLog).size;
}

/** How many requests these accounts made since the log had that size, by verb; watches aside, which are opened once and stay. */
export async function requestsSince(auditLog: string, offset: number, kube: Kube, isCounted: (user: string) => boolean): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const line of (await textSince(auditLog, offset, kube)).split("\n")) {
    if (line === "") continue;
    const { stage, verb, user } = JSON.parse(line) as Line;
    if (stage === "ResponseComplete" && verb !== "watch" && isCounted(user?.username ?? "")) counts.set(verb, (counts.get(verb) ?? 0) + 1);
  }
  return counts;
}

/** Everything accepted in a namespace since the log had that size, oldest first; dry runs and refusals do not count. */
export async function writesSince(auditLog: string, offset: number, kube: Kube, namespace: string): Promise<Written[]> {
  const text = await textSince(auditLog, offset, kube);
  return text.split("\n").filter((line) => line.includes(namespace)).flatMap((line) => read(JSON.parse(line) as Line))
    .filter((written) => written.namespace === namespace).sort((a, b) => a.atMs - b.atMs);
}

async function textSince(auditLog: string, offset: number, kube: Kube): Promise<string> {
  const path = `/version?mark=${randomUUID()}`;
  await kube.get(path); // the log lags behind the server, in order
  return eventually("the mark in the audit log", async () => {
    const found = await readFrom(auditLog, offset);
    return found.includes(path) ? found : undefined;
  });
}

async function readFrom(file: string, offset: number): Promise<string> {
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - offset), 0, size - offset, offset);
    const text = buffer.toString("utf8", 0, bytesRead);
    return text.slice(0, text.lastIndexOf("\n") + 1);
  } finally {
    await handle.close();
  }
}

function read({ stage, verb, requestURI, requestReceivedTimestamp, user, objectRef = {}, responseStatus, requestObject, responseObject }: Line): Written[] {
  const code = responseStatus?.code ?? 0;
  if (stage !== "ResponseComplete" || !writing.has(verb) || code < 200 || code > 299) return [];
  const { searchParams } = new URL(requestURI, "http://api");
  if (searchParams.has("dryRun")) return [];
  const { namespace = "", resource = "", subresource = "", name = "" } = objectRef;
  const manager = searchParams.get("fieldManager") ?? "";
  const order = Number(responseObject?.metadata?.resourceVersion ?? NaN);
  return [{
    atMs: Date.parse(requestReceivedTimestamp), user: user?.username ?? "", verb, resource, subresource, namespace, manager,
    name: name || (requestObject?.metadata?.name ?? ""), // a create has it in its body alone
    ...(resource === "configmaps" && order > 0 && { stored: { order, version: versionIn(requestObject) } }),
  }];
}
