/**
 * Many workers share a cell in virtual time: the real cell, ownership and heart over a log and a bus that fail as the real
 * ones do. What they host is as simple as can be: actors that count their hints. Who owns what, when, is the question here;
 * what actors do is asked in world.ts.
 */
import { partitionCount, partitionOf, actorId, type ActorKey } from "#protocol/names/actor.ts";
import { parseOwn, subject } from "#protocol/names/subject.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { ownRecord } from "#protocol/records/cell.ts";
import { Cell } from "#services/store/cell.ts";
import { createHeart } from "#services/store/heart-beat.ts";
import { LogError, type Log, type Stored } from "#services/store/log.ts";
import { Ownership, type OwnershipPorts } from "#services/worker/ownership.ts";
import { MemoryExchange, memoryBus } from "./memory-bus.ts";
import { memoryLog, MemoryStream, type Fate } from "./memory-log.ts";
import { seeded, type Random } from "./random.ts";
import { Process, VirtualTime } from "./time.ts";

export type CellStep = { atMs: number } & (
  | { do: "join" }
  | { do: "kill"; nth: number }
  | { do: "stop"; nth: number; forMs: number }
  | { do: "leave"; nth: number }
  | { do: "drain"; nth: number; on: boolean }
  | { do: "cut"; nth: number | "all"; forMs: number }
  | { do: "lose acks"; forMs: number }
  | { do: "land late"; forMs: number }
  | { do: "lose copies"; forMs: number }
  | { do: "lose words"; forMs: number }
);

export type CellScript = { seed: number; workers: number; actors: number; replicated: boolean; troubleMs: number; steps: CellStep[] };

type Actor = { key: ActorKey; count: number; seen: number };

const recordOf = ({ count, seen }: Actor): ActorRecord => ({
  v: 1, machine: "counter", snapshot: { status: "active", value: "counting", context: { count } }, timers: [], runs: [], attempts: 0, outbox: [], seen: { look: seen },
});

export type CellMutation = {
  ignore?: string[];
  log?(log: Log): Log;
  worker?(worker: CountingWorker): void;
};

/** One worker: its process, its hold on the cell, and the actors it counts for. */
export class CountingWorker {
  readonly process: Process;
  readonly cell: Cell;
  readonly ownership: Ownership;
  readonly ports: OwnershipPorts;
  readonly actors = new Map<string, Actor>();
  private readonly deciding = new Map<string, Promise<void>>();
  readonly frozen = new Set<number>();
  joined = false;
  draining = false;
  ended = "";

  constructor(process: Process, log: Log, bus: OwnershipPorts["bus"], world: CellWorld) {
    this.process = process;
    const { clock, name } = process;
    this.cell = new Cell(log, {
      worker: name, clock, hubId: "one", about: this.about(),
      startHeart: (callbacks) => createHeart(log, { worker: name, clock, about: this.about(), ...callbacks }),
      onOwn: (partition, own) => this.ownership.own(partition, own),
      onWant: (partition, want) => this.ownership.want(partition, want),
      onFenced: (partition) => this.ownership.fenced(partition),
      onHint: ({ key, seq }) => this.hinted(key, seq),
      onAwaited: () => undefined,
      onLost: (reason) => { this.ended = reason; this.halt(); world.ended(this, reason); },
      onUnreadable: (name, detail) => world.violated("OW17", `${name}: ${detail}`),
    });
    this.ports = {
      worker: name, clock, bus, cell: this.cell,
      take: ({ partition, contents }) => {
        world.took(this, partition);
        for (const { key, record } of contents.records)
          this.actors.set(actorId(key), { key, count: Number(record.snapshot.context["count"]), seen: record.seen["look"] ?? 0 });
        this.frozen.delete(partition);
        this.cell.openMail(partition, contents);
      },
      freeze: async (partition) => {
        await process.sleep(world.random.between(0, 30)); // what is under way ends
        this.frozen.add(partition);
      },
      thaw: (partition) => { this.frozen.delete(partition); },
      drop: (partition) => this.drop(partition),
      changed: () => undefined,
      refused: () => undefined,
      debug: (text, details) => world.say(`${name} ${text} ${JSON.stringify(details)}`),
    };
    this.ownership = new Ownership(this.ports);
  }

  async start(): Promise<void> {
    await this.cell.join();
    this.joined = true;
    const { clock } = this.process;
    const look = () => {
      if (this.ended) return;
      this.ownership.look();
      this.cell.say(this.about());
      clock.at(clock.nowMs() + 200, look);
    };
    look();
  }

