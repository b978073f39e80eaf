/** The values of a release: written in the object, and read from ConfigMaps, Secrets and files of sources (flux.md 2.7.1). */
import { mostValuesBytes, valuesPath } from "#machines/rules/values-file.ts";
import type { HelmRelease, ValuesReference } from "#protocol/api/helm-release.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { DataObject, DataRef } from "#services/cluster/objects.ts";
import type { ComposedValues, Helm, ValuesRequest, ValuesSource } from "#services/render/helm/types.ts";
import type { Tree } from "#services/render/tree.ts";
import { isData, sourceOfFile } from "../values-from.ts";

export type Spec = Pick<HelmRelease["spec"], "values" | "valuesFrom">;

export type ValuesPorts = {
  /** The object as it is now; undefined when there is none. */
  data(ref: DataRef): Promise<DataObject | undefined>;
  /** A source's artifact; undefined when there is no such source. */
  files(source: ActorKey): Promise<SourceFiles | undefined>;
};

export type SourceFiles = { tree: Pick<Tree, "files" | "isDirectory">; revision: string };

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws Fault ValuesMissing, ValuesInvalid; whatever the ports throw */
export async function composedValues(helm: Pick<Helm, "composeValues">, spec: Spec, release: Namespaced, ports: ValuesPorts, signal: AbortSignal): Promise<ComposedValues> {
  const request = await valuesOf(spec, release, ports);
  return helm.composeValues(request, signal).catch((thrown: unknown) => {
    throw unquoted(thrown, (spec.valuesFrom ?? []).filter((from) => !isData(from)).map((from) => fileSubject(from, release)));
  });
}

type Namespaced = Pick<ActorKey, "namespace">;

/** @throws Fault ValuesMissing, ValuesInvalid; whatever the ports throw */
export async function valuesOf({ values, valuesFrom = [] }: Spec, release: Namespaced, ports: ValuesPorts): Promise<ValuesRequest> {
  const found = await Promise.all(valuesFrom.map((from) => (isData(from) ? readData(from, release, ports) : readFile(from, release, ports))));
  return { sources: found.flatMap((source) => source ?? []), inline: inlineOf(values) };
}

/** A parser quotes what it read: of a file only the line is said. */
function unquoted(thrown: unknown, files: string[]): unknown {
  if (!(thrown instanceof Fault) || thrown.code !== "ValuesInvalid") return thrown;
  const { code, subject, detail = "" } = thrown;
  const file = files.find((each) => detail.startsWith(`${each}: `));
  if (file === undefined) return thrown;
  const [what = "", ...words] = detail.slice(file.length + 2).split(": ");
  const line = /\bline \d+/.exec(words.join(": "))?.[0];
  return new Fault(code, subject, { detail: [file, what, ...(line ? [line] : [])].join(": ") });
}

const inlineOf = (values: unknown): Record<string, unknown> | undefined =>
  (typeof values === "object" && values !== null && !Array.isArray(values) ? (values as Record<string, unknown>) : undefined);

async function readData(from: ValuesReference & { kind: DataRef["kind"] }, { namespace }: Namespaced, { data }: ValuesPorts): Promise<ValuesSource | undefined> {
  const { kind, name, valuesKey = "values.yaml", optional = false } = from;
  const subject = `${kind} ${namespace}/${name}, key ${valuesKey}`;
  const object = await data({ kind, namespace, name });
  const bytes = object?.data[valuesKey];
  if (!bytes) {
    // Only the object may be missing: one without its key was written wrongly (fluxcd/pkg chartutil).
    if (optional && !object) return undefined;
    throw new Fault("ValuesMissing", subject, { detail: object ? `missing key '${valuesKey}' in ${kind} '${namespace}/${name}'` : `could not find ${kind} '${namespace}/${name}'` });
  }
  return { ...sourceIn(bytes, subject, from), ...(kind === "Secret" && { secret: true }) };
}

const fileSubject = ({ kind, name, namespace, valuesKey = "" }: ValuesReference, release: Namespaced) => `${kind} ${namespace ?? release.namespace}/${name}, file ${valuesKey}`;

async function readFile(from: ValuesReference, release: Namespaced, { files }: ValuesPorts): Promise<ValuesSource | undefined> {
  const { kind, name, namespace = release.namespace, valuesKey, optional = false } = from;
  const meant = valuesPath(valuesKey);
  const subject = fileSubject(from, release);
  if ("wrong" in meant) throw new Fault("ValuesInvalid", subject, { detail: meant.wrong });
  const source = sourceOfFile(release, from);
  const found = source && (await files(source));
  const bytes = found?.tree.files.get(meant.path);
  if (!bytes) {
    if (found?.tree.isDirectory(meant.path)) throw new Fault("ValuesInvalid", subject, { detail: `it is a directory in ${found.revision}` });
    if (optional) return undefined;
    throw new Fault("ValuesMissing", subject, { detail: found ? `there is no such file in ${found.revision}` : `could not find ${kind} '${namespace}/${name}'` });
  }
  if (bytes.length > mostValuesBytes) throw new Fault("ValuesInvalid", subject, { detail: `it has ${bytes.length} bytes, more than the ${mostValuesBytes} that a file of values may have` });
  return sourceIn(bytes, subject, from);
}

const sourceIn = (bytes: Uint8Array, subject: string, { targetPath, literal }: ValuesReference): ValuesSource =>
  ({ text: textOf(bytes, subject), subject, ...(targetPath && { targetPath }), ...(literal && { literal }) });

function textOf(bytes: Uint8Array, subject: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Fault("ValuesInvalid", subject, { detail: "it is not UTF-8 text" });
  }
}
