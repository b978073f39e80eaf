/** The heart's thread: a connection, a log and the heartbeat. It ends when it was stopped, and when its lease is lost for good. */
import type { MessagePort } from "node:worker_threads";
import { Fault } from "#protocol/errors/fault.ts";
import { systemClock } from "./clock.ts";
import { createHeart } from "./heart-beat.ts";
import { SharedHeart } from "./heart-shared.ts";
import type { FromHeart, HeartJob, ToHeart } from "./heart-thread.ts";
import type { Heart } from "./heart.ts";
import { connectNats } from "./nats-connect.ts";
import { openNatsLog } from "./nats-log.ts";

export function beat(port: MessagePort, { address, stream, worker, about: first, memory }: HeartJob): void {
  const shared = new SharedHeart(memory);
  const tell = (message: FromHeart) => port.postMessage(message);
  let about = first;
  let answered: (owns: boolean | undefined) => void = () => undefined;
  let opening: Promise<{ heart: Heart; close(): Promise<void> }> | undefined;

  const open = async () => {
    const connection = await connectNats({ ...address, name: `${address.name} heartbeat` });
    const heart = createHeart(await openNatsLog(connection, stream), {
      worker, about, clock: systemClock,
      onLost: (reason) => {
        tell({ is: "lost", reason });
        void end();
      },
      stillOwns: async () => {
        const { promise, resolve } = Promise.withResolvers<boolean | undefined>();
        answered = resolve;
        tell({ is: "asking" });
        const owns = await promise;
        if (owns === undefined) throw new Fault("LeaseLost", worker, { detail: "nobody can say whether its partitions are still its own" });
        return owns;
      },
      isWorking: () => shared.isTurning(systemClock.monoMs()),
      onLease: (lease) => { shared.lease = lease; },
    });
    return { heart, close: () => connection.close() };
  };

  const start = async () => {
    try {
      opening ??= open();
      const { heart } = await opening;
      heart.say(about);
      await heart.start();
      tell({ is: "started" });
    } catch (thrown) {
      tell({ is: "failed", fault: Fault.from(thrown, worker).toJSON() });
    }
  };

  const end = async () => {
    const opened = await opening?.catch(() => undefined);
    await opened?.heart.stop();
    await opened?.close();
    port.close();
  };

  port.on("message", (message: ToHeart) => {
    if (message.do === "start") void start();
    else if (message.do === "stop") void end();
    else if (message.do === "owns") answered(message.answer);
    else {
      about = message.about;
      void opening?.then(({ heart }) => heart.say(message.about), () => undefined);
    }
  });
}
