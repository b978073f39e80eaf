/** A process that runs until it is told to end, or has to end by itself. */
import { exitCodes, Failure } from "./failure.ts";
import type { Started } from "./parts.ts";
import type { Shell } from "./shell.ts";
import { Stops } from "./stops.ts";

/** Starts the parts; what is to be stopped in the end goes to `stops`, as it starts. */
export type Start = (stops: Stops) => Promise<Started>;

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The first signal ends it in good order, a second one at once. @throws Failure when it had to stop by itself */
export async function runUntilSignal(start: Start, shell: Shell): Promise<number> {
  const stops = new Stops();
  const told = Promise.withResolvers<"signal">();
  let count = 0;
  // Heard from the first moment on: a Ctrl-C while it starts must not leave a nats-server behind.
  const hear = () => {
    told.resolve("signal");
    if (++count === 1) return;
    stops.hurry();
    void stops.all().then(() => {
      shell.say("✗ ended before everything was handed over: others take over once the lease has run out");
      process.exit(exitCodes.failed);
    });
  };
  for (const signal of signals) process.on(signal, hear);
  try {
    const running = await Promise.race([start(stops), told.promise]);
    if (running === "signal") return exitCodes.ok;
    const reason = await Promise.race([told.promise, running.lost.then((why) => ({ why }))]);
    if (reason === "signal") return exitCodes.ok;
    throw new Failure(`this worker had to stop: ${reason.why}`);
  } finally {
    await stops.all();
  }
}
