/**
 * The worker with one line of safety taken out, each in its own way, from outside: a wrapped port, a condition left out,
 * a private method replaced. Whoever leaves the simulation green shows that nothing would notice the line missing.
 */
import type { View } from "#machines/rules/coordination.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { areaOf, subject } from "#protocol/names/subject.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Bus } from "#services/store/bus.ts";
import type { Cell } from "#services/store/cell.ts";
import { LogError, type Log, type Message } from "#services/store/log.ts";
import { deathMark } from "#services/store/roster.ts";
import { crashes, cuts, departures, dependentsMoving, flips, handovers, interruptions, labelled, lateWrites, made, meddling, patience, planting, refusals, silence, whispers, zombies } from "./hardships.ts";
import type { Script } from "./script.ts";
import type { Parts, SimulatedWorkerOptions } from "./worker.ts";
import type { Mutation } from "./world.ts";

export type Mutant = Mutation & {
  name: string;
  /** By one of these it has to be caught. */
  rules: string[];
  /** A seed that is known to catch it: tried first. */
  seed: number;
  /** Few lives notice it. */
  rare?: true;
  /** Makes what it takes more frequent. */
  tune?(script: Script): Script;
};

/** What the mutants know of a hosted actor. */
type Live = { slot: number; key: ActorKey; record: ActorRecord; tasks: Map<number, AbortController>; timers: Map<string, { dueMs: number }> };

