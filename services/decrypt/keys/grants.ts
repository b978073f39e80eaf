/**
 * What is asked of whoever knows the unit's identity, where its Secret has no credentials: the threads that decrypt know no
 * cluster. An answer serves this one job, and is kept nowhere here.
 */
export type Question =
  | { service: "aws"; region: string }
  /** Of a service of Azure's, with its `/.default`. */
  | { service: "azure"; scope: string }
  | { service: "gcp" }
  | { service: "vault"; address: string };

/** `aws`: `id`, `secret`, `token`; `azure` and `gcp`: `token`; `vault`: `path` to log in at, `role` and `jwt`. Texts that a message can carry. */
export type Grant = Readonly<Record<string, string>>;

/** @throws Error whose message says in words that quote no secret why there is none */
export type AskGrant = (question: Question) => Promise<Grant>;
