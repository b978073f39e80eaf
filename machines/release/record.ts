/** What an action leaves in the record: history, conditions, counts, in Flux's words (helm-controller internal/reconcile). */
import { faults, readFault, type FaultData } from "#protocol/errors/fault.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { ActInput, ActOutcome, ReleaseCondition, ReleaseSnapshot } from "#protocol/messages/release.ts";
import { fullName, hasBeenTested, lastFew, previousOf, recorded, replaced, tested, truncated, versionedChart } from "#machines/rules/release-history.ts";
import { afterNothing, afterRemediation, keepsTested, policyOf, type Next, type Step } from "#machines/rules/release-next.ts";
import { whyMoved } from "#machines/rules/release-state.ts";
import type { ReleaseContext } from "./context.ts";

export type Recorded = { context: Partial<ReleaseContext>; notice?: Notice };

export const stepOf = ({ action }: ActInput): Step =>
  action === "install" || action === "upgrade" ? "release" : action === "rollback" || action === "uninstall" ? "remediate" : action;

export function withCondition(list: readonly ReleaseCondition[], ...said: ReleaseCondition[]): ReleaseCondition[] {
  const types = new Set(said.map(({ type }) => type));
  return [...list.filter(({ type }) => !types.has(type)), ...said];
}

export const withoutConditions = (list: readonly ReleaseCondition[], ...types: ReleaseCondition["type"][]): ReleaseCondition[] => list.filter(({ type }) => !types.includes(type));

/** The newest revision's name and chart, for a sentence. */
export const about = (snapshot: ReleaseSnapshot | undefined): { release: string; chart: string } =>
  ({ release: snapshot ? fullName(snapshot) : "", chart: snapshot ? versionedChart(snapshot) : "" });

export const whyOf = (fault: FaultData): string => (fault.detail ?? faults[fault.code].help).trim();

/** An event's message is cut by nobody but us: it has to fit a condition's limit. */
export const withLog = (message: string, log: readonly string[]): string => (log.length > 0 ? `${message}\n\nLast Helm logs:\n\n${log.join("\n")}` : message);

/** An action that failed without leaving anything in storage is thrown. */
export function outcomeIn(event: object): ActOutcome {
  const { output, error } = event as { output?: ActOutcome; error?: unknown };
  return output ?? { written: [], log: [], fault: readFault(error) };
}

/** Of a release that is in sync, what it could be rolled back to. */
export function kept({ facts, lastAction, history }: ReleaseContext): ReleaseSnapshot[] {
  if (!facts) return history;
  return policyOf({ facts, lastAction })?.retryMs === undefined ? truncated(history, keepsTested({ facts, lastAction })) : lastFew(history);
}

export const movedBy = ({ facts, composed, history, storageNamespace }: ReleaseContext): string | undefined =>
  (facts && composed ? whyMoved(history[0], storageNamespace, facts.place, { name: composed.chartName, reinstalls: facts.upgrade.reinstalls }) : undefined);

/** What was done, as soon as it was: `nowMs` is when the answer came. */
export function afterAct(c: ReleaseContext, act: ActInput, outcome: ActOutcome, nowMs: number): Recorded {
  switch (act.action) {
    case "install":
    case "upgrade":
      return released(c, act.action, outcome, nowMs);
    case "rollback":
      return rolledBack(c, outcome, nowMs);
    case "uninstall":
      return remediated(c, outcome);
    case "test":
      return testedNow(c, outcome);
    case "unlock":
      return unlocked(c, outcome);
  }
}

/** @param snapshot that the event is about; without it, of what was tried */
export function noticeOf(c: ReleaseContext, severity: Notice["severity"], reason: string, message: string, snapshot?: ReleaseSnapshot): Notice {
  const revision = snapshot?.chartVersion ?? c.composed?.chartVersion ?? "";
  return {
    type: "notice", severity, reason, message, revision, token: snapshot?.configDigest ?? c.composed?.configDigest ?? "",
    appVersion: snapshot?.appVersion ?? c.composed?.appVersion ?? "", ociDigest: snapshot ? (snapshot.ociDigest ?? "") : c.ociDigest,
  };
}

