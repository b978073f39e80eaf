/**
 * Makes a cluster hold what was rendered: stage by stage, every object of a stage tried before any of it is written, and
 * each written under the condition that it still is what the trial saw. Objects known to stand are not asked about.
 */
import { hash } from "node:crypto";
import type { ApplyOutcome, ApplyScope, Change, ChangeAction, InventoryEntry } from "#protocol/messages/kustomization.ts";
import { planApply } from "#machines/rules/apply-plan.ts";
import { appliedAtS, ownershipOf } from "#machines/rules/drift.ts";
import { groupOf, parseInventoryId, type KubeObject, type ObjectId } from "#machines/rules/inventory.ts";
import { compareIds, stageNames, stageOf, waves } from "#machines/rules/order.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { look, stamped, write, type Applied, type ApplyItem, type Known, type Look, type ObjectCall } from "./apply-object.ts";
import type { Resource } from "./discovery.ts";
import { applierOf, identify, type ClusterHandle, type Identified, type Scope } from "./handle.ts";
import { ignoredBy, type IgnoreRule } from "./ignore.ts";
import { payloadOf } from "./payload.ts";
import { waitUsable } from "./ready.ts";

/** A rendered object and the digest of its text. `secret`: it holds what was decrypted, so no message may quote it. */
export type Rendered = { object: KubeObject; digest: string; secret?: true };

/** The table of live objects, as far as an apply uses it. */
export type AppliedTable = {
  known(id: string): Known | undefined;
  /** From here to `end`, events of this object are our own doing. */
  begin(id: string): void;
  /** What our write left behind; undefined when it failed and nobody knows. */
  end(id: string, written?: Known): void;
  /** The kind is in use from now on. */
  follow(resource: Resource): void;
};

export type ApplyCall = {
  cluster: ClusterHandle;
  owner: Owner;
  objects: Rendered[];
  /** What the last apply left. */
  inventory: InventoryEntry[];
  scope: ApplyScope;
  /** Objects that are not as applied any more, and who changed them (empty when unknown). */
  drifted?: ReadonlyMap<string, string>;
  /** `spec.force`. */
  force?: boolean;
  /** `spec.ignore`. */
  ignore?: readonly IgnoreRule[] | undefined;
  /**
   * An owner before crashed, and what it had sent may still be on its way: every object is compared, and what needs no
   * write is touched under this `<partition>:<epoch>`.
   */
  touch?: { epoch: string } | undefined;
  /** `<partition>:<epoch>`, put on whatever is written; for the admission policy in deploy/policy. */
  stamp?: string | undefined;
  /** Throws Fault LeaseLost when this worker may not write now; called in the tick of every write. */
  guard: () => void;
  signal: AbortSignal;
  traceparent?: (id: string) => string | undefined;
  table?: AppliedTable;
  /** One object's span: from its trial to the end of its write, in ms since 1970; and who had changed it before. */
  onObject?: (id: string, action: ChangeAction, startMs: number, endMs: number, by?: string) => void;
};

/** Never rejects for what the cluster says: the outcome then carries a fault, and the entries that were written. */
export async function apply(call: ApplyCall): Promise<ApplyOutcome> {
  const run: Run = { written: [], unsure: [], changes: [], fresh: new Set(), startedMs: new Map() };
  try {
    const { items, plan } = await prepare(call);
    for (const item of plan.skip) run.changes.push({ id: item.id, action: "skipped" });
    const objectCall = objectCallOf(call, run);
    for (const stage of stageNames) {
      const touched = plan.touch.filter(({ id }) => stageOf(parseInventoryId(id), call.cluster.settings?.customStages) === stage);
      if (touched.length > 0) await applyStage(call, objectCall, run, touched, stage === "definitions" || stage === "classes");
    }
    const entries = [...run.written, ...plan.keep, ...plan.skip.map(({ id, v, digest }) => ({ id, v, digest, uid: "", owned: "" }))];
    follow(call, items);
    return { entries: sorted(entries), changes: run.changes };
  } catch (error) {
    return { entries: sorted(run.written), changes: run.changes, unsure: run.unsure, fault: Fault.from(error, `${call.owner.namespace}/${call.owner.name}`).toJSON() };
  }
}

type Run = {
  written: InventoryEntry[];
  /** Ids of objects whose write began and failed: it may have been carried out all the same. */
  unsure: string[];
  changes: Change[];
  /** Groups whose definitions were written by this apply. */
  fresh: Set<string>;
  startedMs: Map<string, number>;
};

const unmarked = { labels: {}, annotations: {} };

type Item = ApplyItem & { metadata: Pick<KubeObject["metadata"], "labels" | "annotations">; scope: Scope | undefined };

export type Prepared = Pick<ApplyCall, "cluster" | "owner" | "objects" | "inventory" | "scope" | "drifted" | "touch" | "stamp" | "ignore">;

