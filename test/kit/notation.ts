/** Signatures of notation, made by its own library (notation-signer/): whoever vouches for whom is made on the spot. */
import { readFile } from "node:fs/promises";
import { WasmModule } from "#services/render/module.ts";
import { buildWasm, type WasmProgram } from "#services/render/wasm-file.ts";
import { ociManifest, sha256, type LocalRegistry } from "../../deploy/local/registry.ts";

const program: WasmProgram = {
  title: "notation's signer", name: "notation-signer", variable: "FLOTILLA_NOTATION_SIGNER_WASM",
  source: new URL("./notation-signer/", import.meta.url),
  edits: async () => [],
};

/** A certificate and its key, in PEM. */
export type Pair = { certificate: string; key: string };
/** Of a manifest. */
export type Described = { mediaType: string; digest: string; size: number };
export type Validity = { from?: Date; to?: Date };

export const envelopes = { jws: "application/jose+json", cose: "application/cose" };
const signatureType = "application/vnd.cncf.notary.signature";
const hourMs = 3_600_000;
/** From now. */
export const hours = (count: number): Date => new Date(Date.now() + count * hourMs);

export class Notary {
  private readonly module: Signer;
  private serial = 0;

  private constructor(module: Signer) {
    this.module = module;
  }

  static async open(): Promise<Notary> {
    const { path } = await buildWasm(() => {}, process.env, program);
    return new Notary(new Signer(await WebAssembly.compile(new Uint8Array(await readFile(path))), 256 * 2 ** 20, { chance: true }));
  }

  authority(name: string, { from = hours(-10_000), to = hours(10_000) }: Validity = {}): Pair {
    return this.module.ask({ certificate: { name, from, to, serial: ++this.serial } });
  }

  /** @param servers who is to be asked what became of it */
  signer(issuer: Pair, name: string, { from = hours(-1_000), to = hours(1_000), ...servers }: Validity & { serial?: number; ocsp?: string; crl?: string; clock?: boolean } = {}): Pair {
    return this.module.ask({ certificate: { name, from, to, issuer, serial: ++this.serial, ...servers } });
  }

  sign(artifact: Described, chain: Pair[], { format = "jws", at = new Date(), ...more }: { format?: keyof typeof envelopes; at?: Date; expiry?: Date; clock?: Pair[] } = {}): Buffer {
    const { blob } = this.module.ask<{ blob: string }>({ sign: { mediaType: envelopes[format], artifact, chain, at, ...more } });
    return Buffer.from(blob, "base64");
  }

  /** An answer of OCSP, or a list of revoked certificates. */
  status(issuer: Pair, serial: number, { revoked = false, list = false } = {}): Buffer {
    return Buffer.from(this.module.ask<{ blob: string }>({ status: { issuer, serial, revoked, list } }).blob, "base64");
  }
}

class Signer extends WasmModule {
  ask<Made>(request: object): Made {
    const made = JSON.parse(Buffer.from(this.call(this.exports.call, JSON.stringify(request))).toString()) as Made & { error?: string };
    if (made.error !== undefined) throw new Error(made.error);
    return made;
  }
}

/** Leaves signatures where `notation sign` does: as referrers, here in the list under a tag. @returns the list */
export async function attachEnvelopes(registry: LocalRegistry, name: string, subject: Described, signatures: { mediaType: string; blob: Buffer }[]): Promise<object> {
  const config = { mediaType: signatureType, digest: await registry.pushBlob(name, Buffer.from("{}")), size: 2 };
  const manifests = [];
  for (const { mediaType, blob } of signatures) {
    const manifest = { schemaVersion: 2, mediaType: ociManifest, config, layers: [{ mediaType, digest: await registry.pushBlob(name, blob), size: blob.length }], subject };
    const digest = await registry.pushManifest(name, undefined, ociManifest, manifest);
    manifests.push({ mediaType: ociManifest, digest, size: JSON.stringify(manifest).length, artifactType: signatureType });
  }
  const index = { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests };
  await registry.pushManifest(name, subject.digest.replace(":", "-"), index.mediaType, index);
  return index;
}

/** What a registry says of a manifest that was pushed to it. */
export const described = (manifest: object): Described => {
  const bytes = Buffer.from(JSON.stringify(manifest));
  return { mediaType: ociManifest, digest: sha256(bytes), size: bytes.length };
};

/** A Secret for spec.verify.secretRef. */
export const trustSecret = (authorities: Pair[], { level = "strict", override, identities = ["*"], stores = ["ca:shop"], scopes = ["*"], verifyTimestamp }: TrustOptions = {}): Record<string, string> => ({
  "trustpolicy.json": JSON.stringify({
    version: "1.0",
    trustPolicies: [{
      name: "shop", registryScopes: scopes, signatureVerification: { level, ...(override && { override }), ...(verifyTimestamp && { verifyTimestamp }) },
      ...(level !== "skip" && { trustStores: stores, trustedIdentities: identities }),
    }],
  }),
  ...Object.fromEntries(authorities.map(({ certificate }, i) => [`ca${i}.crt`, certificate])),
});

export type TrustOptions = { level?: "strict" | "permissive" | "audit" | "skip"; override?: Record<string, string>; identities?: string[]; stores?: string[]; scopes?: string[]; verifyTimestamp?: string };
