/** Every source kind: one line each. The worker finds a kind's effects here by the kind of an actor's key. */
import type { z } from "zod";
import { gitRepository as gitRepositoryApi } from "#protocol/api/git-repository.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId } from "#protocol/names/actor.ts";
import type { SourceCall, SourceKind } from "./define.ts";
import { gitRepository } from "./git/git.ts";

/** A kind whose spec is read by its own schema, so that whoever calls it need not know the spec's type. */
export type AnySource = SourceKind<unknown>;

/** By lower-case kind, as in ActorKey. */
export const sources: Readonly<Record<string, AnySource>> = Object.fromEntries([
  entry(gitRepositoryApi, gitRepository), //
]);

function entry<Schema extends z.ZodType>(
  api: { kind: string; spec: Schema },
  source: SourceKind<z.output<Schema>>,
): [string, AnySource] {
  if (api.kind !== source.kind) throw new RangeError(`${source.kind} under the schema of ${api.kind}`);
  const read = <Call extends SourceCall<unknown>>(call: Call) => {
    const { success, data } = api.spec.safeParse(call.spec);
    if (!success) throw new Fault("InvalidObject", actorId(call.key), { detail: "spec does not fit its schema" });
    return { ...call, spec: data };
  };
  return [
    source.kind.toLowerCase(),
    {
      kind: source.kind,
      resolve: async (call) => source.resolve(read(call)),
      fetch: async (call) => source.fetch(read(call)),
    },
  ];
}
