/** A Sigstore of one's own, made on the spot: an authority, a log of certificates, a log of signatures; and signers, as cosign writes. */
import { createHash, createPublicKey, createSign, generateKeyPairSync, sign as signWith, type KeyObject } from "node:crypto";
import { der, ecdsaWithSha256, extension, named, sequence, time } from "./certificates.ts";

type KeyPair = { privateKey: KeyObject; publicKey: KeyObject };
const newKey = (): KeyPair => generateKeyPairSync("ec", { namedCurve: "P-256" });
const spki = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });
const sha256 = (bytes: Buffer | string): Buffer => createHash("sha256").update(bytes).digest();
const sign = (bytes: Buffer | string, key: KeyObject): Buffer => createSign("sha256").update(bytes).sign(key);
const uint = (value: number | bigint, bytes: number): Buffer => Buffer.from(BigInt(value).toString(16).padStart(bytes * 2, "0"), "hex");

/** Sorted keys, no spaces: RFC 8785, for what stands here. */
const canonical = (value: Record<string, unknown>): string => JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))));

export type Signer = { key: KeyObject; certificate: Buffer };
export type Signature = { annotations: Record<string, string>; payload: Buffer };

export const pemOf = (certificate: Buffer): string => `-----BEGIN CERTIFICATE-----\n${certificate.toString("base64")}\n-----END CERTIFICATE-----\n`;

const origin = "rekor.example.com";

export class Sigstore {
  private readonly authority = newKey();
  private readonly certificates = newKey();
  private readonly signatures = newKey();
  private readonly name = "fulcio";

  /** As `trusted_root.json` has it. */
  trustedRoot(): string {
    const log = (baseUrl: string, { publicKey }: KeyPair) => ({
      baseUrl, hashAlgorithm: "SHA2_256", logId: { keyId: sha256(spki(publicKey)).toString("base64") },
      publicKey: { rawBytes: spki(publicKey).toString("base64"), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor: { start: "2020-01-01T00:00:00Z" } },
    });
    return JSON.stringify({
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      tlogs: [log(`https://${origin}`, this.signatures)], ctlogs: [log("https://ct.example.com", this.certificates)], timestampAuthorities: [],
      certificateAuthorities: [{
        subject: { organization: "example", commonName: this.name }, uri: "https://fulcio.example.com", validFor: { start: "2020-01-01T00:00:00Z" },
        certChain: { certificates: [{ rawBytes: this.certificate(this.name, this.authority.publicKey, [extension("551d13", sequence(der(0x01, Buffer.from([0xff]))))]).toString("base64") }] },
      }],
    });
  }

  /** Somebody who proved to be `subject` to `issuer`. `logged: false`: the log of certificates never saw it. */
  signer(issuer: string, subject: string, { logged = true }: { logged?: boolean } = {}): Signer {
    const { privateKey, publicKey } = newKey();
    const extensions = [
      extension("551d11", sequence(der(0x86, Buffer.from(subject)))),
      extension("2b0601040183bf300101", Buffer.from(issuer)),
      extension("2b0601040183bf300108", der(0x0c, Buffer.from(issuer))),
    ];
    const before = this.content("", publicKey, extensions);
    const certificate = this.certificate("", publicKey, logged ? [...extensions, this.timestampOf(before)] : extensions);
    return { key: privateKey, certificate };
  }

  /** cosign 2, keyless: annotations of a layer of the manifest under `sha256-<hex>.sig`. */
  sign(signer: Signer, digest: string, { integratedTime = Math.floor(Date.now() / 1000) } = {}): Signature {
    const payload = payloadOf(digest);
    const signature = sign(payload, signer.key);
    const body = Buffer.from(canonical({
      apiVersion: "0.0.1", kind: "hashedrekord",
      spec: { data: { hash: { algorithm: "sha256", value: sha256(payload).toString("hex") } }, signature: { content: signature.toString("base64"), publicKey: { content: Buffer.from(pemOf(signer.certificate)).toString("base64") } } },
    })).toString("base64");
    const entry = { body, integratedTime, logID: this.logId().toString("hex"), logIndex: 7 };
    return {
      payload,
      annotations: {
        "dev.cosignproject.cosign/signature": signature.toString("base64"),
        "dev.sigstore.cosign/certificate": pemOf(signer.certificate),
        "dev.sigstore.cosign/bundle": JSON.stringify({ SignedEntryTimestamp: sign(canonical(entry), this.signatures.privateKey).toString("base64"), Payload: entry }),
      },
    };
  }

