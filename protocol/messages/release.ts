/**
 * Between a release and its effects (docs/decisions/0009). Values and manifests are in none of these: they stay in the
 * process that composed them, and in Helm's storage Secrets.
 */
import type { FaultData } from "#protocol/errors/fault.ts";
import type { Awaited, Change, CompareOutcome, InventoryEntry } from "./kustomization.ts";
import type { Artifact } from "./source.ts";

/** What Helm calls the states of a release (helm pkg/release/common). */
export type ReleaseStatus =
  | "unknown" | "deployed" | "uninstalled" | "superseded" | "failed" | "uninstalling" | "pending-install" | "pending-upgrade" | "pending-rollback";

/** Where a release lies, and under which name (flux.md 2.7.2). */
export type ReleasePlace = {
  /** At most 53 characters. */
  name: string;
  /** Where its objects go that name no namespace. */
  namespace: string;
  /** Where its storage Secrets lie. */
  storageNamespace: string;
};

/** One revision as a storage Secret holds it. Times are RFC 3339 in whole seconds, as the API writes them. */
export type StoredRelease = {
  name: string;
  namespace: string;
  /** 1 or more: the `N` of `sh.helm.release.v1.<name>.v<N>`. */
  version: number;
  status: ReleaseStatus;
  chartName: string;
  chartVersion: string;
  appVersion?: string;
  /** `sha256:<hex>` of the values as sorted YAML. */
  configDigest: string;
  /**
   * `sha256:<hex>` of the observed release, as Flux computes it for a snapshot of version `v2`, with the `ociDigest` that is
   * known of this revision: another one than the snapshot's means that somebody else wrote here.
   */
  digest: string;
  firstDeployed: string;
  lastDeployed: string;
  deleted?: string;
  /** Which decision of which actor made it (`ActInput.intent`), also when it is settled; absent on what others wrote. */
  intent?: string;
};

export type TestHook = { lastStarted?: string; lastCompleted?: string; phase?: string };

/** One entry of `status.history`, as the API has it. */
export type ReleaseSnapshot = Omit<StoredRelease, "intent"> & {
  /** Absent in snapshots of before `v2`: their digest is not compared. */
  apiVersion?: string;
  /** Of the chart's OCI artifact. */
  ociDigest?: string;
  action?: SnapshotAction;
  /** By name. Absent: not tested; empty: there was nothing to test. */
  testHooks?: Record<string, TestHook>;
};

export type SnapshotAction = "install" | "upgrade" | "rollback" | "uninstall" | "uninstall-remediation";

/**
 * What an action deleted, or found gone that was to be deleted, at a place: what a crashed owner had sent may bring it back.
 * `hook`: a hook that was to go by its policy; while that may happen it is left, so that it cannot be made, and run, again.
 */
export type Gone = { place: ReleasePlace; objects: { id: string; v: string; hook?: true }[] };

/** The artifact that a source holds, and the trace of the change that made it. */
export type Offered = { artifact: Artifact; traceparent: string };

/** What came of `spec.chart`: the HelmChart that stands for it, `namespace/name`; empty when there is none. */
/** A HelmChart as it was when it last was as wanted. `wanted`: digest of that. */
export type ChartSeen = { wanted: string; uid: string; generation: number; atMs: number };

export type ChartApplied = { chart: string; seen?: ChartSeen; /** What was done to it, if anything, for an event of severity trace. */ done?: { reason: string; message: string } };

export type ChartFound = Offered & {
  /** What the sources offer that files of values are read from, by their actor ids; one that may be missing is left out. */
  values?: Record<string, Offered>;
  /** The chart is made from a source of values too, and not yet from what that holds now. */
  behind?: boolean;
  /** Digest of the OCI artifact that the chart came in; empty for charts of other sources. */
  ociDigest: string;
  /** On which cluster the release lies: the hub when absent. */
  cluster?: string;
  /** As whom it is done there: Flotilla itself when absent. */
  user?: string;
  /** Some of what was applied there cannot be watched. */
  blind?: boolean;
  /** What the object's status says: by a former store of ours, or by Flux. */
  known: KnownRelease;
};

