/** Whom the public Sigstore vouches by: fetched over TUF, kept for a day. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TrustMaterial } from "@sigstore/verify";
import { NotGood } from "./signed.ts";

const keptMs = 24 * 3_600_000;
/** So often it is tried while the repository cannot be reached, whoever asks, as in Flux. */
const retryMs = 60_000;

export type PublicRootOptions = { mirrorURL?: string };

/** One for a worker. */
export class PublicRoot {
  private readonly options: PublicRootOptions;
  private fetched: { at: number; root: Promise<TrustMaterial> } | undefined;

  constructor(options: PublicRootOptions = {}) {
    this.options = options;
  }

  /** @throws NotGood when it cannot be had */
  get(nowMs = Date.now()): Promise<TrustMaterial> {
    if (this.fetched && nowMs - this.fetched.at < keptMs) return this.fetched.root;
    const fetched = { at: nowMs, root: this.fetch() };
    this.fetched = fetched;
    fetched.root.catch(() => (fetched.at = nowMs - keptMs + retryMs));
    return fetched.root;
  }

  private async fetch(): Promise<TrustMaterial> {
    try {
      const [{ getTrustedRoot }, { toTrustMaterial }] = await Promise.all([import("@sigstore/tuf"), import("@sigstore/verify")]);
      // Of our own: whoever could write there could say who is trusted.
      const cachePath = await mkdtemp(join(tmpdir(), "flotilla-sigstore-"));
      return toTrustMaterial(await getTrustedRoot({ ...this.options, cachePath, timeout: 10_000, retry: { retries: 1 } }));
    } catch {
      throw new NotGood("the trusted root of the public Sigstore could not be fetched: let the worker reach tuf-repo-cdn.sigstore.dev, or name a Secret with it in spec.verify.trustedRootSecretRef");
    }
  }
}
