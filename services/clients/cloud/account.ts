/** ServiceAccounts whose identity a cloud takes: what is asked of the cluster that they are of. */
import { createHash } from "node:crypto";
import type { Cloud, Granted } from "./ask.ts";

/** A ServiceAccount of the hub. */
export type Account = { namespace: string; name: string };

export type AccountFound = { uid: string; annotations: Readonly<Record<string, string>> };

/** Where the accounts are: services/cluster/accounts.ts is behind it. */
export type Accounts = {
  /** As it is now. @throws Fault AccountMissing, ObjectForbidden */
  find(account: Account, signal: AbortSignal): Promise<AccountFound>;
  /** A token of the account for whoever these audiences are. @throws Fault AccountMissing, ObjectForbidden */
  token(account: Account, audiences: string[], signal: AbortSignal): Promise<Granted<string>>;
};

/** An account that asks a cloud for what it may have there. */
export type Bearer = Account & AccountFound & {
  /** Its word about itself, for the cloud. */
  proof(audience: string, cloud: Cloud): Promise<string>;
};

/** The same for the same parts; they cannot be read back from it. */
export const digestOf = (...parts: unknown[]): string => createHash("sha256").update(JSON.stringify(parts)).digest("hex");
