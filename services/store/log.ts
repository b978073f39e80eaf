/**
 * The stream as a port: one sequence, at most one message per subject, writes that can be made conditional on another
 * subject's sequence. NATS JetStream is the real one; test/simulate has one that can fail in the same ways.
 */

/** Accepted only while the last message on `subject` still has this sequence. */
export type Fence = { subject: string; sequence: number };

export type Message = {
  subject: string;
  data: string;
  headers?: Record<string, string>;
  fence?: Fence;
  /** Accepted only while the last message on its own subject has this sequence; 0: while there is none. */
  expectLast?: number;
  /** Whole seconds until the message removes itself. */
  ttlSeconds?: number;
};

export type Stored = { subject: string; sequence: number; data: string; headers: Record<string, string> };

export interface Log {
  /** The sequence it was stored at. Rejects with LogError. */
  publish(message: Message): Promise<number>;
  /** All or none, in order; at most 1,000. The sequence of the last. */
  publishAll(messages: Message[]): Promise<number>;
  /** Newest message of a subject, read where it was written: sees every acknowledged write. */
  read(subject: string): Promise<Stored | undefined>;
  /** Newest messages of all matching subjects, in order of sequence; of several filters each in its own order. */
  scan(filter: string | string[], fromSequence?: number): AsyncIterable<Stored>;
  /** Copies of what is stored from now on, as the server repeats them; may miss some. */
  listen(filter: string, receive: (stored: Stored) => void): () => void;
}

/**
 * - `fenced`: an expectation failed: somebody else wrote (10071)
 * - `busy`: refused for now, ask again (10164, 10163, 10210, leaderless)
 * - `unknown`: no answer: it may or may not have been stored
 * - `refused`: it will never be accepted (too large, no permission)
 */
export type LogErrorKind = "fenced" | "busy" | "unknown" | "refused";

export class LogError extends Error {
  readonly kind: LogErrorKind;
  constructor(kind: LogErrorKind, detail: string, cause?: unknown) {
    super(`${kind}: ${detail}`, { cause });
    this.name = "LogError";
    this.kind = kind;
  }
}
