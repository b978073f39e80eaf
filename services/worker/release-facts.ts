/** From a HelmRelease to the facts its chart decides on. */
import { hash } from "node:crypto";
import { helmChartName, releasePlace } from "#machines/rules/release-name.ts";
import { annotations } from "#protocol/api/annotations.ts";
import { parseDuration } from "#protocol/api/duration.ts";
import { helmChart } from "#protocol/api/helm-chart.ts";
import type { HelmRelease } from "#protocol/api/helm-release.ts";
import type { OnFailure, ReleaseFacts } from "#protocol/messages/object.ts";
import { actorId } from "#protocol/names/actor.ts";
import type { FeatureGates } from "./feature-gates.ts";
import { dependencies, dependencyId } from "./depends-on.ts";
import { valuesSources } from "./values-from.ts";

const defaultTimeoutMs = 300_000;
const defaultRetryMs = 300_000;

type Own = Omit<ReleaseFacts, "uid" | "generation" | "deleting" | "finalizer" | "suspended" | "requestedAt" | "handledAt" | "intervalMs" | "inputs">;

export function ownFactsOf({ metadata, spec }: HelmRelease, { DefaultToRetryOnFailure: retries }: Pick<FeatureGates, "DefaultToRetryOnFailure">): Own {
  const timeoutMs = spec.timeout ? parseDuration(spec.timeout) : defaultTimeoutMs;
  const timeoutOf = (action: { timeout?: string | undefined } | undefined) => (action?.timeout ? parseDuration(action.timeout) : timeoutMs);
  const ignoreFailures = spec.test?.ignoreFailures ?? false;
  const dependsOn = dependencies({ kind: "helmrelease", namespace: metadata.namespace }, spec).map(dependencyId);
  const forceAt = metadata.annotations?.[annotations.forceAt];
  const resetAt = metadata.annotations?.[annotations.resetAt];
  const { remediation } = spec.upgrade ?? {};
  const madeFrom = valuesSources(metadata, spec).map(actorId);
  return {
    timeoutMs,
    source: sourceOf(metadata, spec),
    ...(madeFrom.length > 0 && { madeFrom }),
    ...(dependsOn.length > 0 && { dependsOn }),
    place: releasePlace(metadata, spec, (text) => hash("sha256", text)),
    ...(forceAt && { forceAt }), ...(resetAt && { resetAt }),
    drift: spec.driftDetection?.mode ?? "disabled",
    install: { ...policyOf(spec.install, ignoreFailures, retries), remediateLast: spec.install?.remediation?.remediateLastFailure ?? false },
    upgrade: {
      ...policyOf(spec.upgrade, ignoreFailures, retries), remediateLast: remediation?.remediateLastFailure ?? (remediation?.retries ?? 0) > 0,
      strategy: remediation?.strategy ?? "rollback", reinstalls: spec.upgrade?.chartNameChangeStrategy !== "InPlaceUpdate",
    },
    test: { enabled: spec.test?.enable ?? false, ignoreFailures },
    timeouts: { install: timeoutOf(spec.install), upgrade: timeoutOf(spec.upgrade), rollback: timeoutOf(spec.rollback), uninstall: timeoutOf(spec.uninstall), test: timeoutOf(spec.test) },
  };
}

type Action = {
  strategy?: { name: string; retryInterval?: string | undefined } | undefined;
  remediation?: { retries?: number | undefined; ignoreTestFailures?: boolean | undefined } | undefined;
};

/** @param retries whether an action without a strategy is tried again rather than remediated */
function policyOf(action: Action | undefined, ignoreFailures: boolean, retries: boolean): Omit<OnFailure, "remediateLast"> {
  const { strategy, remediation } = action ?? {};
  return {
    retries: remediation?.retries ?? 0, ignoreTestFailures: remediation?.ignoreTestFailures ?? ignoreFailures,
    ...((strategy ? strategy.name === "RetryOnFailure" : retries) && { retryMs: strategy?.retryInterval ? parseDuration(strategy.retryInterval) : defaultRetryMs }),
  };
}

/** Actor id of what the chart is read from: of `spec.chart` the one that stands for it. */
function sourceOf({ namespace, name }: { namespace: string; name: string }, { chart, chartRef }: HelmRelease["spec"]): string {
  if (chartRef) return `${chartRef.kind.toLowerCase()}/${chartRef.namespace ?? namespace}/${chartRef.name}`;
  return `${helmChart.kind.toLowerCase()}/${chart?.spec.sourceRef.namespace ?? namespace}/${helmChartName({ namespace, name })}`;
}

export const blankReleaseFacts: Own = {
  timeoutMs: defaultTimeoutMs, source: "", place: { name: "", namespace: "", storageNamespace: "" }, drift: "disabled",
  install: { retries: 0, ignoreTestFailures: false, remediateLast: false },
  upgrade: { retries: 0, ignoreTestFailures: false, remediateLast: false, strategy: "rollback", reinstalls: false },
  test: { enabled: false, ignoreFailures: false },
  timeouts: { install: defaultTimeoutMs, upgrade: defaultTimeoutMs, rollback: defaultTimeoutMs, uninstall: defaultTimeoutMs, test: defaultTimeoutMs },
};
