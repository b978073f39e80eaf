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
  UpstreamUnreachable: { remedy: "retry", reason: "GitOperationFailed", help: "the server gave no usable answer; check spec.url, spec.endpoint or spec.image, and that the worker may reach it" },
  AuthenticationFailed: { remedy: "retry", reason: "AuthenticationFailed", help: "check the Secret named in spec.secretRef" },
  HostKeyRejected: { remedy: "retry", reason: "GitOperationFailed", help: "the server is not one that known_hosts of the Secret knows; where its key was changed on purpose, put the new one there" },
  ProviderInvalid: { remedy: "retry", reason: "InvalidProviderConfiguration", help: "spec.provider github and the Secret of a GitHub App belong together: githubAppID, githubAppPrivateKey, and githubAppInstallationID or githubAppInstallationOwner" },
  ProxyInvalid: { remedy: "retry", reason: "AuthenticationFailed", help: "correct the Secret named in spec.proxySecretRef" },
  SecretMissing: { remedy: "retry", reason: "AuthenticationFailed", help: "create the Secret, or correct spec.secretRef.name" },
  AccountMissing: { remedy: "retry", reason: "AuthenticationFailed", help: "create the ServiceAccount, or correct spec.serviceAccountName" },
  ReferenceMissing: { remedy: "retry", reason: "GitOperationFailed", help: "check spec.ref: the repository has nothing that it means" },
  SemverInvalid: { remedy: "stall", reason: "GitOperationFailed", help: "correct spec.ref.semver: a range of versions such as >=1.2.0 <2.0.0" },
  RepositoryEmpty: { remedy: "retry", reason: "EmptyGitRepository", help: "push a first commit" },
  UnsupportedReference: { remedy: "stall", reason: "URLInvalid", help: "this release reads repositories with SHA-1 object names, over http, https and ssh" },
  AddressInvalid: { remedy: "stall", reason: "URLInvalid", help: "correct spec.url: oci:// with the host and the path of a repository, and neither tag nor digest" },
  LayerInvalid: { remedy: "retry", reason: "OCIArtifactLayerOperationFailed", help: "push an artifact whose layer is a gzipped tar archive of files and directories, or correct spec.layerSelector" },
  BucketMissing: { remedy: "retry", reason: "BucketOperationFailed", help: "create the bucket, or correct spec.bucketName and spec.endpoint" },
  EndpointInvalid: { remedy: "stall", reason: "URLInvalid", help: "correct spec.endpoint: a host such as s3.amazonaws.com, for Azure a URL" },
  StsInvalid: { remedy: "stall", reason: "InvalidSTSConfiguration", help: "correct spec.sts: provider aws belongs to Amazon's buckets, ldap to generic ones" },
  ObjectKeyInvalid: { remedy: "retry", reason: "BucketOperationFailed", help: "rename the object, or leave it out with spec.ignore: keys have to be paths of different files" },
  GeneratorInvalid: { remedy: "stall", reason: "ValidationFailed", help: "correct the ArtifactGenerator: each alias and each name once, and only aliases that are there" },
  PathPatternInvalid: { remedy: "stall", reason: "BuildFailed", help: "correct spec.pathPattern, or what uses its captures; what was made before stays" },
  GenerateFailed: { remedy: "retry", reason: "BuildFailed", help: "correct spec.artifacts, or what is in the sources; what was made before stays" },
  ArtifactTaken: { remedy: "retry", reason: "ReconciliationFailed", help: "give the artifact another name: somebody else makes one of this name" },
  DigestMismatch: { remedy: "retry", reason: "OCIArtifactPullFailed", help: "what came is not what its digest says, so it was not used; check the registry, and whatever lies between" },
  VerificationKeysMissing: { remedy: "retry", reason: "VerificationError", help: "create the Secret named in spec.verify.secretRef: public keys, PGP under *.asc, SSH under *.sshpub" },
  VerificationModeInvalid: { remedy: "stall", reason: "InvalidVerificationMode", help: "spec.verify.mode asks for a signed tag, and spec.ref names none" },
  TagUnsigned: { remedy: "retry", reason: "InvalidGitObject", help: "sign the tag (git tag -s), or verify the commit alone" },
  TagSignatureInvalid: { remedy: "retry", reason: "InvalidTagSignature", help: "sign the tag with a key that is in the Secret named in spec.verify.secretRef, or add the key" },
  CommitSignatureInvalid: { remedy: "retry", reason: "InvalidCommitSignature", help: "sign the commit with a key that is in the Secret named in spec.verify.secretRef, or add the key" },
  SparseDirectoryMissing: { remedy: "retry", reason: "GitOperationFailed", help: "correct spec.sparseCheckout: directories of the repository" },
  IncludeMissing: { remedy: "wait", reason: "NotFound", help: "create the GitRepository named in spec.include, in the same namespace, or correct the name" },
  IncludeNotReady: { remedy: "wait", reason: "NoArtifact", help: "a GitRepository named in spec.include has no artifact yet" },
  IncludeFailed: { remedy: "retry", reason: "CopyFailure", help: "correct spec.include: fromPath is something in that artifact, and at toPath there is nothing yet" },
  IncludeCycle: { remedy: "stall", reason: "IncludeCycle", help: "take one of the spec.include of the cycle away; what was stored before stays" },
  ProviderFailed: { remedy: "retry", reason: "AuthenticationFailed", help: "give the ServiceAccount that is named, or the worker where none is, an identity in that cloud which may do this; or name a Secret with credentials" },
  VerificationFailed: { remedy: "retry", reason: "VerificationError", help: "sign the artifact with what spec.verify trusts (cosign sign, notation sign), or correct spec.verify" },
  SourceTooLarge: { remedy: "retry", reason: "ArchiveOperationFailed", help: "narrow the source with spec.ignore, or raise the worker's limits" },
  IgnoreInvalid: { remedy: "stall", reason: "SourceIgnoreError", help: "correct spec.ignore or .sourceignore: gitignore syntax" },
  TimedOut: { remedy: "retry", reason: "GitOperationFailed", help: "raise spec.timeout, or find out why the server is slow" },
  ChartRepositoryInvalid: { remedy: "stall", reason: "URLInvalid", help: "correct spec.url and spec.type: http:// or https:// for an index, oci:// with type oci for a registry" },
  IndexInvalid: { remedy: "retry", reason: "IndexationFailed", help: "make the repository's index.yaml anew (helm repo index), or correct spec.url" },
  ChartReferenceInvalid: { remedy: "stall", reason: "InvalidChartReference", help: "correct spec.chart and spec.version; it is looked up again when the source has another artifact" },
  ChartPullFailed: { remedy: "retry", reason: "ChartPullError", help: "see whether helm pull gets the chart; what was stored before stays" },
  ChartVersionInvalid: { remedy: "stall", reason: "MetadataPatchError", help: "correct the version in Chart.yaml: a semantic version such as 1.2.3" },
  ValuesFilesInvalid: { remedy: "stall", reason: "ValuesFilesError", help: "correct spec.valuesFiles, or the files it names" },
  DependencyBuildFailed: { remedy: "retry", reason: "DependencyBuildError", help: "correct the chart's dependencies, or create a HelmRepository with the credentials for their repository" },
  ChartPackageFailed: { remedy: "retry", reason: "ChartPackageError", help: "see whether helm package takes the chart" },
  ChartUnverified: { remedy: "retry", reason: "ChartVerificationError", help: "sign the chart with what spec.verify trusts, or correct spec.verify" },
  StorageFailed: { remedy: "retry", passing: true, reason: "StorageOperationFailed", help: "the artifact store did not answer; it is tried again" },
  ImageNameInvalid: { remedy: "stall", reason: "ImageURLInvalid", help: "correct spec.image of the ImageRepository: the host and the path of an image, such as ghcr.io/team/shop, with neither scheme nor tag nor digest" },
  ImageMissing: { remedy: "retry", reason: "ReadOperationFailed", help: "push the image, or correct spec.image of the ImageRepository" },
  TagsTooMany: { remedy: "retry", reason: "ReadOperationFailed", help: "delete tags that nobody needs, or find out why the registry's list of them does not end" },
  ImageRepositoryMissing: { remedy: "wait", reason: "DependencyNotReady", help: "create the ImageRepository named in spec.imageRepositoryRef, or correct the reference" },
  ImageTagsMissing: { remedy: "wait", reason: "DependencyNotReady", help: "the ImageRepository has found no tags yet: look at what it says, or push one" },
  ImageTagsUnread: { remedy: "retry", reason: "ReadOperationFailed", help: "correct spec.exclusionList: regular expressions as Go has them, of at most 1000 characters, and without large repetitions" },
  ImagePolicyInvalid: { remedy: "stall", reason: "InvalidPolicy", help: "correct spec.policy and spec.filterTags: one order, and a regular expression as Go has them, of at most 1000 characters, and without large repetitions" },
  ImageTagsUnfit: { remedy: "retry", reason: "Failed", help: "none of the tags fits: correct spec.policy or spec.filterTags, or push one that does" },
  // updates of images
  GitSpecMissing: { remedy: "stall", reason: "InvalidSourceConfiguration", help: "set spec.git: commits need an author" },
  PolicySelectorInvalid: { remedy: "stall", reason: "InvalidPolicySelector", help: "correct spec.policySelector" },
  PushRejected: { remedy: "retry", reason: "GitOperationFailed", help: "the server would not have the commit, and nothing was changed there: let the account push to the branch, or name another one in spec.git.push" },
  PushRaced: { remedy: "retry", passing: true, reason: "GitOperationFailed", help: "others pushed to the branch again and again; it is tried again on its new head" },
  PushBranchMissing: { remedy: "retry", reason: "SourceManagerFailed", help: "name the branch in spec.git.push.branch, spec.git.checkout.ref or the source's spec.ref" },
  UpdatePathMissing: { remedy: "retry", reason: "UpdateFailed", help: "correct spec.update.path: a directory or file of the repository" },
  ImageUpdateFailed: { remedy: "retry", reason: "UpdateFailed", help: "correct the files that have markers; nothing was committed" },
  MessageTemplateFailed: { remedy: "retry", reason: "GitOperationFailed", help: "correct spec.git.commit.messageTemplate; nothing was committed" },
  TemplateFieldRemoved: { remedy: "stall", reason: "RemovedTemplateField", help: "in spec.git.commit.messageTemplate, use .Changed in place of .Updated, and .Changed.FileChanges or .Changed.Objects in place of .Changed.ImageResult; nothing was committed" },
  SigningKeyInvalid: { remedy: "retry", reason: "SourceManagerFailed", help: "correct the Secret named in spec.git.commit.signingKey: a private key under git.asc (with passphrase), or with type ssh under identity (with password); nothing was committed" },
  PullRequestInvalid: { remedy: "stall", reason: "PullRequestFailed", help: "correct the annotations flotilla.dev/pull-request and those that begin with it; the commit is pushed" },
  PullRequestDenied: { remedy: "retry", reason: "PullRequestFailed", help: "give the pull request's Secret a token that may open pull requests in this repository; the commit is pushed" },
  PullRequestRepositoryMissing: { remedy: "retry", reason: "PullRequestFailed", help: "correct the GitRepository's spec.url, or give the token access to the repository; the commit is pushed" },
  PullRequestBranchMissing: { remedy: "retry", reason: "PullRequestFailed", help: "create the branch that the pull request is to go into, or name another; the commit is pushed" },
  PullRequestRateLimited: { remedy: "retry", reason: "PullRequestFailed", help: "the server has had enough requests for now; it is tried again" },
  PullRequestFailed: { remedy: "retry", reason: "PullRequestFailed", help: "the pull request could not be opened; the commit is pushed" },
  // kustomizations: inputs
  SourceMissing: { remedy: "retry", reason: "ArtifactFailed", help: "create the source named in spec.sourceRef, or correct the reference" },
  ArtifactMissing: { remedy: "wait", reason: "ArtifactFailed", help: "the source has no artifact yet" },
  ArtifactCorrupt: { remedy: "retry", passing: true, reason: "ArtifactFailed", help: "the artifact does not match its digest or is not a safe archive; the source stores it anew" },
  ArtifactPathMissing: { remedy: "retry", reason: "ArtifactFailed", help: "check spec.path: a directory relative to the root of the source" },
  DependencyNotReady: { remedy: "wait", reason: "DependencyNotReady", help: "an object in spec.dependsOn is not Ready" },
  DependencyCycle: { remedy: "stall", reason: "DependencyCycle", help: "take one of the spec.dependsOn of the cycle away; nothing is applied until then" },
  AccessDenied: { remedy: "stall", reason: "AccessDenied", help: "refer to an object of the same namespace: references across namespaces are locked down, or not allowed by the one that is referred to" },
  // kustomizations: build
  BuildFailed: { remedy: "retry", reason: "BuildFailed", help: "correct the manifests in the source; nothing was applied or deleted" },
  VariablesMissing: { remedy: "retry", reason: "BuildFailed", help: "create the object named in spec.postBuild.substituteFrom, or mark it optional; nothing was applied or deleted" },
  SubstitutionFailed: { remedy: "retry", reason: "BuildFailed", help: "give each variable a value in spec.postBuild, or a default where it is used: ${name:=default}; nothing was applied or deleted" },
  InputsChanged: { remedy: "retry", passing: true, reason: "BuildFailed", help: "what the build takes its values from changed meanwhile; it is built again" },
  DecryptionUnset: { remedy: "retry", reason: "BuildFailed", help: "set spec.decryption, or annotate the object with kustomize.toolkit.fluxcd.io/decrypt: disabled; nothing was applied or deleted" },
  DecryptionSecretMissing: { remedy: "retry", reason: "BuildFailed", help: "create the Secret that holds the decryption keys, or correct spec.decryption.secretRef; nothing was applied or deleted" },
  DecryptionKeyMissing: { remedy: "retry", reason: "BuildFailed", help: "put a key that it was encrypted for into the Secret of spec.decryption.secretRef, or encrypt it for the key that is there with sops updatekeys; nothing was applied or deleted" },
  DecryptionMacMismatch: { remedy: "retry", reason: "BuildFailed", help: "edit it with sops only, and encrypt it again; Flux does not verify this, nor do workers with --sops-ignore-mac; nothing was applied or deleted" },
  DecryptionFailed: { remedy: "retry", reason: "BuildFailed", help: "try sops decrypt on the file, and encrypt it again; nothing was applied or deleted" },
  RenderTimeout: { remedy: "retry", reason: "BuildFailed", help: "the build took too long and was stopped; nothing was applied or deleted" },
  RendererMissing: { remedy: "retry", reason: "BuildFailed", help: "the renderer is not installed; run the project's set-up" },
  // kustomizations: where to
  KubeConfigMissing: { remedy: "retry", reason: "ReconciliationFailed", help: "create the Secret or ConfigMap named in spec.kubeConfig, in the same namespace; until then nothing is applied, pruned or let go" },
  KubeConfigInvalid: { remedy: "retry", reason: "ReconciliationFailed", help: "correct what spec.kubeConfig names" },
  // kustomizations: apply, prune, health
  NamespaceMissing: { remedy: "retry", reason: "ReconciliationFailed", help: "create the namespace, put it into the source, or correct metadata.namespace" },
  NamespaceUnspecified: { remedy: "retry", reason: "ReconciliationFailed", help: "set metadata.namespace or spec.targetNamespace" },
  KindUnknown: { remedy: "retry", reason: "ReconciliationFailed", help: "install the CustomResourceDefinition first, or put it into the source" },
  ObjectInvalid: { remedy: "retry", reason: "ReconciliationFailed", help: "the API server rejected the object; correct it in the source" },
  IgnoreRuleInvalid: { remedy: "stall", reason: "ReconciliationFailed", help: "correct spec.ignore: JSON pointers, RE2 expressions, label selectors" },
  ObjectImmutable: { remedy: "retry", reason: "ReconciliationFailed", help: "an immutable field changed; set spec.force to recreate the object" },
  ObjectForbidden: { remedy: "retry", reason: "ReconciliationFailed", help: "the account in whose name it is done may not do this: spec.serviceAccountName, or the worker's own; extend its role" },
  ApplyFailed: { remedy: "retry", reason: "ReconciliationFailed", help: "the API server did not accept the change; it is tried again" },
  ApplyConflict: { remedy: "retry", passing: true, reason: "ReconciliationFailed", help: "the object changed while it was applied; it is planned again" },
  PruneFailed: { remedy: "retry", reason: "PruneFailed", help: "an object could not be deleted; it stays in the inventory and is tried again" },
  HealthCheckFailed: { remedy: "retry", reason: "HealthCheckFailed", help: "look at the named objects and their events" },
  InvalidCELExpression: { remedy: "stall", reason: "InvalidCELExpression", help: "correct the CEL expression" },
  // releases: chart, values, templates
  ChartInvalid: { remedy: "retry", reason: "ArtifactFailed", help: "correct the chart: helm lint and helm template say more of it" },
  ChartVersionMismatch: { remedy: "retry", reason: "ChartMutateError", help: "push the chart under the tag that is its version, or refer to it by digest" },
  ValuesMissing: { remedy: "retry", reason: "ValuesError", help: "create the object named in spec.valuesFrom, put the key or file into it, or mark it optional; nothing was installed or upgraded" },
  ValuesInvalid: { remedy: "retry", reason: "ValuesError", help: "correct spec.values, or what spec.valuesFrom names" },
  ValuesRejected: { remedy: "retry", reason: "InstallFailed", help: "give the named fields values that fit the chart's values.schema.json; one that cannot be used is passed over with disableSchemaValidation" },
  ReleaseRenderFailed: { remedy: "retry", reason: "InstallFailed", help: "correct the values or the chart's templates, or spec.postRenderers: helm template shows the same; nothing was applied" },
  ReleaseInvalid: { remedy: "retry", reason: "StateError", help: "the stored release is not one that Helm could read: restore its Secret, or delete it" },
  // releases: storage, objects, hooks
  ReleaseUnreadable: { remedy: "retry", reason: "StateError", help: "restore the Secret that holds this revision of the release, or delete it; until then nothing is done" },
  ReleaseTooLarge: { remedy: "retry", reason: "ReconcileError", help: "make the chart or its values smaller: files that no template reads belong into .helmignore" },
  ReleaseChanged: { remedy: "retry", passing: true, reason: "StateError", help: "the release was changed by somebody else meanwhile; it is looked at anew" },
  ReleaseFailed: { remedy: "retry", reason: "ReconcileError", help: "look at what the stored release says of its failure" },
  ReleaseMissing: { remedy: "retry", reason: "StateError", help: "the revision that is to be acted on is not in storage any more" },
  ReleaseNameTaken: { remedy: "retry", reason: "ReconcileError", help: "an uninstalled release of this name is still in the history; set spec.install.replace, or delete its storage Secrets" },
  ObjectTaken: { remedy: "retry", reason: "ReconcileError", help: "an object of this name is not the release's; delete or rename it, or let the release take it over (disableTakeOwnership: false)" },
  ManifestInvalid: { remedy: "retry", reason: "ReconcileError", help: "correct the chart: each document of a manifest is an object with apiVersion, kind and metadata.name" },
  HookFailed: { remedy: "retry", reason: "ReconcileError", help: "look at the pods of the named hook and their events" },
  ReleaseStateUnknown: { remedy: "retry", reason: "StateError", help: "look at the release's storage Secrets with helm history; another tool is changing it, or left it half done" },
  // shared
  ObjectGone: { remedy: "wait", reason: "NotFound", help: "the object was deleted meanwhile" },
  InvalidObject: { remedy: "stall", reason: "InvalidObject", help: "correct the named field" },
  ClusterUnreachable: { remedy: "retry", passing: true, reason: "ReconciliationFailed", help: "the API server gave no usable answer; it is tried again" },
  LeaseLost: { remedy: "retry", passing: true, reason: "ReconciliationFailed", help: "this worker may not write now: its lease ran out" },
  NatsServerMissing: { remedy: "retry", reason: "Unexpected", help: "run npm run setup, name a binary in FLOTILLA_NATS_SERVER, or pass --nats with the URL of a NATS you run" },
  DataInUse: { remedy: "stall", reason: "Unexpected", help: "stop it first, or name another folder with --data" },
  CellMismatch: { remedy: "stall", reason: "Unexpected", help: "run the version of Flotilla that made this store, or start with an empty one" },
  NatsUnreachable: { remedy: "retry", reason: "Unexpected", help: "check --nats and that the server runs with JetStream" },
  NatsFileUnusable: { remedy: "stall", reason: "Unexpected", help: "correct the file, or the option that names it: --nats-creds, --nats-nkey, --nats-ca, --nats-cert, --nats-key" },
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