  /** As SIGTERM: hands over, then goes. */
  async leave(): Promise<void> {
    this.draining = true;
    this.cell.say(this.about());
    for (let i = 0; i < 200 && this.cell.owned.length > 0 && !this.ended; i++) await this.process.sleep(100);
    this.ended ||= "left";
    this.halt();
    await this.cell.close();
  }

  acts(key: ActorKey): boolean {
    try {
      this.cell.guard(key);
      return !this.frozen.has(partitionOf(key));
    } catch {
      return false;
    }
  }

  private about() {
    return { capacity: 1, actors: this.actors?.size ?? 0, load: 0, draining: this.draining, refuses: [] };
  }

  private halt(): void {
    this.ownership.stop();
    this.actors.clear();
  }

  private drop(partition: number): void {
    for (const [id, { key }] of this.actors) if (partitionOf(key) === partition) this.actors.delete(id);
    this.frozen.delete(partition);
    this.cell.drop(partition);
  }

  private hinted(key: ActorKey, seq: number): void {
    const id = actorId(key);
    this.deciding.set(id, (this.deciding.get(id) ?? Promise.resolve()).then(() => this.decide(key, seq)));
  }

  /** As a host does it: an actor decides anew when its last decision is kept, or never will be. */
  private async decide(key: ActorKey, seq: number): Promise<void> {
    const partition = partitionOf(key);
    if (this.frozen.has(partition) || !this.cell.owns(partition)) return; // it lies in its mailbox for the next owner
    const id = actorId(key);
    const actor = this.actors.get(id) ?? { key, count: 0, seen: 0 };
    if (seq <= actor.seen) return;
    const next = { key, count: actor.count + 1, seen: seq };
    this.actors.set(id, next);
    await this.cell.commit({ key, record: recordOf(next), hints: [] }).catch(() => undefined);
  }
}

const calmMs = 60_000;

export class CellWorld {
  readonly violations: { rule: string; text: string; at: string }[] = [];
  readonly lines: string[] = [];
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly stream = new MemoryStream(() => this.time.nowMs);
  private readonly workers: CountingWorker[] = [];
  private readonly script: CellScript;
  private readonly mutation: CellMutation;
  private readonly underWay = new Map<string, number>();
  private readonly exchange = new MemoryExchange();
  private readonly until = new Map<string, number>();
  private readonly owners = new Map<number, { worker: string; epoch: number }>();
  private readonly counts = new Map<string, { count: number; seen: number }>();
  /** Sequence of the newest hint per actor. */
  private readonly hints = new Map<string, number>();
  /** Who had it last, also while it is nobody's. */
  private readonly holders = new Map<number, string>();
  private moves = 0;
  private names = 0;
  private calm = false;

  constructor(script: CellScript, mutation: CellMutation = {}) {
    this.script = script;
    this.mutation = mutation;
    this.random = seeded(script.seed ^ 0xce11);
    this.stream.watch((batch, writer) => {
      for (const [i, stored] of batch.entries())
        if (!batch.slice(i + 1).some((later) => later.subject === stored.subject)) this.stored(stored, writer); // a batch is one step
    });
  }

  async run(): Promise<void> {
    for (let i = 0; i < this.script.workers; i++) this.join(this.random.between(0, 500));
    for (const step of this.script.steps) this.time.in(step.atMs, () => this.perform(step));
    for (let ms = 500; ms < this.script.troubleMs + 20_000; ms += this.random.between(20, 400)) this.time.in(ms, () => this.hint());
    const over = () => this.violations.length > 0;
    for (let ms = 0; ms < this.script.troubleMs && !over(); ms += 100) {
      await this.time.run(100, over);
      this.oneActs();
    }
    this.calm = true;
    this.say("calm");
    for (const worker of this.workers) worker.process.resume();
    if (this.living().length === 0) this.join(0);
    let reasons: string[] = [];
    for (let ms = 0; ms < calmMs && !over(); ms += 200) {
      await this.time.run(200, over);
      this.oneActs();
      reasons = ms > 21_000 ? this.whyNotCalm() : ["early"];
      if (reasons.length === 0) break;
    }
    if (reasons.length === 0) return this.changeMembers();
    for (const reason of reasons.slice(0, 3)) this.violated("OW30", `not calm: ${reason}`);
  }

