/**
 * The worker with one line of safety taken out, each in its own way, from outside: a wrapped port, a condition left out,
 * a private method replaced. Whoever leaves the simulation green shows that nothing would notice the line missing.
 */
import type { ActorKey } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Cell } from "#services/store/cell.ts";
import { LogError, type Log, type Message } from "#services/store/log.ts";
import type { Host, HostPorts } from "#services/worker/host.ts";
import { crashes, departures, manyRequests, meddling, planting, refusals, silence, zombies } from "./hardships.ts";
import type { Script } from "./script.ts";
import type { Mutation } from "./world.ts";

export type Mutant = Mutation & {
  name: string;
  /** By one of these it has to be caught. */
  rules: string[];
  /** A seed that is known to catch it: tried first. */
  seed: number;
  /** Makes what it takes more frequent. */
  tune?(script: Script): Script;
};

type Parts = { cell: Cell; host: Host; ports: HostPorts };

/** What the mutants know of a hosted actor. */
type Live = {
  key: ActorKey; record: ActorRecord; tasks: Map<number, AbortController>; timers: Map<string, () => void>;
};

export const mutants: Mutant[] = [
  { name: "records are written without a fence", rules: ["OW1", "OW4"], seed: 3, log: onMessages(({ fence: _, ...message }) => message) },
  {
    name: "owner records are taken without comparing", rules: ["OW2"], seed: 1,
    log: onMessages(({ expectLast, ...message }) => (message.subject.endsWith(".own") || expectLast === undefined ? message : { ...message, expectLast })),
  },
  { name: "no new token after a write without an answer", rules: ["OW4"], seed: 3, worker: ({ cell }) => replace(cell, "renewTokens", () => async () => {}) },
  { name: "heartbeats do not compare", rules: ["OW3", "OW9"], seed: 2, log: onMessages(({ expectLast, ...message }) => (isBeat(message) || expectLast === undefined ? message : { ...message, expectLast })), tune: zombies },
  { name: "the dead are not told that they are", rules: ["OW3", "OW9"], seed: 7, log: (log) => ({ ...bound(log), publish: async (message) => (isDeathNotice(message) ? 0 : log.publish(message)) }) },
  { name: "records are loaded from whatever replica answers", rules: ["OW19"], seed: 2, tune: departures, worker: ({ cell }) => {
    replace(cell, "load", (load) => async function* () {
      Reflect.set(cell, "takenAt", 1);
      yield* load() as AsyncIterable<unknown>;
    });
  } },
  { name: "refused for now is taken for lost", rules: ["OW5"], seed: 8, log: (log) => ({ ...bound(log), publishAll: (messages) => log.publishAll(messages).catch(asFenced) }) },
  { name: "hints are taken from live copies only", rules: ["OW6"], seed: 3, log: (log) => ({ ...bound(log), scan: (filter, from) => (filter === subject.everyMailbox ? nothing() : log.scan(filter, from)) }) },
  {
    name: "a live copy moves the place where the scan goes on", rules: ["OW6"], seed: 2, tune: silence,
    options: (options) => {
      let cell: Cell | undefined;
      const listen: Log["listen"] = (filter, receive) => options.log.listen(filter, (stored) => {
        if (cell) Reflect.set(cell, "scanned", Math.max(Number(Reflect.get(cell, "scanned")), stored.sequence));
        receive(stored);
      });
      return { ...options, log: { ...bound(options.log), listen }, mutate: (parts) => { ({ cell } = parts); } };
    },
  },
  {
    name: "a hint seen before counts again", rules: ["RC4"], seed: 1, tune: manyRequests,
    worker: ({ host }) => replace(host, "deliver", (deliver) => (key: ActorKey, event: unknown, hint?: { kind: string; seq: number }) => {
      const seen = host.record(key)?.seen[hint?.kind ?? ""] ?? 0;
      deliver(key, event, hint && { ...hint, seq: Math.max(hint.seq, seen + 1) });
    }),
  },
  { name: "hints leave apart from the record", rules: ["OW7"], seed: 1, worker: ({ cell, ports }) => {
    ports.commit = async (write) => {
      await cell.commit({ ...write, hints: [] });
      await Promise.all(write.hints.map((hint) => cell.send(hint)));
    };
  } },
  { name: "a decision is acted on before it is kept", rules: ["OW13", "OW4"], seed: 1, worker: ({ cell, ports }) => {
    ports.commit = async (write) => void cell.commit(write).catch(() => undefined);
  } },
  { name: "tasks that left the record run on", rules: ["OW14", "OW16"], seed: 1, worker: ({ host }) => replace(host, "act", (act) => (live: Live) => { forgetTasks(live); act(live); }) },
  { name: "answers nobody waits for are taken", rules: ["OW17"], ignore: ["OW14", "OW16"], seed: 3, tune: silence, worker: ({ host }) => {
    replace(host, "act", (act) => (live: Live) => { forgetTasks(live); act(live); });
    replace(host, "enqueue", (enqueue) => (live: Live, { attempt: _, ...delivery }: { attempt?: number }) => enqueue(live, delivery));
  } },
  { name: "the next task does not wait for the end of the one before", rules: ["OW16"], seed: 1, worker: ({ host }) => replace(host, "quiet", () => async () => {}) },
  { name: "timers that were set aside fire all the same", rules: ["OW15"], seed: 1, worker: ({ host }) => {
    replace(host, "act", (act) => (live: Live) => { for (const id of live.timers.keys()) if (!isDue(live, id)) live.timers.delete(id); act(live); });
    replace(host, "enqueue", (enqueue) => (live: Live, { timerDueMs: _, ...delivery }: { timerDueMs?: number }) => enqueue(live, delivery));
  } },
  { name: "timers are not armed again after a crash", rules: ["RT5"], seed: 3, worker: ({ host }) => replace(host, "adopt", (adopt) => (key: ActorKey, record?: ActorRecord) => adopt(key, record && { ...record, timers: [] })) },
  { name: "runs are not started again after a crash", rules: ["RC15"], seed: 1, worker: ({ host }) => {
    let adopting = false;
    replace(host, "adopt", (adopt) => (...args) => { adopting = true; adopt(...args); adopting = false; });
    replace(host, "start", (start) => (live: Live, run: { attempt: number }) => {
      if (adopting) live.tasks.set(run.attempt, new AbortController());
      else start(live, run);
    });
  } },
  { name: "notices are not kept until they are told", rules: ["OW18"], seed: 1, worker: ({ cell, ports }) => {
    ports.commit = (write) => cell.commit({ ...write, record: write.record && { ...write.record, outbox: [] } });
  }, tune: crashes },
  { name: "writes do not ask for the lease", rules: ["OW9", "OW3"], seed: 2, conditions: { guard: false }, tune: zombies },
  { name: "updates do not name the uid", rules: ["OW10"], seed: 3, conditions: { uid: false }, tune: meddling },
  { name: "updates do not name the resource version", rules: ["OW11"], seed: 3, conditions: { resourceVersion: false }, tune: zombies },
  { name: "creations may overwrite", rules: ["OW10"], seed: 17, conditions: { createOnly: false }, tune: planting },
  { name: "what could not be pruned is forgotten", rules: ["OW12"], seed: 5, worker: onOutcome("prune", (outcome) => ({ ...outcome, left: [] })), tune: refusals },
  { name: "objects are created before they are noted", rules: ["OW12"], seed: 1, worker: onOutcome("build", (outcome) => ({ ...outcome, objects: [] })) },
  { name: "a failed build passes for an empty one", rules: ["RC12"], seed: 10, worker: ({ ports }) => {
    const { perform } = ports;
    ports.perform = (src, call) => perform(src, call).catch((thrown: unknown) => {
      if (src === "build") return { renderKey: "none", readSet: { files: [], dirs: [] }, objects: [] };
      throw thrown;
    });
    const inner = ports.perform;
    ports.perform = (src, call) => (src === "apply" && (call.context["build"] as { renderKey?: string } | null)?.renderKey === "none" ? Promise.resolve({ entries: [], changes: [] }) : inner(src, call));
  } },
  { name: "nobody waits for the finalizer", rules: ["RC13"], seed: 1, worker: ({ ports }) => {
    const { perform } = ports;
    ports.perform = (src, call) => (src === "adopt" ? Promise.resolve(null) : perform(src, call));
  } },
];

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

const isDue = ({ record }: Live, id: string): boolean => record.timers.some((timer) => id === `${timer.id}@${timer.dueMs}`);

const isMember = (name: string) => name.startsWith(subject.member(""));
const isBeat = ({ subject: name, data }: Pick<Message, "subject" | "data">) => isMember(name) && data !== "";
const isDeathNotice = ({ subject: name, data, expectLast }: Message) => isMember(name) && data === "" && expectLast !== undefined;

async function* nothing() {}

function asFenced(thrown: unknown): never {
  throw thrown instanceof LogError && thrown.kind === "busy" ? new LogError("fenced", thrown.message) : thrown;
}
