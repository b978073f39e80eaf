/**
 * Fields of applied objects that others may change (`spec.ignore`): one that another server-side apply owns is left out of
 * what is sent, of any other the live value is sent, so that neither is fought for (fluxcd/pkg ssa/manager_apply.go).
 */
import { annotations, fieldManagers } from "#protocol/api/annotations.ts";
import type { KubeObject, ManagedFields } from "./inventory.ts";

type Tree = Record<string, unknown> | unknown[];

/** @throws RangeError when it is no JSON pointer to a field (RFC 6901) */
export function parsePointer(pointer: string): string[] {
  if (!pointer.startsWith("/") || /~(?![01])/.test(pointer)) throw new RangeError(`not a JSON pointer such as /spec/replicas: ${pointer.slice(0, 100)}`);
  return pointer.slice(1).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** What is sent for an object that is there. @param pointers as `parsePointer` gives them */
export function withIgnored(payload: KubeObject, live: KubeObject, pointers: string[][], manager: string = fieldManagers.kustomization): KubeObject {
  const ours = by(manager);
  const sent = structuredClone(payload);
  for (const pointer of pointers) {
    const [wanted, is] = [at(sent, pointer), at(live, pointer)];
    if (isSame(wanted, is)) continue;
    if (is === undefined || isOwned(live, pointer, (entry) => !ours(entry))) remove(sent, pointer);
    // One that is not rendered any more, and still ours, would go with this apply.
    else if (wanted !== undefined || isOwned(live, pointer, ours)) put(sent, pointer, is);
  }
  return sent;
}

/** Whether a dry-run left everything as it is, but for ignored fields, who owns what, and what the server counts. */
export function isUnchanged(live: KubeObject, dryRun: KubeObject, pointers: string[][]): boolean {
  return isSame(comparable(live, pointers), comparable(dryRun, pointers));
}

function comparable({ status: _, ...object }: KubeObject, pointers: string[][]): unknown {
  const copy = structuredClone(object);
  const { labels, annotations: set } = copy.metadata;
  for (const pointer of pointers) remove(copy, pointer);
  if (set) delete set[annotations.epoch];
  return { ...copy, metadata: { labels: labels ?? {}, annotations: set ?? {} } };
}

const by = (name: string) => ({ manager }: ManagedFields): boolean => manager === name;

/** Whether such a server-side apply owns the very field. */
function isOwned(live: KubeObject, pointer: string[], whose: (entry: ManagedFields) => boolean): boolean {
  const applies = (live.metadata.managedFields ?? []).filter((entry) => entry.operation === "Apply" && !entry.subresource && entry.fieldsV1);
  return applies.some((entry) => whose(entry) && contains(entry.fieldsV1 as Tree, live, pointer));
}

const contains = (fields: Tree, live: unknown, pointer: string[]): boolean => setAt(fields, live, pointer) !== undefined;

/** Walks a set of fields beside the object: members of a list go by their keys there, by their places in a pointer. */
function setAt(fields: Tree, live: unknown, pointer: string[]): Tree | undefined {
  let [set, value] = [fields as Record<string, Tree>, live];
  for (const part of pointer) {
    const member: unknown = at(value, [part]);
    const key = Array.isArray(value) ? Object.keys(set).find((each) => each.startsWith("k:") && names(each, member)) : `f:${part}`;
    if (key === undefined || !Object.hasOwn(set, key)) return undefined;
    [set, value] = [set[key] as Record<string, Tree>, member];
  }
  return set;
}

/** Who else owns a field, or the whole of which it is a part. Who writes the status, or our fence, does not count. */
export function othersOwning(live: KubeObject, pointer: string[], manager: string = fieldManagers.kustomization): string[] {
  const ours = by(manager);
  const others = (live.metadata.managedFields ?? []).filter((entry) =>
    !entry.subresource && entry.fieldsV1 && entry.manager && entry.manager !== fieldManagers.fence && !(ours(entry) && entry.operation === "Apply"));
  for (let depth = pointer.length; depth > 0; depth--) {
    const owners = others.filter(({ fieldsV1 }) => {
      const set = setAt(fieldsV1 as Tree, live, pointer.slice(0, depth));
      return set !== undefined && (depth === pointer.length || Object.keys(set).length === 0);
    });
    if (owners.length > 0) return owners.map(({ manager: name = "" }) => name);
  }
  return [];
}

function names(key: string, member: unknown): boolean {
  const wanted = JSON.parse(key.slice(2)) as Record<string, unknown>;
  return isTree(member) && Object.entries(wanted).every(([field, value]) => isSame((member as Record<string, unknown>)[field], value));
}

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null;
const isPlace = (list: unknown[], part: string) => /^(0|[1-9]\d*)$/.test(part) && Number(part) < list.length;

function at(from: unknown, pointer: string[]): unknown {
  let value = from;
  for (const part of pointer) {
    if (!isTree(value) || (Array.isArray(value) ? !isPlace(value, part) : !Object.hasOwn(value, part))) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

function remove(from: Tree, pointer: string[]): void {
  const [parent, last] = [at(from, pointer.slice(0, -1)), pointer.at(-1) ?? ""];
  if (Array.isArray(parent)) {
    if (isPlace(parent, last)) parent.splice(Number(last), 1);
  } else if (isTree(parent)) delete (parent as Record<string, unknown>)[last];
}

/** Missing objects on the way are made; a list's members are not. */
function put(into: Tree, pointer: string[], value: unknown): void {
  let parent: Tree = into;
  for (const part of pointer.slice(0, -1)) {
    const next = at(parent, [part]);
    if (isTree(next)) parent = next;
    else if (next !== undefined || Array.isArray(parent)) return;
    else {
      const made = {};
      define(parent, part, made);
      parent = made;
    }
  }
  const last = pointer.at(-1) ?? "";
  if (!Array.isArray(parent)) define(parent, last, structuredClone(value));
  else if (isPlace(parent, last)) parent[Number(last)] = structuredClone(value);
}

// A plain assignment to `__proto__` would change what the object is.
const define = (object: Record<string, unknown>, field: string, value: unknown): void =>
  void Object.defineProperty(object, field, { value, writable: true, enumerable: true, configurable: true });

const isSame = (a: unknown, b: unknown): boolean => a === b || canonical(a) === canonical(b);

const canonical = (value: unknown): string | undefined =>
  JSON.stringify(value, (_, inner: unknown) =>
    isTree(inner) && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner) as string | undefined;
