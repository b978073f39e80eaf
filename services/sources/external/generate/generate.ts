/** From the artifacts of sources to new ones: meant for a thread of its own, because the archives are strangers'. */
import type { ArtifactGeneratorSpec } from "#protocol/api/artifact-generator.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { writeArchive } from "#services/sources/archive.ts";
import { ignoreRules } from "#services/sources/ignore.ts";
import { defaultLimits } from "#services/sources/oci/limits.ts";
import { unpack } from "#services/sources/oci/unpack.ts";
import { copyInto, type Files } from "./copy.ts";
import { requestsOf, type ArtifactRequest } from "./requests.ts";

export type GenerateJob = {
  spec: Pick<ArtifactGeneratorSpec, "artifacts" | "pathPattern">;
  /** The archive of each source, by its alias. */
  sources: [alias: string, archive: Uint8Array][];
  /** What it is about, for messages. */
  shown: string;
  limits?: GenerateLimits;
};

export type GenerateLimits = {
  /** Of all files of all artifacts, before they are packed. */
  bytes: number;
  entries: number;
};

const usualLimits: GenerateLimits = { bytes: 512 * 2 ** 20, entries: 500_000 };

export type Generated = Pick<ArtifactRequest, "name" | "revision" | "originRevision" | "labels"> & { archive: Uint8Array<ArrayBuffer> };

/** @throws Fault GenerateFailed, PathPatternInvalid, SourceTooLarge */
export async function generate({ spec, sources, shown, limits = usualLimits }: GenerateJob): Promise<Generated[]> {
  const failed = (error: unknown, what: string) => {
    if (error instanceof Fault && error.code !== "LayerInvalid") return error;
    if (error instanceof Fault || error instanceof RangeError) return new Fault("GenerateFailed", shown, { detail: `${what}: ${error instanceof Fault ? error.detail : error.message}` });
    return error;
  };
  const trees = new Map<string, Files>();
  for (const [alias, archive] of sources)
    trees.set(alias, await unpack(archive, defaultLimits, shown).catch((error: unknown) => { throw failed(error, `source ${alias}`); }));
  const made: Generated[] = [];
  let [bytes, entries] = [0, 0];
  for (const request of requestsOf(spec, trees, shown)) {
    const target: Files = { files: new Map(), directories: new Set() };
    for (const operation of request.copy) {
      const what = `artifact ${request.name}, copy from ${operation.from} to ${operation.to}`;
      await copyInto(target, operation, trees, { unpack: (archive, name) => unpack(archive, defaultLimits, name) }).catch((error: unknown) => { throw failed(error, what); });
      if (entries + target.files.size + target.directories.size > limits.entries) throw new Fault("SourceTooLarge", shown, { detail: `the artifacts have more than ${limits.entries} entries` });
    }
    const kept = keptOf(target);
    bytes += [...kept.values()].reduce((size, file) => size + file.bytes.length, 0);
    entries += kept.size;
    if (bytes > limits.bytes) throw new Fault("SourceTooLarge", shown, { detail: `the artifacts add up to more than ${limits.bytes} bytes` });
    const { name, revision, originRevision, labels } = request;
    const ignored = ignoreRules([]);
    const archive = await writeArchive([
      ...[...target.directories].filter((path) => !ignored(path.split("/"), true)).map((path) => ({ path, kind: "directory" as const })),
      ...[...kept].map(([path, file]) => ({ path, kind: file.executable ? "executable" as const : "file" as const, read: () => file.bytes })),
    ]);
    made.push({ name, labels, archive, ...(revision && { revision }), ...(originRevision && { originRevision }) });
  }
  return made;
}

/** Flux leaves out here, too, what it leaves out of every source by default. */
function keptOf({ files }: Files): Files["files"] {
  const ignored = ignoreRules([]);
  return new Map([...files].filter(([path]) => !ignored(path.split("/"), false)));
}
