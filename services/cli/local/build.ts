/** Builds a unit from a directory on this machine, by what its worker does: the same variables, keys, checks and words. */
import { randomBytes } from "node:crypto";
import { objectIdOf } from "#machines/rules/inventory.ts";
import { compareIds, stageNames, stageOf } from "#machines/rules/order.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { nothingOpened, type Decryption } from "#services/render/decryption.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import { decryptionOf } from "#services/worker/effects/decryption.ts";
import { kustomizeSpec, refuseDoubles } from "#services/worker/effects/unit-object.ts";
import { substitutionOf } from "#services/worker/effects/variables.ts";
import { featureGates } from "#services/worker/feature-gates.ts";
import type { Cluster } from "../cluster.ts";
import type { Call } from "../command.ts";
import { Misuse } from "../failure.ts";
import { namespaceOf } from "../namespace.ts";
import { selectOne } from "../resources.ts";
import { artifactOf, placeOf } from "./directory.ts";
import { unitOf, type Unit } from "./unit.ts";

export type Built = {
  key: { kind: "kustomization"; namespace: string; name: string };
  unit: Unit;
  /** In the order in which they are applied. */
  objects: RenderedObject[];
  /** Values of Secrets that may stand anywhere in the objects. */
  confidential: readonly string[];
};

/** @param cluster undefined: none is asked @throws Failure, and what a worker would say */
export async function build({ words, options, shell }: Call, cluster: Cluster | undefined, signal: AbortSignal): Promise<Built> {
  const key = keyOf({ words, options, shell });
  const place = await placeOf(options.path ?? "", options.root);
  const unit = await unitOf(key, options.kustomizationFile, cluster);
  const { spec } = unit;
  if (!cluster) tellAbsent(unit, shell.say);
  const artifact = await artifactOf(place.root, (options.ignorePaths ?? "").split(",").filter(Boolean));
  // Without the variables of ConfigMaps and Secrets, most builds lack some.
  const strict = options.strictSubstitute ?? (featureGates.StrictPostBuildSubstitutions && (cluster !== undefined || !spec.postBuild?.substituteFrom?.length));
  const postBuild = cluster ? spec.postBuild : spec.postBuild && { ...spec.postBuild, substituteFrom: [] };
  const substitution = await substitutionOf(postBuild, key.namespace, { strict }, { data: async (ref) => cluster?.data(ref), watched: {}, digestKey: async () => randomBytes(32) });
  const builder = await shell.openBuilder();
  try {
    const secret = async (namespace: string, name: string) => {
      const found = await cluster?.data({ kind: "Secret", namespace, name });
      if (!found) throw new Fault("SecretMissing", `Secret/${namespace}/${name}`, { detail: "not found" });
      return found.data;
    };
    const decryption = cluster ? decryptionOf(key, spec, { decryptor: builder.decryptor, secret }) : spec.decryption && sealed;
    const rendered = await builder.renderer.render({ artifact, path: place.path, spec: kustomizeSpec(spec), decryption, ...(substitution && { substitution }) }, signal);
    if (rendered.unchanged) throw new Error("a first build cannot be unchanged");
    refuseDoubles(rendered.objects, key);
    return { key, unit, objects: inApplyOrder(rendered.objects), confidential: rendered.confidential };
  } finally {
    await builder.close();
  }
}

/** @throws Misuse before anything is asked */
export function keyOf({ words, options, shell }: Call): Built["key"] {
  const { kind, names: [name, more] } = selectOne(words, "build kustomization <name> --path <dir>");
  if (kind.kind !== "Kustomization" || more !== undefined) throw new Misuse("what can be built is one kustomization or helmrelease: build kustomization <name>");
  if (!options.path) throw new Misuse("which directory? give it with --path <dir>");
  if (options.dryRun && options.kustomizationFile === undefined) throw new Misuse("--dry-run asks no cluster: give the Kustomization with --kustomization-file");
  return { kind: "kustomization", namespace: namespaceOf(options, shell), name };
}

function tellAbsent({ spec: { postBuild, decryption } }: Unit, say: (text: string) => void): void {
  const from = (postBuild?.substituteFrom ?? []).map(({ kind, name }) => `${kind}/${name}`);
  if (from.length > 0) say(`► no cluster is asked: the variables of ${from.join(", ")} count as absent`);
  if (decryption) say("► no cluster is asked: there are no keys, what is encrypted stays so");
}

/** Where no keys are: what is encrypted is as good as what it holds, as it is shown masked. */
const sealed: Decryption = {
  settings: null,
  openFiles: () => Promise.resolve(nothingOpened),
  openObjects: ({ objects }) =>
    Promise.resolve(objects.map((object) => {
      if (typeof object !== "object" || object === null || !("sops" in object)) return { object };
      const { sops: _, ...opened } = object;
      return { object: opened, digestKey: new Uint8Array(32) };
    })),
};

function inApplyOrder(objects: RenderedObject[]): RenderedObject[] {
  const named = objects.map((rendered) => ({ rendered, id: objectIdOf(rendered.object) }));
  return stageNames.flatMap((stage) => named.filter(({ id }) => stageOf(id) === stage).sort((a, b) => compareIds(a.id, b.id))).map(({ rendered }) => rendered);
}