function released(c: ReleaseContext, action: "install" | "upgrade", { written, entries, log, fault }: ActOutcome, nowMs: number): Recorded {
  const begins = action === "install";
  const word = begins ? "Install" : "Upgrade";
  const history = written.length > 0 ? recorded(c.history, written, { action, ociDigest: c.ociDigest, begins }) : begins ? [] : c.history;
  const bare = withoutConditions(c.conditions, "TestSuccess", "Remediated");
  const shared: Partial<ReleaseContext> = {
    history, lastAction: action, lastTookMs: Math.max(0, nowMs - (c.actingMs ?? nowMs)), ...(entries && { inventory: entries }),
    ...digestsOf(c), driftSaid: undefined, drifted: false, ...appliedAll(entries, fault ? undefined : nowMs),
  };
  if (fault) {
    const { name = "", namespace = "" } = c.facts?.place ?? {};
    const { chartName = "", chartVersion = "" } = c.composed ?? {};
    const message = `Helm ${action} failed for release ${namespace}/${name} with chart ${chartName}@${chartVersion}: ${whyOf(fault)}`;
    const counted = written.length > 0 ? 1 : 0;
    const counts = {
      failures: c.counts.failures + 1, installs: c.counts.installs + (begins ? counted : 0), upgrades: c.counts.upgrades + (begins ? 0 : counted),
    };
    const next = written.length > 0 ? undefined : afterNothing({ facts: factsOf(c), lastAction: action });
    return {
      context: { ...shared, counts, next, conditions: withCondition(bare, { type: "Released", status: "False", reason: `${word}Failed`, message }) },
      notice: noticeOf(c, "Warning", `${word}Failed`, withLog(message, log)),
    };
  }
  const [latest] = history;
  const { release, chart } = about(latest);
  const message = `Helm ${action} succeeded for release ${release} with chart ${chart}`;
  const awaitsTests = c.facts?.test.enabled === true && !hasBeenTested(latest);
  const retries = factsOf(c)[action].retryMs !== undefined;
  return {
    context: {
      ...shared, next: undefined, ...(retries && { counts: { failures: 0, installs: 0, upgrades: 0 } }),
      conditions: withCondition(
        bare, { type: "Released", status: "True", reason: `${word}Succeeded`, message },
        ...(awaitsTests ? [{ type: "TestSuccess", status: "Unknown", reason: "AwaitingTests", message: `Helm release ${release} with chart ${chart} is awaiting tests` } as const] : []),
      ),
    },
    notice: noticeOf(c, "Normal", `${word}Succeeded`, message, latest),
  };
}

function rolledBack(c: ReleaseContext, { written, entries, log, fault }: ActOutcome, nowMs: number): Recorded {
  const target = c.history.find(({ version }) => version === c.act?.to) ?? previousOf(c.history, policyOf({ facts: factsOf(c), lastAction: c.lastAction })?.ignoreTestFailures ?? false);
  const { release, chart } = about(target);
  const history = written.length > 0 ? recorded(c.history, written, { action: "rollback" }) : c.history;
  const shared = { history, ...digestsOf(c), ...(entries && { inventory: entries }), driftSaid: undefined, ...appliedAll(entries, fault ? undefined : nowMs) };
  if (fault) {
    const message = `Helm rollback to previous release ${release} with chart ${chart} failed: ${whyOf(fault)}`;
    return remediation({ ...c, ...shared }, shared, { status: "False", reason: "RollbackFailed", message }, noticeOf(c, "Warning", "RollbackFailed", withLog(message, log), target), written.length === 0);
  }
  const message = `Helm rollback to previous release ${release} with chart ${chart} succeeded`;
  return remediation({ ...c, ...shared }, shared, { status: "True", reason: "RollbackSucceeded", message }, noticeOf(c, "Normal", "RollbackSucceeded", message, target), false);
}