/** What Flux's controller keeps in a HelmRelease's status and nowhere else. */
export type KnownRelease = {
  history: ReleaseSnapshot[];
  storageNamespace: string;
  chart: string;
  failures: number;
  installFailures: number;
  upgradeFailures: number;
  attempted?: Attempt;
  lastAction?: "install" | "upgrade";
  postRenderersDigest: string;
  commonMetadataDigest: string;
  inventory: { id: string; v: string }[];
  /** Generation its status was last said of. */
  observedGeneration: number;
  handledForceAt: string;
  handledResetAt: string;
  /** Of its conditions, those that a later decision depends on. */
  conditions: ReleaseCondition[];
};

export type ReleaseCondition = { type: "Released" | "TestSuccess" | "Remediated"; status: "True" | "False" | "Unknown"; reason: string; message: string };

/** What the release is to be made of; nothing of the values but their digest. */
export type Composed = {
  chartName: string;
  /** With `+<12 hex of the digest>` where the chart is an OCI artifact (flux.md 2.7, 7). */
  chartVersion: string;
  appVersion: string;
  /** `sha256:<hex>` of the composed values. */
  configDigest: string;
  /** Of `spec.postRenderers` and `spec.commonMetadata`; empty when there are none. */
  postRenderersDigest: string;
  commonMetadataDigest: string;
};

/** What was tried last, and with what: when one of these changes, failures are counted from zero. */
export type Attempt = { generation: number; revision: string; revisionDigest: string; configDigest: string };

/** What stood in storage when it was last looked at, or written: in a word (`storageMark`), and by the numbers of its revisions. */
export type StorageSeen = { place: string; mark: string; versions: number[] };

/** What storage holds now. */
export type Inspected = {
  storage?: StorageSeen;
  /** The newest revision. Absent: there is none under this name. */
  last?: StoredRelease;
  /** Those of the versions in the record's history that are there, whole and readable. */
  known: StoredRelease[];
  /** The objects of `last`, where the history knows nothing of it: for a release that is taken over. */
  entries?: InventoryEntry[];
};

/**
 * One action of Helm. `unlock` marks a pending revision failed.
 *
 * The first three make revision `version`, which exists nowhere when this is decided. The Secret's create under its fixed
 * name is the write-ahead intent: whoever runs the same input again, after a crash or a hand-over, finds that Secret, and goes
 * on with it when it carries the same `intent`. So one decision makes one revision, however often it is run.
 *
 * @see docs/decisions/0009-a-release-survives-in-its-storage.md
 */
export type ActInput = {
  action: "install" | "upgrade" | "rollback" | "uninstall" | "test" | "unlock";
  /** The revision it makes, or the one it acts on: `uninstall`, `test`, `unlock`. */
  version: number;
  /** `rollback`: the revision whose contents come back. */
  to?: number;
  /** Of this decision alone; the same however often it is run. Stored with the revision it makes, for good. */
  intent: string;
};

/**
 * What an action did. A failure that is a fact about the release, such as objects that do not become healthy, is `fault` beside
 * what was written; one that left nothing in storage is thrown as a fault. After `fault` the revision it made is `failed`.
 */
export type ActOutcome = {
  /** Every revision that was written, newest first, as it stands in storage now. */
  written: StoredRelease[];
  /** What the manifest's objects are after the action, hooks excluded, CRDs of the chart included. Absent: as before. */
  entries?: InventoryEntry[];
  /** What stands in storage after it, where that is known. */
  storage?: StorageSeen;
  /** `test`: what each selected test came to. */
  testHooks?: Record<string, TestHook>;
  /** `uninstall`: there was no such release, or it was uninstalled already. */
  absent?: boolean;
  gone?: Gone;
  /** A run before had begun it, and was cut short. */
  resumed?: true;
  /** The last lines of what Helm would log, for the event; nothing secret. At most ten, of 1,000 characters. */
  log: string[];
  fault?: FaultData;
};

/**
 * In what the cluster is not as the deployed manifest says, and putting that back. `standing`: what does not differ, as a watch
 * compares with it from now on; without a uid it is left to others.
 */
export type DriftOutcome = CompareOutcome & { standing?: DriftStanding[] };
export type DriftStanding = Omit<InventoryEntry, "digest">;
export type CorrectOutcome = { changes: Change[]; entries?: InventoryEntry[]; fault?: FaultData };

/**
 * The end of a release whose object is deleted. `skipped`: nothing was uninstalled, and why, such as an account that is gone.
 * `awaits`: releases that depend on it and are being deleted too; they go first.
 */
export type ReleaseRemoved = { removed?: ActOutcome; skipped?: string; awaits?: Awaited[] };