export async function prepare({ cluster, owner, objects, inventory, scope, drifted, touch, stamp, ignore = [] }: Prepared) {
  const applier = applierOf(cluster);
  // A Kustomization leaves an object to others by a mark on it.
  const ignoredOf = ignoredBy(ignore, `${owner.namespace}/${owner.name}`, { whole: !applier.heedsMarks });
  const marks = applier.marks(owner);
  const identified = await identify(cluster, objects.map(({ object }) => object));
  const items = objects.map(({ object, digest, secret }, index): Item => {
    const named = identified[index] as Identified;
    const ignored = ignore.length > 0 ? ignoredOf({ ...object, metadata: { ...object.metadata, labels: { ...object.metadata.labels, ...marks.labels } } }) : [];
    return { ...named, digest: ignored.length > 0 ? hash("sha256", JSON.stringify([digest, ignored])) : digest, ...(ignored.length > 0 && { ignored }), ...(secret && { secret }), metadata: applier.heedsMarks ? object.metadata : unmarked, payload: object, whole: isWaitedFor(parseInventoryId(named.id)) };
  });
  // What the record says of an object may have been undone by what comes late.
  const plan = planApply(items, inventory, touch ? "all" : scope, new Set(drifted?.keys()));
  // Only what is sent is copied.
  for (const item of plan.touch) item.payload = stamped(payloadOf(item.payload, owner, item.scope, applier), stamp);
  return { items, plan };
}

async function applyStage(call: ApplyCall, objectCall: ObjectCall, run: Run, items: Item[], definitions: boolean): Promise<void> {
  const looks = new Map<Item, Look>();
  await each(items, async (item) => {
    run.startedMs.set(item.id, clockMs());
    looks.set(item, await look(objectCall, item));
  });
  const done: KubeObject[] = [];
  for (const wave of waves(items, ({ id }) => parseInventoryId(id)))
    await each(wave, async (item) => {
      const applied = await written(call, objectCall, item, looks.get(item) as Look).catch((error: unknown) => {
        run.unsure.push(item.id);
        throw error;
      });
      record(call, run, item, applied);
      if (applied.action !== "skipped") done.push(applied.live);
    });
  if (!definitions) return;
  await waitUsable(call.cluster, done, call.signal);
  for (const group of run.fresh) call.cluster.discovery.forget(group);
}

async function written(call: ApplyCall, objectCall: ObjectCall, item: Item, found: Look): Promise<Applied> {
  const { table } = call;
  table?.begin(item.id);
  let left: Known | undefined;
  try {
    const applied = await write(objectCall, item, found);
    const { uid, resourceVersion = "", managedFields } = applied.live.metadata;
    // The list that a watch begins with holds what was written before it.
    table?.follow(applied.resource);
    left = { uid: uid ?? "", resourceVersion, owned: ownershipOf(applied.live.metadata, call.cluster.settings?.overriddenManagers, applierOf(call.cluster)), appliedAtS: appliedAtS(managedFields, applierOf(call.cluster).manager) };
    return applied;
  } finally {
    table?.end(item.id, left);
  }
}

/** All at once; every one is seen to its end before the first failure in the order of the list is thrown. */
async function each<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const failures = (await Promise.allSettled(items.map(work))).filter((one) => one.status === "rejected").map((one): unknown => one.reason);
  const [first] = failures;
  if (first === undefined) return;
  if (failures.length === 1 || !(first instanceof Fault)) throw first;
  const more = `${failures.length - 1} more ${failures.length === 2 ? "object" : "objects"} failed as well`;
  throw new Fault(first.code, first.subject, { detail: `${first.detail ?? ""} (${more})`, cause: first });
}

function record(call: ApplyCall, run: Run, item: Item, { entry, action }: Applied): void {
  run.written.push(entry);
  const by = action === "skipped" || action === "unchanged" ? "" : (call.drifted?.get(item.id) ?? "");
  run.changes.push({ id: item.id, action, ...(by && { by }) });
  if ((action === "created" || action === "configured") && item.payload.kind === "CustomResourceDefinition") run.fresh.add(groupDefinedBy(item.payload));
  call.onObject?.(item.id, action, run.startedMs.get(item.id) ?? 0, clockMs(), by);
}

function objectCallOf(call: ApplyCall, { fresh }: Run): ObjectCall {
  const { cluster, force = false, guard, signal, traceparent = () => undefined, table, touch, stamp } = call;
  return { cluster, force, guard, signal, traceparent, fresh, touch, stamp, known: (id) => table?.known(id) };
}

/** Kinds in use are watched, those of unchanged objects too: a new worker has not followed them yet. */
function follow({ table, cluster }: ApplyCall, items: Item[]): void {
  if (!table) return;
  const kinds = new Map(items.map(({ payload }) => [`${payload.apiVersion} ${payload.kind}`, payload]));
  for (const { apiVersion, kind } of kinds.values())
    cluster.discovery.known(apiVersion, kind).then(
      (resource) => resource && table.follow(resource),
      () => undefined, // the next apply asks again
    );
}

/** Its health decides when the next stage begins. */
const isWaitedFor = (id: ObjectId): boolean => ["definitions", "classes"].includes(stageOf(id));

const groupDefinedBy = (definition: KubeObject): string => {
  const { group } = (definition["spec"] ?? {}) as { group?: unknown };
  return typeof group === "string" ? group : groupOf(definition.apiVersion);
};

const sorted = (entries: InventoryEntry[]) =>
  entries.map((entry) => ({ entry, id: parseInventoryId(entry.id) })).sort((a, b) => compareIds(a.id, b.id)).map(({ entry }) => entry);

const clockMs = () => performance.timeOrigin + performance.now();
