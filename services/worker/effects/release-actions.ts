/** What Helm is asked to do for a release, in the words of services/release: from what the object says (flux.md 2.7.3). */
import type { HelmRelease } from "#protocol/api/helm-release.ts";
import type { ReleaseFacts } from "#protocol/messages/object.ts";
import type { MakeOptions, WaitStrategy } from "#services/release/call.ts";
import type { UninstallOptions } from "#services/release/uninstall.ts";

type Spec = HelmRelease["spec"];

const defaultHistory = 5;

const waitOf = ({ waitStrategy }: Spec, disabled: boolean | undefined): WaitStrategy => (disabled ? "hooks" : (waitStrategy?.name ?? "poller"));

const modes = { enabled: true, disabled: false, auto: "auto" } as const;

/** Of install, upgrade and rollback. */
export function makeOptions(spec: Spec, action: "install" | "upgrade" | "rollback", { timeouts }: Pick<ReleaseFacts, "timeouts">): MakeOptions {
  const { install = {}, upgrade = {}, rollback = {}, maxHistory = defaultHistory } = spec;
  const own = { install, upgrade, rollback }[action];
  const serverSide = action === "install" ? (install.serverSideApply ?? true) : modes[{ upgrade, rollback }[action].serverSideApply ?? "auto"];
  const takes = action === "rollback" || !{ install, upgrade }[action].disableTakeOwnership;
  return {
    timeoutMs: timeouts[action], hooks: !own.disableHooks, wait: waitOf(spec, own.disableWait), jobs: !own.disableWaitForJobs, serverSide, maxHistory,
    force: action !== "install" && { upgrade, rollback }[action].force === true,
    cleanupOnFail: action !== "install" && { upgrade, rollback }[action].cleanupOnFail === true,
    takeOwnership: takes, replace: install.replace === true,
  };
}

export function uninstallOptions(spec: Spec, { timeouts }: Pick<ReleaseFacts, "timeouts">): UninstallOptions {
  const { disableHooks, disableWait, keepHistory = false, deletionPropagation = "background" } = spec.uninstall ?? {};
  return { timeoutMs: timeouts.uninstall, hooks: !disableHooks, wait: waitOf(spec, disableWait), keepHistory, propagation: deletionPropagation };
}

export const definitionPolicy = (spec: Spec, action: "install" | "upgrade"): "Skip" | "Create" | "CreateReplace" =>
  spec[action]?.crds ?? (action === "install" && spec.install?.skipCRDs ? "Skip" : "Create");

/** Helm makes it only where the object names one (helm-controller `newInstall`). */
export const createsNamespace = (spec: Spec): boolean => spec.targetNamespace !== undefined && spec.install?.createNamespace === true;