export const mutants: Mutant[] = [
  // Records
  { name: "records are written without a fence", rules: ["OW1", "OW4"], seed: 1, log: onMessages(({ fence: _, ...message }) => message) },
  { name: "owner records are taken without comparing", rules: ["OW2", "OW3"], seed: 4, log: onMessages((message) => (isOwn(message) ? uncompared(message) : message)) },
  {
    name: "partitions are given away without comparing", rules: ["OW2", "OW3"], seed: 3, tune: zombies,
    log: onMessages((message) => (isOwn(message) && /"(claim|crash)"/.test(message.data) ? uncompared(message) : message)),
  },
  { name: "no new token after a write without an answer", rules: ["OW4"], seed: 3, tune: lateWrites, worker: ({ cell }) => replace(inner(cell, "committer"), "renewTokens", () => async () => {}) },
  { name: "refused for now is taken for lost", rules: ["OW5"], seed: 2, tune: cuts, log: (log) => ({ ...bound(log), publishAll: (messages) => log.publishAll(messages).catch(asFenced) }) },
  { name: "records are loaded from whatever replica answers", rules: ["OW19"], seed: 2, tune: departures, worker: ({ cell }) => {
    replace(inner(cell, "reader"), "upTo", (upTo) => (partition: number, _sequence: number, isOver: unknown) => upTo(partition, 0, isOver));
  } },
  { name: "a decision is acted on before it is kept", rules: ["OW13", "OW4"], seed: 1, worker: ({ ports }) => {
    const { commit } = ports;
    ports.commit = async (write) => void commit(write).catch(() => undefined);
  } },

  { name: "what is made from a source does not hear of its news", rules: ["SR80"], ignore: ["OW6"], seed: 1, tune: made, worker: ({ host }) => {
    replace(host, "deliver", (deliver) => (key: ActorKey, event: { type: string }, hint: unknown) => (key.kind === "helmchart" && event.type === "artifact" ? undefined : deliver(key, event, hint)));
  } },

  // Shards
  { name: "an actor that was sent to its shard goes on at home", rules: ["SH2"], seed: 1, tune: labelled, worker: ({ host, worker }) => {
    replace(host, "evict", () => (key: ActorKey) => host.recordOf(key));
    replace(host, "remove", () => () => undefined);
    replace(inner(worker, "places"), "mayAct", () => () => true);
  } },
  { name: "what a shard is not shown counts as gone", rules: ["FD2"], seed: 1, tune: labelled, worker: ({ worker }) => {
    Reflect.set(inner(inner(worker, "places"), "ports"), "exists", async () => false);
  } },
  { name: "an actor comes to its shard when its object is seen there", rules: ["SH2", "SH1", "OW19"], seed: 1, tune: labelled, worker: ({ worker }) => {
    const places = inner(worker, "places");
    replace(places, "sightedInShard", () => () => true);
    replace(places, "mayAct", () => () => true);
  } },
  { name: "workers of a shard get no more of it than others", rules: ["SH4"], seed: 1, tune: labelled, worker: ({ cell }) => {
    replace(cell.roster, "view", (view) => (steadySinceMs: number): View => {
      const seen = view(steadySinceMs) as View;
      return { ...seen, members: seen.members.map((member) => ({ ...member, about: { ...member.about, shard: "" } })) };
    });
  } },

  // Leases
  { name: "heartbeats do not compare", rules: ["OW3", "OW9"], seed: 38, rare: true, log: onMessages((message) => (isBeat(message) ? uncompared(message) : message)), tune: zombies },
  { name: "the dead are not told that they are", rules: ["OW3", "OW9", "OW30"], seed: 4, tune: zombies, log: (log) => ({
    ...bound(log), publish: async (message) => (isDeathMark(message) ? (message.expectLast ?? 0) + 0.5 : log.publish(message)),
  }) },
  { name: "writes do not ask for the lease", rules: ["OW9", "OW3"], seed: 2, conditions: { guard: false }, tune: zombies },
  { name: "the guard does not ask for the heartbeat's lease", rules: ["OW3", "OW9"], seed: 1, tune: cuts, worker: ({ cell }) => replace(cell, "holds", () => () => true) },
  { name: "the guard does not ask for the partition", rules: ["OW9", "OW3"], seed: 1, tune: handovers, worker: ({ cell }) => {
    replace(cell, "guard", () => (key: ActorKey) => { if (!cell.holds()) throw new Fault("LeaseLost", actorId(key)); });
  } },
  { name: "the silent are held for dead at once", rules: ["OW8", "OW3"], seed: 1, worker: ({ cell, process }) => replace(cell.roster, "view", (view) => (steadySinceMs: number) => {
    const seen = view(steadySinceMs) as View;
    return { ...seen, steadySinceMs: Math.min(1, steadySinceMs), members: seen.members.map((each) => (each.worker === process.name ? each : { ...each, seenMs: 0 })) };
  }) },
  { name: "who could not listen holds others for dead", rules: ["OW8"], seed: 11, worker: ({ cell }) => replace(cell.roster, "view", (view) => (steadySinceMs: number) =>
    ({ ...(view(steadySinceMs) as View), steadySinceMs: Math.min(1, steadySinceMs) })) },

  // Hand-overs
  { name: "a partition is let go before its writes have ended", rules: ["OW9", "OW11"], seed: 7, tune: interruptions, worker: ({ host }) => {
    replace(host, "quiet", () => async () => true);
    replace(host, "freeze", (freeze) => (partition: number) => { void freeze(partition); return Promise.resolve(); });
  } },
  { name: "a partition is let go before its commits are settled", rules: ["OW1", "OW17"], seed: 2, tune: lateWrites, worker: ({ cell, host }) => {
    replace(host, "freeze", (freeze) => (partition: number) => { void freeze(partition); return Promise.resolve(); });
    replace(cell, "settled", () => async () => {});
  } },
  // Reading takes so long that a scan of all mailboxes is over before it.
  { name: "mail that comes while a partition is taken is dropped, and not looked for again", rules: ["OW6"], seed: 3, tune: handovers, options: slowReads, worker: ({ cell }) => {
    const early = inner(cell, "early") as Map<number, unknown>;
    replace(cell, "deliver", (deliver) => (hint: { key: ActorKey }) => { if (!early.has(partitionOf(hint.key))) deliver(hint); });
    notAgain(cell);
  } },

  // Hints
  { name: "hints are taken from live copies only", rules: ["OW6"], seed: 1, tune: silence, log: (log) => ({ ...bound(log), scan: (filter, from) => (filter === subject.everyMailbox ? nothing() : log.scan(filter, from)) }) },
  {
    name: "a live copy moves the place where the scan goes on", rules: ["OW6"], seed: 1, tune: silence,
    options: (options) => {
      let cell: Cell | undefined;
      const listen: Log["listen"] = (filter, receive) => options.log.listen(filter, (stored) => {
        const scanned = cell && (Reflect.get(inner(cell, "mail"), "scanned") as { mail: number });
        if (scanned && filter === subject.everyMailboxLive) scanned.mail = Math.max(scanned.mail, stored.sequence);
        receive(stored);
      });
      return { ...options, log: { ...bound(options.log), listen }, mutate: (parts) => { ({ cell } = parts); } };
    },
  },
  { name: "hints leave apart from the record", rules: ["OW7"], seed: 1, worker: ({ cell, ports }) => {
    const { commit } = ports;
    ports.commit = async (write) => {
      await commit({ ...write, hints: [] });
      await Promise.all(write.hints.map((hint) => cell.send(hint)));
    };
  } },
  { name: "nobody notes who waits for a source", rules: ["OW7"], seed: 1, log: (log) => ({
    ...bound(log), publishAll: (messages) => log.publishAll(messages.filter((message) => areaOf(message.subject) !== "dep")),
  }) },

  // Dependents
  { name: "a unit that is ready tells nobody", rules: ["DP4"], seed: 1, tune: patience, worker: ({ ports }) => {
    const { route } = ports;
    ports.route = (from, emitted) => (emitted.type === "unitReady" ? [] : route(from, emitted));
  } },
  { name: "whoever begins to wait for what is ready already is not told", rules: ["DP4"], seed: 1, tune: patience, worker: ({ worker, ports, process }) => {
    replace(inner(worker, "awaiting"), "unitAwaited", () => async () => {});
    const { perform } = ports; // looks so slowly that things change meanwhile
    ports.perform = async (src, call) => {
      const outcome = await perform(src, call);
      if (src === "checkDependencies") await process.sleep(slowMs);
      return outcome;
    };
  } },
  { name: "nobody looks at an object that is awaited", rules: ["DP4"], seed: 1, tune: patience, worker: ({ hub }) => replace(hub, "followObject", () => () => {}) },
  { name: "a unit does not wait for what it depends on", rules: ["DP1"], seed: 1, tune: patience, worker: onOutcome("checkDependencies", () => ({ awaits: [] })) },
  { name: "dependencies of another revision are good enough", rules: ["DP1"], seed: 1, tune: dependentsMoving, worker: onOutcome("checkDependencies", (outcome) => {
    const { fault } = outcome as { fault?: { detail?: string } };
    return fault?.detail?.endsWith("revision is not up to date") ? { awaits: [] } : outcome;
  }) },

  // Actors
  { name: "tasks that left the record run on", rules: ["OW14", "OW16"], seed: 3, worker: ({ host }) => replace(host, "act", (act) => (live: Live) => { forgetTasks(live); act(live); }) },
  { name: "answers nobody waits for are taken", rules: ["OW17"], ignore: ["OW14", "OW16"], seed: 16, tune: silence, worker: ({ host }) => {
    replace(host, "act", (act) => (live: Live) => { forgetTasks(live); act(live); });
    replace(host, "enqueue", (enqueue) => (live: Live, { attempt: _, ...delivery }: { attempt?: number }) => enqueue(live, delivery));
  } },
  { name: "the next task does not wait for the end of the one before", rules: ["OW16"], seed: 3, worker: ({ host }) => replace(inner(host, "tasks"), "formerEnded", () => async () => {}) },
  { name: "timers that were set aside fire all the same", rules: ["OW15"], seed: 3, worker: ({ host }) => {
    replace(host, "act", (act) => (live: Live) => {
      const before = [...live.timers];
      act(live);
      for (const [id, timer] of before) live.timers.set(id, timer);
      (inner(host, "wheel") as { arm(slot: number, dueMs: number): void }).arm(live.slot, Math.min(...[...live.timers.values()].map(({ dueMs }) => dueMs)));
    });
    replace(host, "enqueue", (enqueue) => (live: Live, { timerDueMs: _, ...delivery }: { timerDueMs?: number }) => enqueue(live, delivery));
  } },
  { name: "timers are not armed again by the next owner", rules: ["RT5", "RC15"], seed: 2, worker: ({ host }) =>
    replace(host, "adopt", (adopt) => (key: ActorKey, record?: ActorRecord, how?: unknown) => adopt(key, record && { ...record, timers: [] }, how)) },
  { name: "runs are not started again by the next owner", rules: ["RC15"], seed: 1, worker: ({ host }) => {
    let adopting = false;
    replace(host, "adopt", (adopt) => (...args) => { adopting = true; adopt(...args); adopting = false; });
    replace(host, "start", (start) => (live: Live, run: { attempt: number }) => {
      if (adopting) live.tasks.set(run.attempt, new AbortController());
      else start(live, run);
    });
  } },
  { name: "notices are not kept until they are told", rules: ["OW18"], seed: 1, tune: crashes, worker: ({ ports }) => {
    const { commit } = ports;
    ports.commit = ({ text: _, ...write }) => commit({ ...write, record: write.record && { ...write.record, outbox: [] } });
  } },

  // Objects in the cluster
  { name: "updates do not name the uid", rules: ["OW10"], seed: 8, conditions: { uid: false }, tune: meddling },
  { name: "updates do not name the resource version", rules: ["OW11"], seed: 6, conditions: { resourceVersion: false }, tune: zombies },
  { name: "creations may overwrite", rules: ["OW10"], seed: 30, rare: true, conditions: { createOnly: false }, tune: planting },
  { name: "nothing is touched after a crash", rules: ["OW11"], seed: 35, rare: true, conditions: { touch: false }, tune: flips },
  { name: "nobody says that the owner before crashed", rules: ["OW11"], seed: 60, rare: true, tune: flips, worker: ({ ownership }) =>
    replace(inner(ownership, "ports"), "take", (take) => (takeover: object) => take({ ...takeover, recovered: false })) },
  { name: "what could not be pruned is forgotten", rules: ["OW12"], seed: 5, worker: onOutcome("prune", (outcome) => ({ ...outcome, left: [] })), tune: refusals },
  { name: "objects are created before they are noted", rules: ["OW12"], seed: 1, worker: onOutcome("build", (outcome) => ({ ...outcome, objects: [] })) },
  { name: "a failed build passes for an empty one", rules: ["RC12"], seed: 2, worker: ({ ports }) => {
    const { perform } = ports;
    ports.perform = (src, call) => {
      if (src === "apply" && (call.context["build"] as { renderKey?: string } | null)?.renderKey === "none") return Promise.resolve({ entries: [], changes: [] });
      return perform(src, call).catch((thrown: unknown) => {
        if (src === "build") return { renderKey: "none", readSet: { files: [], dirs: [] }, objects: [] };
        throw thrown;
      });
    };
  } },
  { name: "nobody waits for the finalizer", rules: ["RC13"], seed: 1, worker: ({ ports }) => {
    const { perform } = ports;
    ports.perform = (src, call) => (src === "adopt" ? Promise.resolve(null) : perform(src, call));
  } },

  // The feed
  { name: "a gap in the feed is not noticed", rules: ["RC15", "RC4", "FD1"], seed: 1, tune: whispers, bus: closingGaps },
  { name: "what the feed has not named yet counts as gone", rules: ["FD2"], seed: 1, bus: onFeeding((message) => {
    for (const [i, item] of (message.items ?? []).entries())
      if (item.t === "showing") message.items?.splice(i + 1, 0, { ...item, t: "shown" });
  }) },
];

