/** What an apply would do, by dry-run alone: nothing is written. */
import type { FieldDifference } from "#machines/rules/difference.ts";
import { displayName, groupOf, parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { compareIds, stageNames, stageOf } from "#machines/rules/order.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { prepare, type ApplyCall } from "./apply.ts";
import { look, preview, type ApplyItem, type ObjectCall } from "./apply-object.ts";
import { previewedFields } from "./compare.ts";
import { applierOf, readMetadata } from "./handle.ts";
import { refusalOf } from "./refusal.ts";

export type ForeseeCall = Pick<ApplyCall, "cluster" | "owner" | "objects" | "inventory" | "force" | "ignore" | "signal"> & {
  prune: boolean;
  /** What there will be before these are applied. */
  before?: readonly KubeObject[];
};

/** `object`: the live one where there is one. `secret`: it holds what was decrypted. `fields`: of a changed one. */
export type Foreseen =
  | { id: string; action: "created" | "changed" | "recreated" | "unchanged" | "skipped"; object: KubeObject; secret: boolean; fields: FieldDifference[] }
  | { id: string; action: "deleted" }
  | { id: string; action: "failed"; fault: Fault };

/** In the order of an apply, and then what would be deleted. */
export async function foresee(call: ForeseeCall): Promise<Foreseen[]> {
  const { items, plan } = await prepare({ ...call, scope: "all" });
  const ordered = stageNames.flatMap((stage) => items.filter(({ id }) => stageOf(parseInventoryId(id)) === stage).sort((a, b) => compareIds(parseInventoryId(a.id), parseInventoryId(b.id))));
  const left = new Set(plan.skip);
  const found = await Promise.all(ordered.map(async (item): Promise<Foreseen> => {
    if (left.has(item)) return { id: item.id, action: "skipped", object: item.payload, secret: item.secret === true, fields: [] };
    try {
      return await foreseeOne(call, item);
    } catch (thrown) {
      return isMadeFirst(thrown, item, [...(call.before ?? []), ...call.objects.map(({ object }) => object)]) ? outcome(item, "created") : { id: item.id, action: "failed", fault: refusalOf(thrown, item.payload, "dry-run", item.secret) };
    }
  }));
  const rendered = new Set(items.map(({ id }) => id));
  const pruned = call.prune ? await Promise.all(plan.stale.map((entry) => foreseeStale(call, entry, rendered))) : [];
  return [...found, ...pruned.flat()];
}

function neverWrite(): never {
  throw new Fault("LeaseLost", "foresee", { detail: "nothing is written" });
}

const outcome = (item: ApplyItem, action: "created" | "changed" | "recreated" | "unchanged" | "skipped", object = item.payload, fields: FieldDifference[] = []): Foreseen =>
  ({ id: item.id, action, object, secret: item.secret === true, fields });

async function foreseeOne(call: ForeseeCall, item: ApplyItem): Promise<Foreseen> {
  const objectCall = objectCallOf(call);
  const found = await look(objectCall, item);
  if (found.next === "create") return outcome(item, "created");
  if (found.next === "recreate") return outcome(item, "recreated");
  if (found.next === "nothing") return outcome(item, found.action);
  const { before, after } = await preview(objectCall, item);
  if (!before) return outcome(item, "created");
  if (!after) return outcome(item, "skipped", before);
  const fields = previewedFields(call.cluster, item, before, after);
  return outcome(item, fields.length > 0 ? "changed" : "unchanged", before, fields);
}

const objectCallOf = ({ cluster, force = false, signal }: ForeseeCall): ObjectCall =>
  ({ cluster, force, signal, guard: neverWrite, traceparent: () => undefined, known: () => undefined, fresh: new Set() });

/** An apply makes its namespace, or defines its kind, in a stage before. */
function isMadeFirst(thrown: unknown, { payload }: ApplyItem, made: readonly KubeObject[]): boolean {
  if (!(thrown instanceof Fault)) return false;
  if (thrown.code === "NamespaceMissing") return made.some(({ kind, metadata }) => kind === "Namespace" && metadata.name === payload.metadata.namespace);
  if (thrown.code !== "KindUnknown") return false;
  return made.some(({ kind, spec }) => {
    const { group, names } = (spec ?? {}) as { group?: unknown; names?: { kind?: unknown } };
    return kind === "CustomResourceDefinition" && group === groupOf(payload.apiVersion) && names?.kind === payload.kind;
  });
}

async function foreseeStale({ cluster, owner, signal }: ForeseeCall, { id, v }: InventoryEntry, rendered: ReadonlySet<string>): Promise<Foreseen[]> {
  const named = parseInventoryId(id);
  try {
    const resource = await cluster.discovery.preferred(named.group, named.kind, v);
    if (!resource.namespaced && rendered.has(id.slice(id.indexOf("_")))) return [];
    const live = await readMetadata(cluster, resource, named, signal);
    return live && applierOf(cluster).verdict(live, owner) === "delete" ? [{ id, action: "deleted" }] : [];
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.code === "KindUnknown") return [];
    return [{ id, action: "failed", fault: Fault.from(thrown, displayName(named)) }];
  }
}
