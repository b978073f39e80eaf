import assert from "node:assert/strict";
import test from "node:test";
import type { AnyEventObject } from "xstate";
import { heartbeatMs } from "#machines/rules/lease.ts";
import { begin } from "#machines/step.ts";
import { Play } from "../../test/simulate/play.ts";
import { partition, type PartitionContext } from "./partition.ts";

let sequences = 100;
const own = (worker: string, cause = "handover", sequence = ++sequences) => ({ type: "own", own: { worker, epoch: sequence, cause, sequence } });
const wanted = (from: string, to: string, plan = "p1") => ({ type: "want", want: { from, to, plan } });
const unwanted = { type: "want", want: null };
const warm = (to = "them", plan = "p1") => ({ type: "warm", to, plan });

function begun(): Play<PartitionContext> {
  const play = new Play<PartitionContext>(partition, "");
  play.record = begin(partition, { me: "me", partition: 7 }, 0).record;
  return play;
}

/** How each state is reached. */
const elsewhere = () => begun().send(own("them"));
const warming = () => elsewhere().send(wanted("them", "me"));
const lukewarm = () => warming().fail("Unexpected");
const warmed = () => warming().answer();
const taking = () => warmed().send(own("me"));
const stuck = () => taking().fail("Unexpected");
const unreadable = () => taking().fail("RecordTooNew");
const refusing = () => unreadable().wait();
const owned = () => taking().answer();
const planned = () => owned().send(wanted("me", "them", "p2"));
const freezing = () => planned().send(warm("them", "p2"));
const releasing = () => freezing().answer();
const unsure = () => releasing().fail("Unexpected");
const starts = { elsewhere, warming, lukewarm, warmed, taking, stuck, unreadable, refusing, owned, planned, freezing, releasing, unsure };

const emitted = (play: Play<PartitionContext>, since = 0) => play.emits.slice(since).map(({ type, lost }) => (type === "dropped" ? `dropped${lost ? ", lost" : ""}` : type)).join();

type Row = { from: keyof typeof starts; on: string; event: () => AnyEventObject | ((play: Play<PartitionContext>) => unknown); to: string; says?: string; why?: string };
const answer = () => (play: Play<PartitionContext>) => play.answer();
const wait = () => (play: Play<PartitionContext>) => play.wait();
const fails = () => (play: Play<PartitionContext>) => play.fail("Unexpected");

