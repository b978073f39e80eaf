/**
 * How the feed calls objects that units applied, and their kinds: by inventory id and `<group>/<Kind>` where they are a
 * Kustomization's, and behind the kind of the unit where they are another's. One object may carry the labels of both.
 */
import type { UnitKind } from "#machines/rules/applier.ts";

const sign = "helmrelease:";

/** @param name an inventory id, `<group>/<Kind>`, or a group */
export const namedFor = (unit: UnitKind, name: string): string => (unit === "helmrelease" ? sign + name : name);

export const readName = (text: string): { unit: UnitKind; name: string } =>
  text.startsWith(sign) ? { unit: "helmrelease", name: text.slice(sign.length) } : { unit: "kustomization", name: text };
