/** What was signed and how, as cosign leaves it beside an artifact. */
import type { Bundle } from "@sigstore/bundle";

/** A signature whose contents say that they are about the wanted digest; whether it is good is to be found out. */
export type Signed =
  /** A bundle of Sigstore's: a statement in an envelope, with all that proves it. */
  | { kind: "bundle"; bundle: Bundle }
  /** A payload and a signature of it; who signed without a key left a certificate, and a log's word on when. */
  | { kind: "payload"; payload: Buffer; signature: Buffer; certificate?: string; log?: LogEntry };

/** Rekor's word that it took the entry in. */
export type LogEntry = { SignedEntryTimestamp: string; Payload: { body: string; integratedTime: number; logIndex: number; logID: string } };

/** @throws NotGood */
export type Check = (signed: Signed) => void;

/** Why a signature does not count: for people. */
export class NotGood extends Error {}
