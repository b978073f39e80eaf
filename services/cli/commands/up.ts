import type { Action } from "../command.ts";
import { natsOf } from "../nats.ts";
import { runUntilSignal } from "../running.ts";
import { settingsOf } from "../settings.ts";
import type { Stops } from "../stops.ts";

/** Runs everything until a signal says otherwise. */
export const up: Action = async (call) => {
  const nats = natsOf(call);
  const settings = settingsOf(call, "127.0.0.1:9090");
  const start = async (stops: Stops) => (await import("../up.ts")).up({ ...settings, ...(nats && { nats }) }, stops);
  return runUntilSignal(start, call.shell);
};
