/**
 * Workers of a cell with one line of safety taken out, each in its own way. Whoever leaves the simulation green shows that
 * nothing would notice the line missing.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { isSuspect } from "#machines/rules/lease.ts";
import type { Act, View } from "#machines/rules/coordination.ts";
import { subject } from "#protocol/names/subject.ts";
import type { Log, Message } from "#services/store/log.ts";
import { deathMark } from "#services/store/roster.ts";
import { often, writeCellScript } from "./cell-script.ts";
import { CellWorld, type CellMutation, type CellScript, type CountingWorker } from "./cells.ts";

type Mutant = CellMutation & {
  name: string;
  /** By one of these it has to be caught. */
  rules: string[];
  /** A seed that is known to catch it: tried first. */
  seed: number;
  /** Makes what it takes more frequent. */
  tune?(script: CellScript): CellScript;
};

const zombies = (script: CellScript) => often(script, "stop", "cut");
const unanswered = (script: CellScript) => often(script, "lose acks", "land late", "drain");
const changes = (script: CellScript): CellScript => ({ ...often(script, "drain", "join", "leave"), replicated: true });
const deaf = (script: CellScript) => often(script, "lose copies", "join", "drain");

const mutants: Mutant[] = [
  { name: "records are written without a fence", rules: ["OW1", "OW31"], seed: 1, tune: zombies, log: onMessages(({ fence: _, ...message }) => message) },
  { name: "owner records are taken without comparing", rules: ["OW2"], seed: 1, tune: unanswered, log: onMessages((message) => (message.subject.endsWith(".own") ? unconditional(message) : message)) },
  { name: "no new token after a write without an answer", rules: ["OW31", "OW1"], seed: 1, tune: unanswered, worker: ({ cell }) => replace(part(cell, "committer"), "renewTokens", () => async () => undefined) },
  { name: "heartbeats do not compare", rules: ["OW3"], seed: 8, tune: zombies, log: onMessages((message) => (isMember(message) && message.data !== deathMark ? unconditional(message) : message)) },
  {
    // Who is heard live only is suspect often; that the mark compares is what keeps it alive.
    name: "a mark of death does not compare", rules: ["OW3"], ignore: ["OW30"], seed: 1, tune: deaf, log: (log) => {
      let times = 0;
      const changed = onMessages((message) => (isMember(message) && message.data === deathMark ? unconditional(message) : message))(log);
      return { ...changed, scan: (filter, from) => (filter === subject.everyControl && times++ > 0 ? nothing() : log.scan(filter, from)) };
    },
  },
  {
    name: "whoever is suspect counts as dead, and is not told", rules: ["OW3", "OW1"], seed: 8, tune: zombies,
    worker: ({ cell }) => replace(cell.roster, "view", (view) => (steadySinceMs: number): View => {
      const seen = view(steadySinceMs) as View;
      return { ...seen, members: seen.members.map((member) => ({ ...member, gone: member.gone || isSuspect(member.seenMs, seen.nowMs) })) };
    }),
  },
  { name: "the dead are left in peace", rules: ["OW30"], seed: 1, tune: (script) => often(script, "kill"), worker: ({ cell }) => replace(cell, "perform", (perform) => async (act: Act, plan: string) => { if (act.do !== "declare") await perform(act, plan); }) },
  { name: "a partition is read from whatever replica answers", rules: ["OW31", "OW30"], seed: 1, tune: changes, worker: ({ cell }) => replace(part(cell, "reader"), "read", (read) => (partition: number, _sequence: number, isOver: () => boolean) => read(partition, 0, isOver)) },
  { name: "hints are taken from live copies only", rules: ["OW30"], seed: 7, tune: deaf, log: (log) => ({ ...log, scan: (filter, from) => (filter === subject.everyMailbox ? nothing() : log.scan(filter, from)) }) },
  { name: "who owns what is heard, and never read again", rules: ["OW30"], seed: 1, tune: deaf, worker: ({ cell }) => {
    let times = 0;
    replace(cell.roster, "reread", (reread) => () => (times++ === 0 ? reread() : Promise.resolve()));
  } },
  {
    name: "every planned move takes a neighbour with it", rules: ["OW40"], ignore: ["OW30"], seed: 1,
    worker: ({ cell }) => replace(cell, "perform", (perform) => async (act: Act, plan: string) => {
      await perform(act, plan);
      const neighbour = act.do === "want" ? cell.roster.own(act.partition + 1) : undefined;
      if (act.do === "want" && neighbour && neighbour.worker !== act.to && !cell.roster.want(act.partition + 1))
        await perform({ ...act, partition: act.partition + 1, from: neighbour.worker }, `${plan}-too`);
    }),
  },
  { name: "nobody asks for the lease", rules: ["OW3"], seed: 5, tune: zombies, worker: ({ cell }) => replace(cell, "holds", () => () => true) },
  { name: "a worker that was held for dead goes on", rules: ["OW3", "OW1"], seed: 8, tune: zombies, worker: ({ cell }) => {
    replace(cell, "lose", () => () => undefined);
    replace(cell, "holds", () => () => true);
  } },
];

const most = Number(process.env["SEEDS"] ?? 10);

test("without this line of a cell something is noticed", async (t) => {
  for (const mutant of mutants)
    await t.test(`${mutant.rules.map((rule) => `[${rule}]`).join(" ")} ${mutant.name}`, async (each) => {
      const seeds = [mutant.seed, ...Array.from({ length: most }, (_, i) => i + 1).filter((seed) => seed !== mutant.seed)];
      for (const seed of seeds) {
        const script = writeCellScript(seed);
        const world = new CellWorld(mutant.tune?.(script) ?? script, mutant);
        await world.run();
        const caught = world.violations.find(({ rule }) => mutant.rules.includes(rule));
        if (!caught) continue;
        each.diagnostic(`caught by seed ${seed}: [${caught.rule}] ${caught.text}`);
        return;
      }
      assert.fail(`alive after ${seeds.length} seeds`);
    });
});

/** Every message, single or in a batch, as the mutant would write it. */
function onMessages(change: (message: Message) => Message): (log: Log) => Log {
  return (log) => ({ ...log, publish: (message) => log.publish(change(message)), publishAll: (messages) => log.publishAll(messages.map(change)) });
}

type Method = (...args: never[]) => unknown;

/** A private method, replaced on one object. */
function replace(target: object, name: string, make: (original: (...args: unknown[]) => unknown) => Method): void {
  const original = Reflect.get(target, name) as Method;
  Reflect.set(target, name, make((...args) => Reflect.apply(original, target, args as never[])));
}

const part = (cell: CountingWorker["cell"], name: string): object => Reflect.get(cell, name) as object;
const unconditional = ({ expectLast: _, ...message }: Message): Message => message;
const isMember = ({ subject: name }: Message) => name.startsWith(subject.member(""));

async function* nothing() {}
