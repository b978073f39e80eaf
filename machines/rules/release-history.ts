/** `status.history` of a release: what is known of its last revisions, newest first (helm-controller api/v2/snapshot_types.go). */
import type { ReleaseSnapshot, SnapshotAction, StoredRelease, TestHook } from "#protocol/messages/release.ts";

export const fullName = ({ namespace, name, version }: Pick<StoredRelease, "namespace" | "name" | "version">): string => `${namespace}/${name}.v${version}`;
export const versionedChart = ({ chartName, chartVersion }: Pick<StoredRelease, "chartName" | "chartVersion">): string => `${chartName}@${chartVersion}`;

const hooksOf = (snapshot: ReleaseSnapshot | undefined): TestHook[] => Object.values(snapshot?.testHooks ?? {});

export const hasFailedTest = (snapshot: ReleaseSnapshot | undefined): boolean => hooksOf(snapshot).some(({ phase }) => phase === "Failed");

/** Also when there was nothing to test. */
export const hasBeenTested = (snapshot: ReleaseSnapshot | undefined): boolean =>
  snapshot?.testHooks !== undefined && (hasFailedTest(snapshot) || hooksOf(snapshot).every(({ phase }) => phase === "Succeeded"));

/** What a rollback goes back to. @param ignoreTests whether a revision whose test failed will do */
export const previousOf = ([, ...older]: readonly ReleaseSnapshot[], ignoreTests: boolean): ReleaseSnapshot | undefined =>
  older.find((each) => isGood(each, ignoreTests));

const isGood = (snapshot: ReleaseSnapshot, ignoreTests: boolean): boolean =>
  (snapshot.status === "deployed" || snapshot.status === "superseded") && (ignoreTests || !hasFailedTest(snapshot));

const mostSnapshots = 5;

/** Down to what a rollback would go back to; the last five where there is no such revision. */
export function truncated(history: readonly ReleaseSnapshot[], ignoreTests: boolean): ReleaseSnapshot[] {
  const previous = history.findIndex((each, i) => i > 0 && isGood(each, ignoreTests));
  return history.slice(0, previous > 0 ? previous + 1 : mostSnapshots);
}

export const lastFew = (history: readonly ReleaseSnapshot[]): ReleaseSnapshot[] => history.slice(0, mostSnapshots);

export type Made = {
  action: SnapshotAction;
  /** Of the chart that was installed or upgraded to. */
  ociDigest?: string;
  /** An install is the beginning of a history: nothing of before is rolled back to. */
  begins?: boolean;
};

/** The history after an action, from the revisions that it wrote. */
export function recorded(history: readonly ReleaseSnapshot[], written: readonly StoredRelease[], { action, ociDigest, begins = false }: Made): ReleaseSnapshot[] {
  const before = begins ? [] : history;
  const known = new Map(before.map((each) => [each.version, each]));
  const newest = Math.max(...written.map(({ version }) => version));
  for (const stored of written) {
    const snapshot = known.get(stored.version);
    const isNew = stored.version === newest && (action === "install" || action === "upgrade");
    // Of what this action did not make, only that is remembered which already was.
    if (!snapshot && stored.version !== newest) continue;
    const { intent: _, ...release } = stored;
    const digest = isNew ? ociDigest : snapshot?.ociDigest;
    const did = isNew ? action : snapshot ? actionOn(action, snapshot) : undefined;
    known.set(stored.version, {
      apiVersion: "v2", ...release,
      ...(did && { action: did }), ...(digest && { ociDigest: digest }), ...(snapshot?.testHooks && { testHooks: snapshot.testHooks }),
    });
  }
  return [...known.values()].sort((a, b) => b.version - a.version);
}

/** What an upgrade supersedes was still made by what made it. */
const actionOn = (action: SnapshotAction, snapshot: ReleaseSnapshot): SnapshotAction | undefined =>
  (action === "install" || action === "upgrade" ? snapshot.action : action);

/** With what the tests of the newest revision came to. */
export const tested = ([latest, ...older]: readonly ReleaseSnapshot[], testHooks: Record<string, TestHook>): ReleaseSnapshot[] =>
  latest ? [{ ...latest, testHooks }, ...older] : [];

/** A pending revision that was unlocked is failed now; it counts as known only where it was. */
export const replaced = (history: readonly ReleaseSnapshot[], written: readonly StoredRelease[]): ReleaseSnapshot[] =>
  history.map((snapshot) => {
    const stored = written.find(({ version }) => version === snapshot.version);
    if (!stored) return snapshot;
    const { intent: _, ...release } = stored;
    return { ...snapshot, ...release };
  });