function remediated(c: ReleaseContext, { written, log, fault }: ActOutcome): Recorded {
  const [latest] = c.history;
  const { release, chart } = about(latest);
  const shared = { history: written.length > 0 ? recorded(c.history, written, { action: "uninstall-remediation" }) : c.history, ...digestsOf(c) };
  if (fault) {
    const message = `Helm uninstall remediation for release ${release} with chart ${chart} failed: ${whyOf(fault)}`;
    return remediation({ ...c, ...shared }, shared, { status: "False", reason: "UninstallFailed", message }, noticeOf(c, "Warning", "UninstallFailed", withLog(message, log), latest), written.length === 0);
  }
  const message = `Helm uninstall remediation for release ${release} with chart ${chart} succeeded`;
  const gone = { ...shared, inventory: [] };
  return remediation({ ...c, ...gone }, gone, { status: "True", reason: "UninstallSucceeded", message }, noticeOf(c, "Normal", "UninstallSucceeded", message, latest), false);
}

/** @param nothing whether the action left no trace in storage */
function remediation(c: ReleaseContext, shared: Partial<ReleaseContext>, said: Omit<ReleaseCondition, "type">, notice: Notice, nothing: boolean): Recorded {
  const situation = { facts: factsOf(c), counts: c.counts, lastAction: c.lastAction };
  return {
    context: {
      ...shared, conditions: withCondition(c.conditions, { type: "Remediated", ...said }),
      ...(said.status === "False" && { counts: { ...c.counts, failures: c.counts.failures + 1 } }),
      next: nothing ? afterNothing(situation) : afterRemediation(situation),
    },
    notice,
  };
}

function testedNow(c: ReleaseContext, { written, testHooks, log, fault }: ActOutcome): Recorded {
  const history = testHooks ? tested(written.length > 0 ? replaced(c.history, written) : c.history, testHooks) : c.history;
  const [latest] = history;
  const { release, chart } = about(latest);
  const head = `Helm test ${fault ? "failed" : "succeeded"} for release ${release} with chart ${chart}: `;
  if (!fault) {
    const count = Object.keys(latest?.testHooks ?? {}).length;
    const message = head + (count > 0 ? `${count} test ${count > 1 ? "hooks" : "hook"} completed successfully` : "no test hooks");
    return {
      context: { history, ...digestsOf(c), next: undefined, conditions: withCondition(c.conditions, { type: "TestSuccess", status: "True", reason: "TestSucceeded", message }) },
      notice: noticeOf(c, "Normal", "TestSucceeded", message, latest),
    };
  }
  const message = head + whyOf(fault);
  const seen = hasBeenTested(latest);
  const policy = policyOf({ facts: factsOf(c), lastAction: c.lastAction });
  const counted = seen && policy?.ignoreTestFailures === false ? 1 : 0;
  const { failures, installs, upgrades } = c.counts;
  return {
    context: {
      history, ...digestsOf(c),
      counts: { failures: failures + 1, installs: installs + (c.lastAction === "install" ? counted : 0), upgrades: upgrades + (c.lastAction === "upgrade" ? counted : 0) },
      conditions: withCondition(c.conditions, { type: "TestSuccess", status: "False", reason: "TestFailed", message }),
      next: seen ? undefined : afterNothing({ facts: factsOf(c), lastAction: c.lastAction }),
    },
    notice: noticeOf(c, "Warning", "TestFailed", withLog(message, log), latest),
  };
}

