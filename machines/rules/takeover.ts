/**
 * What an apply takes over from those who managed an object before: their fields become ours, so that what is not
 * rendered goes, and the marks they left are removed (flux.md 2.6.5). Decided on `metadata` alone, so that a watch sees
 * the need for it as well.
 */
import { annotations, labels } from "#protocol/api/annotations.ts";
import { kustomizationApplier, type Applier } from "./applier.ts";
import { marked, type ManagedFields, type ObjectMeta } from "./inventory.ts";

export type Marks = Pick<ObjectMeta, "labels" | "annotations" | "managedFields">;

/** One operation of a JSON patch. */
export type PatchOperation = { op: "remove" | "replace"; path: string; value?: unknown };

/** @param overridden further beginnings of managers' names (`--override-manager`), whatever their operation */
export function needsTakeOver(live: Marks, overridden: readonly string[] = [], applier: Applier = kustomizationApplier): boolean {
  if (applier.heedsMarks && isMerged(live)) return false;
  return leftBehind(live, applier).length > 0 || (live.managedFields ?? []).some((entry) => isTaken(entry, overridden, applier));
}

/** `ssa: Merge`: what other managers own stays theirs. */
export const isMerged = (metadata: Pick<ObjectMeta, "labels" | "annotations">): boolean => marked(metadata, annotations.ssa, "Merge");

/** Empty when there is nothing to take over. */
export function takeOverPatch(live: Marks, overridden: readonly string[] = [], applier: Applier = kustomizationApplier): PatchOperation[] {
  if (applier.heedsMarks && isMerged(live)) return [];
  const managedFields = takenFrom(live.managedFields ?? [], overridden, applier);
  return [
    ...leftBehind(live, applier).map((path): PatchOperation => ({ op: "remove", path })),
    ...(managedFields ? [{ op: "replace", path: "/metadata/managedFields", value: managedFields } as const] : []),
  ];
}

/** Keys that earlier managers left, which no manifest should bring back. */
export const legacyKeys = { annotations: annotations.legacy, labels: [labels.legacyGarbageMark] } as const;

// helm-controller leaves the marks of others where they are.
const leftBehind = (live: Marks, { heedsMarks }: Applier): string[] => (!heedsMarks ? [] :
  (["annotations", "labels"] as const).flatMap((field) =>
    legacyKeys[field].filter((key) => live[field]?.[key] !== undefined).map((key) => `/metadata/${field}/${key.replaceAll("/", "~1")}`)));

/** Writers of a subresource own nothing that an apply of ours could remove. */
function isTaken({ manager = "", operation = "", subresource }: ManagedFields, overridden: readonly string[], applier: Applier): boolean {
  if (subresource || isOurs({ manager, operation }, applier)) return false;
  return applier.takesOver.some((other) => operation === other.operation && ("name" in other ? manager === other.name : manager.startsWith(other.prefix))) || overridden.some((prefix) => manager.startsWith(prefix));
}

const isOurs = ({ manager, operation, subresource }: ManagedFields, applier: Applier) =>
  manager === applier.manager && operation === "Apply" && !subresource;

/** The set of fields that an apply takes over from others; what of them it does not render goes. */
export function takenFields(live: Marks, overridden: readonly string[] = [], applier: Applier = kustomizationApplier): object {
  if (applier.heedsMarks && isMerged(live)) return {};
  return (live.managedFields ?? []).filter((entry) => isTaken(entry, overridden, applier)).reduce<object>((all, { fieldsV1 }) => union(all, fieldsV1 ?? {}), {});
}

/** Undefined when nobody's are to be taken. Without an entry of ours the first that is taken becomes it. */
function takenFrom(entries: ManagedFields[], overridden: readonly string[], applier: Applier): ManagedFields[] | undefined {
  const ours = (entry: ManagedFields) => isOurs(entry, applier);
  const taken = entries.filter((entry) => isTaken(entry, overridden, applier));
  const [first] = taken;
  if (!first) return undefined;
  const own = entries.find(ours) ?? { ...first, manager: applier.manager, operation: "Apply" };
  const fieldsV1 = taken.reduce<object>((all, entry) => union(all, entry.fieldsV1 ?? {}), own.fieldsV1 ?? {});
  return [...entries.filter((entry) => !ours(entry) && !taken.includes(entry)), { ...own, fieldsV1 }];
}

type Fields = Record<string, object>;

/**
 * Two sets of fields in one. `{}` under a key says that the field itself is owned; with members below it, the key `.`
 * says so (structured-merge-diff fieldpath/serialize.go).
 */
function union(one: object, other: object): object {
  const all: Fields = { ...(one as Fields) };
  for (const [key, below] of Object.entries(other as Fields)) all[key] = key in all ? both(all[key] ?? {}, below) : below;
  return all;
}

function both(one: object, other: object): object {
  const [bare, filled] = isBare(one) ? [one, other] : [other, one];
  if (!isBare(bare)) return union(one, other);
  return isBare(filled) ? {} : { ".": {}, ...filled };
}

const isBare = (fields: object) => Object.keys(fields).length === 0;
