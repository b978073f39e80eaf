/** The options `up` and `worker` share, checked before anything is tried. */
import { isAccountName, type Tenancy } from "#machines/rules/tenancy.ts";
import { join } from "node:path";
import { readS3Address } from "#services/store/artifacts/s3-address.ts";
import { parseListen } from "#services/gateway/serve.ts";
import { logLevels, type LogLevel } from "#services/telemetry/log.ts";
import type { Call, OptionValues } from "./command.ts";
import { readFeatureGates } from "#services/worker/feature-gates.ts";
import { dataDirOf } from "./endpoint.ts";
import { Misuse } from "./failure.ts";
import { ownNamespace, type KubeconfigSettings, type WorkerSettings } from "./parts.ts";
import { ownVersion } from "./version.ts";

/** @throws Misuse */
export function settingsOf({ options, shell }: Call, listensAt: string): WorkerSettings & { data: string } {
  const { kubeconfig, context, advertise, capacity, replicas, natsMonitor, shard, tenantLabel, stampEpochs, sopsIgnoreMac, sopsAgeSecret, sopsVaultConfigmap, listen = listensAt, logLevel = "info" } = options;
  const { overrideManager, customApplyStageKinds, artifacts, artifactCache = "512" } = options;
  if (!isLogLevel(logLevel)) throw new Misuse(`--log-level ${logLevel}: use ${logLevels.join(", ")}`);
  check("--listen", listen, parseListen);
  const data = dataDirOf(options.data, shell.env);
  const maxBytes = check("--artifact-cache", artifactCache, mebibytes);
  return {
    version: ownVersion(), listen, logLevel, data,
    ...(artifacts !== undefined && { artifacts: check("--artifacts", artifacts, readS3Address) }),
    ...(maxBytes > 0 && { artifactCache: { dir: join(data, "artifacts"), maxBytes } }),
    ...(kubeconfig && { kubeconfig }), ...(context && { context }),
    ...(advertise !== undefined && { advertise: check("--advertise", advertise, httpUrl) }),
    ...(natsMonitor !== undefined && { natsMonitor: check("--nats-monitor", natsMonitor, httpUrls) }),
    ...(capacity !== undefined && { capacity: check("--capacity", capacity, positive) }),
    ...(shard !== undefined && { shard: check("--shard", shard, labelValue) }),
    ...(tenantLabel !== undefined && { tenantLabel: check("--tenant-label", tenantLabel, labelKey) }),
    ...(stampEpochs && { stampEpochs }),
    ...(sopsIgnoreMac && { sopsIgnoreMac }),
    ...(sopsAgeSecret !== undefined && { sopsAgeSecret: check("--sops-age-secret", sopsAgeSecret, (text) => secretName(text, shell.env)) }),
    ...(sopsVaultConfigmap !== undefined && { sopsVaultConfigMap: check("--sops-vault-configmap", sopsVaultConfigmap, (text) => secretName(text, shell.env)) }),
    ...decryptionOf(options),
    tenancy: tenancyOf(options), ...remoteBasesOf(options), kubeconfigs: kubeconfigsOf(options),
    ...(options.featureGates !== undefined && { features: check("--feature-gates", options.featureGates, readFeatureGates) }),
    applying: {
      overriddenManagers: check("--override-manager", overrideManager ?? "", list),
      customStages: new Set(check("--custom-apply-stage-kinds", customApplyStageKinds ?? "", groupKinds)),
    },
    ...(replicas !== undefined && { replicas: check("--replicas", replicas, replicaCount) }),
  };
}

/** `--tenancy locked` sets every flag of Flux's lock-down; a flag of its own changes one of them. @throws Misuse */
function tenancyOf({ tenancy = "open", defaultServiceAccount, crossNamespaceRefs = true, remoteBases = true }: OptionValues): Tenancy {
  if (tenancy !== "open" && tenancy !== "locked") throw new Misuse(`--tenancy ${tenancy}: use open or locked`);
  const locked = tenancy === "locked";
  const account = defaultServiceAccount ?? (locked ? "default" : undefined);
  return {
    ...(account !== undefined && { defaultServiceAccount: check("--default-service-account", account, accountName) }),
    noCrossNamespaceRefs: locked || !crossNamespaceRefs, noRemoteBases: locked || !remoteBases,
  };
}

