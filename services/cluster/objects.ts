/** Writes to the hub's own objects: finalizers, status, events; and the reads of ConfigMaps and Secrets that they refer to. */
import { randomBytes } from "node:crypto";
import { apiVersionOf, displayName, type KubeObject } from "#machines/rules/inventory.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isConflict, isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import { segment } from "./discovery.ts";
import type { HubKind } from "./hub.ts";

export type HubRef = HubKind & { namespace: string; name: string };

/** An object whose data others use. */
export type DataRef = { kind: "ConfigMap" | "Secret"; namespace: string; name: string };
export type DataObject = { version: string; data: Record<string, Uint8Array> };

/** The very version that was looked at; a later one answers with Fault ApplyConflict. */
export type Precondition = { uid: string; resourceVersion: string };

export type WriteContext = {
  /** Throws Fault LeaseLost when this worker may not write now. */
  guard: () => void;
  signal?: AbortSignal;
  traceparent?: string | undefined;
};

/**
 * Replaces fields of the metadata (a merge patch: null removes).
 *
 * @returns the object as it is now
 * @throws Fault ObjectGone, ApplyConflict when it changed since, or what the server said
 */
export function patchMetadata(
  client: KubeClient, ref: HubRef, metadata: { finalizers?: string[]; annotations?: Record<string, string | null> },
  { uid, resourceVersion }: Precondition, context: WriteContext,
): Promise<KubeObject> {
  return mergePatch(client, ref, "", { metadata: { ...metadata, uid, resourceVersion } }, context);
}

/** Replaces fields of the status (a merge patch: null removes, lists are replaced whole). The rest is as `patchMetadata`. */
export function patchStatus(
  client: KubeClient, ref: HubRef, status: object, { uid, resourceVersion }: Precondition, context: WriteContext,
): Promise<KubeObject> {
  return mergePatch(client, ref, "/status", { metadata: { uid, resourceVersion }, status }, context);
}

/** @throws Fault SecretMissing, naming it */
export async function getSecret(
  client: KubeClient, namespace: string, name: string, signal?: AbortSignal,
): Promise<Record<string, Uint8Array>> {
  const found = await getData(client, { kind: "Secret", namespace, name }, signal);
  if (!found) throw new Fault("SecretMissing", `Secret/${namespace}/${name}`, { detail: "not found" });
  return found.data;
}

/** A ConfigMap or Secret; undefined when there is none. @throws Fault with what the server said */
export async function getData(client: KubeClient, { kind, namespace, name }: DataRef, signal?: AbortSignal): Promise<DataObject | undefined> {
  try {
    const path = `/api/v1/namespaces/${segment(namespace)}/${kind === "Secret" ? "secrets" : "configmaps"}/${segment(name)}`;
    const { body: { metadata, data = {} } } = await client.request<KubeObject & { data?: Record<string, string> }>({ method: "GET", path, signal });
    const encoding = kind === "Secret" ? "base64" : "utf8";
    return {
      version: dataVersion(metadata),
      data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, encoding)])),
    };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw refusal(error, `${kind}/${namespace}/${name}`);
  }
}

/** Another one whenever the object is another one. Metadata alone gives it too. */
export const dataVersion = ({ uid = "", resourceVersion = "" }: KubeObject["metadata"]): string => `${uid} ${resourceVersion}`;
/** Names of the imagePullSecrets of a ServiceAccount. @throws Fault AccountMissing */
export async function getPullSecretNames(client: KubeClient, namespace: string, name: string): Promise<string[]> {
  const subject = `ServiceAccount/${namespace}/${name}`;
  try {
    const path = `/api/v1/namespaces/${segment(namespace)}/serviceaccounts/${segment(name)}`;
    const { body } = await client.request<{ imagePullSecrets?: { name?: string }[] }>({ method: "GET", path });
    return (body.imagePullSecrets ?? []).flatMap((reference) => (reference.name ? [reference.name] : []));
  } catch (error) {
    if (isNotFound(error)) throw new Fault("AccountMissing", subject, { detail: "not found" });
    throw refusal(error, subject);
  }
}

