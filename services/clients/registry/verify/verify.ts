/** Whether an artifact is signed as `spec.verify` asks, before anything of it is fetched. */
import { Fault } from "#protocol/errors/fault.ts";
import type { RegistryClient } from "../client.ts";
import type { SecretData } from "../credentials.ts";
import { readKeys, signedByKey } from "./by-key.ts";
import { readIdentities, readTrustedRoot, signedByIdentity } from "./by-identity.ts";
import { readTrust, signedByNotation, type NotationVerifier } from "./by-notation.ts";
import { PublicRoot } from "./public-root.ts";
import { bundlesOf, signaturesOf } from "./signatures.ts";
import { NotGood, type Check } from "./signed.ts";

export type Verification = {
  provider: "cosign" | "notation";
  secretRef?: { name: string } | undefined;
  matchOIDCIdentity?: { issuer: string; subject: string }[] | undefined;
  trustedRootSecretRef?: { name: string } | undefined;
};

const publicRoot = new PublicRoot();

type Secrets = (name: string) => Promise<SecretData>;

/** What it takes beside the registry. */
export type Verifying = { secret: Secrets; notation?: NotationVerifier | undefined; /** For whom. */ tenant: string; signal: AbortSignal };

/**
 * Any signature that is good will do, in either of cosign's formats, or in notation's.
 *
 * @returns `ignored` where a trust policy of notation's lets it through without vouching for it
 * @throws Fault VerificationFailed when none is, or what is trusted cannot be read
 */
export async function verify(registry: RegistryClient, digest: string, wanted: Verification, given: Verifying): Promise<"verified" | "ignored"> {
  const failed = (detail: string) => new Fault("VerificationFailed", `${registry.shown}@${digest}`, { detail });
  const read = (name: string) =>
    given.secret(name).catch((error: unknown) => {
      if (error instanceof Fault && error.code === "SecretMissing") throw failed(`${error.subject} not found`);
      throw error;
    });
  try {
    return await (wanted.provider === "notation" ? byNotation : byCosign)(registry, digest, wanted, { ...given, secret: read });
  } catch (error) {
    if (error instanceof NotGood) throw failed(error.message);
    throw error;
  }
}

async function byNotation(registry: RegistryClient, digest: string, { secretRef }: Verification, { secret, notation, tenant, signal }: Verifying) {
  if (!secretRef) throw new NotGood("notation needs a Secret with trustpolicy.json and certificates: spec.verify.secretRef");
  if (!notation) throw new NotGood("notation's verifier is not at hand");
  return signedByNotation(registry, digest, readTrust(await secret(secretRef.name)), notation, tenant, signal);
}

async function byCosign(registry: RegistryClient, digest: string, wanted: Verification, { secret, signal }: Verifying): Promise<"verified"> {
  const check = await checkOf(wanted, secret);
  let count = 0;
  let why = "";
  for (const find of [bundlesOf, signaturesOf])
    for await (const signed of find(registry, digest, signal)) {
      count++;
      try {
        check(signed);
        return "verified";
      } catch (error) {
        if (!(error instanceof NotGood)) throw error;
        why ||= error.message;
      }
    }
  throw new NotGood(count === 0 ? "it is not signed" : `no matching signatures were found among ${count}: ${why}`);
}

async function checkOf(wanted: Verification, secret: Secrets): Promise<Check> {
  if (wanted.secretRef) {
    const keys = readKeys(await secret(wanted.secretRef.name));
    return (signed) => signedByKey(signed, keys);
  }
  const identities = readIdentities(wanted.matchOIDCIdentity ?? []);
  const root = wanted.trustedRootSecretRef ? readTrustedRoot(await secret(wanted.trustedRootSecretRef.name)) : await publicRoot.get();
  return (signed) => signedByIdentity(signed, root, identities);
}
