/**
 * The variables of spec.postBuild: written in the object, and read from ConfigMaps and Secrets of its own namespace, by the
 * worker itself as Flux does (flux.md 2.6.3). Their contents go to the renderer and nowhere else.
 */
import type { Kustomization } from "#protocol/api/kustomization.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { DataObject, DataRef } from "#services/cluster/objects.ts";
import type { Substitution, Variables } from "#services/render/substitution.ts";
import { referenceId } from "../references.ts";

export type VariablePorts = {
  /** The ConfigMap or Secret as it is now; undefined when there is none. */
  data(ref: DataRef): Promise<DataObject | undefined>;
  /** Versions of those that are watched, by `referenceId`: they need not be read to know whether they changed. */
  watched: Readonly<Record<string, string>>;
  /** For digests of objects with values from Secrets. */
  digestKey(): Promise<Uint8Array>;
};

type PostBuild = NonNullable<Kustomization["spec"]["postBuild"]>;
type From = NonNullable<PostBuild["substituteFrom"]>[number];

/** Undefined: nothing is to be substituted. @throws Fault VariablesMissing when something that is not optional is missing */
export async function substitutionOf(
  postBuild: PostBuild | undefined, namespace: string, { strict }: { strict: boolean }, { data, watched, digestKey }: VariablePorts,
): Promise<Substitution | undefined> {
  const { substitute = {}, substituteFrom = [], substituteStrategy } = postBuild ?? {};
  const always = substituteStrategy === "Always";
  if (!always && substituteFrom.length === 0 && Object.keys(substitute).length === 0) return undefined;

  async function read(from: From): Promise<DataObject | undefined> {
    const name = `${from.kind}/${from.name}`;
    const found = await data({ kind: from.kind, namespace, name: from.name }).catch((thrown: unknown) => {
      const { code, detail, message } = Fault.from(thrown, name);
      if (code === "ClusterUnreachable") throw thrown;
      throw failure(name, detail ?? message);
    });
    if (!found && !from.optional) throw failure(name, `not found in namespace ${namespace}`);
    return found;
  }

  // What is watched is read only when there is something to build; the rest at each run, as Flux does.
  const sources = await Promise.all(substituteFrom.map(async (from) => {
    const version = watched[referenceId({ kind: from.kind, namespace, name: from.name })];
    const found = version === undefined ? await read(from) : undefined;
    return { from, version: version ?? found?.version ?? absent, found };
  }));
  const versionOf = (versions: string[]) => [substitute, ...versions];
  return {
    version: versionOf(sources.map(({ version }) => version)), always, strict,
    // By the reference, not by what is found: one that comes and goes must not make every digest another.
    ...(substituteFrom.some(({ kind }) => kind === "Secret") && { digestKey: await digestKey() }),
    async read(): Promise<Variables> {
      const found = await Promise.all(sources.map(({ from, version, found: known }) => (known || version === absent ? known : read(from))));
      const fromSecrets = found.filter((_, i) => substituteFrom[i]?.kind === "Secret");
      return {
        values: valuesOf(found, substitute),
        confidential: Object.values(valuesOf(fromSecrets, {})),
        version: versionOf(found.map((each) => each?.version ?? absent)),
      };
    },
  };
}

const absent = "absent";

/** A later object wins over an earlier, and what is written in the object over all. */
function valuesOf(found: (DataObject | undefined)[], substitute: Record<string, string>): Record<string, string> {
  const read = found.flatMap((each) => Object.entries(each?.data ?? {})).flatMap(([name, bytes]) => {
    const text = textOf(bytes);
    return text === undefined ? [] : [[name, text] as const];
  });
  return Object.fromEntries([...read, ...Object.entries(substitute)].map(([name, value]) => [name, value.replaceAll("\n", "")]));
}

/** What is no text is no variable: its bytes would not come through. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const failure = (name: string, why: string) => new Fault("VariablesMissing", "post build failed", { detail: `substitute from '${name}' error: ${why}` });
