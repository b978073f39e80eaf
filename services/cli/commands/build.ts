import { Document } from "yaml";
import type { KubeObject } from "#services/render/objects.ts";
import type { Cluster } from "../cluster.ts";
import type { Action, Call } from "../command.ts";
import { exitCodes } from "../failure.ts";
import { build as buildUnit, keyOf } from "../local/build.ts";
import { isRawJson, masked } from "../local/mask.ts";
import { buildRelease, namesRelease, releaseKeyOf } from "../local/release.ts";

/** Prints what a unit would be, built of files on this machine. */
export const build: Action = async (call) => {
  const { words, options, shell } = call;
  const isRelease = namesRelease(words);
  if (isRelease) releaseKeyOf(call);
  else keyOf(call);
  const cluster = options.dryRun ? undefined : await shell.openCluster(options);
  try {
    const shown = await (isRelease ? shownRelease : shownUnit)(call, cluster);
    shell.print(options.json ? `${JSON.stringify(shown, null, 2)}\n` : shown.map((object) => `---\n${yamlOf(object)}`).join(""));
    return exitCodes.ok;
  } finally {
    await cluster?.close();
  }
};

async function shownUnit(call: Call, cluster: Cluster | undefined): Promise<KubeObject[]> {
  const { objects, confidential } = await buildUnit(call, cluster, new AbortController().signal);
  return objects.map(({ object, secret = false }) => masked(withoutStamp(object), secret, confidential));
}

async function shownRelease(call: Call, cluster: Cluster | undefined): Promise<KubeObject[]> {
  const { next: { definitions: { objects, policy }, manifest }, hooks, confidential } = await buildRelease(call, cluster, new AbortController().signal);
  return [...(policy === "Skip" ? [] : objects), ...manifest, ...hooks].map((object) => masked(withoutStamp(object), false, confidential));
}

/** Go's empty time, which some kinds carry, says nothing. */
function withoutStamp(object: KubeObject): KubeObject {
  const { creationTimestamp, ...metadata } = object.metadata;
  return creationTimestamp === null ? { ...object, metadata: metadata as KubeObject["metadata"] } : object;
}

/** Quotes what another reader of YAML might take for something else, such as `yes`. */
function yamlOf(object: unknown): string {
  const exact = (value: unknown): unknown => {
    if (isRawJson(value)) return BigInt(value.rawJSON);
    if (Array.isArray(value)) return value.map(exact);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([field, inner]) => [field, exact(inner)]));
  };
  return new Document(exact(object), { aliasDuplicateObjects: false, compat: "yaml-1.1" }).toString({ lineWidth: 0 });
}
