/** How a release stands to what it should be (helm-controller internal/reconcile/state.go; flux.md 2.7, 11). */
import type { Composed, Inspected, ReleaseSnapshot, StoredRelease } from "#protocol/messages/release.ts";
import { hasBeenTested, hasFailedTest } from "./release-history.ts";

export type ReleaseState =
  /** Nothing is installed. */
  | "Absent"
  /** Somebody else made or changed the newest revision. */
  | "Unmanaged"
  /** Chart, values or what is done to the rendered objects are not those that are wanted. */
  | "OutOfSync"
  /** A revision is pending that nobody works on. */
  | "Locked"
  /** One that we were making, and that is not known to be done. */
  | "Unfinished"
  | "Failed"
  | "Untested"
  /** As far as storage tells: whether the cluster still is as the manifest says is another question. */
  | "InSync"
  | "Unknown";

export type Desired = {
  composed: Composed;
  history: readonly ReleaseSnapshot[];
  /** What the last action, if any, is known to have been meant for. */
  intent?: string | undefined;
  /** Of the last action; compared only while the object's generation has not been seen through. */
  digests?: { postRenderers: string; commonMetadata: string } | undefined;
  tests: { enabled: boolean; /** Failures of tests count. */ count: boolean };
};

export type Standing = { state: ReleaseState; reason: string };

export function stateOf({ last }: Inspected, desired: Desired): Standing {
  if (!last) return { state: "Absent", reason: "no release in storage for object" };
  if (last.intent !== undefined && last.intent === desired.intent) return { state: "Unfinished", reason: "the action that made it has not answered" };
  if (isPending(last)) return { state: "Locked", reason: `release with status '${last.status}'` };
  const [latest] = desired.history;
  if (!latest)
    return last.status === "uninstalled"
      ? { state: "Absent", reason: "found uninstalled release in storage" }
      : { state: "Unmanaged", reason: "found existing release in storage" };
  if (!isSame(last, latest)) return { state: "Unmanaged", reason: "release not observed to be made for object" };
  // An uninstall that failed half way, for its hook say, is one more failure; Flux stays at it until somebody helps.
  if (last.status === "failed" || last.status === "uninstalling") return { state: "Failed", reason: "" };
  if (last.status === "uninstalled") return { state: "Absent", reason: "found uninstalled release in storage" };
  if (last.status !== "deployed") return { state: "Unknown", reason: `unable to determine state for release with status '${last.status}'` };
  return standing(last, latest, desired);
}

export const isPending = ({ status }: Pick<StoredRelease, "status">): boolean => status.startsWith("pending-");

/** Snapshots of before `v2` were digested in another way: name and number must do, as in Flux. */
const isSame = (last: StoredRelease, latest: ReleaseSnapshot): boolean => latest.apiVersion !== "v2" || latest.digest === last.digest;

function standing(last: StoredRelease, latest: ReleaseSnapshot, { composed, digests, tests }: Desired): Standing {
  if (last.chartName !== composed.chartName || last.chartVersion !== composed.chartVersion) return { state: "OutOfSync", reason: "release chart changed" };
  if (latest.configDigest !== composed.configDigest) return { state: "OutOfSync", reason: "release config values changed" };
  if (digests && digests.postRenderers !== composed.postRenderersDigest) return { state: "OutOfSync", reason: "postrenderers digest has changed" };
  if (digests && digests.commonMetadata !== composed.commonMetadataDigest) return { state: "OutOfSync", reason: "common metadata digest has changed" };
  if (tests.enabled && !hasBeenTested(latest)) return { state: "Untested", reason: "" };
  if (tests.enabled && tests.count && hasFailedTest(latest)) return { state: "Failed", reason: "release has test in failed phase" };
  return { state: "InSync", reason: "" };
}

/**
 * What is remembered of a release that somebody else made just as it is wanted: nothing has to be done for it to be ours. Flux
 * would make another revision of it. Undefined: there is no such release.
 */
export function adoptable({ last }: Inspected, history: readonly ReleaseSnapshot[], composed: Composed): ReleaseSnapshot | undefined {
  if (!last || history.length > 0 || last.status !== "deployed") return undefined;
  const isSame = last.chartName === composed.chartName && last.chartVersion === composed.chartVersion && last.configDigest === composed.configDigest;
  if (!isSame || composed.postRenderersDigest !== "" || composed.commonMetadataDigest !== "") return undefined;
  const { intent: _, ...stored } = last;
  return { apiVersion: "v2", ...stored };
}

/** Why the release has to go from where it was before it can be made where it is wanted; undefined: it need not. */
export function whyMoved(
  latest: ReleaseSnapshot | undefined, storageNamespace: string,
  place: { name: string; namespace: string; storageNamespace: string }, chart: { name: string; reinstalls: boolean },
): string | undefined {
  if (storageNamespace === "" || !latest) return undefined;
  if (place.storageNamespace !== storageNamespace) return "storage namespace";
  if (place.namespace !== latest.namespace) return "release namespace";
  if (place.name !== latest.name) return "release name";
  return chart.reinstalls && chart.name !== latest.chartName ? "chart name" : undefined;
}
