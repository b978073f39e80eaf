/** Variables in built objects: Flux's post-build substitution (flux.md 2.6.3), by its own library (wasm/substitute.go). */
import { readReply } from "./reply.ts";
import type { TenantPool } from "./tenant-pool.ts";

export type Substitution = {
  /**
   * What the values depend on, and nothing a value could be guessed from: it goes into the key of a render, which is kept.
   * Of objects they are read from, the versions, not the contents.
   */
  version: unknown;
  /** Asked for only when there is something to build; the version is then that of what was read. */
  read(): Promise<Variables>;
  /** Also without any variable, for the sake of defaults in the text. */
  always: boolean;
  /** A variable that has neither value nor default fails the build. */
  strict: boolean;
  /** What digests of the objects are keyed with: given where values come from Secrets, whichever objects they end in. */
  digestKey?: Uint8Array;
};

/** `confidential`: values that people must not read, wherever they turn up. */
export type Variables = { values: Record<string, string>; version: unknown; confidential: readonly string[] };

/** The part of a substitution that a render's key is made of. */
export const keyOfSubstitution = ({ always, strict }: Substitution, version: unknown): unknown => ({ version, always, strict });

/** @throws Fault SubstitutionFailed, BuildFailed when it needs too much memory, RenderTimeout */
export async function substitute(
  pool: TenantPool, subject: string, objects: readonly unknown[], values: Record<string, string>, { always, strict }: Substitution, signal: AbortSignal,
): Promise<readonly unknown[]> {
  if (Object.keys(values).length === 0 && !always) return objects;
  const request = JSON.stringify({ objects, variables: values, strict });
  return readReply<{ objects: unknown[] }>(await pool.substitute(subject, request, signal), subject, () => "SubstitutionFailed").objects;
}
