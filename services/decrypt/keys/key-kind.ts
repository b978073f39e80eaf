/** A kind of holder of a data key: one folder each, and a line in kinds.ts. */
import type { Buffer } from "node:buffer";
import type { KeyEntry } from "../metadata.ts";
import type { Grant, Question } from "./grants.ts";
import type { Send } from "./send.ts";

export type KeyContext = {
  /** The data of the Secret in spec.decryption.secretRef. */
  secret: Readonly<Record<string, Uint8Array>>;
  /** Credentials of the unit's identity, where it has one and the Secret has none. Throws KeyError. */
  ask?(question: Question): Promise<Grant>;
  /** Tokens of Vaults that this job has logged in at. */
  tokens: Map<string, string>;
  /** How a key service is reached. */
  send: Send;
  nowMs(): number;
  signal: AbortSignal;
};

export type KeyKind = {
  /** Its list in the metadata of SOPS. */
  field: string;
  /** A holder as its owner knows it: an address, an ARN, a fingerprint. All of these are public. */
  name(entry: KeyEntry): string;
  /** The data key, or the share of it. @throws KeyError */
  unwrap(entry: KeyEntry, context: KeyContext): Promise<Buffer>;
};

/** Why a key did not open: in words that quote nothing of what it holds. */
export class KeyError extends Error {}

export function textOf(entry: KeyEntry, name: string): string {
  const value = entry.values.get(name);
  return typeof value === "string" ? value : "";
}
