/** Failures as data: the one list of what can go wrong outside, what to do about it, and what to tell the operator. */

/** What the actor does next: try again later, wait for something named, or stall until the object changes. */
export type Remedy = "retry" | "wait" | "stall";

type Entry = {
  remedy: Remedy;
  reason: string;
  help: string;
  /** It passes without anybody's doing: tried again within seconds, not only after the object's retry interval. */
  passing?: true;
};

/** `reason` is the condition reason a Flux user knows (flux.md 0.2). docs/reference/faults.md is generated from this list. */
export const faults = {
  // sources
  UpstreamUnreachable: { remedy: "retry", reason: "GitOperationFailed", help: "the server gave no usable answer; check spec.url and that the worker may reach it" },
  AuthenticationFailed: { remedy: "retry", reason: "AuthenticationFailed", help: "check the Secret named in spec.secretRef" },
  SecretMissing: { remedy: "retry", reason: "AuthenticationFailed", help: "create the Secret, or correct spec.secretRef.name" },
  ReferenceMissing: { remedy: "retry", reason: "GitOperationFailed", help: "check spec.ref: the branch or commit does not exist in the repository" },
  RepositoryEmpty: { remedy: "retry", reason: "EmptyGitRepository", help: "push a first commit" },
  UnsupportedReference: { remedy: "stall", reason: "URLInvalid", help: "this release follows branches and commits over http and https only" },
  SourceTooLarge: { remedy: "retry", reason: "ArchiveOperationFailed", help: "narrow the source with spec.ignore, or raise the worker's limits" },
  IgnoreInvalid: { remedy: "stall", reason: "SourceIgnoreError", help: "correct spec.ignore or .sourceignore: gitignore syntax" },
  TimedOut: { remedy: "retry", reason: "GitOperationFailed", help: "raise spec.timeout, or find out why the server is slow" },
  StorageFailed: { remedy: "retry", passing: true, reason: "StorageOperationFailed", help: "the artifact store did not answer; it is tried again" },
  // kustomizations: inputs
  SourceMissing: { remedy: "retry", reason: "ArtifactFailed", help: "create the source named in spec.sourceRef, or correct the reference" },
  ArtifactMissing: { remedy: "wait", reason: "ArtifactFailed", help: "the source has no artifact yet" },
  ArtifactCorrupt: { remedy: "retry", passing: true, reason: "ArtifactFailed", help: "the artifact does not match its digest or is not a safe archive; the source stores it anew" },
  ArtifactPathMissing: { remedy: "retry", reason: "ArtifactFailed", help: "check spec.path: a directory relative to the root of the source" },
  DependencyNotReady: { remedy: "wait", reason: "DependencyNotReady", help: "an object in spec.dependsOn is not Ready" },
  AccessDenied: { remedy: "stall", reason: "AccessDenied", help: "references across namespaces are locked down" },
  // kustomizations: build
  BuildFailed: { remedy: "retry", reason: "BuildFailed", help: "correct the manifests in the source; nothing was applied or deleted" },
  RenderTimeout: { remedy: "retry", reason: "BuildFailed", help: "the build took too long and was stopped; nothing was applied or deleted" },
  RendererMissing: { remedy: "retry", reason: "BuildFailed", help: "the renderer is not installed; run the project's set-up" },
  // kustomizations: apply, prune, health
  NamespaceMissing: { remedy: "retry", reason: "ReconciliationFailed", help: "create the namespace, put it into the source, or correct metadata.namespace" },
  NamespaceUnspecified: { remedy: "retry", reason: "ReconciliationFailed", help: "set metadata.namespace or spec.targetNamespace" },
  KindUnknown: { remedy: "retry", reason: "ReconciliationFailed", help: "install the CustomResourceDefinition first, or put it into the source" },
  ObjectInvalid: { remedy: "retry", reason: "ReconciliationFailed", help: "the API server rejected the object; correct it in the source" },
  ObjectImmutable: { remedy: "retry", reason: "ReconciliationFailed", help: "an immutable field changed; set spec.force to recreate the object" },
  ObjectForbidden: { remedy: "retry", reason: "ReconciliationFailed", help: "the worker's account may not do this; extend its role" },
  ApplyFailed: { remedy: "retry", reason: "ReconciliationFailed", help: "the API server did not accept the change; it is tried again" },
  ApplyConflict: { remedy: "retry", passing: true, reason: "ReconciliationFailed", help: "the object changed while it was applied; it is planned again" },
  PruneFailed: { remedy: "retry", reason: "PruneFailed", help: "an object could not be deleted; it stays in the inventory and is tried again" },
  HealthCheckFailed: { remedy: "retry", reason: "HealthCheckFailed", help: "look at the named objects and their events" },
  // shared
  ObjectGone: { remedy: "wait", reason: "NotFound", help: "the object was deleted meanwhile" },
  InvalidObject: { remedy: "stall", reason: "InvalidObject", help: "correct the named field" },
  ClusterUnreachable: { remedy: "retry", passing: true, reason: "ReconciliationFailed", help: "the API server gave no answer; it is tried again" },
  LeaseLost: { remedy: "retry", passing: true, reason: "ReconciliationFailed", help: "this worker may not write now: its lease ran out" },
  NatsServerMissing: { remedy: "retry", reason: "Unexpected", help: "run npm run setup, name a binary in FLOTILLA_NATS_SERVER, or pass --nats with the URL of a NATS you run" },
  DataInUse: { remedy: "stall", reason: "Unexpected", help: "stop it first, or name another folder with --data" },
  CellMismatch: { remedy: "stall", reason: "Unexpected", help: "run the version of Flotilla that made this store, or start with an empty one" },
  NatsUnreachable: { remedy: "retry", reason: "Unexpected", help: "check --nats and that the server runs with JetStream" },
  RecordUnreadable: { remedy: "stall", reason: "Quarantined", help: "the stored record is damaged; it was set aside and the object is reconciled afresh" },
  RecordTooNew: { remedy: "wait", reason: "Quarantined", help: "a later version of Flotilla wrote it; workers of that version take it over" },
  CellTaken: { remedy: "stall", reason: "Unexpected", help: "another cluster's Flotilla uses this NATS: give each its own account or server, or empty the stream if that cluster is gone" },
  CellReplaced: { remedy: "stall", reason: "Unexpected", help: "the stream was deleted or restored from a backup: start the workers again, so that they begin from what is stored now" },
  WorkerUnknown: { remedy: "stall", reason: "Unexpected", help: "flotilla workers lists them" },
  Unexpected: { remedy: "retry", reason: "ReconciliationFailed", help: "a bug: please report it with the worker's log" },
} as const satisfies Record<string, Entry>;

