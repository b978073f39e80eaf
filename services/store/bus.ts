/**
 * What workers say to each other without keeping it: at most once, in the order of one sender. NATS core is the real one;
 * test/simulate has one that loses and delays.
 */

export interface Bus {
  /**
   * Sent, if there is a connection; nobody says whether it arrived.
   *
   * @throws LogError `refused`: larger than the server takes (1 MiB unless it was told otherwise)
   */
  publish(subject: string, data: string): void;
  /** The answer ends it. `answer` is there when the sender waits for one. `receive` must not throw. */
  subscribe(filter: string, receive: (data: string, answer?: (data: string) => void) => void): () => void;
  /** The first answer. @throws LogError `busy`: nobody listens; `unknown`: no answer in time */
  request(subject: string, data: string, timeoutMs: number): Promise<string>;
  /** Every answer that comes within the time, at most `most`. @throws LogError `refused` as above */
  requestAll(subject: string, data: string, timeoutMs: number, most: number): Promise<string[]>;
}
