/**
 * One reader's session at the watcher. It queues names, not contents: an object that changes ten times before it is sent
 * is sent once, as it is then. So the queue is never longer than what the reader follows, however slow the reader is; and
 * what was sent and not acknowledged is bounded by a window.
 */
import type { Attach, FeedItem, Feeding } from "#protocol/messages/feed.ts";
import { parseActorId, partitionOf } from "#protocol/names/actor.ts";
import { partitionsOfManaged, type Contents } from "./contents.ts";
import type { KindState } from "./ports.ts";

export type SessionPorts = {
  contents: Contents;
  send(message: Feeding, text: string): void;
  stateOf(kind: string): KindState | undefined;
};

const windowBytes = 4 * 1024 * 1024;
/** Well under the 512 KiB a message may have, for items of several bytes per character too. */
const chunkBytes = 128 * 1024;
const partChars = 64 * 1024;

export class Session {
  readonly id: string;
  readonly stream: string;
  lastHeardMs: number;
  private readonly ports: SessionPorts;
  /** The turn in which each followed partition was asked for. */
  private readonly turns = new Map<number, number>();
  private readonly kinds = new Set<string>();
  /** In the order of sending: `f<actor id>`, `m<inventory id>`, `b<partition>` and `e<partition>` (a showing's begin and end), `k<kind>`, `r`. */
  private readonly queue = new Set<string>();
  private readonly unacked: { n: number; bytes: number }[] = [];
  private unackedBytes = 0;
  private n = 0;

  constructor(id: string, stream: string, nowMs: number, ports: SessionPorts) {
    this.id = id;
    this.stream = stream;
    this.lastHeardMs = nowMs;
    this.ports = ports;
  }

  get last(): number {
    return this.n;
  }

  /** Queued names, for a look at the bounds. */
  get queued(): number {
    return this.queue.size;
  }

  attach({ partitions, fresh, kinds }: Attach): void {
    const wanted = new Set(partitions);
    for (const partition of this.turns.keys()) if (!wanted.has(partition)) this.turns.delete(partition);
    for (const [partition, turn] of fresh)
      if (wanted.has(partition) && (this.turns.get(partition) ?? -1) < turn) this.show(partition, turn);
    for (const [group, kind] of kinds) {
      const name = `${group}/${kind}`;
      if (this.kinds.has(name)) continue;
      this.kinds.add(name);
      this.kindChanged(name);
    }
  }

  ack(seen: number): void {
    while (this.unacked[0] && this.unacked[0].n <= seen) this.unackedBytes -= this.unacked.shift()?.bytes ?? 0;
  }

  follows(partition: number): boolean {
    return this.turns.has(partition);
  }

  fluxChanged(id: string): void {
    this.queue.add(`f${id}`);
  }

  /** @param moved it is in another partition than before: told after what is being shown of either */
  managedChanged(id: string, moved: boolean): void {
    if (moved) this.atEnd(`m${id}`);
    else this.queue.add(`m${id}`);
  }

  kindChanged(kind: string): void {
    if (this.kinds.has(kind) && this.ports.stateOf(kind)) this.atEnd(`k${kind}`);
  }

  relisted(): void {
    this.atEnd("r");
  }

  /** Sends what the window admits. @returns whether there is more that it admits */
  flush(mostBytes: number): boolean {
    let sentBytes = 0;
    while (this.queue.size > 0 && this.unackedBytes < windowBytes) {
      if (sentBytes >= mostBytes) return true;
      sentBytes += this.sendChunk();
    }
    return false;
  }

  private show(partition: number, turn: number): void {
    this.turns.set(partition, turn);
    // All of it stands between the two marks, whatever was queued before.
    const { flux, managed } = this.ports.contents.of(partition);
    this.atEnd(`b${partition}`);
    for (const id of flux) this.atEnd(`f${id}`);
    for (const id of managed) this.atEnd(`m${id}`);
    this.atEnd(`e${partition}`);
  }

  private atEnd(name: string): void {
    this.queue.delete(name);
    this.queue.add(name);
  }

  /** @returns its size in bytes */
  private sendChunk(): number {
    const items: FeedItem[] = [];
    let sizeBytes = 0;
    let parts: FeedItem[] = [];
    for (const name of this.queue) {
      this.queue.delete(name);
      parts = this.itemsOf(name);
      // The parts of a long text are messages of their own.
      if (parts.length > 1) break;
      for (const item of parts) sizeBytes += sizeOf(item);
      items.push(...parts);
      parts = [];
      if (sizeBytes >= chunkBytes) break;
    }
    let sent = items.length > 0 ? this.send(items) : 0;
    for (const part of parts) sent += this.send([part]);
    return sent;
  }

  private send(items: FeedItem[]): number {
    const message: Feeding = { t: "items", session: this.id, stream: this.stream, n: ++this.n, items };
    const text = JSON.stringify(message);
    const bytes = Buffer.byteLength(text);
    this.unacked.push({ n: this.n, bytes });
    this.unackedBytes += bytes;
    this.ports.send(message, text);
    return bytes;
  }

  private itemsOf(name: string): FeedItem[] {
    const rest = name.slice(1);
    switch (name[0]) {
      case "f": return this.fluxItems(rest);
      case "m": return this.managedItems(rest);
      case "b": return this.mark("showing", Number(rest));
      case "e": return this.mark("shown", Number(rest));
      case "k": {
        const is = this.ports.stateOf(rest);
        return is ? [{ t: "kind", kind: rest, is }] : [];
      }
      default: return [{ t: "relisted" }];
    }
  }

  private fluxItems(id: string): FeedItem[] {
    if (!this.follows(partitionOf(parseActorId(id)))) return [];
    const text = this.ports.contents.fluxText(id);
    if (text === undefined) return [{ t: "flux", k: id }];
    const inputs = this.ports.contents.inputsOf(id);
    const i = inputs && { i: inputs };
    if (text.length <= partChars) return [{ t: "flux", k: id, o: text, ...i }];
    const parts: FeedItem[] = [];
    for (let at = 0; at < text.length; at += partChars)
      parts.push({ t: "flux", k: id, o: text.slice(at, at + partChars), ...(at + partChars < text.length ? { more: true as const } : i) });
    return parts;
  }

  private managedItems(id: string): FeedItem[] {
    const m = this.ports.contents.managed(id);
    // Another unit's now, perhaps one that this reader does not follow: for it the object is gone.
    return [{ t: "managed", id, ...(m && partitionsOfManaged(m).some((partition) => this.follows(partition)) && { m }) }];
  }

  private mark(t: "showing" | "shown", p: number): FeedItem[] {
    const turn = this.turns.get(p);
    return turn === undefined ? [] : [{ t, p, turn }];
  }
}

const sizeOf = (item: FeedItem): number => (item.t === "flux" ? 2 * (item.o?.length ?? 0) : 400) + 100;
