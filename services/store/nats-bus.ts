/** The bus on NATS core: nothing is stored, and nothing is kept back for a server that is away. */
import { createInbox, type NatsConnection } from "nats";
import type { Bus } from "./bus.ts";
import { LogError } from "./log.ts";
import { logError } from "./nats-errors.ts";

const nobodyThere = 503;

export function openNatsBus(connection: NatsConnection): Bus {
  const publish = (subject: string, data: string, reply?: string): void => {
    // The client would keep it and send it on return: stale, and without a bound on how much of it.
    if (!connection.info) return;
    try {
      connection.publish(subject, data, reply === undefined ? {} : { reply });
    } catch (thrown) {
      const error = logError(thrown);
      if (error.kind === "refused") throw error; // whoever says too much at once must hear of it; else it is lost, as said
    }
  };

  /** Everything that comes back within the time, until `isEnough`. */
  const ask = (subject: string, data: string, timeoutMs: number, isEnough: (answers: string[]) => boolean): Promise<{ answers: string[]; nobody: boolean }> => {
    const { promise, resolve, reject } = Promise.withResolvers<{ answers: string[]; nobody: boolean }>();
    const answers: string[] = [];
    const inbox = createInbox();
    const timer = setTimeout(() => resolve({ answers, nobody: false }), timeoutMs);
    try {
      const subscription = connection.subscribe(inbox, {
        callback: (error, message) => {
          if (error) return reject(logError(error));
          if (message.headers?.code === nobodyThere && message.data.length === 0) return resolve({ answers, nobody: true });
          answers.push(message.string());
          if (isEnough(answers)) resolve({ answers, nobody: false });
        },
      });
      void promise.then(() => subscription.unsubscribe(), () => subscription.unsubscribe());
      publish(subject, data, inbox);
    } catch (thrown) {
      reject(logError(thrown));
    }
    return promise.finally(() => clearTimeout(timer));
  };

  return {
    publish: (subject, data) => publish(subject, data),

    subscribe(filter, receive) {
      const subscription = connection.subscribe(filter, {
        callback: (error, message) => {
          if (error) return; // at most once: what does not arrive is asked for again by whoever needs it
          const { reply } = message;
          receive(message.string(), reply ? (data) => publish(reply, data) : undefined);
        },
      });
      return () => subscription.unsubscribe();
    },

    async request(subject, data, timeoutMs) {
      const { answers: [first], nobody } = await ask(subject, data, timeoutMs, () => true);
      if (first !== undefined) return first;
      throw nobody ? new LogError("busy", `${subject}: nobody listens`) : new LogError("unknown", `${subject}: no answer within ${timeoutMs} ms`);
    },

    async requestAll(subject, data, timeoutMs, most) {
      const { answers } = await ask(subject, data, timeoutMs, ({ length }) => length >= most);
      return answers.slice(0, most); // more may have come in the same tick
    },
  };
}