  /** cosign 3, keyless: a bundle. */
  bundle(signer: Signer, digest: string, predicateType?: string): object {
    const envelope = envelopeOf(digest, signer.key, predicateType);
    const canonicalizedBody = Buffer.from(canonical({
      apiVersion: "0.0.1", kind: "dsse",
      spec: { payloadHash: { algorithm: "sha256", value: sha256(Buffer.from(envelope.payload, "base64")).toString("hex") }, signatures: [{ signature: envelope.signatures[0]?.sig, verifier: Buffer.from(pemOf(signer.certificate)).toString("base64") }] },
    }));
    const integratedTime = Math.floor(Date.now() / 1000);
    const entry = { body: canonicalizedBody.toString("base64"), integratedTime, logID: this.logId().toString("hex"), logIndex: 0 };
    const root = sha256(Buffer.concat([Buffer.from([0]), canonicalizedBody])).toString("base64");
    const note = `${origin}\n1\n${root}\n`;
    const checkpoint = `${note}\n\u2014 ${origin} ${Buffer.concat([this.logId().subarray(0, 4), sign(note, this.signatures.privateKey)]).toString("base64")}\n`;
    return {
      mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
      verificationMaterial: {
        certificate: { rawBytes: signer.certificate.toString("base64") },
        tlogEntries: [{
          logIndex: "0", logId: { keyId: this.logId().toString("base64") }, kindVersion: { kind: "dsse", version: "0.0.1" }, integratedTime: String(integratedTime),
          inclusionPromise: { signedEntryTimestamp: sign(canonical(entry), this.signatures.privateKey).toString("base64") },
          inclusionProof: { logIndex: "0", rootHash: root, treeSize: "1", hashes: [], checkpoint: { envelope: checkpoint } },
          canonicalizedBody: canonicalizedBody.toString("base64"),
        }],
      },
      dsseEnvelope: envelope,
    };
  }

  private logId = (): Buffer => sha256(spki(this.signatures.publicKey));

  private content(name: string, publicKey: KeyObject, extensions: Buffer[]): Buffer {
    return sequence(
      der(0xa0, der(0x02, Buffer.from([2]))), der(0x02, Buffer.from([name === "" ? 2 : 1])), ecdsaWithSha256, named(this.name),
      sequence(time("200101000000Z"), time("491231235959Z")), name === "" ? sequence() : named(name), spki(publicKey), der(0xa3, sequence(...extensions)),
    );
  }

  private certificate(name: string, publicKey: KeyObject, extensions: Buffer[]): Buffer {
    const content = this.content(name, publicKey, extensions);
    return sequence(content, ecdsaWithSha256, der(0x03, Buffer.from([0]), sign(content, this.authority.privateKey)));
  }

  /** RFC 6962, 3.2: the log's promise, in the certificate itself. */
  private timestampOf(content: Buffer): Buffer {
    const timestamp = uint(Date.now(), 8);
    const said = Buffer.concat([Buffer.from([0, 0]), timestamp, uint(1, 2), sha256(spki(this.authority.publicKey)), uint(content.length, 3), content, uint(0, 2)]);
    const signature = sign(said, this.certificates.privateKey);
    const one = Buffer.concat([Buffer.from([0]), sha256(spki(this.certificates.publicKey)), timestamp, uint(0, 2), Buffer.from([4, 3]), uint(signature.length, 2), signature]);
    const list = Buffer.concat([uint(one.length + 2, 2), uint(one.length, 2), one]);
    return extension("2b06010401d679020402", der(0x04, list));
  }
}

/** What cosign 1 and 2 sign. */
export const payloadOf = (digest: string): Buffer =>
  Buffer.from(JSON.stringify({ critical: { identity: { "docker-reference": "" }, image: { "docker-manifest-digest": digest }, type: "cosign container image signature" }, optional: null }));

/** cosign 2 with a key: Ed25519 signs what is given, the others its digest. */
export function signByKey(key: KeyObject, digest: string, payload = payloadOf(digest)): Signature {
  const algorithm = createPublicKey(key).asymmetricKeyType === "ed25519" ? null : "sha256";
  return { payload, annotations: { "dev.cosignproject.cosign/signature": signWith(algorithm, payload, key).toString("base64") } };
}

/** cosign 3 with a key. */
export const bundleByKey = (key: KeyObject, digest: string, predicateType?: string): object => ({
  mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
  verificationMaterial: { publicKey: { hint: "key" }, tlogEntries: [] },
  dsseEnvelope: envelopeOf(digest, key, predicateType),
});

function envelopeOf(digest: string, key: KeyObject, predicateType = "https://sigstore.dev/cosign/sign/v1") {
  const payloadType = "application/vnd.in-toto+json";
  const [algorithm = "", hex = ""] = digest.split(":");
  const payload = Buffer.from(JSON.stringify({ _type: "https://in-toto.io/Statement/v1", subject: [{ digest: { [algorithm]: hex } }], predicateType, predicate: {} }));
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]);
  return { payloadType, payload: payload.toString("base64"), signatures: [{ sig: sign(signed, key).toString("base64"), keyid: "" }] };
}