export type FaultCode = keyof typeof faults;

/** Whether a failure passes without anybody's doing. */
export const isPassing = (code: FaultCode): boolean => (faults[code] as Entry).passing === true;

/** What crosses the wire and rests in a record. */
export type FaultData = { code: FaultCode; subject: string; detail?: string };

/** A failure as data: it crosses the wire, rests in a record, and is read back after a crash. */
export class Fault extends Error {
  readonly code: FaultCode;
  /** What it happened to: a URL, digest or object; never a secret. */
  readonly subject: string;
  /** What the other side said, in one line; never a secret. */
  readonly detail: string | undefined;

  constructor(code: FaultCode, subject: string, { detail, cause }: { detail?: string | undefined; cause?: unknown } = {}) {
    super(sentence({ code, subject, ...(detail && { detail }) }), { cause });
    this.name = "Fault";
    this.code = code;
    this.subject = subject;
    this.detail = detail;
  }

  get remedy(): Remedy {
    return faults[this.code].remedy;
  }

  toJSON(): FaultData {
    return { code: this.code, subject: this.subject, ...(this.detail && { detail: this.detail }) };
  }

  /** Anything thrown, as a fault: what is not one already is `Unexpected`, under its own message. */
  static from(thrown: unknown, subject: string): Fault {
    if (thrown instanceof Fault) return thrown;
    const detail = thrown instanceof Error ? thrown.message : String(thrown);
    return new Fault("Unexpected", subject, { detail, cause: thrown });
  }
}

/** The sentence an operator reads: what happened to what, and what to do. */
export function sentence({ code, subject, detail }: FaultData): string {
  return `${subject}: ${detail ? `${detail} (${faults[code].help})` : faults[code].help}`;
}

/** Reads a fault back from a record or a message; a code this version does not know becomes `Unexpected`. */
export function readFault(value: unknown): FaultData {
  const { code, subject, detail } = (typeof value === "object" && value !== null ? value : {}) as Partial<FaultData>;
  const known = typeof code === "string" && Object.hasOwn(faults, code);
  return {
    code: known ? code : "Unexpected",
    subject: typeof subject === "string" ? subject : "",
    ...(typeof detail === "string" && { detail }),
  };
}