const rows: Row[] = [
  { from: "elsewhere", on: "it is ours", event: () => own("me", "crash"), to: "taking" },
  { from: "elsewhere", on: "it goes to a third", event: () => own("other"), to: "elsewhere" },
  { from: "elsewhere", on: "a plan for us", event: () => wanted("them", "me"), to: "warming" },
  { from: "elsewhere", on: "a plan for us, from one that does not have it", event: () => wanted("other", "me"), to: "elsewhere" },
  { from: "elsewhere", on: "a plan for another", event: () => wanted("them", "other"), to: "elsewhere" },
  { from: "elsewhere", on: "somebody is warm", event: () => warm(), to: "elsewhere" },

  { from: "warming", on: "read", event: answer, to: "warm", says: "warmed" },
  { from: "warming", on: "failed", event: fails, to: "lukewarm" },
  { from: "warming", on: "it is ours already", event: () => own("me"), to: "taking" },
  { from: "warming", on: "the owner renews", event: () => own("them", "renewal"), to: "warming", why: "a new token is no reason to begin again" },
  { from: "warming", on: "it goes to a third", event: () => own("other"), to: "elsewhere", says: "cooled" },
  { from: "warming", on: "the plan is dropped", event: () => unwanted, to: "elsewhere", says: "cooled" },
  { from: "warming", on: "the plan is for another now", event: () => wanted("them", "other", "p2"), to: "elsewhere", says: "cooled" },
  { from: "warming", on: "a new plan to the same end", event: () => wanted("them", "me", "p2"), to: "warming", why: "what is read is as good for it" },

  { from: "lukewarm", on: "after a while", event: wait, to: "warming" },
  { from: "lukewarm", on: "it is ours already", event: () => own("me"), to: "taking" },
  { from: "lukewarm", on: "the owner renews", event: () => own("them", "renewal"), to: "lukewarm" },
  { from: "lukewarm", on: "it goes to a third", event: () => own("other"), to: "elsewhere", says: "cooled" },
  { from: "lukewarm", on: "the plan is dropped, after a while", event: () => (play) => play.send(unwanted).wait(), to: "elsewhere", says: "cooled" },

  { from: "warmed", on: "after a while", event: () => (play) => { play.nowMs = 500; play.send(play.record.timers[0]?.event ?? unwanted); }, to: "warm", says: "warmed", why: "it may have got lost" },
  { from: "warmed", on: "the owner renews", event: () => own("them", "renewal"), to: "warm" },
  { from: "warmed", on: "it is ours", event: () => own("me"), to: "taking" },
  { from: "warmed", on: "it goes to a third", event: () => own("other"), to: "elsewhere", says: "cooled" },
  { from: "warmed", on: "the same plan again", event: () => wanted("them", "me"), to: "warm" },
  { from: "warmed", on: "a new plan to the same end", event: () => wanted("them", "me", "p2"), to: "warm", says: "warmed" },
  { from: "warmed", on: "the plan is dropped", event: () => unwanted, to: "elsewhere", says: "cooled" },

  { from: "taking", on: "read", event: answer, to: "owned", says: "taken" },
  { from: "taking", on: "failed", event: fails, to: "stuck" },
  { from: "taking", on: "unreadable", event: () => (play) => play.fail("RecordTooNew"), to: "unreadable" },
  { from: "taking", on: "ours anew", event: () => own("me", "claim"), to: "taking" },
  { from: "taking", on: "lost", event: () => own("other", "crash"), to: "elsewhere", says: "cooled" },
  { from: "taking", on: "lost to the one it is planned to come from", event: () => own("them", "crash"), to: "warming", says: "cooled", why: "the plan still stands" },

  { from: "stuck", on: "after a while", event: wait, to: "taking" },
  { from: "stuck", on: "ours anew", event: () => own("me", "claim"), to: "taking" },
  { from: "stuck", on: "lost", event: () => own("other", "crash"), to: "elsewhere", says: "cooled" },

  { from: "unreadable", on: "after a while", event: wait, to: "refusing" },
  { from: "unreadable", on: "lost", event: () => own("other", "crash"), to: "elsewhere", says: "cooled" },
  { from: "refusing", on: "written", event: () => (play) => play.send(own("")), to: "elsewhere", says: "cooled" },
  { from: "refusing", on: "failed", event: fails, to: "stuck" },

  { from: "owned", on: "renewed", event: () => own("me", "renewal"), to: "owned" },
  { from: "owned", on: "lost", event: () => own("other", "crash"), to: "elsewhere", says: "dropped, lost" },
  { from: "owned", on: "somebody is warm without a plan", event: () => warm(), to: "owned" },
  { from: "planned", on: "the one planned is warm", event: () => warm("them", "p2"), to: "freezing" },
  { from: "planned", on: "another is warm", event: () => warm("other", "p2"), to: "owned" },
  { from: "planned", on: "it is warm for an old plan", event: () => warm("them", "p1"), to: "owned" },
  { from: "planned", on: "it is warm after the plan was dropped", event: () => (play) => play.send(unwanted).send(warm("them", "p2")), to: "owned" },

  { from: "freezing", on: "frozen", event: answer, to: "releasing" },
  { from: "freezing", on: "failed", event: fails, to: "owned", says: "thawed" },
  { from: "freezing", on: "too long", event: wait, to: "owned", says: "thawed" },
  { from: "freezing", on: "renewed", event: () => own("me", "renewal"), to: "freezing" },
  { from: "freezing", on: "lost", event: () => own("other", "crash"), to: "elsewhere", says: "dropped, lost" },
  { from: "freezing", on: "the same plan again", event: () => wanted("me", "them", "p2"), to: "freezing" },
  { from: "freezing", on: "the plan is dropped", event: () => unwanted, to: "owned", says: "thawed" },

  { from: "releasing", on: "written", event: () => (play) => play.send(own("them")).answer(), to: "elsewhere", says: "dropped" },
  { from: "releasing", on: "no answer", event: fails, to: "unsure", why: "it may be written" },
  { from: "releasing", on: "the plan is dropped", event: () => unwanted, to: "releasing", why: "it may be written" },
  { from: "releasing", on: "written, and given back before we know", event: () => (play) => play.send(own("them")).send(own("me")).answer(), to: "taking", says: "dropped" },
  { from: "unsure", on: "after a while", event: wait, to: "releasing" },
  { from: "unsure", on: "it was written", event: () => own("them"), to: "elsewhere", says: "dropped, lost" },
];
for (const { from, on, event, to, says = "", why = "" } of rows)
  test(`[OW32] ${from}: ${on} -> ${to}${says && `, ${says}`} ${why && `(${why})`}`, () => {
    const play = starts[from]();
    const before = play.emits.length;
    const does = event();
    if (typeof does === "function") does(play);
    else play.send(does);
    assert.deepEqual([play.state, emitted(play, before)], [to, says]);
  });

