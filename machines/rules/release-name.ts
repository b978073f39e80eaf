/** Where a release lies and what it is called (flux.md 2.7.2). */
import type { ReleasePlace } from "#protocol/messages/release.ts";

type Spec = { releaseName?: string | undefined; targetNamespace?: string | undefined; storageNamespace?: string | undefined };

/** Helm's limit: the name goes into labels, with a suffix. */
const longestName = 53;
const keptCharacters = 40;
const hashCharacters = 12;

/** @param sha256Hex of a text, in hexadecimal digits */
export function releasePlace(key: { namespace: string; name: string }, spec: Spec, sha256Hex: (text: string) => string): ReleasePlace {
  const { targetNamespace } = spec;
  const full = spec.releaseName || (targetNamespace ? `${targetNamespace}-${key.name}` : key.name);
  const name = full.length > longestName ? `${full.slice(0, keptCharacters)}-${sha256Hex(full).slice(0, hashCharacters)}` : full;
  return { name, namespace: targetNamespace || key.namespace, storageNamespace: spec.storageNamespace || key.namespace };
}

/** The HelmChart that stands for `spec.chart`. */
export const helmChartName = ({ namespace, name }: { namespace: string; name: string }): string => `${namespace}-${name}`;
