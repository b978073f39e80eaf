/** Signatures made with a key: checked with the public one alone, as Flux does, without asking any log. */
import { createPublicKey, verify as verifySignature, type KeyObject } from "node:crypto";
import { toSignedEntity, Verifier } from "@sigstore/verify";
import type { SecretData } from "../credentials.ts";
import { NotGood, type Signed } from "./signed.ts";

/** Those under `*.pub`. @throws NotGood when there is none, or one is no key */
export function readKeys(data: SecretData): KeyObject[] {
  const names = Object.keys(data).filter((name) => name.endsWith(".pub")).sort();
  if (names.length === 0) throw new NotGood("the Secret of spec.verify.secretRef holds no public key under *.pub");
  return names.map((name) => {
    try {
      return createPublicKey(Buffer.from(data[name] ?? []).toString());
    } catch {
      throw new NotGood(`${name} of the Secret of spec.verify.secretRef is no public key in PEM`);
    }
  });
}

/** @throws NotGood when none of the keys made it */
export function signedByKey(signed: Signed, keys: KeyObject[]): void {
  if (!keys.some((key) => (signed.kind === "payload" ? fits(signed.payload, signed.signature, key) : fitsBundle(signed, key))))
    throw new NotGood("none of the keys made the signature");
}

function fits(payload: Buffer, signature: Buffer, key: KeyObject): boolean {
  try {
    // Ed25519 signs what is given; the others sign its digest.
    return verifySignature(key.asymmetricKeyType === "ed25519" ? null : "sha256", payload, key, signature);
  } catch {
    return false;
  }
}

function fitsBundle({ bundle }: Signed & { kind: "bundle" }, key: KeyObject): boolean {
  const trust = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [], publicKey: () => ({ publicKey: key, validFor: () => true }) };
  try {
    // Whatever a log or a clock says of it does not count, as the key alone is trusted.
    const entity = { ...toSignedEntity(bundle), timestamps: [], tlogEntries: [], key: { $case: "public-key" as const, hint: "" } };
    new Verifier(trust, { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 0 }).verify(entity);
    return true;
  } catch {
    return false;
  }
}
