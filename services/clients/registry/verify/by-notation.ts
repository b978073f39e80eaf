/**
 * Signatures of notation. What is trusted and what it takes is said by the Secret's trust policy; notation's own verifier reads
 * it and judges (services/render/notation), and what has to be fetched for that is fetched here.
 */
import type { RegistryClient } from "../client.ts";
import type { SecretData } from "../credentials.ts";
import { askStatus, type Answered, type Ask } from "./revocation.ts";
import { envelopesOf, type Envelope } from "./signatures.ts";
import { NotGood } from "./signed.ts";

/** Bytes in base64. */
export type NotationRequest = {
  /** `trustpolicy.json`. */
  policy: string;
  /** PEM or DER. */
  certificates: string[];
  /** `host/path@digest`. */
  reference: string;
  artifact?: { mediaType: string; digest: string; size: number };
  /** Absent: only whether the policy wants any. */
  signature?: { mediaType: string; blob: string };
  answers?: Answered[];
};

/**
 * `ignored`: the policy lets the artifact through, and does not vouch for it. `wanted`: it wants signatures. `asks`: the status
 * of a certificate takes this first. `policy` as a failure's code: no signature will do.
 */
export type NotationReply = { verdict: "verified" | "ignored" | "wanted" } | { asks: Ask[] } | { failure: { code: string; message: string } };

export interface NotationVerifier {
  /** @param tenant one's slow signature holds up no other for long @throws Fault RendererMissing; the signal's reason */
  verify(request: NotationRequest, tenant: string, signal: AbortSignal): Promise<NotationReply>;
}

/** Those that a chain of certificates may cause. */
const mostAsks = 32;
const longestReason = 400;

/** @throws NotGood when the Secret holds no policy, or nothing to trust */
export function readTrust(data: SecretData): Pick<NotationRequest, "policy" | "certificates"> {
  const policy = data["trustpolicy.json"];
  if (!policy) throw new NotGood("the Secret of spec.verify.secretRef holds no trustpolicy.json");
  const names = Object.keys(data).filter((name) => /\.(?:crt|pem)$/.test(name)).sort();
  if (names.length === 0) throw new NotGood("the Secret of spec.verify.secretRef holds no certificate under *.crt or *.pem");
  return { policy: Buffer.from(policy).toString(), certificates: names.map((name) => Buffer.from(data[name] ?? []).toString("base64")) };
}

/** Any signature that the policy accepts will do. @throws NotGood when none does */
export async function signedByNotation(
  registry: RegistryClient, digest: string, trust: ReturnType<typeof readTrust>, verifier: NotationVerifier, tenant: string, signal: AbortSignal,
): Promise<"verified" | "ignored"> {
  const request: NotationRequest = { ...trust, reference: `${registry.shown.replace(/^oci:\/\//, "")}@${digest}` };
  const first = await verifier.verify(request, tenant, signal);
  if ("failure" in first) throw new NotGood(reasonOf(first.failure));
  if ("verdict" in first && first.verdict === "ignored") return "ignored";
  const artifact = await registry.describe(digest, signal);
  let [count, why, asked] = [0, "", 0];

  const judge = async ({ mediaType, blob }: Envelope): Promise<NotationReply> => {
    const answers: Answered[] = [];
    for (;;) {
      const reply = await verifier.verify({ ...request, artifact, signature: { mediaType, blob: blob.toString("base64") }, answers }, tenant, signal);
      if (!("asks" in reply)) return reply;
      asked += reply.asks.length;
      if (asked > mostAsks) return { failure: { code: "signature", message: "the status of its certificates takes too many questions" } };
      answers.push(...(await Promise.all(reply.asks.map((ask) => askStatus(ask, signal)))));
    }
  };

  for await (const envelope of envelopesOf(registry, digest, signal)) {
    count++;
    const reply = envelope ? await judge(envelope) : { failure: { code: "signature", message: "it cannot be read" } };
    if ("verdict" in reply && reply.verdict !== "wanted") return reply.verdict;
    if ("failure" in reply) why ||= reasonOf(reply.failure);
  }
  throw new NotGood(count === 0 ? "it is not signed" : `no matching signatures were found among ${count}: ${why}`);
}

/** Certificates and policies are quoted in it: as one line, and not without end. */
const reasonOf = ({ message }: { message: string }): string => message.replaceAll(/\p{C}+/gu, " ").slice(0, longestReason);
