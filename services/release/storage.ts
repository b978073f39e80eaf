/**
 * The revisions of a release: Secrets that the helm command and Flux's controller read and write too. Every write is under
 * the version that was read, so that of two writers one is refused.
 */
import { isDeepStrictEqual } from "node:util";
import { annotations, fieldManagers } from "#protocol/api/annotations.ts";
import type { KubeObject, ObjectMeta } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ReleasePlace } from "#protocol/messages/release.ts";
import { isConflict, isNotFound } from "#services/clients/kubernetes/error.ts";
import { segment } from "#services/cluster/discovery.ts";
import { metadataOnly, type ClusterHandle } from "#services/cluster/handle.ts";
import { refusalOf } from "#services/cluster/refusal.ts";
import type { Ledger } from "./ledger.ts";
import { decodeRelease, encodeRelease, reread, type ReleaseDocument } from "./document.ts";

export type StorageCall = {
  cluster: ClusterHandle;
  place: ReleasePlace;
  /** Throws Fault LeaseLost when this worker may not write now; called in the tick of every write. */
  guard: () => void;
  signal: AbortSignal;
  traceparent?: (() => string | undefined) | undefined;
  /** What is known of it is not asked for again. */
  ledger?: Ledger | undefined;
};

/** What the Secret's metadata tell of a revision. */
export type Revision = {
  version: number;
  status: string;
  /** Which decision made it last what it is. */
  intent: string | undefined;
  /** Which event's hooks that decision has begun. */
  stage: string | undefined;
  /** By the API server's clock, RFC 3339. */
  createdAt: string;
  uid: string;
  resourceVersion: string;
};

export type Stored = { document: ReleaseDocument; revision: Revision; /** Labels beyond Helm's own. */ labels: Record<string, string> };

export const secretType = "helm.sh/release.v1";
const systemLabels = new Set(["name", "owner", "status", "version", "createdAt", "modifiedAt"]);
const pageSize = 500;
const mostRevisions = 5_000;

export const secretName = (name: string, version: number): string => `sh.helm.release.v1.${name}.v${version}`;

/** Newest first, from metadata alone. @throws Fault with what the server said */
export async function listRevisions(call: StorageCall): Promise<Revision[]> {
  const { cluster: { client }, place, signal, ledger } = call;
  const known = ledger?.list();
  if (known) return known;
  const found: Revision[] = [];
  let next: string | undefined;
  do {
    const { body } = await client.request<{ metadata: { continue?: string }; items: { metadata: ObjectMeta }[] | null }>({
      method: "GET", path: pathTo(place), accept: listOfMetadata, signal,
      query: { labelSelector: `owner=helm,name=${place.name}`, fieldSelector: `type=${secretType}`, limit: pageSize, continue: next },
    }).catch((error: unknown) => { throw refusalOf(error, secretOf(place, 0), "dry-run"); });
    for (const { metadata } of body.items ?? []) {
      const version = versionIn(metadata.name, place.name);
      if (version !== undefined) found.push(revisionOf(version, metadata));
    }
    next = body.metadata.continue || undefined;
  } while (next && found.length < mostRevisions);
  ledger?.listed(found);
  return found.sort((a, b) => b.version - a.version);
}

/** Undefined when there is none. @throws Fault ReleaseUnreadable */
export async function readRevision({ cluster: { client }, place, signal, ledger }: StorageCall, version: number): Promise<Stored | undefined> {
  if (ledger?.isMissing(version)) return undefined;
  const known = ledger?.document(version);
  if (known) return known;
  const subject = subjectOf(place, version);
  try {
    const { body } = await client.request<Secret>({ method: "GET", path: pathTo(place, version), signal });
    if (body.type !== secretType) throw new Fault("ReleaseUnreadable", subject, { detail: `its type is not ${secretType}` });
    const stored = await storedOf(body, version, subject);
    ledger?.stands(stored);
    return stored;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw refusalOf(error, secretOf(place, version), "dry-run");
  }
}

/**
 * Makes a revision, and only makes it.
 *
 * @returns what stands there now: also when it was made before under the same intent
 * @throws Fault ReleaseChanged when somebody else made it, ReleaseTooLarge
 */
export async function createRevision(call: StorageCall, document: ReleaseDocument, intent: string, labels: Record<string, string> = {}): Promise<Stored> {
  const { place } = call;
  const { version } = document;
  const metadata = { annotations: { [annotations.intent]: intent }, labels: { ...labels, createdAt: seconds() } };
  const body = await secretBody(place, document, metadata);
  try {
    return await written(call, { method: "POST", path: pathTo(place), body }, version);
  } catch (error) {
    call.ledger?.forget();
    if (!isConflict(error)) throw refusalOf(error, body, "apply");
    const there = await readRevision(call, version);
    if (there?.revision.intent === intent) return there;
    throw changed(place, version, "somebody else made this revision");
  }
}

/**
 * Writes what a revision has become.
 *
 * @param next which decision acts on it from now on, and how far it is; as before when absent
 * @throws Fault ReleaseChanged when it is no longer as it was read, ReleaseTooLarge
 */