  /** In quiet times somebody goes and somebody comes: no more changes hands than that takes, and one per worker. */
  private async changeMembers(): Promise<void> {
    for (const change of this.random.pick([["kill", "join"], ["leave", "join"], ["join", "kill"], ["join", "leave"]] as const)) {
      const ready = this.living();
      const leaver = this.random.pick(ready);
      if (ready.some(({ draining }) => draining) || (change !== "join" && ready.length === 1)) continue;
      const least = change === "join" ? Math.ceil(partitionCount / (ready.length + 1)) : leaver.cell.owned.length;
      const expected = ready.length + (change === "join" ? 1 : -1);
      this.moves = 0;
      this.say(`${change} in quiet times, ${change === "join" ? "" : leaver.process.name}`);
      if (change === "join") this.join(0);
      else if (change === "kill") leaver.process.kill();
      else void leaver.leave().then(() => leaver.process.kill());
      let reasons = ["nothing has happened"];
      for (let ms = 0; ms < calmMs && this.violations.length === 0 && reasons.length > 0; ms += 200) {
        await this.time.run(200, () => this.violations.length > 0);
        this.oneActs();
        reasons = this.living().length === expected ? this.whyNotCalm() : ["they are not the right number"];
      }
      for (const reason of reasons.slice(0, 3)) this.violated("OW30", `not calm after a ${change}: ${reason}`);
      const most = least + Math.max(ready.length, expected);
      if (this.moves > most) this.violated("OW40", `${this.moves} partitions moved on a ${change}, and ${most} would have been enough`);
    }
  }

  say(text: string): void {
    this.lines.push(`${this.time.clockText} ${text}`);
  }

  violated(rule: string, text: string): void {
    if (this.mutation.ignore?.includes(rule)) return;
    this.violations.push({ rule, text, at: this.time.clockText });
    this.say(`VIOLATED ${rule} ${text}`);
  }

  ended(worker: CountingWorker, reason: string): void {
    this.say(`${worker.process.name} ends: ${reason}`);
    worker.process.kill();
    this.join(300);
  }

  took(worker: CountingWorker, partition: number): void {
    const owner = this.owners.get(partition);
    if (owner?.worker !== worker.process.name) this.say(`${worker.process.name} took ${partition} of ${owner?.worker}`);
  }

  private join(inMs: number): void {
    this.time.in(inMs, () => {
      const process = new Process(this.time, `w${++this.names}`);
      const slot = this.workers.length;
      const log = memoryLog(this.stream, {
        client: process.name, clock: process.clock, later: (ms, run) => void this.time.in(ms, run), enter: (run) => process.enter(run),
        fate: () => this.fate(slot),
        copyMs: () => (this.isOn("lose copies") && this.random.chance(0.5) ? (this.random.chance(0.5) ? undefined : this.random.between(500, 4_000)) : this.random.between(1, 4)),
        lagMs: () => (this.script.replicated && !this.calm && this.random.chance(0.2) ? this.random.between(1, this.random.chance(0.2) ? 6_000 : 800) : 0),
        commitMs: () => (this.script.replicated ? this.random.between(1, 4) : 0),
      }, this.underWay);
      const bus = memoryBus(this.exchange, {
        client: process.name, clock: process.clock, later: (ms: number, run: () => void) => void this.time.in(ms, run), enter: (run: () => void) => process.enter(run),
        deliverMs: () => (this.isOn(`cut ${slot}`) || this.isOn("cut all") || (this.isOn("lose words") && this.random.chance(0.6)) ? undefined : this.random.between(1, 3)),
      });
      const worker = new CountingWorker(process, this.mutation.log?.(log) ?? log, bus, this);
      this.mutation.worker?.(worker);
      this.workers.push(worker);
      this.say(`${process.name} begins`);
      worker.start().catch((thrown: unknown) => process.enter(() => { if (!worker.ended) this.ended(worker, String(thrown)); }));
    });
  }

  private isOn(name: string): boolean {
    return !this.calm && (this.until.get(name) ?? 0) > this.time.nowMs;
  }

  private turnOn(name: string, forMs: number): void {
    this.until.set(name, Math.max(this.until.get(name) ?? 0, this.time.nowMs + forMs));
  }

  private fate(slot: number): Fate {
    const answerMs = this.random.between(1, 3);
    if (this.isOn("cut all") || this.isOn(`cut ${slot}`)) {
      if (this.random.chance(0.3)) return { arriveMs: 0, answerMs, refusal: new LogError("busy", "no responders") };
      return { arriveMs: undefined, answerMs: undefined };
    }
    if (this.isOn("land late") && this.random.chance(0.15)) return { arriveMs: this.random.between(1_000, 6_000), answerMs };
    if (this.isOn("lose acks") && this.random.chance(0.2)) return { arriveMs: 0, answerMs: undefined };
    return { arriveMs: 0, answerMs };
  }

  private living(): CountingWorker[] {
    return this.workers.filter(({ process, ended, joined }) => process.state !== "dead" && ended === "" && joined);
  }

