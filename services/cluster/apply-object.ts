/** One object's way into the cluster: look by dry-run, then write with what the look found as the condition. */
import { setTimeout as sleep } from "node:timers/promises";
import { annotations, fieldManagers } from "#protocol/api/annotations.ts";
import type { ChangeAction, InventoryEntry } from "#protocol/messages/kustomization.ts";
import { isCreateOnly, isForced, isLeftAlone } from "#machines/rules/apply-plan.ts";
import { appliedAtS, leftAlone, ownershipOf } from "#machines/rules/drift.ts";
import { displayName, objectIdOf, type KubeObject, type ObjectMeta } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeAnswer, KubeRequest } from "#services/clients/kubernetes/client.ts";
import { isConflict, isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import { pathOf, type Resource } from "./discovery.ts";
import { applyPatch, metadataOnly, readMetadata, type ClusterHandle } from "./handle.ts";
import { recreate, wantsRecreation } from "./recreate.ts";
import { refusalOf } from "./refusal.ts";
import { isTouched, touch } from "./touch.ts";

export type ApplyItem = {
  id: string;
  v: string;
  digest: string;
  /** What is sent, without the conditions. */
  payload: KubeObject;
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
  | { next: "update"; live: ObjectMeta }
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
      if (isKindGone(error) && tries === 1) {
        call.cluster.discovery.forget(objectIdOf(item.payload).group);
        continue;
      }
      const live = resource && error instanceof KubeError && !isNotFound(error) ? await metadataOf(call, item, resource) : undefined;
      if (live && isLeftAlone(live)) return { next: "nothing", action: "skipped", live, object: item.payload };
      const forced = call.force || isForced(item.payload.metadata) || (live !== undefined && isForced(live));
      if (resource && live && forced && (await wantsRecreation(call, item, resource, error))) return { next: "recreate" };
      throw refusalOf(error, item.payload, "dry-run");
    }
  }
}

async function dryRun(call: ObjectCall, item: ApplyItem, resource: Resource): Promise<Look> {
  if (resource.namespaced && !item.payload.metadata.namespace)
    throw new Fault("NamespaceUnspecified", displayName(objectIdOf(item.payload)), { detail: "namespace not specified" });
  const answer = await patch(call, item, resource, item.payload, { query: { dryRun: "All" }, repeatable: true });
  const live = answer.body.metadata;
  if (answer.code === 201) return { next: "create" };
  // A mark on the live object outlives the dry-run: somebody else owns it.
  if (isLeftAlone(live) || isCreateOnly(item.payload.metadata)) return { next: "nothing", action: "skipped", live, object: answer.body };
  if (isNoOp(live, call.known(item.id), answer.serverMs)) return { next: "nothing", action: "unchanged", live, object: answer.body };
  return (call.stamp !== undefined && (await dryRunUnderOldStamp(call, item, resource))) || { next: "update", live };
}

/** An epoch of its own is no reason to write: is the object as wanted, but for that? Undefined: no, or not to be told. */
async function dryRunUnderOldStamp(call: ObjectCall, item: ApplyItem, resource: Resource): Promise<Look | undefined> {
  const before = await readMetadata(call.cluster, resource, objectIdOf(item.payload), call.signal);
  const stamp = before?.annotations?.[annotations.epoch];
  if (!before || stamp === call.stamp) return undefined;
  const { body, serverMs } = await patch(call, item, resource, stamped(item.payload, stamp), { query: { dryRun: "All" }, repeatable: true });
  const { uid = "", resourceVersion = "", managedFields } = before;
  const known = { uid, resourceVersion, owned: ownershipOf(before), appliedAtS: appliedAtS(managedFields) };
  return isNoOp(body.metadata, known, serverMs) ? { next: "nothing", action: "unchanged", live: body.metadata, object: body } : undefined;
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
function isNoOp(live: ObjectMeta, known: Known | undefined, serverMs: number): boolean {
  const atS = appliedAtS(live.managedFields);
  return (
    known !== undefined && known.uid === live.uid && known.resourceVersion === live.resourceVersion &&
    known.owned !== "" && known.owned === ownershipOf(live) &&
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
      if (!isConflict(error) || attempt === mostReplans) throw refusalOf(error, item.payload, "apply");
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
      return { action, entry: entryOf(item, live, action), live: { ...object, metadata: live }, resource };
    }
    case "update": {
      const { uid, resourceVersion } = plan.live;
      const answer = await conditional(call, item, resource, { uid, resourceVersion });
      if (answer.body.metadata.resourceVersion !== resourceVersion) return applied(item, resource, answer, "configured");
      const live = await fenced(call, item, resource, answer.body.metadata);
      return { action: "unchanged", entry: entryOf(item, live, "unchanged"), live: { ...answer.body, metadata: live }, resource };
    }
    case "recreate":
      await recreate(call, item, resource);
      return applied(item, resource, await conditional(call, item, resource, createOnly), "created");
    case "create":
      return applied(item, resource, await conditional(call, item, resource, createOnly), "created");
  }
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

function conditional(call: ObjectCall, item: ApplyItem, resource: Resource, conditions: Conditions): Promise<KubeAnswer<KubeObject>> {
  const object = { ...item.payload, metadata: { ...item.payload.metadata, ...conditions } };
  // Should the answer be lost, the repetition meets a newer version, gets 409, and looks again.
  return patch(call, item, resource, object, { guard: call.guard, repeatable: true });
}

function patch(
  call: ObjectCall, item: ApplyItem, resource: Resource, body: object, more: Partial<KubeRequest>,
): Promise<KubeAnswer<KubeObject>> {
  return call.cluster.client.request<KubeObject>({
    method: "PATCH",
    path: pathOf(resource, objectIdOf(item.payload)),
    contentType: applyPatch,
    accept: item.whole ? "application/json" : metadataOnly,
    body,
    signal: call.signal,
    traceparent: call.traceparent(item.id),
    ...more,
    query: { fieldManager: fieldManagers.kustomization, force: true, ...more.query },
  });
}

const applied = (item: ApplyItem, resource: Resource, { body }: KubeAnswer<KubeObject>, action: ChangeAction): Applied =>
  ({ action, entry: entryOf(item, body.metadata, action), live: body, resource });

function entryOf({ id, v, digest }: ApplyItem, live: ObjectMeta, action: ChangeAction): InventoryEntry {
  const uid = live.uid ?? "";
  if (action !== "skipped") return { id, v, uid, digest, owned: ownershipOf(live) };
  // Of an object that is created once only its absence counts; of one that says so itself, the end of that.
  return { id, v, uid, digest, owned: isLeftAlone(live) ? leftAlone : "" };
}

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
