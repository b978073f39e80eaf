/**
 * Every actor this worker has, at about a hundred bytes each: its name, its partition, and of one at rest the little that
 * is asked without reading its record. An actor keeps its slot (1, 2, …) as long as it is here; 0 is nobody.
 */
import { mostPartitions, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { grownTo } from "./column.ts";

/** What is known of an actor at rest. */
export type AtRest = { state: string; dueMs: number; attempts: number; factsHash: number };

const free = 0xffff; // in the column of partitions

export class IdleIndex {
  private partition = new Uint16Array(64).fill(free);
  private hash = new Uint32Array(64);
  private kind = new Uint8Array(64);
  private keyAt = new Uint32Array(64);
  private keyBytes = new Uint16Array(64);
  private state = new Uint16Array(64);
  private due = new Float64Array(64);
  private attempts = new Uint32Array(64);
  private factsHigh = new Uint16Array(64);
  private factsLow = new Uint32Array(64);
  /** Neighbours in the list of a partition; of a free slot the next free one. */
  private next = new Int32Array(64);
  private previous = new Int32Array(64);
  private readonly heads = new Int32Array(mostPartitions);
  private firstFree = 0;
  /** One more than the highest slot ever used. */
  private top = 1;
  private count = 0;
  private readonly kinds = new Names();
  private readonly states = new Names();
  private arena = Buffer.alloc(1_024);
  private arenaEnd = 0;
  private garbageBytes = 0;
  /** Slots by hash of the key: open addressing, a power of two, at most two thirds full. */
  private table = new Int32Array(128);

  get size(): number {
    return this.count;
  }

  get sizeBytes(): number {
    const columns = [
      this.partition, this.hash, this.kind, this.keyAt, this.keyBytes, this.state, this.due, this.attempts,
      this.factsHigh, this.factsLow, this.next, this.previous, this.table, this.arena,
    ];
    return columns.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** The actor's slot; 0 when it is not here. */
  find(key: ActorKey): number {
    const hash = hashOf(key);
    const kind = this.kinds.codeOf(key.kind);
    const text = textOf(key);
    for (let at = hash & this.mask; ; at = (at + 1) & this.mask) {
      const slot = this.table[at] as number;
      if (slot === 0) return 0;
      if (this.hash[slot] === hash && this.kind[slot] === kind && this.textAt(slot) === text) return slot;
    }
  }

  /** A slot for an actor that is not here yet. */
  add(key: ActorKey): number {
    const slot = this.firstFree || this.top++;
    if (slot === this.firstFree) this.firstFree = this.next[slot] as number;
    else this.makeRoom(slot);
    if ((++this.count + 1) * 3 > this.table.length * 2) this.rehash();
    const partition = partitionOf(key);
    this.partition[slot] = partition;
    this.kind[slot] = this.kinds.codeFor(key.kind);
    this.write(slot, textOf(key));
    this.note(slot, { state: "", dueMs: Infinity, attempts: 0, factsHash: 0 });
    this.hash[slot] = hashOf(key);
    this.enter(slot);
    const head = this.heads[partition] as number;
    this.next[slot] = head;
    this.previous[slot] = 0;
    if (head !== 0) this.previous[head] = slot;
    this.heads[partition] = slot;
    return slot;
  }

  remove(slot: number): void {
    const partition = this.partition[slot] as number;
    const [next, previous] = [this.next[slot] as number, this.previous[slot] as number];
    if (next !== 0) this.previous[next] = previous;
    if (previous === 0) this.heads[partition] = next;
    else this.next[previous] = next;
    this.leave(slot);
    this.garbageBytes += this.keyBytes[slot] as number;
    this.partition[slot] = free;
    this.next[slot] = this.firstFree;
    this.firstFree = slot;
    this.count--;
    if (this.garbageBytes > 65_536 && this.garbageBytes > this.arenaEnd / 2) this.compact();
  }

  has(slot: number): boolean {
    return slot > 0 && slot < this.top && this.partition[slot] !== free;
  }

  note(slot: number, { state, dueMs, attempts, factsHash }: AtRest): void {
    this.state[slot] = this.states.codeFor(state);
    this.due[slot] = dueMs;
    this.attempts[slot] = attempts;
    this.factsHigh[slot] = Math.floor(factsHash / 2 ** 32);
    this.factsLow[slot] = factsHash >>> 0;
  }

  noted(slot: number): AtRest {
    return {
      state: this.states.nameOf(this.state[slot] as number), dueMs: this.due[slot] as number, attempts: this.attempts[slot] as number,
      factsHash: (this.factsHigh[slot] as number) * 2 ** 32 + (this.factsLow[slot] as number),
    };
  }

  isAsNoted(slot: number, { state, dueMs, attempts, factsHash }: AtRest): boolean {
    const noted = this.noted(slot);
    return noted.state === state && noted.dueMs === dueMs && noted.attempts === attempts && noted.factsHash === factsHash;
  }

  keyOf(slot: number): ActorKey {
    const [namespace = "", name = "", shard] = this.textAt(slot).split("\0");
    return { kind: this.kinds.nameOf(this.kind[slot] as number), namespace, name, ...(shard !== undefined && { shard: Number(shard) }) };
  }

  partitionAt(slot: number): number {
    return this.partition[slot] as number;
  }

  /** Actors may go while they are walked through. */
  *slots(): Iterable<number> {
    for (let slot = 1; slot < this.top; slot++) if (this.partition[slot] !== free) yield slot;
  }

  /** As they are now. */
  slotsOf(partition: number): number[] {
    const slots: number[] = [];
    for (let slot = this.heads[partition] as number; slot !== 0; slot = this.next[slot] as number) slots.push(slot);
    return slots;
  }

  private get mask(): number {
    return this.table.length - 1;
  }

  private enter(slot: number): void {
    let at = (this.hash[slot] as number) & this.mask;
    while (this.table[at] !== 0) at = (at + 1) & this.mask;
    this.table[at] = slot;
  }

  private leave(slot: number): void {
    let hole = (this.hash[slot] as number) & this.mask;
    while (this.table[hole] !== slot) hole = (hole + 1) & this.mask;
    // Whoever stands behind moves up, unless it stands where its search begins or after.
    for (let at = (hole + 1) & this.mask; this.table[at] !== 0; at = (at + 1) & this.mask) {
      const home = (this.hash[this.table[at] as number] as number) & this.mask;
      if (((at - home) & this.mask) < ((at - hole) & this.mask)) continue;
      this.table[hole] = this.table[at] as number;
      hole = at;
    }
    this.table[hole] = 0;
  }

  private rehash(): void {
    const old = this.table;
    this.table = new Int32Array(old.length * 2);
    for (const slot of old) if (slot !== 0) this.enter(slot);
  }

  private textAt(slot: number): string {
    const at = this.keyAt[slot] as number;
    return this.arena.toString("utf8", at, at + (this.keyBytes[slot] as number));
  }

  private write(slot: number, text: string): void {
    const least = this.arenaEnd + text.length * 3;
    if (least > this.arena.length) {
      const grown = Buffer.alloc(Math.ceil(least * 1.25));
      this.arena.copy(grown);
      this.arena = grown;
    }
    this.keyAt[slot] = this.arenaEnd;
    this.keyBytes[slot] = this.arena.write(text, this.arenaEnd);
    this.arenaEnd += this.keyBytes[slot] as number;
  }

  private compact(): void {
    const old = this.arena;
    this.arena = Buffer.alloc(Math.ceil((this.arenaEnd - this.garbageBytes) * 1.25) + 1_024);
    this.arenaEnd = this.garbageBytes = 0;
    for (const slot of this.slots()) {
      const at = this.keyAt[slot] as number;
      old.copy(this.arena, this.arenaEnd, at, at + (this.keyBytes[slot] as number));
      this.keyAt[slot] = this.arenaEnd;
      this.arenaEnd += this.keyBytes[slot] as number;
    }
  }

  private makeRoom(slot: number): void {
    if (slot < this.partition.length) return;
    const least = slot + 1;
    const from = this.partition.length;
    this.partition = grownTo(this.partition, least).fill(free, from);
    this.hash = grownTo(this.hash, least);
    this.kind = grownTo(this.kind, least);
    this.keyAt = grownTo(this.keyAt, least);
    this.keyBytes = grownTo(this.keyBytes, least);
    this.state = grownTo(this.state, least);
    this.due = grownTo(this.due, least);
    this.attempts = grownTo(this.attempts, least);
    this.factsHigh = grownTo(this.factsHigh, least);
    this.factsLow = grownTo(this.factsLow, least);
    this.next = grownTo(this.next, least);
    this.previous = grownTo(this.previous, least);
  }
}

/** Words that repeat, as numbers. */
class Names {
  private readonly codes = new Map<string, number>();
  private readonly names: string[] = [];

  /** -1 for a word never met. */
  codeOf(name: string): number {
    return this.codes.get(name) ?? -1;
  }

  codeFor(name: string): number {
    const known = this.codes.get(name);
    if (known !== undefined) return known;
    this.codes.set(name, this.names.length);
    return this.names.push(name) - 1;
  }

  nameOf(code: number): string {
    return this.names[code] ?? "";
  }
}

/** "\0" stands in no name, so the way back is exact. */
const textOf = ({ namespace, name, shard }: ActorKey): string => `${namespace}\0${name}${shard === undefined ? "" : `\0${shard}`}`;

/** FNV-1a, then spread: neighbours in the table must not have neighbouring names. */
function hashOf({ kind, namespace, name }: ActorKey): number {
  let hash = 0x811c9dc5;
  for (const token of [kind, namespace, name])
    for (let i = 0; i <= token.length; i++) hash = Math.imul(hash ^ (i < token.length ? token.charCodeAt(i) : 0x2f), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  return (hash ^ (hash >>> 15)) >>> 0;
}