export async function updateRevision(call: StorageCall, { revision, labels, document: before }: Stored, document: ReleaseDocument, next: { intent?: string | undefined; stage?: string | undefined } = revision): Promise<Stored> {
  const { place } = call;
  const { version, uid, resourceVersion, createdAt } = revision;
  const { intent = revision.intent, stage } = next;
  const metadata = {
    uid, resourceVersion, annotations: { ...(intent !== undefined && { [annotations.intent]: intent }), ...(stage !== undefined && { [annotations.stage]: stage }) },
    labels: { createdAt: String(Math.floor(Date.parse(createdAt) / 1000)), ...labels, modifiedAt: seconds() },
  };
  const body = await secretBody(place, document, metadata);
  try {
    return await written(call, { method: "PUT", path: pathTo(place, before.version), body }, version);
  } catch (error) {
    call.ledger?.forget();
    if (!isConflict(error) && !isNotFound(error)) throw refusalOf(error, body, "apply");
    // The answer to this very write may have been lost.
    const there = await readRevision(call, version);
    if (there && there.revision.uid === uid && there.revision.intent === intent && isDeepStrictEqual(there.document, reread(document))) return there;
    throw changed(place, version, "somebody else changed this revision");
  }
}

/** Gone is gone, whoever did it. @throws Fault ReleaseChanged when it is no longer as it was looked at */
export async function removeRevision(call: StorageCall, { version, uid, resourceVersion }: Revision): Promise<void> {
  const { cluster: { client }, place, guard, signal, traceparent, ledger } = call;
  try {
    await client.request({
      method: "DELETE", path: pathTo(place, version), accept: metadataOnly, repeatable: true, guard, signal, traceparent: traceparent?.(),
      body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid, resourceVersion } },
    });
    ledger?.gone(version);
  } catch (error) {
    if (isNotFound(error)) return ledger?.gone(version);
    ledger?.forget();
    if (isConflict(error)) throw changed(place, version, "somebody else changed this revision");
    throw refusalOf(error, secretOf(place, version), "delete");
  }
}

/**
 * Makes room for one more: the oldest go, and never the one that is deployed (helm pkg/storage).
 *
 * @param most so many remain, the next one included; 0: all
 */
export async function truncate(call: StorageCall, revisions: Revision[], most: number): Promise<void> {
  if (most <= 0) return;
  const deployed = revisions.find(({ status }) => status === "deployed");
  const surplus = revisions.length - (most - 1);
  const oldest = revisions.toReversed().filter((each) => each !== deployed);
  for (const each of oldest.slice(0, Math.max(0, surplus))) await removeRevision(call, each);
}

type Secret = KubeObject & { type?: string; data?: Record<string, string> };

const listOfMetadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

async function written({ cluster: { client }, place, guard, signal, traceparent, ledger }: StorageCall, { method, path, body }: { method: "POST" | "PUT"; path: string; body: object }, version: number): Promise<Stored> {
  // Should the answer be lost, the repetition is refused, and what stands there is read.
  const answer = await client.request<Secret>({ method, path, body, query: { fieldManager: fieldManagers.helm }, repeatable: true, guard, signal, traceparent: traceparent?.() });
  const stored = await storedOf(answer.body, version, subjectOf(place, version));
  ledger?.stands(stored);
  return stored;
}

async function secretBody(place: ReleasePlace, document: ReleaseDocument, { labels, ...metadata }: { labels: Record<string, string>; [field: string]: unknown }): Promise<KubeObject> {
  const { name, version, info: { status } } = document;
  const release = await encodeRelease(document, subjectOf(place, version));
  return {
    apiVersion: "v1", kind: "Secret", type: secretType,
    metadata: {
      ...metadata, name: secretName(place.name, version), namespace: place.storageNamespace,
      labels: { ...labels, name, owner: "helm", status, version: String(version) },
    },
    data: { release: Buffer.from(release).toString("base64") },
  };
}

async function storedOf({ metadata, data = {} }: Secret, version: number, subject: string): Promise<Stored> {
  const document = await decodeRelease(Buffer.from(data["release"] ?? "", "base64").toString("latin1"), subject);
  if (document.version !== version) throw new Fault("ReleaseUnreadable", subject, { detail: `it holds version ${document.version}` });
  const labels = Object.fromEntries(Object.entries(metadata.labels ?? {}).filter(([key]) => !systemLabels.has(key) || key === "createdAt"));
  return { document, revision: revisionOf(version, metadata), labels };
}

const revisionOf = (version: number, { labels = {}, annotations: set = {}, creationTimestamp, uid = "", resourceVersion = "" }: ObjectMeta): Revision =>
  ({ version, status: labels["status"] ?? "unknown", intent: set[annotations.intent], stage: set[annotations.stage], createdAt: creationTimestamp ?? "", uid, resourceVersion });

/** Undefined: it is no revision of that release. */
export function versionIn(secret: string, name: string): number | undefined {
  const [, digits] = /\.v([1-9]\d{0,9})$/.exec(secret) ?? [];
  return digits !== undefined && secret === secretName(name, Number(digits)) ? Number(digits) : undefined;
}

const pathTo = ({ name, storageNamespace }: ReleasePlace, version?: number): string =>
  `/api/v1/namespaces/${segment(storageNamespace)}/secrets${version === undefined ? "" : `/${segment(secretName(name, version))}`}`;

const secretOf = (place: ReleasePlace, version: number): KubeObject =>
  ({ apiVersion: "v1", kind: "Secret", metadata: { name: secretName(place.name, version), namespace: place.storageNamespace } });

const subjectOf = ({ name, storageNamespace }: ReleasePlace, version: number): string => `Secret/${storageNamespace}/${secretName(name, version)}`;

const changed = (place: ReleasePlace, version: number, detail: string): Fault => new Fault("ReleaseChanged", subjectOf(place, version), { detail });

const seconds = (): string => String(Math.floor(Date.now() / 1000));
