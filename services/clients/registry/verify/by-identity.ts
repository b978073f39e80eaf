/**
 * Signatures made without a key of one's own: a certificate says who signed, a log when, and both must be vouched for by
 * those that the trusted root names.
 */
import { bundleFromJSON } from "@sigstore/bundle";
import { TrustedRoot } from "@sigstore/protobuf-specs";
import { toSignedEntity, toTrustMaterial, VerificationError, Verifier, type Signer, type TrustMaterial } from "@sigstore/verify";
import { createHash, X509Certificate } from "node:crypto";
import { RE2JS } from "re2js";
import type { SecretData } from "../credentials.ts";
import { NotGood, type Signed } from "./signed.ts";

export type Identity = { issuer: RE2JS; subject: RE2JS };

const longestPattern = 1_000;

/** @throws NotGood for what is no regular expression */
export function readIdentities(written: { issuer: string; subject: string }[]): Identity[] {
  return written.map(({ issuer, subject }, i) => ({ issuer: patternOf(issuer, `[${i}].issuer`), subject: patternOf(subject, `[${i}].subject`) }));
}

function patternOf(text: string, field: string): RE2JS {
  try {
    if (text.length <= longestPattern) return RE2JS.compile(text);
  } catch {
    // told below
  }
  throw new NotGood(`spec.verify.matchOIDCIdentity${field} is no regular expression`);
}

/** @throws NotGood when there is none, or it cannot be read */
export function readTrustedRoot(data: SecretData): TrustMaterial {
  const text = data["trusted_root.json"];
  if (!text) throw new NotGood("the Secret of spec.verify.trustedRootSecretRef holds no trusted_root.json");
  try {
    return toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(Buffer.from(text).toString())));
  } catch {
    throw new NotGood("trusted_root.json of the Secret of spec.verify.trustedRootSecretRef cannot be read");
  }
}

/** Any of the identities will do; without any, whoever is vouched for. @throws NotGood */
export function signedByIdentity(signed: Signed, trust: TrustMaterial, identities: Identity[]): void {
  const { identity } = signerOf(signed, trust);
  const [issuer, subject] = [identity?.extensions?.issuer ?? "", identity?.subjectAlternativeName ?? ""];
  if (!identity) throw new NotGood("it was signed with a key, and no Secret with public keys is named in spec.verify.secretRef");
  if (identities.length > 0 && !identities.some((each) => each.issuer.matcher(issuer).find() && each.subject.matcher(subject).find()))
    throw new NotGood(`none of spec.verify.matchOIDCIdentity is ${JSON.stringify(subject.slice(0, 200))} of ${JSON.stringify(issuer.slice(0, 200))}`);
}

function signerOf(signed: Signed, trust: TrustMaterial): Signer {
  try {
    const entity = signed.kind === "bundle" ? toSignedEntity(signed.bundle) : toSignedEntity(bundleOf(signed), signed.payload);
    return new Verifier(trust, { ctlogThreshold: 1, tlogThreshold: 1, timestampThreshold: 1 }).verify(entity);
  } catch (error) {
    if (error instanceof NotGood) throw error;
    throw new NotGood(error instanceof VerificationError ? error.message.slice(0, 200) : "the signature cannot be read");
  }
}

/** What cosign 2 wrote into annotations, as the bundle that says the same. */
function bundleOf({ payload, signature, certificate, log }: Signed & { kind: "payload" }) {
  if (!certificate) throw new NotGood("it was signed with a key, and no Secret with public keys is named in spec.verify.secretRef");
  if (!log) throw new NotGood("no transparency log vouches for the signature");
  const { body, integratedTime, logIndex, logID } = log.Payload;
  const { kind, apiVersion } = JSON.parse(Buffer.from(body, "base64").toString()) as { kind?: string; apiVersion?: string };
  return bundleFromJSON({
    mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1",
    verificationMaterial: {
      x509CertificateChain: { certificates: [{ rawBytes: new X509Certificate(certificate).raw.toString("base64") }] },
      tlogEntries: [
        {
          logIndex: String(logIndex),
          logId: { keyId: Buffer.from(logID, "hex").toString("base64") },
          kindVersion: { kind, version: apiVersion },
          integratedTime: String(integratedTime),
          inclusionPromise: { signedEntryTimestamp: log.SignedEntryTimestamp },
          canonicalizedBody: body,
        },
      ],
    },
    messageSignature: {
      messageDigest: { algorithm: "SHA2_256", digest: createHash("sha256").update(payload).digest("base64") },
      signature: signature.toString("base64"),
    },
  });
}
