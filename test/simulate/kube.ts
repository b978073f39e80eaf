/**
 * An API server as far as reconciling relies on one: uids and resource versions, server-side apply with field owners,
 * preconditions that refuse, and the traps (an apply that creates ignores its resourceVersion). test/contract compares it
 * with the real one.
 */
import type { KubeObject, ManagedFields, ObjectMeta } from "#machines/rules/inventory.ts";
import type { ActInput } from "#protocol/messages/release.ts";

/** An answer that refuses. */
export class Refusal extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Who asks: nothing a real server is told, only what a check wants to know. */
export type By = { worker: string; unit?: string; epoch?: number; attempt?: number; revision?: string; purpose?: "create" | "update" | "prune" | "remove"; /** What a release does, and in which run. */ act?: { src: string; input?: Partial<ActInput> } };

export type Change = { verb: "create" | "update" | "delete"; path: string; before: KubeObject | undefined; after: KubeObject | undefined; by: By };

export type ApplyRequest = {
  /** `metadata.uid` and `metadata.resourceVersion` are conditions, where given. */
  object: KubeObject;
  manager: string;
  dryRun?: boolean;
};

export class SimulatedKube {
  private readonly nowMs: () => number;
  private readonly objects = new Map<string, KubeObject>();
  private readonly listeners = new Set<(change: Change) => void>();
  private version = 1;
  private uids = 0;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  get(path: string): KubeObject | undefined {
    return this.objects.get(path);
  }

  list(): { path: string; object: KubeObject }[] {
    return [...this.objects].map(([path, object]) => ({ path, object }));
  }

