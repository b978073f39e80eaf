/** The trees used lately, by digest of their artifact. Many units share one source: it is loaded and unpacked once. */
import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { Fault } from "#protocol/errors/fault.ts";
import type { Tree } from "./tree.ts";
import { unpack, unpackLimits, type UnpackLimits } from "./unpack.ts";

/** `digest` is an artifact's own, e.g. `sha256:<hex>`; the bytes are checked against it. */
export type ArtifactHandle = { digest: string; load(): Promise<Uint8Array> };

export class TreeCache {
  private readonly trees: LRUCache<string, Tree>;
  private readonly pending = new Map<string, Promise<Tree>>();
  private readonly limits: UnpackLimits;

  constructor(maxBytes: number, limits: UnpackLimits = unpackLimits) {
    this.trees = new LRUCache({ maxSize: maxBytes, sizeCalculation: ({ sizeBytes }) => Math.max(1, sizeBytes) });
    this.limits = limits;
  }

  /** @throws Fault ArtifactCorrupt; and whatever `load` throws */
  async get(artifact: ArtifactHandle): Promise<Tree> {
    const kept = this.trees.get(artifact.digest);
    if (kept) return kept;
    const under = this.pending.get(artifact.digest);
    if (under) return under;
    const loading = this.load(artifact).finally(() => this.pending.delete(artifact.digest));
    this.pending.set(artifact.digest, loading);
    return loading;
  }

  private async load({ digest, load }: ArtifactHandle): Promise<Tree> {
    const archive = await load();
    const [algorithm = "", expected] = digest.split(":");
    if (!algorithms.has(algorithm))
      throw new Fault("ArtifactCorrupt", digest, { detail: "a digest of an unknown kind" });
    if (hash(algorithm, archive) !== expected)
      throw new Fault("ArtifactCorrupt", digest, { detail: "the artifact's bytes do not match its digest" });
    const tree = await unpack(archive, digest, this.limits);
    this.trees.set(digest, tree);
    return tree;
  }
}

const algorithms = new Set(["sha256", "sha384", "sha512"]);
