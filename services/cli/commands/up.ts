import { parseListen } from "#services/gateway/serve.ts";
import { logLevels, type LogLevel } from "#services/telemetry/log.ts";
import type { Action } from "../command.ts";
import { dataDirOf } from "../endpoint.ts";
import { exitCodes, Failure, Misuse } from "../failure.ts";
import { up as start } from "../up.ts";
import { ownVersion } from "../version.ts";

/** Runs everything until a signal says otherwise, or another worker takes over. */
export const up: Action = async ({ options, shell }) => {
  const { kubeconfig, context, nats, advertise, listen = "127.0.0.1:9090", logLevel = "info" } = options;
  if (!isLogLevel(logLevel)) throw new Misuse(`--log-level ${logLevel}: use ${logLevels.join(", ")}`);
  refuseMisuse("--listen", listen, parseListen);
  if (advertise !== undefined) refuseMisuse("--advertise", advertise, httpUrl);

  const stopping = Promise.withResolvers<"signal">();
  // Heard from the first moment on: a Ctrl-C while it starts must not leave a nats-server behind.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopping.resolve("signal"));
  const starting = start({
    version: ownVersion(), listen, logLevel, data: dataDirOf(options.data, shell.env),
    ...(kubeconfig && { kubeconfig }), ...(context && { context }), ...(nats && { nats }), ...(advertise && { advertise }),
  }, stopping.promise);
  const running = await starting;
  if (!running) return exitCodes.ok;
  const reason = await Promise.race([stopping.promise, running.lost.then((why) => ({ why }))]);
  await running.stop();
  if (reason === "signal") return exitCodes.ok;
  throw new Failure(`this worker had to stop: ${reason.why}`);
};

const isLogLevel = (text: string): text is LogLevel => (logLevels as readonly string[]).includes(text);

function refuseMisuse(option: string, value: string, parse: (text: string) => unknown): void {
  try {
    parse(value);
  } catch (thrown) {
    throw new Misuse(`${option}: ${thrown instanceof Error ? thrown.message : value}`);
  }
}

function httpUrl(text: string): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw new RangeError(`not an http or https URL: ${text}`);
  return new URL(text);
}
