/** The values of a release: written in the object, and read from ConfigMaps and Secrets of its own namespace (flux.md 2.7.1). */
import type { HelmRelease } from "#protocol/api/helm-release.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { DataObject, DataRef } from "#services/cluster/objects.ts";
import type { ValuesRequest, ValuesSource } from "#services/render/helm/types.ts";

type From = NonNullable<HelmRelease["spec"]["valuesFrom"]>[number];

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @param data the object as it is now; undefined when there is none @throws Fault ValuesMissing, ValuesInvalid */
export async function valuesOf(
  { values, valuesFrom = [] }: Pick<HelmRelease["spec"], "values" | "valuesFrom">, namespace: string, data: (ref: DataRef) => Promise<DataObject | undefined>,
): Promise<ValuesRequest> {
  const found = await Promise.all(valuesFrom.map((from) => read(from, namespace, data)));
  return { sources: found.flatMap((source) => source ?? []), inline: inlineOf(values) };
}

const inlineOf = (values: unknown): Record<string, unknown> | undefined =>
  (typeof values === "object" && values !== null && !Array.isArray(values) ? (values as Record<string, unknown>) : undefined);

async function read({ kind, name, valuesKey = "values.yaml", targetPath, literal, optional = false }: From, namespace: string, data: (ref: DataRef) => Promise<DataObject | undefined>): Promise<ValuesSource | undefined> {
  const subject = `${kind} ${namespace}/${name}, key ${valuesKey}`;
  const object = await data({ kind, namespace, name });
  const bytes = object?.data[valuesKey];
  if (!bytes) {
    // Only the object may be missing: one without its key was written wrongly (fluxcd/pkg chartutil).
    if (optional && !object) return undefined;
    throw new Fault("ValuesMissing", subject, { detail: object ? `missing key '${valuesKey}' in ${kind} '${namespace}/${name}'` : `could not find ${kind} '${namespace}/${name}'` });
  }
  return { text: textOf(bytes, subject), subject, ...(targetPath && { targetPath }), ...(literal && { literal }), ...(kind === "Secret" && { secret: true }) };
}

function textOf(bytes: Uint8Array, subject: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Fault("ValuesInvalid", subject, { detail: "it is not UTF-8 text" });
  }
}
