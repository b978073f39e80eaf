/** Every source kind: one line each. The worker finds a kind's effects here by the kind of an actor's key. */
import type { z } from "zod";
import { bucket as bucketApi } from "#protocol/api/bucket.ts";
import { externalArtifact as externalArtifactApi } from "#protocol/api/external-artifact.ts";
import { gitRepository as gitRepositoryApi } from "#protocol/api/git-repository.ts";
import { helmChart as helmChartApi } from "#protocol/api/helm-chart.ts";
import { helmRepository as helmRepositoryApi } from "#protocol/api/helm-repository.ts";
import { ociRepository as ociRepositoryApi } from "#protocol/api/oci-repository.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId } from "#protocol/names/actor.ts";
import { bucket } from "./bucket/bucket.ts";
import type { AnySource, Resolution, SourceCall, SourceKind } from "./define.ts";
import { externalArtifact } from "./external/external.ts";
import { gitRepository } from "./git/include.ts";
import { helmChart } from "./helm/helm-chart.ts";
import { helmRepository } from "./helm/helm-repository.ts";
import { ociRepository } from "./oci/oci.ts";

/** By lower-case kind, as in ActorKey. */
export const sources: Readonly<Record<string, AnySource>> = Object.fromEntries([
  entry(gitRepositoryApi, gitRepository),
  entry(helmRepositoryApi, helmRepository),
  entry(helmChartApi, helmChart),
  entry(ociRepositoryApi, ociRepository),
  entry(bucketApi, bucket),
  entry(externalArtifactApi, externalArtifact),
]);

function entry<Schema extends z.ZodType>(
  api: { kind: string; spec: Schema },
  source: SourceKind<z.output<Schema>, string | Resolution>,
): [string, AnySource] {
  if (api.kind !== source.kind) throw new RangeError(`${source.kind} under the schema of ${api.kind}`);
  const read = <Call extends SourceCall<unknown>>(call: Call) => {
    const { success, data } = api.spec.safeParse(call.spec ?? {});
    if (!success) throw new Fault("InvalidObject", actorId(call.key), { detail: "spec does not fit its schema" });
    return { ...call, spec: data };
  };
  const { changing } = source;
  return [
    source.kind.toLowerCase(),
    {
      kind: source.kind,
      resolve: async (call) => source.resolve(read(call)),
      fetch: async (call) => source.fetch(read(call)),
      ...(changing && {
        changing: {
          ...changing,
          stand: async (call, ...rest) => changing.stand(read(call), ...rest),
          candidates: async (call, ...rest) => changing.candidates(read(call), ...rest),
          has: async (call, ...rest) => changing.has(read(call), ...rest),
          push: async (call, ...rest) => changing.push(read(call), ...rest),
        },
      }),
    },
  ];
}
