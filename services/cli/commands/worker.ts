import type { Action } from "../command.ts";
import { Misuse } from "../failure.ts";
import { natsOf } from "../nats.ts";
import { runUntilSignal } from "../running.ts";
import { settingsOf } from "../settings.ts";
import type { Stops } from "../stops.ts";

/** Runs one more worker until a signal says otherwise. */
export const worker: Action = async (call) => {
  const nats = natsOf(call);
  if (!nats) throw new Misuse("--nats: where is the NATS the workers share? (nats://host:4222)");
  const settings = settingsOf(call, "127.0.0.1:0");
  const start = async (stops: Stops) => (await import("../worker.ts")).worker({ ...settings, nats }, stops);
  return runUntilSignal(start, call.shell);
};