/** What locks them down goes before what allows them. @throws Misuse */
function remoteBasesOf(options: OptionValues): Pick<WorkerSettings, "remoteBases"> {
  const { allowRemoteBases = false, remoteBaseHosts } = options;
  if (remoteBaseHosts !== undefined && !allowRemoteBases) throw new Misuse("--remote-base-hosts: nothing is fetched without --allow-remote-bases");
  const hosts = check("--remote-base-hosts", remoteBaseHosts ?? "", hostList);
  return allowRemoteBases && !tenancyOf(options).noRemoteBases ? { remoteBases: { hosts } } : {};
}

/** @throws Misuse */
function kubeconfigsOf({ tenancy, defaultKubeconfigServiceAccount, insecureKubeconfigExec, insecureKubeconfigTls }: OptionValues): KubeconfigSettings {
  const account = defaultKubeconfigServiceAccount ?? (tenancy === "locked" ? "default" : undefined);
  return {
    ...(account !== undefined && { defaultAccount: check("--default-kubeconfig-service-account", account, accountName) }),
    ...(insecureKubeconfigExec && { exec: true }), ...(insecureKubeconfigTls && { insecureTls: true }),
  };
}

/** @throws Misuse */
function decryptionOf({ tenancy, defaultDecryptionServiceAccount, sopsOwnIdentity }: OptionValues): Pick<WorkerSettings, "decryptionAccount" | "sopsOwnIdentity"> {
  const account = defaultDecryptionServiceAccount ?? (tenancy === "locked" ? "default" : undefined);
  return {
    ...(account !== undefined && { decryptionAccount: check("--default-decryption-service-account", account, accountName) }),
    ...(sopsOwnIdentity && { sopsOwnIdentity }),
  };
}

const isLogLevel = (text: string): text is LogLevel => (logLevels as readonly string[]).includes(text);

function check<T>(option: string, value: string, parse: (text: string) => T): T {
  try {
    return parse(value);
  } catch (thrown) {
    throw new Misuse(`${option}: ${thrown instanceof Error ? thrown.message : value}`);
  }
}

function httpUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw new RangeError(`not an http or https URL: ${text}`);
  return text;
}

function httpUrls(text: string): string {
  for (const url of text.split(",")) httpUrl(url.trim());
  return text;
}

function mebibytes(text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new RangeError(`not a number of MiB: ${text}`);
  return Number(text) * 2 ** 20;
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new RangeError(`not a number above 0: ${text}`);
  return value;
}

// An even number of servers survives the loss of no more than the odd one below it.
function replicaCount(text: string): number {
  if (!/^[135]$/.test(text)) throw new RangeError(`1, 3 or 5: ${text}`);
  return Number(text);
}

const list = (text: string): string[] => text.split(",").map((part) => part.trim()).filter((part) => part !== "");

/** As they stand in URLs, with a port or without: `git.example.com`, `[fd00::1]:3000`. */
function hostList(text: string): string[] {
  return list(text).map((each) => {
    if (!URL.canParse(`https://${each}/`) || /[/@?#\\]/.test(each)) throw new RangeError(`not a host: ${each}`);
    return new URL(`ssh://${each.toLowerCase()}/`).host;
  });
}

/** `Kind` of the core group, `group/Kind` of another one. */
function groupKinds(text: string): string[] {
  const kinds = list(text);
  for (const each of kinds) if (!/^([a-z0-9.-]+\/)?[A-Za-z][A-Za-z0-9]*$/.test(each)) throw new RangeError(`not group/Kind: ${each}`);
  return kinds;
}

function labelKey(text: string): string {
  if (!/^([a-z0-9.-]+\/)?[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/.test(text)) throw new RangeError(`not the key of a label: ${text}`);
  return text;
}

function labelValue(text: string): string {
  if (text.length > 63 || !/^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/.test(text)) throw new RangeError(`not the value of a label: ${text}`);
  return text;
}

function accountName(text: string): string {
  if (!isAccountName(text)) throw new RangeError(`not the name of a ServiceAccount: ${text}`);
  return text;
}

/** As with Flux a name in the worker's own namespace; or one in any, with a slash between. */
function secretName(text: string, env: NodeJS.ProcessEnv): { namespace: string; name: string } {
  const [, namespace = ownNamespace(env), name = ""] = /^(?:([a-z0-9-]+)\/)?([a-z0-9.-]+)$/.exec(text) ?? [];
  if (name === "") throw new RangeError(`not the name of an object: ${text}`);
  return { namespace, name };
}
