/** One object's way into the cluster: look by dry-run, then write with what the look found as the condition. */
import { setTimeout as sleep } from "node:timers/promises";
import { annotations, labels } from "#protocol/api/annotations.ts";
import type { ChangeAction, InventoryEntry } from "#protocol/messages/kustomization.ts";
import { isCreateOnly, isForced, isLeftAlone } from "#machines/rules/apply-plan.ts";
import { appliedAtS, leftAlone, ownershipOf } from "#machines/rules/drift.ts";
import { displayName, objectIdOf, type KubeObject, type ObjectMeta } from "#machines/rules/inventory.ts";
import { isUnchanged, withIgnored } from "#machines/rules/ignore.ts";
import { needsTakeOver } from "#machines/rules/takeover.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeAnswer, KubeRequest } from "#services/clients/kubernetes/client.ts";
import { isConflict, isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import { pathOf, type Resource } from "./discovery.ts";
import { applierOf, applyPatch, metadataOnly, readMetadata, type ClusterHandle } from "./handle.ts";
import { recreate, wantsRecreation } from "./recreate.ts";
import { refusalOf } from "./refusal.ts";
import { takeOver } from "./takeover.ts";
import { isTouched, touch } from "./touch.ts";

export type ApplyItem = {
  id: string;
  v: string;
  digest: string;
  /** What is sent, without the conditions. */
  payload: KubeObject;
  /** It holds what was decrypted, whatever its kind. */
  secret?: true;
  /** Fields that are left to others (`spec.ignore`). */
  ignored?: string[][];
  /** The whole object is wanted back, to judge its health; never for a Secret. */
  whole: boolean;
};

export type Applied = {
  entry: InventoryEntry;
  action: ChangeAction;
  /** As the server gave it back. */
  live: KubeObject;
  resource: Resource;
};

/** What is known of a live object without asking. */
export type Known = { uid: string; resourceVersion: string; owned: string; appliedAtS: number };

export type ObjectCall = {
  cluster: ClusterHandle;
  force: boolean;
  guard: () => void;
  signal: AbortSignal;
  traceparent: (id: string) => string | undefined;
  known: (id: string) => Known | undefined;
  /** What needs no write is touched under this epoch. */
  touch?: { epoch: string } | undefined;
  /** The epoch that payloads carry, where the admission policy is in use. */
  stamp?: string | undefined;
  /** Groups whose definitions this very apply has written: their kinds may take a moment to be served. */
  fresh: ReadonlySet<string>;
};

/** What a dry-run found, and what therefore has to be done. */
export type Look =
  | { next: "create" }
  /** `takeOver`: others own fields of it, or left marks, that are to be ours first. */
  | { next: "update"; live: ObjectMeta; takeOver?: boolean; /** In place of the item's own. */ payload?: KubeObject }
  | { next: "recreate" }
  | { next: "nothing"; action: "unchanged" | "skipped"; live: ObjectMeta; object: KubeObject };

/** A live object of the same second could have been written after its time was taken. */
const clockGrainMs = 2_000;
const mostReplans = 20;
const replanMs = 20;
const servedWithinMs = 10_000;

/** @throws Fault naming the object and what the server said */
export async function look(call: ObjectCall, item: ApplyItem): Promise<Look> {
  const deadlineMs = performance.now() + servedWithinMs;
  for (let tries = 1; ; tries++) {
    let resource: Resource | undefined;
    try {
      resource = await call.cluster.discovery.find(item.payload.apiVersion, item.payload.kind);
      return await dryRun(call, item, resource);
    } catch (error) {
      if (isNotServedYet(error, item, call) && performance.now() < deadlineMs) {
        call.cluster.discovery.forget(objectIdOf(item.payload).group);
        await sleep(100, undefined, { signal: call.signal });
        continue;
      }
      // It changed since it was read.
      if (item.ignored && isConflict(error) && tries < mostReplans) continue;
      if (isKindGone(error) && tries === 1) {
        call.cluster.discovery.forget(objectIdOf(item.payload).group);
        continue;
      }
      const live = resource && error instanceof KubeError && !isNotFound(error) ? await metadataOf(call, item, resource) : undefined;
      if (live && isOutOfBounds(call, item, live)) return { next: "nothing", action: "skipped", live, object: item.payload };
      const forced = call.force || (heeds(call) && (isForced(item.payload.metadata) || (live !== undefined && isForced(live))));
      if (resource && live && forced && (await wantsRecreation(call, item, resource, error))) return { next: "recreate" };
      throw refusalOf(error, item.payload, "dry-run", item.secret);
    }
  }
}

async function dryRun(call: ObjectCall, item: ApplyItem, resource: Resource): Promise<Look> {
  if (resource.namespaced && !item.payload.metadata.namespace)
    throw new Fault("NamespaceUnspecified", displayName(objectIdOf(item.payload)), { detail: "namespace not specified" });
  if (heeds(call) && hidesMarks(item.payload.metadata)) {
    const before = await readMetadata(call.cluster, resource, objectIdOf(item.payload), call.signal);
    if (before && isOutOfBounds(call, item, before)) return { next: "nothing", action: "skipped", live: before, object: item.payload };
  }
  if (item.ignored) {
    const before = await readWhole(call, item, resource);
    if (before) return dryRunWithIgnored(call, item, resource, item.ignored, before);
  }
  const answer = await patch(call, item, resource, item.payload, { query: { dryRun: "All" }, repeatable: true });
  const live = answer.body.metadata;
  if (answer.code === 201) return { next: "create" };
  // A mark on the live object outlives the dry-run: somebody else owns it.
  if (isOutOfBounds(call, item, live)) return { next: "nothing", action: "skipped", live, object: answer.body };
  if (needsTakeOver(live, overriddenIn(call), applierOf(call.cluster))) return { next: "update", live, takeOver: true };
  if (isNoOp(call, live, call.known(item.id), answer.serverMs)) return { next: "nothing", action: "unchanged", live, object: answer.body };
  return (call.stamp !== undefined && (await dryRunUnderOldStamp(call, item, resource))) || { next: "update", live };
}

type Preview = { before: KubeObject | undefined; after: KubeObject | undefined };

/** The live object, and what an apply would make of it; nothing is written. Without `after`: it is left alone, or gone. */
export async function preview(call: ObjectCall, item: ApplyItem): Promise<Preview> {
  for (let tries = 1; ; tries++)
    try {
      const resource = await call.cluster.discovery.find(item.payload.apiVersion, item.payload.kind);
      const before = await readWhole(call, item, resource);
      if (!before || isOutOfBounds(call, item, before.metadata)) return { before, after: undefined };
      const payload = item.ignored ? owned(withIgnored(item.payload, before, item.ignored, applierOf(call.cluster).manager), item.payload) : item.payload;
      const { uid, resourceVersion } = before.metadata;
      const conditions = { ...payload, metadata: { ...payload.metadata, uid, resourceVersion } };
      const { body } = await patch(call, { ...item, whole: true }, resource, conditions, { query: { dryRun: "All" }, repeatable: true });
      return { before, after: body };
    } catch (error) {
      // It changed since it was read.
      if (isConflict(error) && tries < mostReplans) continue;
      throw refusalOf(error, item.payload, "dry-run", item.secret);
    }
}

/** What others own of the object is not fought for: what is sent, and whether it is, depends on the live one. */
async function dryRunWithIgnored(call: ObjectCall, item: ApplyItem, resource: Resource, ignored: string[][], before: KubeObject): Promise<Look> {
  const { metadata } = before;
  if (isOutOfBounds(call, item, metadata)) return { next: "nothing", action: "skipped", live: metadata, object: before };
  const { uid, resourceVersion } = metadata;
  const payload = owned(withIgnored(item.payload, before, ignored, applierOf(call.cluster).manager), item.payload);
  const sent = { ...item, payload, whole: true };
  // Only this very version is looked at: with a later one, values of it would be undone.
  const conditions = { ...payload, metadata: { ...payload.metadata, uid, resourceVersion } };
  const { body } = await patch(call, sent, resource, conditions, { query: { dryRun: "All" }, repeatable: true });
  if (needsTakeOver(body.metadata, overriddenIn(call), applierOf(call.cluster))) return { next: "update", live: metadata, takeOver: true, payload };
  if (isUnchanged({ ...before, apiVersion: body.apiVersion, kind: body.kind }, body, ignored)) return { next: "nothing", action: "unchanged", live: metadata, object: before };
  return { next: "update", live: metadata, payload };
}

/** Whatever is left to others: whose an object is, is said by us. */
const owned = (sent: KubeObject, { metadata }: KubeObject): KubeObject => {
  const marks = [labels.ownerName, labels.ownerNamespace].map((key) => [key, metadata.labels?.[key]] as const).filter(([, value]) => value !== undefined);
  return { ...sent, metadata: { ...sent.metadata, labels: { ...sent.metadata.labels, ...(Object.fromEntries(marks) as Record<string, string>) } } };
};

async function readWhole({ cluster, signal }: ObjectCall, item: ApplyItem, resource: Resource): Promise<KubeObject | undefined> {
  try {
    return (await cluster.client.request<KubeObject>({ method: "GET", path: pathOf(resource, objectIdOf(item.payload)), signal })).body;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** An epoch of its own is no reason to write: is the object as wanted, but for that? Undefined: no, or not to be told. */
async function dryRunUnderOldStamp(call: ObjectCall, item: ApplyItem, resource: Resource): Promise<Look | undefined> {
  const before = await readMetadata(call.cluster, resource, objectIdOf(item.payload), call.signal);
  const stamp = before?.annotations?.[annotations.epoch];
  if (!before || stamp === call.stamp) return undefined;
  const { body, serverMs } = await patch(call, item, resource, stamped(item.payload, stamp), { query: { dryRun: "All" }, repeatable: true });
  const { uid = "", resourceVersion = "", managedFields } = before;
  const known = { uid, resourceVersion, owned: ownership(call, before), appliedAtS: appliedAtS(managedFields, applierOf(call.cluster).manager) };
  return isNoOp(call, body.metadata, known, serverMs) ? { next: "nothing", action: "unchanged", live: body.metadata, object: body } : undefined;
}

/** The payload under another epoch, or under none. */
export function stamped(payload: KubeObject, stamp: string | undefined): KubeObject {
  const { annotations: set, ...metadata } = payload.metadata;
  if (stamp === set?.[annotations.epoch]) return payload;
  const { [annotations.epoch]: _, ...others } = set ?? {};
  const next = { ...others, ...(stamp !== undefined && { [annotations.epoch]: stamp }) };
  return { ...payload, metadata: { ...metadata, ...(Object.keys(next).length > 0 && { annotations: next }) } };
}

/**
 * Whether the dry-run changed nothing, compared with the very version it ran against: the same fields are ours, and our
 * entry carries the old time, which every change of a value would have renewed.
 */
function isNoOp(call: ObjectCall, live: ObjectMeta, known: Known | undefined, serverMs: number): boolean {
  const atS = appliedAtS(live.managedFields, applierOf(call.cluster).manager);
  return (
    known !== undefined && known.uid === live.uid && known.resourceVersion === live.resourceVersion &&
    known.owned !== "" && known.owned === ownership(call, live) &&
    known.appliedAtS === atS && serverMs - atS * 1000 >= clockGrainMs
  );
}

/** @throws Fault naming the object and what the server said */
export async function write(call: ObjectCall, item: ApplyItem, found: Look): Promise<Applied> {
  const resource = await call.cluster.discovery.find(item.payload.apiVersion, item.payload.kind);
  let plan = found;
  for (let attempt = 1; ; attempt++) {
    try {
      return await carryOut(call, item, resource, plan);
    } catch (error) {
      // Somebody wrote in between, or the object came or went: the look is out of date.
      if (!isConflict(error) || attempt === mostReplans) throw refusalOf(error, item.payload, "apply", item.secret);
      await sleep(replanMs * attempt * (0.5 + Math.random()), undefined, { signal: call.signal });
      plan = await look(call, item);
    }
  }
}

async function carryOut(call: ObjectCall, item: ApplyItem, resource: Resource, plan: Look): Promise<Applied> {
  switch (plan.next) {
    case "nothing": {
      const { action, live: seen, object } = plan;
      const live = action === "unchanged" ? await fenced(call, item, resource, seen) : seen;
      return { action, entry: entryOf(call, item, live, action), live: { ...object, metadata: live }, resource };
    }
    case "update": {
      const answer = await update(call, item, resource, plan);
      if (answer.body.metadata.resourceVersion !== plan.live.resourceVersion) return applied(call, item, resource, answer, "configured");
      const live = await fenced(call, item, resource, answer.body.metadata);
      return { action: "unchanged", entry: entryOf(call, item, live, "unchanged"), live: { ...answer.body, metadata: live }, resource };
    }
    case "recreate":
      await recreate(call, item, resource);
      return applied(call, item, resource, await conditional(call, item, resource, createOnly), "created");
    case "create":
      return applied(call, item, resource, await conditional(call, item, resource, createOnly), "created");
  }
}

async function update(
  call: ObjectCall, item: ApplyItem, resource: Resource, plan: Extract<Look, { next: "update" }>,
): Promise<KubeAnswer<KubeObject>> {
  const before = plan.takeOver ? await takeOver(call, item, resource, plan.live) : plan.live;
  if (plan.payload) item = { ...item, payload: plan.payload };
  const answer = await conditional(call, item, resource, before);
  const { metadata } = answer.body;
  // Of an object that nobody managed the server names a former owner only now.
  if (!needsTakeOver(metadata, overriddenIn(call), applierOf(call.cluster))) return answer;
  return conditional(call, item, resource, await takeOver(call, item, resource, metadata, metadata));
}

/** Of an object that is as wanted: a write would have changed its version, and made useless what others decided on the old one. */
const fenced = async (call: ObjectCall, item: ApplyItem, resource: Resource, live: ObjectMeta): Promise<ObjectMeta> =>
  call.touch && !isTouched(live, call.touch.epoch) ? touch(call, call.touch.epoch, item, resource, live) : live;

/**
 * An apply under this version creates, and only creates: no live object ever has it, so that one that exists answers
 * 409, while for an absent one the server ignores it (docs/decisions/0001-create-by-apply.md).
 */
const createOnly = { resourceVersion: "1" };

type Conditions = { uid?: string | undefined; resourceVersion?: string | undefined };

function conditional(
  call: ObjectCall, item: ApplyItem, resource: Resource, { uid, resourceVersion }: Conditions,
): Promise<KubeAnswer<KubeObject>> {
  const object = { ...item.payload, metadata: { ...item.payload.metadata, ...(uid && { uid }), resourceVersion } };
  // Should the answer be lost, the repetition meets a newer version, gets 409, and looks again.
  return patch(call, item, resource, object, { guard: call.guard, repeatable: true });
}

function patch(
  call: ObjectCall, item: ApplyItem, resource: Resource, body: object, more: Partial<KubeRequest>,
): Promise<KubeAnswer<KubeObject>> {
  const { manager, strict } = applierOf(call.cluster);
  return call.cluster.client.request<KubeObject>({
    method: "PATCH",
    path: pathOf(resource, objectIdOf(item.payload)),
    contentType: applyPatch,
    accept: item.whole ? "application/json" : metadataOnly,
    body,
    signal: call.signal,
    traceparent: call.traceparent(item.id),
    ...more,
    query: { fieldManager: manager, force: true, ...(strict && { fieldValidation: "Strict" }), ...more.query },
  });
}

const applied = (call: ObjectCall, item: ApplyItem, resource: Resource, { body }: KubeAnswer<KubeObject>, action: ChangeAction): Applied =>
  ({ action, entry: entryOf(call, item, body.metadata, action), live: body, resource });

function entryOf(call: ObjectCall, { id, v, digest }: ApplyItem, live: ObjectMeta, action: ChangeAction): InventoryEntry {
  const uid = live.uid ?? "";
  if (action !== "skipped") return { id, v, uid, digest, owned: ownership(call, live) };
  // Of an object that is created once only its absence counts; of one that says so itself, the end of that.
  return { id, v, uid, digest, owned: heeds(call) && isLeftAlone(live) ? leftAlone : "" };
}

/** Not to be written, as the live object says, or because it is there and was only to be created. */
const isOutOfBounds = (call: ObjectCall, item: ApplyItem, live: ObjectMeta): boolean => heeds(call) && (isLeftAlone(live) || isCreateOnly(item.payload.metadata));

const heeds = ({ cluster }: Pick<ObjectCall, "cluster">): boolean => applierOf(cluster).heedsMarks;

const ownership = (call: Pick<ObjectCall, "cluster">, live: ObjectMeta): string => ownershipOf(live, overriddenIn(call), applierOf(call.cluster));

/** What it says of itself would stand, in the dry-run, in place of what the live object says. */
const hidesMarks = (rendered: Pick<ObjectMeta, "labels" | "annotations">): boolean =>
  [annotations.reconcile, annotations.ssa].some((key) => rendered.labels?.[key] !== undefined || rendered.annotations?.[key] !== undefined);

const overriddenIn = ({ cluster: { settings } }: Pick<ObjectCall, "cluster">): readonly string[] => settings?.overriddenManagers ?? [];

const metadataOf = (call: ObjectCall, item: ApplyItem, resource: Resource) =>
  readMetadata(call.cluster, resource, objectIdOf(item.payload), call.signal).catch(() => undefined);

/** Not the object is missing, as an apply would create it, but the place for it: the kind was known and is no longer. */
const isKindGone = (error: unknown) => isNotFound(error) && error.details.kind !== "namespaces";

function isNotServedYet(error: unknown, item: ApplyItem, { fresh }: ObjectCall): boolean {
  if (!fresh.has(objectIdOf(item.payload).group)) return false;
  if (error instanceof Fault) return error.code === "KindUnknown";
  if (!(error instanceof KubeError)) return false;
  return isKindGone(error) || error.message.includes("not declared in schema");
}