function unlocked(c: ReleaseContext, { written, fault }: ActOutcome): Recorded {
  const [stored] = written;
  if (!stored && !fault) return { context: { next: undefined } }; // somebody else was faster
  const { chart, release } = stored ? { release: fullName(stored), chart: versionedChart(stored) } : about(c.history[0]);
  const message = fault
    ? `Unlock of Helm release ${release} with chart ${chart} in pending state failed: ${whyOf(fault)}`
    : `Unlocked Helm release ${release} with chart ${chart} in pending state`;
  return {
    context: {
      history: replaced(c.history, written), ...digestsOf(c), next: fault ? ({ do: "again" } satisfies Next) : undefined,
      conditions: withCondition(c.conditions, { type: "Released", status: "False", reason: "PendingRelease", message }),
      ...(fault && { counts: { ...c.counts, failures: c.counts.failures + 1 } }),
    },
    notice: noticeOf(c, fault ? "Warning" : "Normal", "PendingRelease", message, c.history[0]),
  };
}

/** A release that goes, or has to go from where it is: told, and forgotten. */
export function uninstalled(c: ReleaseContext, { written, absent, log, fault }: ActOutcome): Recorded {
  const [latest] = c.history;
  const { release, chart } = about(latest);
  const history = written.length > 0 ? recorded(c.history, written, { action: "uninstall" }) : c.history;
  if (fault) {
    const message = `Helm uninstall failed for release ${release} with chart ${chart}: ${whyOf(fault)}`;
    return {
      context: { history, conditions: withCondition(c.conditions, { type: "Released", status: "False", reason: "UninstallFailed", message }), counts: { ...c.counts, failures: c.counts.failures + 1 } },
      notice: noticeOf(c, "Warning", "UninstallFailed", withLog(message, log), latest),
    };
  }
  const message = absent ? `Release ${release} was not found, assuming it is uninstalled` : `Helm uninstall succeeded for release ${release} with chart ${chart}`;
  const conditions = withCondition(c.conditions, { type: "Released", status: "False", reason: "UninstallSucceeded", message });
  return {
    context: { history: [], storageNamespace: "", inventory: [], counts: { failures: 0, installs: 0, upgrades: 0 }, conditions, comparedMs: undefined, driftSaid: undefined },
    ...(!absent && { notice: noticeOf(c, "Normal", "UninstallSucceeded", message, latest) }),
  };
}

/** In sync: what a failed try of before said does not hold any more. */
export function inSync(c: ReleaseContext): Partial<ReleaseContext> {
  const { release, chart } = about(c.history[0]);
  const released = c.conditions.find(({ type }) => type === "Released");
  const rolledBack = c.conditions.some(({ type, status }) => type === "Remediated" && status === "True");
  const said = (action: "install" | "upgrade"): ReleaseCondition => ({
    type: "Released", status: "True", reason: action === "install" ? "InstallSucceeded" : "UpgradeSucceeded", message: `Helm ${action} succeeded for release ${release} with chart ${chart}`,
  });
  if (rolledBack) return { conditions: withCondition(withoutConditions(c.conditions, "Remediated"), said("upgrade")) };
  if (released?.status === "True") return {};
  if (released?.reason === "InstallFailed") return { conditions: withCondition(c.conditions, said("install")) };
  return { conditions: withCondition(c.conditions, said("upgrade")) };
}

/** Applying looks at every object, and says how it left it. @param atMs when all of it was done */
const appliedAll = (entries: InventoryEntry[] | undefined, atMs: number | undefined): Partial<ReleaseContext> =>
  (atMs !== undefined && entries?.every(({ uid }) => uid !== "") ? { comparedMs: atMs, compareAll: false } : { comparedMs: undefined });

const digestsOf = ({ composed }: ReleaseContext): Partial<ReleaseContext> =>
  composed ? { postRenderersDigest: composed.postRenderersDigest, commonMetadataDigest: composed.commonMetadataDigest } : {};

function factsOf({ facts }: ReleaseContext): NonNullable<ReleaseContext["facts"]> {
  if (!facts) throw new TypeError("nothing is done for an object that was never seen");
  return facts;
}