  watch(listener: (change: Change) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** POST. */
  create(object: KubeObject, manager: string, by: By): KubeObject {
    const path = pathOf(object);
    if (this.objects.has(path)) throw new Refusal(409, `${path} already exists`);
    const { status: _, ...given } = object;
    return this.put(path, undefined, { ...given, metadata: this.born(object.metadata, [this.owns(manager, "Update", object)]) }, by);
  }

  /** PATCH with `apply-patch+yaml` and `force`. */
  apply({ object, manager, dryRun = false }: ApplyRequest, by: By): { code: 200 | 201; object: KubeObject; changed: boolean } {
    const path = pathOf(object);
    const live = this.objects.get(path);
    const { uid, resourceVersion } = object.metadata;
    if (!live) {
      if (uid) throw new Refusal(409, `${path}: uid mismatch: the object is not found`);
      const made = { ...object, metadata: this.born(object.metadata, [this.owns(manager, "Apply", object)]) };
      return { code: 201, object: dryRun ? made : this.put(path, undefined, made, by), changed: true };
    }
    if (resourceVersion && resourceVersion !== live.metadata.resourceVersion) throw new Refusal(409, `${path}: the object has been modified`);
    if (uid && uid !== live.metadata.uid) throw new Refusal(422, `${path}: metadata.uid: field is immutable`);
    const next = this.merged(live, object, manager);
    if (sameApartFromTimes(live, next)) return { code: 200, object: live, changed: false };
    return { code: 200, object: dryRun ? next : this.put(path, live, next, by), changed: true };
  }

  /** PUT or PATCH by somebody: `change` gives the new object. Fields it sets become theirs. */
  update(path: string, change: (live: KubeObject) => KubeObject, manager: string, by: By, condition: { uid?: string; resourceVersion?: string } = {}): KubeObject {
    const live = this.objects.get(path);
    if (!live) throw new Refusal(404, `${path} not found`);
    if (condition.uid && condition.uid !== live.metadata.uid) throw new Refusal(409, `${path}: uid mismatch`);
    if (condition.resourceVersion && condition.resourceVersion !== live.metadata.resourceVersion) throw new Refusal(409, `${path}: the object has been modified`);
    const wanted = change(structuredClone(live));
    const next: KubeObject = { ...wanted, metadata: { ...wanted.metadata, managedFields: this.taken(live, wanted, manager) } };
    if (sameApartFromTimes(live, next)) return live;
    if (JSON.stringify(next["spec"]) !== JSON.stringify(live["spec"])) next.metadata.generation = (live.metadata.generation ?? 0) + 1;
    return this.put(path, live, next, by);
  }

  delete(path: string, by: By, condition: { uid?: string; resourceVersion?: string } = {}): void {
    const live = this.objects.get(path);
    if (!live) throw new Refusal(404, `${path} not found`);
    if (condition.uid && condition.uid !== live.metadata.uid) throw new Refusal(409, `${path}: the UID in the precondition is another`);
    if (condition.resourceVersion && condition.resourceVersion !== live.metadata.resourceVersion)
      throw new Refusal(409, `${path}: the ResourceVersion in the precondition is another`);
    if (live.metadata.deletionTimestamp) return;
    const { generation = 1 } = live.metadata;
    const deletionTimestamp = new Date(this.nowMs()).toISOString();
    this.put(path, live, { ...live, metadata: { ...live.metadata, deletionTimestamp, generation: generation + 1 } }, by);
  }

  private put(path: string, before: KubeObject | undefined, next: KubeObject, by: By): KubeObject {
    const after = { ...next, metadata: { ...next.metadata, resourceVersion: String(++this.version) } };
    // The last finalizer of a deleted object takes the object with it.
    const gone = after.metadata.deletionTimestamp !== undefined && (after.metadata.finalizers ?? []).length === 0;
    if (gone) this.objects.delete(path);
    else this.objects.set(path, after);
    const change: Change = { verb: gone ? "delete" : before ? "update" : "create", path, before, after: gone ? undefined : after, by };
    for (const listener of this.listeners) listener(change);
    return after;
  }

  private born({ uid: _, resourceVersion: __, ...metadata }: ObjectMeta, managedFields: ManagedFields[]): ObjectMeta {
    return { ...metadata, uid: `uid-${++this.uids}`, generation: 1, creationTimestamp: new Date(this.nowMs()).toISOString().replace(/\.\d+Z$/, "Z"), managedFields };
  }

  private merged(live: KubeObject, wanted: KubeObject, manager: string): KubeObject {
    const before = fieldsOf(live.metadata.managedFields?.find((entry) => entry.manager === manager && entry.operation === "Apply"));
    const fields = dataFields(wanted);
    const data: Record<string, unknown> = { ...(live["data"] as object | undefined) };
    for (const field of before) if (!fields.has(field)) delete data[field];
    Object.assign(data, wanted["data"]);
    const others = (live.metadata.managedFields ?? []).filter((entry) => !(entry.manager === manager && entry.operation === "Apply"));
    return {
      ...live,
      ...(Object.keys(data).length > 0 && { data }),
      metadata: {
        ...live.metadata,
        ...(wanted.metadata.annotations && { annotations: { ...live.metadata.annotations, ...wanted.metadata.annotations } }),
        ...((live.metadata.labels ?? wanted.metadata.labels) && { labels: { ...live.metadata.labels, ...wanted.metadata.labels } }),
        // Forced: nobody else owns these fields with another value any more.
        managedFields: [...shrunk(others, changedFields(live, wanted)), this.owns(manager, "Apply", wanted)],
      },
    };
  }

  private taken(live: KubeObject, wanted: KubeObject, manager: string): ManagedFields[] {
    const changed = changedFields(live, wanted);
    if (changed.size === 0) return live.metadata.managedFields ?? [];
    const own = live.metadata.managedFields?.find((entry) => entry.manager === manager && entry.operation === "Update");
    const others = (live.metadata.managedFields ?? []).filter((entry) => entry !== own);
    return [...shrunk(others, changed), { ...this.entry(manager, "Update"), fieldsV1: fieldSet([...fieldsOf(own), ...changed]) }];
  }

  private owns(manager: string, operation: string, object: KubeObject): ManagedFields {
    return { ...this.entry(manager, operation), fieldsV1: fieldSet([...dataFields(object)]) };
  }

  private entry(manager: string, operation: string): ManagedFields {
    return { manager, operation, apiVersion: "v1", time: new Date(this.nowMs()).toISOString(), fieldsType: "FieldsV1" };
  }
}

/** `Kind/namespace/name` */
export const pathOf = ({ kind, metadata }: Pick<KubeObject, "kind" | "metadata">): string => `${kind}/${metadata.namespace ?? ""}/${metadata.name}`;

const dataFields = (object: KubeObject): Set<string> => new Set(Object.keys((object["data"] as object | undefined) ?? {}));

const fieldSet = (fields: string[]): object => ({ "f:data": Object.fromEntries([...new Set(fields)].sort().map((field) => [`f:${field}`, {}])) });

const fieldsOf = (entry: ManagedFields | undefined): Set<string> =>
  new Set(Object.keys((entry?.fieldsV1 as { "f:data"?: object } | undefined)?.["f:data"] ?? {}).map((field) => field.slice(2)));

function changedFields(live: KubeObject, wanted: KubeObject): Set<string> {
  const before = (live["data"] ?? {}) as Record<string, unknown>;
  const after = (wanted["data"] ?? {}) as Record<string, unknown>;
  return new Set([...Object.keys(before), ...Object.keys(after)].filter((field) => field in after ? before[field] !== after[field] : false));
}

/** Who owns nothing any more has no entry. */
const shrunk = (entries: ManagedFields[], lost: Set<string>): ManagedFields[] =>
  entries.flatMap((entry) => {
    const kept = [...fieldsOf(entry)].filter((field) => !lost.has(field));
    return kept.length > 0 ? [{ ...entry, fieldsV1: fieldSet(kept) }] : [];
  });

function sameApartFromTimes(a: KubeObject, b: KubeObject): boolean {
  return canonical(a) === canonical(b);
}

function canonical(object: KubeObject): string {
  const { managedFields = [], resourceVersion: _, ...metadata } = object.metadata;
  const owners = managedFields.filter((entry) => fieldsOf(entry).size > 0).map((entry) => `${entry.manager} ${entry.operation} ${[...fieldsOf(entry)].sort().join()}`).sort();
  return sortedJson({ ...object, metadata: { ...metadata, owners } });
}

const sortedJson = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner);
