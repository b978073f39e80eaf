/** The shape of a source kind: two effects and a schema. The chart is machines/source. */
import type { SourceReference } from "#protocol/api/kind.ts";
import type { Departure } from "#protocol/messages/image-update.ts";
import type { Artifact } from "#protocol/messages/source.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { Identity } from "#services/clients/cloud/identity.ts";
import type { NotationVerifier } from "#services/clients/registry/verify/by-notation.ts";

/** What the worker hands to both effects. */
export type SourceCall<Spec> = {
  key: ActorKey;
  spec: Spec;
  /** Data of a Secret in the object's own namespace. Throws Fault SecretMissing. */
  secret(name: string): Promise<Record<string, Uint8Array>>;
  /** Data of the imagePullSecrets of a ServiceAccount in the same namespace. Throws Fault SecretMissing. Absent where there are none. */
  pullSecrets?(serviceAccount: string): Promise<Record<string, Uint8Array>[]>;
  /** `metadata.generation` of the object. */
  generation?: number;
  /** Another source, as it is now. Its artifact is noted as what this one is made of. @throws Fault SourceMissing */
  source?(reference: SourceReference): Promise<HeldSource>;
  /** What somebody else says in the object's status that its artifact is, of a kind whose status is not ours. */
  offered?: unknown;
  /** Whether this very artifact lies in our own store. */
  isStored?(path: string, digest: string): Promise<boolean>;
  /** Every object of a kind of source in the object's own namespace. */
  siblings?(kind: string): Promise<Sibling[]>;
  /**
   * In a cloud: of this ServiceAccount in the same namespace; without a name of the one that the operator has set for all, or the
   * worker's own. Absent where there are none. Throws Fault InvalidObject.
   */
  identity?(serviceAccount: string | undefined): Identity;
  /** Judges notation's signatures. */
  notation?: NotationVerifier | undefined;
  /** `resolve`: how old an answer may be that others asked for; 0 when somebody said that there is news, or when absent. */
  maxAgeMs?: number;
  /** Ends the call: the object's timeout, a change of its spec, or the loss of ownership. */
  signal: AbortSignal;
};

/** Another source of this namespace, by its name. */
export type Sibling = { name: string; spec: unknown };

/** What one source is made from: another. */
export type HeldSource = {
  /** `Kind/namespace/name`. */
  shown: string;
  /** As it is written; read with the schema of its kind before use. */
  spec: unknown;
  /** Absent while it has none. */
  artifact?: HeldArtifact;
};

export type HeldArtifact = {
  revision: string;
  /** `sha256:<hex>`. */
  digest: string;
  /** Where the trace of its change goes on. */
  traceparent: string;
  /** As its own status says it. */
  stored: Artifact;
  /** The whole artifact, verified; shared, so never to be changed. @throws Fault ArtifactMissing, ArtifactCorrupt, StorageFailed */
  read(): Promise<Uint8Array>;
};

/**
 * Newest revision; `observed`: what the status says of it, whether or not it has to be fetched; `included`: the artifacts of
 * others that are a part of its artifact, as in `Resolved`.
 */
export type Resolution = { revision: string; observed?: Record<string, unknown>; included?: Artifact[] };

export type FetchedSource = {
  revision: string;
  /** Reproducible tar.gz: the same input gives the same bytes (flux.md 2.0, 4); or what upstream has, as it is. */
  archive: Uint8Array;
  /** Where it lies in our own store already; then `archive` is empty. */
  lies?: { path: string; digest: string; sizeBytes: number };
  /** File name under `<kind>/<namespace>/<name>/`, e.g. `<40 hex>.tar.gz`. */
  file: string;
  /** First line of the commit message, cut after 50 characters as in Flux. */
  subject: string;
  /** The event's sentence, where the kind has one of its own. */
  told?: string;
  /** What Ready and ArtifactInStorage say, and the reason of the event, where the kind has its own. */
  summary?: { reason: string; message: string };
  /** What else is told of how it was made. */
  making?: { reason: string; message: string };
  /** What upstream says of it beside the revision: `status.artifact.metadata`. */
  metadata?: Record<string, string>;
  /** What of the spec the archive was made with, by the status fields that say so; null for what the spec left out. */
  observed?: Record<string, unknown>;
  /** The artifacts of others that are a part of it, as in `Fetched`. */
  included?: Artifact[];
  /** What was verified of it, and by whose key; absent when nothing had to be. */
  verified?: string;
  /** When the change was made: the root of its trace. */
  committedAtMs: number;
  /** Everything needed to derive or continue the trace: the upstream's identity, and a trailer when there is one. */
  change: { url: string; commit: string; branch?: string; author?: string; traceparent?: string };
};

