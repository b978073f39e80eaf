/** What was started, to be stopped in reverse; what is still starting by then is stopped as soon as it is there. */
import { setTimeout as pause } from "node:timers/promises";

export type Stop = () => Promise<unknown>;

const hurriedMs = 500; // for each part, once nobody wants to wait any longer

export class Stops {
  private readonly list: Stop[] = [];
  private readonly hurried = Promise.withResolvers<void>();
  private ending: Promise<void> | undefined;

  add(stop: Stop): void {
    if (this.ending) void quietly(stop);
    else this.list.push(stop);
  }

  all(): Promise<void> {
    this.ending ??= (async () => {
      for (const stop of this.list.toReversed()) await Promise.race([quietly(stop), this.hurried.promise.then(() => pause(hurriedMs))]);
    })();
    return this.ending;
  }

  /** From now on no part is waited for longer than it takes to tell it. */
  hurry(): void {
    this.hurried.resolve();
  }
}

// One part that fails to stop must not keep the others running.
const quietly = (stop: Stop): Promise<unknown> => stop().catch(() => undefined);