export type EventNotice = {
  type: "Normal" | "Warning";
  reason: string;
  message: string;
  /** Keys get the group of the object's kind as prefix, as with Flux: `revision`, `token`, … */
  metadata?: Record<string, string>;
};

/** Limits of events.k8s.io, which serves the same objects. */
const mostMessageBytes = 1024;
const mostReasonBytes = 128;

/** Reports to the people who watch an object, as `kubectl describe` and `flux events` show it. */
export async function postEvent(
  client: KubeClient, ref: HubRef, object: Pick<KubeObject, "metadata">, notice: EventNotice, instance: string, context: WriteContext,
): Promise<void> {
  const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const component = componentOf(ref);
  const annotations = Object.fromEntries(Object.entries(notice.metadata ?? {}).map(([key, value]) => [`${ref.group}/${key}`, value]));
  await client.request({
    method: "POST",
    path: `/api/v1/namespaces/${segment(ref.namespace)}/events`,
    body: {
      apiVersion: "v1", kind: "Event",
      metadata: { name: eventName(ref.name), namespace: ref.namespace, annotations },
      involvedObject: {
        apiVersion: apiVersionOf(ref.group, ref.version), kind: ref.kind, namespace: ref.namespace, name: ref.name,
        uid: object.metadata.uid, resourceVersion: object.metadata.resourceVersion,
      },
      type: notice.type,
      reason: cut(notice.reason, mostReasonBytes),
      message: cut(notice.message, mostMessageBytes),
      firstTimestamp: now, lastTimestamp: now, count: 1,
      source: { component }, reportingComponent: component, reportingInstance: cut(instance, 128),
    },
    guard: context.guard, signal: context.signal, traceparent: context.traceparent,
  }).catch((error: unknown) => {
    throw refusal(error, displayName(ref));
  });
}

/** The controller that users know for a kind. */
const componentOf = ({ group, kind }: HubKind): string => kindOf(kind.toLowerCase())?.component ?? `${group.split(".")[0] ?? ""}-controller`;

async function mergePatch(client: KubeClient, ref: HubRef, subresource: string, body: object, context: WriteContext): Promise<KubeObject> {
  const { group, version, plural, namespace, name } = ref;
  try {
    const answer = await client.request<KubeObject>({
      method: "PATCH",
      path: `/apis/${group}/${version}/namespaces/${segment(namespace)}/${plural}/${segment(name)}${subresource}`,
      // Flux's own name for status and finalizers alike. Under the controller's own the finalizer of an object that another
      // unit applies would be taken over, and removed.
      query: { fieldManager: `gotk-${componentOf(ref)}` },
      contentType: "application/merge-patch+json",
      body,
      guard: context.guard, signal: context.signal, traceparent: context.traceparent,
      repeatable: true,
    });
    return answer.body;
  } catch (error) {
    if (isNotFound(error)) throw new Fault("ObjectGone", displayName(ref), { cause: error });
    if (isConflict(error)) throw new Fault("ApplyConflict", displayName(ref), { detail: error.message, cause: error });
    throw refusal(error, displayName(ref));
  }
}

export function refusal(error: unknown, subject: string): unknown {
  if (!(error instanceof KubeError)) return error;
  const code = error.code === 403 ? "ObjectForbidden" : error.code === 422 || error.code === 400 ? "ObjectInvalid" : "ApplyFailed";
  return new Fault(code, subject, { detail: error.message, cause: error });
}

const eventName = (object: string) => `${object.slice(0, 230)}.${randomBytes(8).toString("hex")}`;

/** At most so many bytes, whole characters only. */
function cut(text: string, most: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  let end = most - 3;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--; // in the middle of a character
  return `${bytes.subarray(0, end).toString("utf8")}...`;
}