/** A branch as it stands, and what it is that is changed there. */
export type Standing = {
  /** What the change begins from, worded as a revision of the source is. */
  revision: string;
  /** The branch that is pushed to, and its head; absent while there is none. */
  branch: string;
  head?: string;
  /** It is another one than what the change begins from. */
  isOther: boolean;
  /** The branch that the change begins from; absent when it is something else. */
  checkedOut?: string | undefined;
  /** What the change begins from, in upstream's terms. */
  begin: { commit: string; ref: string; label?: string | undefined; pinned: boolean };
};

/** What of an upstream may be changed: files that carry a mark. */
export type Candidates = {
  revision: string;
  commit: string;
  /** Contents by path. */
  files: Map<string, Uint8Array>;
  /** When the commit was made, in seconds since 1970. */
  committedAtS: number;
};

export type Change = {
  base: Candidates;
  /** New contents by path. */
  files: ReadonlyMap<string, Uint8Array>;
  author: { name: string; email: string };
  atS: number;
  message: string;
  /** With what it is signed: the Secret's data, and how the Secret is called in messages. */
  signing?: { type: "gpg" | "ssh"; secret: Record<string, Uint8Array>; shown: string };
};

/** `moved`: the branch is no longer where it was when the change was made, and nothing was pushed. */
export type Arrival = { moved: false; /** Why the refspec was not taken, though the branch was. */ refused?: string } | { moved: true };

/** Which branches a change goes from and to; what is absent is as in the source's spec. */
export type ChangeRoute = { ref?: Record<string, string | undefined> | undefined; branch?: string | undefined };

/** Of a kind whose upstream takes changes. */
export type Changing<Spec> = {
  stand(call: SourceCall<Spec>, route: ChangeRoute): Promise<Standing>;
  /**
   * Files below a path, by the end of their name and by a text that they hold.
   *
   * @param on what is changed: the head of the branch that is pushed to, or what the change begins from
   */
  candidates(call: SourceCall<Spec>, standing: Standing, wish: { on: "branch" | "beginning"; path: string; names: RegExp; mark: string }): Promise<Candidates>;
  /** A commit, and all that upstream lacks of it. */
  commit(change: Change, signal: AbortSignal): Promise<{ commit: string; pack: Uint8Array }>;
  /** Whether a branch has a commit among its latest. */
  has(call: SourceCall<Spec>, branch: string, commit: string): Promise<boolean>;
  /** @throws Fault PushRejected when upstream would have none of it; after any other it may have arrived or not */
  push(call: SourceCall<Spec>, departure: Departure, options: Record<string, string>, pack: Uint8Array): Promise<Arrival>;
};

export type SourceKind<Spec, Found extends string | Resolution = string> = {
  kind: string;
  changing?: Changing<Spec>;
  /** The newest upstream revision, by the cheapest question the upstream can answer. */
  resolve(call: SourceCall<Spec>): Promise<Found>;
  fetch(call: SourceCall<Spec> & { revision: string }): Promise<FetchedSource>;
};

/** A kind whose spec is read by its own schema, so that whoever calls it need not know the spec's type. */
export type AnySource = SourceKind<unknown, string | Resolution>;

export const defineSource = <Spec, Found extends string | Resolution = string>(kind: SourceKind<Spec, Found>): SourceKind<Spec, Found> => kind;
