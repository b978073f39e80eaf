/** The shape of a source kind: two effects and a schema. The chart is machines/source. */
import type { ActorKey } from "#protocol/names/actor.ts";

/** What the worker hands to both effects. */
export type SourceCall<Spec> = {
  key: ActorKey;
  spec: Spec;
  /** Data of a Secret in the object's own namespace. Throws Fault SecretMissing. */
  secret(name: string): Promise<Record<string, Uint8Array>>;
  /** Ends the call: the object's timeout, a change of its spec, or the loss of ownership. */
  signal: AbortSignal;
};

export type FetchedSource = {
  revision: string;
  /** Reproducible tar.gz: the same input gives the same bytes (flux.md 2.0, 4). */
  archive: Uint8Array;
  /** File name under `<kind>/<namespace>/<name>/`, e.g. `<40 hex>.tar.gz`. */
  file: string;
  /** First line of the commit message, cut after 50 characters as in Flux. */
  subject: string;
  /** When the change was made: the root of its trace. */
  committedAtMs: number;
  /** Everything needed to derive or continue the trace: the upstream's identity, and a trailer when there is one. */
  change: { url: string; commit: string; branch?: string; author?: string; traceparent?: string };
};

export type SourceKind<Spec> = {
  kind: string;
  /** The newest upstream revision, by the cheapest question the upstream can answer. */
  resolve(call: SourceCall<Spec>): Promise<string>;
  fetch(call: SourceCall<Spec> & { revision: string }): Promise<FetchedSource>;
};

export const defineSource = <Spec>(kind: SourceKind<Spec>): SourceKind<Spec> => kind;
