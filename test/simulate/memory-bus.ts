/**
 * The bus as a fake that can fail as the real one does: what is said gets lost or comes late, and stays in order between
 * one sender and one receiver. test/contract runs one suite on it and on NATS core.
 */
import type { Bus } from "#services/store/bus.ts";
import type { Clock } from "#services/store/clock.ts";
import { LogError } from "#services/store/log.ts";

const largestBytes = 1024 * 1024; // a server's default

/** The way between one client and the server. */
export type BusWire = {
  client: string;
  clock: Clock;
  /** Something happens on the way, `inMs` from now, whether or not the client lives. Of two due at once the earlier asked for comes first. */
  later(inMs: number, run: () => void): void;
  /** Something reaches the client. */
  enter(run: () => void): void;
  /** How long what this client says takes to reach another, or `""`: the server. Undefined: it is lost. */
  deliverMs(to: string): number | undefined;
};

export const perfectBusWire = (client: string, clock: Clock): BusWire => ({
  client, clock, later: (_, run) => queueMicrotask(run), enter: (run) => run(), deliverMs: () => 0,
});

type Receive = (data: string, reply: string | undefined) => void;
type Subscription = { wire: BusWire; matches: (tokens: string[]) => boolean; receive: Receive };

/** The server between the clients. */
export class MemoryExchange {
  private readonly subscriptions = new Set<Subscription>();
  /** Those without wildcards, by subject: almost all. */
  private readonly exact = new Map<string, Set<Subscription>>();
  private readonly wild = new Set<Subscription>();
  /** Until when what was said before is on its way, by sender and receiver. */
  private readonly onTheWay = new Map<string, number>();
  private inboxes = 0;

  /** A client's connection is gone, and with it its subscriptions. */
  drop(client: string): void {
    for (const each of this.subscriptions)
      if (each.wire.client === client) for (const set of [this.subscriptions, this.wild, ...this.exact.values()]) set.delete(each);
  }

  subscribe(wire: BusWire, filter: string, receive: Receive): () => void {
    const subscription = { wire, matches: matcher(filter), receive };
    this.subscriptions.add(subscription);
    const same = /[*>]/.test(filter) ? this.wild : (this.exact.get(filter) ?? new Set());
    same.add(subscription);
    if (same !== this.wild) this.exact.set(filter, same);
    return () => {
      this.subscriptions.delete(subscription);
      if (same.delete(subscription) && same.size === 0) this.exact.delete(filter);
    };
  }

  /** `onNobody` is told when no subscription matches. */
  publish(from: BusWire, subject: string, data: string, reply?: string, onNobody?: () => void): void {
    if (Buffer.byteLength(data) > largestBytes) throw new LogError("refused", `${subject}: max_payload size exceeded`);
    const tokens = subject.split(".");
    const found = [...(this.exact.get(subject) ?? []), ...[...this.wild].filter(({ matches }) => matches(tokens))];
    if (found.length === 0 && onNobody) this.carry(from, "", () => from.enter(onNobody));
    for (const receiver of new Set(found.map(({ wire }) => wire)))
      this.carry(from, receiver.client, () => receiver.enter(() => {
        for (const each of found) if (each.wire === receiver && this.subscriptions.has(each)) each.receive(data, reply);
      }));
  }

  inbox(): string {
    return `_INBOX.${++this.inboxes}`;
  }

  private carry(from: BusWire, to: string, arrive: () => void): void {
    const takesMs = from.deliverMs(to);
    if (takesMs === undefined) return;
    const way = `${from.client} ${to}`;
    const nowMs = from.clock.nowMs();
    const atMs = Math.max(nowMs + takesMs, this.onTheWay.get(way) ?? 0);
    this.onTheWay.set(way, atMs);
    from.later(atMs - nowMs, arrive);
  }
}

/** One client's bus. */
export function memoryBus(exchange: MemoryExchange, wire: BusWire): Bus {
  const ask = (subject: string, data: string, timeoutMs: number, isEnough: (answers: string[]) => boolean) =>
    new Promise<{ answers: string[]; nobody: boolean }>((resolve) => {
      const answers: string[] = [];
      const inbox = exchange.inbox();
      const end = (nobody: boolean) => {
        unsubscribe();
        cancel();
        resolve({ answers, nobody });
      };
      const unsubscribe = exchange.subscribe(wire, inbox, (answer) => {
        answers.push(answer);
        if (isEnough(answers)) end(false);
      });
      const cancel = wire.clock.at(wire.clock.nowMs() + timeoutMs, () => end(false));
      try {
        exchange.publish(wire, subject, data, inbox, () => end(true));
      } catch (thrown) {
        unsubscribe();
        cancel();
        throw thrown;
      }
    });

  return {
    publish: (subject, data) => exchange.publish(wire, subject, data),
    subscribe: (filter, receive) =>
      exchange.subscribe(wire, filter, (data, reply) =>
        receive(data, reply === undefined ? undefined : (answer) => exchange.publish(wire, reply, answer))),
    async request(subject, data, timeoutMs) {
      const { answers: [first], nobody } = await ask(subject, data, timeoutMs, () => true);
      if (first !== undefined) return first;
      throw nobody ? new LogError("busy", `${subject}: nobody listens`) : new LogError("unknown", `${subject}: no answer within ${timeoutMs} ms`);
    },
    async requestAll(subject, data, timeoutMs, most) {
      return (await ask(subject, data, timeoutMs, ({ length }) => length >= most)).answers;
    },
  };
}

function matcher(filter: string): (tokens: string[]) => boolean {
  const wanted = filter.split(".");
  return (tokens) => {
    for (const [i, token] of wanted.entries()) {
      if (token === ">") return tokens.length > i;
      if (tokens[i] === undefined || (token !== "*" && token !== tokens[i])) return false;
    }
    return tokens.length === wanted.length;
  };
}
