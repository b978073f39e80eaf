/** What a source in the cluster offers: the very archive that its consumers take. */
import { hash } from "node:crypto";
import { artifact } from "#protocol/api/artifact.ts";
import { download } from "#services/clients/http/download.ts";
import { printable } from "#services/telemetry/waterfall/format.ts";
import type { Cluster, ObjectName } from "../cluster.ts";
import { Failure, sentenceOf } from "../failure.ts";
import { resourceKinds } from "../resources.ts";

export type Offered = { bytes: Uint8Array; digest: string; revision: string };

const mostBytes = 64 * 1024 * 1024;

/**
 * @param what `the chart`, for a message
 * @param instead `give the chart with --path`: what else there is to do
 * @returns undefined when there is no such source
 * @throws Failure that says what to do instead
 */
export async function offeredBy(kind: string, name: ObjectName, { what, why, instead }: { what: string; why: string; instead: string }, cluster: Pick<Cluster, "get">, signal: AbortSignal): Promise<Offered | undefined> {
  const shown = `${kind}/${name.namespace}/${name.name}`;
  const known = resourceKinds.find((each) => each.kind === kind);
  const source = known && (await cluster.get(known, name));
  if (!source) return undefined;
  const { data: offered } = artifact.safeParse(source.status?.artifact);
  if (!offered || !URL.canParse(offered.url)) throw new Failure(`${shown} has no artifact: ${why} says why; or ${instead}`);
  const url = new URL(offered.url);
  const { bytes = new Uint8Array() } = await download({ url, shown: `${url.origin}${url.pathname}`, peer: { identity: "" }, home: url.origin, maxBytes: mostBytes, signal }).catch((cause: unknown) => {
    throw new Failure(`${what} of ${shown} cannot be fetched from where the worker offers it (${sentenceOf(cause)}): forward that address, or ${instead}`, { cause });
  });
  if (`sha256:${hash("sha256", bytes)}` !== offered.digest) throw new Failure(`what ${printable(offered.url)} gives is not the artifact of ${shown}: its digest is another`);
  return { bytes, digest: offered.digest, revision: offered.revision };
}