  private perform(step: CellStep): void {
    const { atMs: _, ...rest } = step;
    this.say(JSON.stringify(rest));
    const living = this.living();
    const nth = "nth" in step && typeof step.nth === "number" ? living[step.nth % (living.length || 1)] : undefined;
    switch (step.do) {
      case "join": return this.join(0);
      case "kill": {
        nth?.process.kill();
        if (living.length <= 2) this.join(1_000);
        return;
      }
      case "stop": {
        nth?.process.stop();
        this.time.in(step.forMs, () => nth?.process.resume());
        return;
      }
      case "leave": {
        if (living.length > 1 && nth) void nth.leave().then(() => nth.process.kill());
        return;
      }
      case "drain": {
        if (nth) nth.draining = step.on;
        return;
      }
      case "cut": return this.turnOn(step.nth === "all" ? "cut all" : `cut ${this.workers.indexOf(nth as CountingWorker)}`, step.forMs);
      default: return this.turnOn(step.do, step.forMs);
    }
  }

  private hint(): void {
    const key: ActorKey = { kind: "counter", namespace: "apps", name: `c${this.random.between(0, this.script.actors - 1)}` };
    this.stream.store([{ subject: subject.mailbox(key, "look"), data: "{}" }], "outside");
  }

  private stored({ subject: name, sequence, data, headers: _ }: Stored, writer: string): void {
    if (name.endsWith(".own")) {
      const partition = parseOwn(name);
      const { worker, epoch } = ownRecord.parse(JSON.parse(data));
      const before = this.owners.get(partition);
      if (before && epoch <= before.epoch) this.violated("OW2", `partition ${partition}: epoch ${epoch} after ${before.epoch}`);
      if (worker !== "" && this.holders.get(partition) !== worker) this.moves++;
      if (worker !== "") this.holders.set(partition, worker);
      this.owners.set(partition, { worker, epoch });
    } else if (name.includes(".mbx.")) this.hints.set(name, sequence);
    else if (name.includes(".snap.") && data !== "") {
      const [, partition = "", , kind = "", namespace = "", actor = ""] = name.split(".");
      const id = `${kind}/${namespace}/${actor}`;
      const record = JSON.parse(data) as ActorRecord;
      const count = Number(record.snapshot.context["count"]);
      const before = this.counts.get(id);
      if (this.owners.get(Number(partition))?.worker !== writer) this.violated("OW1", `${writer} wrote ${id}, which ${this.owners.get(Number(partition))?.worker} owns`);
      const again = count === before?.count && record.seen["look"] === before.seen; // it had landed, unknown to its writer
      if (count <= (before?.count ?? 0) && !again) this.violated("OW31", `${id} counts ${count} after ${before?.count ?? 0}, by ${writer}`);
      this.counts.set(id, { count, seen: record.seen["look"] ?? 0 });
    }
  }

  /** At no time do two workers act for one partition. */
  private oneActs(): void {
    const acting = new Map<number, string>();
    for (const worker of this.workers) {
      if (worker.process.state !== "running" || worker.ended || !worker.cell.holds()) continue;
      for (const partition of worker.cell.owned) {
        const other = acting.get(partition);
        if (other) this.violated("OW3", `${other} and ${worker.process.name} both act for partition ${partition}`);
        acting.set(partition, worker.process.name);
      }
    }
  }

  private whyNotCalm(): string[] {
    const ready = this.living();
    const names = new Set(ready.map(({ process }) => process.name));
    const wanted = ready.filter(({ draining }) => !draining);
    const reasons: string[] = [];
    for (let partition = 0; partition < partitionCount; partition++) {
      const owner = this.owners.get(partition)?.worker ?? "";
      const worker = ready.find(({ process }) => process.name === owner);
      if (!names.has(owner)) reasons.push(`partition ${partition} is ${owner || "nobody"}'s`);
      else if (!worker?.cell.owns(partition)) reasons.push(`${owner} owns partition ${partition} and has not taken it`);
      else if (worker.frozen.has(partition)) reasons.push(`partition ${partition} of ${owner} is frozen`);
    }
    const shares = wanted.map(({ cell }) => cell.owned.length);
    if (Math.max(...shares) - Math.min(...shares) > 1) reasons.push(`shares are ${shares.join()}`);
    for (const { draining, cell, process } of ready)
      if (draining && wanted.length > 0 && cell.owned.length > 0) reasons.push(`${process.name} drains and has ${cell.owned.length}`);
    for (const [name, sequence] of this.hints) {
      const [, , , kind, namespace, actor] = name.split(".");
      const { seen = 0 } = this.counts.get(`${kind}/${namespace}/${actor}`) ?? {};
      if (seen < sequence) reasons.push(`[OW6] hint ${sequence} for ${actor} was not taken, but ${seen}`);
    }
    return reasons;
  }
}