test("[OW32] a hand-over as both see it: read ahead, say so, freeze, write, read the rest", () => {
  const [giver, taker] = [planned(), elsewhere()];
  taker.send(wanted("them", "me", "p2")).answer();
  assert.deepEqual(taker.emits, [{ type: "warmed", to: "them", plan: "p2" }]);
  giver.send(warm("them", "p2"));
  assert.equal(giver.running, "freeze");
  giver.answer();
  assert.deepEqual(giver.record.runs.map(({ src, input }) => ({ src, input })), [{ src: "release", input: { to: "them" } }]);
  const theirs = own("me", "handover");
  assert.deepEqual(taker.send(theirs).record.runs.map(({ src, input }) => ({ src, input })), [{ src: "load", input: { sequence: theirs.own.sequence, cause: "handover" } }]);
});

test("[OW32] the same owner record told twice is read once", () => {
  const play = elsewhere();
  const mine = own("me", "crash");
  const { runs } = play.send(mine).record;
  assert.deepEqual(play.send(mine).record.runs, runs);
});

test("[OW33] from the moment it is being written nothing thaws, until somebody's name stands there", () => {
  const play = unsure();
  for (const event of [unwanted, warm("them", "p2"), own("me", "renewal", 100), wanted("me", "other", "p9")]) play.send(event);
  assert.equal(play.emits.some(({ type }) => type === "thawed"), false);
  assert.equal(play.wait().running, "release");
});

test("[OW37] what cannot be read is given back to nobody, and not before others can know", () => {
  const play = unreadable();
  assert.equal(play.running, "");
  assert.ok((play.waits[0] ?? 0) >= 2 * heartbeatMs);
  assert.deepEqual(play.wait().record.runs.map(({ input }) => input), [{ to: "" }]);
});

test("[OW32] no event of another state makes a chart fail or leaves it without a way out", () => {
  const events = [own("me"), own("them"), own("other"), own(""), wanted("them", "me"), wanted("me", "them"), unwanted, warm(), warm("me")];
  for (const [name, start] of Object.entries(starts))
    for (const one of events)
      for (const two of events) {
        const play = start().send(one).send(two);
        const waits = play.record.timers.length > 0 || play.record.runs.length > 0;
        assert.ok(waits || ["elsewhere", "owned"].includes(play.state), `${name}: ${play.state}`);
        if (play.context.own?.worker === "me") assert.notEqual(play.state, "elsewhere", `${name} forgot that it is ours`);
      }
});
