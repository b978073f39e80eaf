/**
 * Owner records and plans, many at a time: what is asked for while a batch is under way leaves in the next one, because a
 * stream that writes each message to disk takes fifty in one piece for the price of a few.
 */
import { LogError, type Log, type Message } from "./log.ts";

type Waiting = { message: Message; resolve(sequence: number): void; reject(error: unknown): void };

const mostMessages = 200;

export class Gathered {
  private readonly log: Log;
  private waiting: Waiting[] = [];
  private flushing = false;

  constructor(log: Log) {
    this.log = log;
  }

  /** Each for itself: one that is refused holds up no other. @throws LogError as `publish` of the log does */
  publish(message: Message): Promise<number> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ message, resolve, reject });
      void this.flush();
    });
  }

  private async flush(): Promise<void> {
    if (this.flushing) return;
    this.flushing = true;
    await Promise.resolve(); // what else is asked for in this tick
    while (this.waiting.length > 0) await this.write(this.next());
    this.flushing = false;
  }

  /** Two for one subject follow each other: the second expects to find the first. */
  private next(): Waiting[] {
    const subjects = new Set<string>();
    const end = this.waiting.findIndex(({ message }) => subjects.size === mostMessages || subjects.size === subjects.add(message.subject).size);
    return this.waiting.splice(0, end === -1 ? this.waiting.length : end);
  }

  private async write(batch: Waiting[]): Promise<void> {
    try {
      const last = await this.log.publishAll(batch.map(({ message }) => message));
      for (const [i, { resolve }] of batch.entries()) resolve(last - (batch.length - 1 - i));
    } catch (thrown) {
      const isOnes = thrown instanceof LogError && (thrown.kind === "fenced" || thrown.kind === "refused");
      if (isOnes && batch.length > 1) await Promise.all(batch.map((each) => this.write([each])));
      else for (const { reject } of batch) reject(thrown);
    }
  }
}
