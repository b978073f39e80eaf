/** The options `up` and `worker` share, checked before anything is tried. */
import { parseListen } from "#services/gateway/serve.ts";
import { logLevels, type LogLevel } from "#services/telemetry/log.ts";
import type { Call } from "./command.ts";
import { dataDirOf } from "./endpoint.ts";
import { Misuse } from "./failure.ts";
import type { WorkerSettings } from "./parts.ts";
import { ownVersion } from "./version.ts";

/** @throws Misuse */
export function settingsOf({ options, shell }: Call, listensAt: string): WorkerSettings & { data: string } {
  const { kubeconfig, context, advertise, capacity, replicas, natsMonitor, tenantLabel, stampEpochs, listen = listensAt, logLevel = "info" } = options;
  if (!isLogLevel(logLevel)) throw new Misuse(`--log-level ${logLevel}: use ${logLevels.join(", ")}`);
  check("--listen", listen, parseListen);
  return {
    version: ownVersion(), listen, logLevel, data: dataDirOf(options.data, shell.env),
    ...(kubeconfig && { kubeconfig }), ...(context && { context }),
    ...(advertise !== undefined && { advertise: check("--advertise", advertise, httpUrl) }),
    ...(natsMonitor !== undefined && { natsMonitor: check("--nats-monitor", natsMonitor, httpUrls) }),
    ...(capacity !== undefined && { capacity: check("--capacity", capacity, positive) }),
    ...(tenantLabel !== undefined && { tenantLabel: check("--tenant-label", tenantLabel, labelKey) }),
    ...(stampEpochs && { stampEpochs }),
    ...(replicas !== undefined && { replicas: check("--replicas", replicas, replicaCount) }),
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

function labelKey(text: string): string {
  if (!/^([a-z0-9.-]+\/)?[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/.test(text)) throw new RangeError(`not the key of a label: ${text}`);
  return text;
}
