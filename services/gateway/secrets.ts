/** Who may call: a bearer token for the API, a shared token or a signature made with it for the webhook. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** Compares in constant time, whatever the lengths. An empty secret admits nobody. */
export function sameSecret(given: string, secret: string): boolean {
  return timingSafeEqual(digest(given), digest(secret)) && secret !== "";
}

const digest = (text: string) => createHash("sha256").update(text).digest();

export const bearerOf = (headers: Headers): string | undefined => bearerIn(headers.get("authorization") ?? "");

const bearerIn = (value: string) => /^Bearer +(\S+)$/i.exec(value)?.[1];

type Proof = (value: string, body: Uint8Array, secret: string) => boolean;

const signature: Proof = (value, body, secret) => sameSecret(value.toLowerCase(), hmac(body, secret));
const prefixed: Proof = (value, body, secret) => sameSecret(value.toLowerCase(), `sha256=${hmac(body, secret)}`);

/** Headers in which a Git server proves itself, each in its own way. */
const proofs: Record<string, Proof> = {
  "x-hub-signature-256": prefixed, // GitHub, Gitea
  "x-hub-signature": prefixed, // Bitbucket; GitHub's SHA-1 form is refused
  "x-gitea-signature": signature,
  "x-forgejo-signature": signature,
  "x-gitlab-token": (value, _body, secret) => sameSecret(value, secret),
  authorization: (value, _body, secret) => sameSecret(bearerIn(value) ?? "", secret),
};

/** Whether there is any proof to check: without one the body need not be read. */
export const bringsProof = (headers: Headers): boolean => Object.keys(proofs).some((name) => headers.has(name));

/**
 * One good proof is enough: servers send several (GitHub a SHA-1 signature beside the SHA-256 one), and nobody without
 * the secret can make any of them.
 */
export const isProven = (headers: Headers, body: Uint8Array, secret: string): boolean =>
  secret !== "" &&
  Object.entries(proofs).some(([name, holds]) => headers.has(name) && holds(headers.get(name)!, body, secret));

const hmac = (body: Uint8Array, secret: string) => createHmac("sha256", secret).update(body).digest("hex");