/** Lines that can be missing without anybody noticing, because another one does their work as well. */
export const alive: { name: string; why: string }[] = [
  { name: "mail that comes while a partition is taken is dropped", why: "the next scan begins again at the owner record, and finds it 5 s later; without that it is noticed" },
  { name: "mail is not looked for again after a partition was taken", why: "what is read with the partition, and what is heard meanwhile, hold it already; without the latter it is noticed" },
];

/** Scans go on where they were. */
function notAgain(cell: Cell): void {
  const mail = inner(cell, "mail");
  replace(mail, "take", (take) => (...args) => { take(...args); Reflect.set(mail, "rewound", Infinity); });
}

const slowMs = 6_000;

function slowReads({ log, process, ...options }: SimulatedWorkerOptions): SimulatedWorkerOptions {
  const scan: Log["scan"] = async function* (filter, from) {
    const found = await Array.fromAsync(log.scan(filter, from));
    if (typeof filter !== "string") await process.sleep(slowMs);
    yield* found;
  };
  return { ...options, process, log: { ...bound(log), scan } };
}

/** Every message, single or in a batch, as the mutant would write it. */
function onMessages(change: (message: Message) => Message): (log: Log) => Log {
  return (log) => ({ ...bound(log), publish: (message) => log.publish(change(message)), publishAll: (messages) => log.publishAll(messages.map(change)) });
}

