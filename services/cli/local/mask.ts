/** What people must not read in an object: data of Secrets, whatever was decrypted, and values of Secrets wherever they stand. */
import { groupOf } from "#machines/rules/inventory.ts";
import { withoutValues } from "#services/worker/effects/redaction.ts";

type Named = { apiVersion: string; kind: string };

const mask = "*****";
/** Flux's own word for what SOPS protects. */
const sealedMask = "**SOPS**";
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

/** @param secret the object may hold what was decrypted, anywhere */
export function isHidden(path: readonly string[], { apiVersion, kind }: Named, secret: boolean): boolean {
  const [top, field = "", key] = path;
  const isSecret = kind === "Secret" && groupOf(apiVersion) === "";
  if (isSecret && (top === "data" || top === "stringData" || (field === "annotations" && key === lastApplied))) return true;
  if (!secret || top === "apiVersion" || top === "kind" || (isSecret && top === "type")) return false;
  return !(top === "metadata" && ["name", "namespace", "labels"].includes(field));
}

/** A copy that may be shown. */
export function masked<T extends Named>(object: T, secret: boolean, confidential: readonly string[]): T {
  return eachLeaf(object, [], (path, leaf) => (isHidden(path, object, secret) ? (secret ? sealedMask : mask) : shownValue(leaf, confidential))) as T;
}

/** A value that is not hidden, but may be, or hold, one of a Secret. */
export function shownValue(value: unknown, confidential: readonly string[]): unknown {
  return eachLeaf(value, [], (_, leaf) => {
    if (typeof leaf === "string") return withoutValues(leaf, confidential);
    return typeof leaf === "number" && `${leaf}`.length >= 4 && confidential.includes(`${leaf}`) ? mask : leaf;
  });
}

/** A copy in which every value that has no parts is another. */
export function eachLeaf(value: unknown, path: string[], of: (path: string[], leaf: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map((member, at) => eachLeaf(member, [...path, `${at}`], of));
  if (typeof value !== "object" || value === null || isRawJson(value)) return of(path, value);
  return Object.fromEntries(Object.entries(value).map(([field, inner]) => [field, eachLeaf(inner, [...path, field], of)]));
}

/** An integer beyond 2^53 (services/render/json.ts). */
export const isRawJson = (value: unknown): value is { rawJSON: string } => (JSON as unknown as { isRawJSON(value: unknown): boolean }).isRawJSON(value);
