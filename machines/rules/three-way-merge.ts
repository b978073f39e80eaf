/**
 * What an object becomes that is applied on the client's side: what left the manifest goes, what the manifest says counts,
 * and what only others set stays (kubectl apply; helm pkg/kube client.go, createPatch).
 */
import { groupOf, type KubeObject } from "./inventory.ts";

type Tree = Record<string, unknown>;

/** Groups whose lists have keys that every client knows; members of other lists are no individuals. */
const builtIn = new Set([
  "", "apps", "batch", "autoscaling", "policy",
  ...["admissionregistration", "apiextensions", "apiregistration", "certificates", "coordination", "discovery", "events", "flowcontrol.apiserver", "networking", "node", "rbac.authorization", "resource", "scheduling", "storage"].map((name) => `${name}.k8s.io`),
]);

/** The field by which members of a list are the same one (`patchMergeKey` in Kubernetes' types). */
const memberKeys: Record<string, string> = {
  containers: "name", initContainers: "name", ephemeralContainers: "name", env: "name", volumeMounts: "mountPath", volumeDevices: "devicePath",
  volumes: "name", imagePullSecrets: "name", hostAliases: "ip", topologySpreadConstraints: "topologyKey", resourceClaims: "name", schedulingGates: "name",
  ownerReferences: "uid", secrets: "name", webhooks: "name",
};

/**
 * @param before what was applied last; undefined when that is not known: then nothing goes
 * @param wanted what is applied now
 */
export function threeWayMerge(before: KubeObject | undefined, wanted: KubeObject, live: KubeObject): KubeObject {
  if (!builtIn.has(groupOf(wanted.apiVersion))) return changesOnly(before, wanted, live) as KubeObject;
  return merged(before, wanted, live, []) as KubeObject;
}

/** As a merge patch of the difference between two manifests: drift of what is the same in both stays, as with Helm. */
function changesOnly(before: unknown, wanted: unknown, live: unknown): unknown {
  if (!isTree(wanted) || !isTree(live)) return wanted;
  const result: Tree = { ...live };
  const old = isTree(before) ? before : undefined;
  for (const key of Object.keys(old ?? {})) if (!Object.hasOwn(wanted, key)) delete result[key];
  for (const [key, value] of Object.entries(wanted)) {
    const was = own(old, key);
    if (old !== undefined && same(was, value) && !isTree(value)) continue;
    set(result, key, changesOnly(was, value, own(live, key)));
  }
  return result;
}

function merged(before: unknown, wanted: unknown, live: unknown, path: string[]): unknown {
  if (isTree(wanted)) {
    if (!isTree(live)) return wanted;
    const result: Tree = { ...live };
    if (isTree(before)) for (const key of Object.keys(before)) if (!Object.hasOwn(wanted, key)) delete result[key];
    for (const [key, value] of Object.entries(wanted)) set(result, key, merged(own(before, key), value, own(live, key), [...path, key]));
    return result;
  }
  if (!Array.isArray(wanted) || !Array.isArray(live)) return wanted;
  const old = Array.isArray(before) ? before : [];
  if (path.at(-1) === "finalizers") return [...wanted, ...live.filter((each) => !wanted.includes(each) && !old.includes(each))];
  const key = memberKeyAt(path);
  return key === undefined ? wanted : mergedLists(old, wanted, live, key, path);
}

function mergedLists(before: unknown[], wanted: unknown[], live: unknown[], key: string, path: string[]): unknown[] {
  const named = (list: unknown[]) => new Map(list.map((member) => [own(member, key), member]));
  const [old, are] = [named(before), named(live)];
  const names = new Set(wanted.map((member) => own(member, key)));
  const theirs = live.filter((member) => !names.has(own(member, key)) && !old.has(own(member, key)));
  return [...wanted.map((member) => merged(old.get(own(member, key)), member, are.get(own(member, key)), [...path, "*"])), ...theirs];
}

function memberKeyAt(path: string[]): string | undefined {
  const name = path.at(-1) ?? "";
  if (name !== "ports") return Object.hasOwn(memberKeys, name) ? memberKeys[name] : undefined;
  return path.some((part) => part === "containers" || part === "initContainers") ? "containerPort" : path.length === 2 ? "port" : undefined;
}

/** RFC 7396: what makes the second of the first; undefined when they are the same. */
export function mergePatch(from: Tree, to: Tree): Tree | undefined {
  const patch: Tree = {};
  for (const key of Object.keys(from)) if (!Object.hasOwn(to, key)) set(patch, key, null);
  for (const [key, value] of Object.entries(to)) {
    const was = own(from, key);
    const part = isTree(was) && isTree(value) ? mergePatch(was, value) : same(was, value) ? undefined : value;
    if (part !== undefined) set(patch, key, part);
  }
  return Object.keys(patch).length > 0 ? patch : undefined;
}

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null && !Array.isArray(value);

const own = (from: unknown, key: string): unknown => (isTree(from) && Object.hasOwn(from, key) ? from[key] : undefined);

// A plain assignment to `__proto__` would change what the object is.
const set = (object: Tree, key: string, value: unknown): void => void Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });

function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, index) => same(each, b[index]));
  if (!isTree(a) || !isTree(b)) return a === b;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}