const bound = (log: Log): Log => ({
  publish: (message) => log.publish(message), publishAll: (messages) => log.publishAll(messages), read: (name) => log.read(name),
  scan: (filter, from) => log.scan(filter, from), listen: (filter, receive) => log.listen(filter, receive),
});

type Method = (...args: never[]) => unknown;

/** A private method, replaced on one object. */
function replace(target: object, name: string, make: (original: (...args: unknown[]) => unknown) => Method): void {
  const original = Reflect.get(target, name) as Method;
  Reflect.set(target, name, make((...args) => Reflect.apply(original, target, args)));
}

function onOutcome(src: string, change: (outcome: Record<string, unknown>) => unknown): (parts: Parts) => void {
  return ({ ports }) => {
    const { perform } = ports;
    ports.perform = async (name, call) => {
      const outcome = await perform(name, call);
      return name === src ? change(outcome as Record<string, unknown>) : outcome;
    };
  };
}

function forgetTasks({ tasks, record }: Live): void {
  for (const attempt of tasks.keys()) if (!record.runs.some((run) => run.attempt === attempt)) tasks.delete(attempt);
}

const inner = (target: object, name: string): object => Reflect.get(target, name) as object;

const isOwn = ({ subject: name }: Message) => areaOf(name) === "own";
const isMember = (name: string) => name.startsWith(subject.member(""));
const isBeat = ({ subject: name, data }: Message) => isMember(name) && data !== "" && data !== deathMark;
const isDeathMark = ({ subject: name, data }: Message) => isMember(name) && data === deathMark;
const uncompared = ({ expectLast: _, ...message }: Message): Message => message;

async function* nothing() {}

function asFenced(thrown: unknown): never {
  throw thrown instanceof LogError && thrown.kind === "busy" ? new LogError("fenced", thrown.message) : thrown;
}

type Feeding = { t: string; session: string; n?: number; last?: number; items?: { t: string }[] };

/** What a worker hears of the feed, changed. */
function onFeeding(change: (message: Feeding) => void): (bus: Bus) => Bus {
  return (bus) => ({
    ...bus,
    subscribe: (filter, receive) => bus.subscribe(filter, (data, answer) => {
      if (!filter.endsWith(".feeding")) return receive(data, answer);
      const message = JSON.parse(data) as Feeding;
      change(message);
      receive(JSON.stringify(message), answer);
    }),
  });
}

/** Numbers what comes as if nothing had been lost. */
function closingGaps(bus: Bus): Bus {
  let [session, heard] = ["", 0];
  return onFeeding((message) => {
    if (message.session !== session) [session, heard] = [message.session, 0];
    if (message.t === "items") message.n = ++heard;
    else if (message.last !== undefined) message.last = heard;
  })(bus);
}
