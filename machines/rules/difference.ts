/** In which fields a live object is not as an apply would leave it; and how that is told without telling a secret. */
import { annotations } from "#protocol/api/annotations.ts";
import type { Difference } from "#protocol/messages/kustomization.ts";
import { othersOwning } from "./ignore.ts";
import type { KubeObject } from "./inventory.ts";

/** `wanted` or `is` undefined: not there. */
export type FieldDifference = { path: string[]; wanted: unknown; is: unknown };

/** What the server counts, who owns what, and the status are no difference. */
export const fieldDifferences = (live: KubeObject, wanted: KubeObject): FieldDifference[] => differences(comparable(live), comparable(wanted));

/** The smallest fields that differ; members of a list by their places. */
export function differences(is: unknown, wanted: unknown, path: string[] = []): FieldDifference[] {
  if (Array.isArray(is) && Array.isArray(wanted)) {
    const places = Array.from({ length: Math.max(is.length, wanted.length) }, (_, place) => place);
    return places.flatMap((place) => differences(is[place], wanted[place], [...path, String(place)]));
  }
  if (isRecord(is) && isRecord(wanted)) {
    const keys = [...new Set([...Object.keys(wanted), ...Object.keys(is)])];
    return keys.flatMap((key) => differences(own(is, key), own(wanted, key), [...path, key]));
  }
  return is === wanted ? [] : [{ path, wanted, is }];
}

/** Fields of a live object that an apply takes over from somebody, and therefore removes: nobody wants them. @param fields a set as in `managedFields` */
export function surplus(fields: object, live: unknown, wanted: unknown, path: string[] = []): FieldDifference[] {
  return Object.entries(fields as Record<string, object>).flatMap(([key, below]) => {
    if (!key.startsWith("f:") || !isRecord(live)) return [];
    const name = key.slice(2);
    const [is, want] = [own(live, name), isRecord(wanted) ? own(wanted, name) : undefined];
    if (is === undefined) return [];
    return want === undefined ? [{ path: [...path, name], wanted: undefined, is }] : surplus(below, is, want, [...path, name]);
  });
}

const mostFields = 8;
const longestValue = 40; // an event holds 1024 bytes
const mask = '"*****"';

export type Hiding = { /** The field manager of who tells. */ manager?: string; /** No value is told. */ secret: boolean; /** Takes known secrets out of a text. */ redact(text: string): string };

/** @param live with its `managedFields` */
export function told(id: string, live: KubeObject, found: FieldDifference[], { secret, redact, manager }: Hiding): Difference {
  const value = (given: unknown): string => {
    if (secret) return mask;
    const text = redact(JSON.stringify(given, (_, inner: unknown) => (typeof inner === "string" ? redact(inner) : inner)));
    return text.length > longestValue ? `${text.slice(0, longestValue)}…` : text;
  };
  const by = [...new Set(found.flatMap(({ path }) => othersOwning(live, path, manager)))].sort().join(", ");
  const fields = found.slice(0, mostFields).map(({ path, wanted, is }) => ({
    pointer: redact(pointerOf(path)), ...(wanted !== undefined && { wanted: value(wanted) }), ...(is !== undefined && { is: value(is) }),
  }));
  return { id, ...(by && { by }), fields, ...(found.length > mostFields && { more: found.length - mostFields }) };
}

/** RFC 6901. */
export const pointerOf = (path: string[]): string => path.map((part) => `/${part.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

function comparable({ status: _, apiVersion: __, kind: ___, metadata, ...rest }: KubeObject): object {
  const { [annotations.epoch]: ____, [annotations.fence]: _____, ...set } = metadata.annotations ?? {};
  return { ...rest, metadata: { labels: metadata.labels ?? {}, annotations: set } };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const own = (from: Record<string, unknown>, key: string): unknown => (Object.hasOwn(from, key) ? from[key] : undefined);
