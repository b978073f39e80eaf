/** spec.include: the artifacts of other GitRepositories of the namespace, copied into that of this one. */
import { gitRepository as api } from "#protocol/api/git-repository.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId } from "#protocol/names/actor.ts";
import { defineSource, type Changing, type FetchedSource, type HeldArtifact, type HeldSource, type Resolution, type SourceCall, type SourceKind } from "#services/sources/define.ts";
import { createGitRepository } from "./git.ts";
import type { Included } from "./lay-included.ts";
import { defaultLimits } from "./limits.ts";
import type { GitSpec } from "./reference.ts";

type Call = SourceCall<GitSpec>;
type Include = NonNullable<GitSpec["include"]>[number];

/** A Git repository that is given what it includes. */
export type PlainGitRepository = {
  kind: string;
  resolve(call: Call): Promise<string>;
  fetch(call: Call & { revision: string; included?: Included[] }): Promise<FetchedSource>;
  changing: Changing<GitSpec>;
};

/** Each is unpacked by itself, and its artifact goes into the status. */
const mostIncludes = 100;

export const including = (repository: PlainGitRepository, { packBytes } = defaultLimits): SourceKind<GitSpec, string | Resolution> =>
  defineSource<GitSpec, string | Resolution>({
    kind: repository.kind,
    changing: repository.changing,

    /** What is included is looked at first, as Flux does: without it nothing is asked of the server. */
    async resolve(call) {
      if (includesOf(call).length === 0) return repository.resolve(call);
      const held = await heldBy(call);
      return { revision: await repository.resolve(call), included: held.map(({ artifact }) => artifact.stored) };
    },

    async fetch(call) {
      const include = includesOf(call);
      if (include.length === 0) return { ...withObserved(await repository.fetch(call), null), included: [] };
      const held = await heldBy(call);
      const included = await allRead(held, packBytes, actorId(call.key));
      const fetched = await repository.fetch({ ...call, included });
      return { ...withObserved(fetched, include), included: held.map(({ artifact }) => artifact.stored) };
    },
  });

export const gitRepository = including(createGitRepository());

const includesOf = ({ spec }: Call): Include[] => spec.include ?? [];

const withObserved = (fetched: FetchedSource, observedInclude: Include[] | null): FetchedSource =>
  ({ ...fetched, observed: { ...fetched.observed, observedInclude } });

type Held = { include: Include; artifact: HeldArtifact };

/** As in spec.include, one for each. @throws Fault IncludeMissing, IncludeNotReady, IncludeCycle, SourceTooLarge */
async function heldBy(call: Call): Promise<Held[]> {
  const include = includesOf(call);
  const shown = actorId(call.key);
  if (include.length > mostIncludes) throw new Fault("SourceTooLarge", shown, { detail: `spec.include has more than ${mostIncludes} entries` });
  const sources = new Map<string, HeldSource>();
  for (const name of new Set(namesIn(call.spec))) if (name !== call.key.name) sources.set(name, await sourceNamed(name, call));
  await refuseCycle(sources, call);
  return include.map((each) => {
    const { name } = each.repository;
    const artifact = sources.get(name)?.artifact;
    if (!artifact) throw new Fault("IncludeNotReady", shown, { detail: `no artifact available for include '${name}'` });
    return { include: each, artifact };
  });
}

async function sourceNamed(name: string, { key, source }: Call): Promise<HeldSource> {
  if (!source) throw new Fault("Unexpected", actorId(key), { detail: "no other sources are at hand" });
  return source({ kind: api.kind, name }).catch((error: unknown) => {
    if (!(error instanceof Fault) || error.code !== "SourceMissing") throw error;
    throw new Fault("IncludeMissing", actorId(key), { detail: `could not get resource for include '${name}': not found` });
  });
}

/** One that is included in itself, by whatever way round, would grow with each look. @throws Fault IncludeCycle */
async function refuseCycle(sources: Map<string, HeldSource>, { key, spec, siblings }: Call): Promise<void> {
  const isNested = [...sources.values()].some((each) => namesIn(each.spec).length > 0);
  const specs = new Map(isNested ? (await siblings?.(api.kind))?.map((each) => [each.name, each.spec]) : []);
  const met = new Set([key.name]);
  for (const name of met)
    for (const next of namesIn(name === key.name ? spec : specs.get(name))) {
      if (next === key.name) throw new Fault("IncludeCycle", actorId(key), { detail: `'${name}' includes it, and is a part of it` });
      met.add(next);
    }
}

const namesIn = (spec: unknown): string[] => (api.source?.madeFrom?.(spec) ?? []).map(({ name }) => name);

/** Each artifact is read once. @throws Fault IncludeFailed, SourceTooLarge, StorageFailed */
async function allRead(held: Held[], mostBytes: number, shown: string): Promise<Included[]> {
  const artifacts = new Map(held.map(({ artifact }) => [artifact.digest, artifact]));
  const sizeBytes = [...artifacts.values()].reduce((sum, { stored }) => sum + stored.sizeBytes, 0);
  if (sizeBytes > mostBytes) throw new Fault("SourceTooLarge", shown, { detail: `the included artifacts add up to more than ${mostBytes} bytes` });
  const archives = new Map<string, Uint8Array>();
  const included: Included[] = [];
  for (const { include: { repository: { name }, fromPath = "", toPath }, artifact } of held) {
    const archive = archives.get(artifact.digest) ?? (await artifact.read().catch((error: unknown) => {
      if (!(error instanceof Fault) || (error.code !== "ArtifactMissing" && error.code !== "ArtifactCorrupt")) throw error;
      throw new Fault("IncludeFailed", shown, { detail: `include '${name}': its artifact could not be read whole`, cause: error });
    }));
    archives.set(artifact.digest, archive);
    included.push({ name, archive, from: fromPath, to: toPath || name });
  }
  return included;
}
