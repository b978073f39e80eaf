import assert from "node:assert/strict";
import test from "node:test";
import type { Generation } from "#protocol/messages/generator.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import { Play } from "../../test/simulate/play.ts";
import { generator, type GeneratorContext } from "./machine.ts";
import { generatorStatus } from "./status.ts";

const facts = (changes: Partial<SourceFacts> = {}): SourceFacts => ({
  uid: "u1", generation: 1, deleting: false, finalizer: true, suspended: false, requestedAt: "", handledAt: "",
  intervalMs: 3_600_000, timeoutMs: 60_000, madeFrom: ["gitrepository/apps/repo"], ...changes,
});
const object = (changes?: Partial<SourceFacts>) => ({ type: "object", facts: facts(changes) });
const gone = { type: "object", facts: null };
const artifact = (name: string, n: number) => ({ name, revision: `latest@sha256:${n}`, digest: `sha256:${n}`, sizeBytes: n, path: `artifactgenerator/apps/split/${name}-${n}.tar.gz`, storedAt: "2026-01-01T00:00:00Z" });
const made = (n: number, ...names: string[]): Generation => ({ artifacts: names.map((name) => artifact(name, n)), sourcesDigest: `sha256:s${n}`, madeOf: [`main@sha1:${n} sha256:a${n}`, ...names.map(() => `latest@sha256:${n} sha256:${n}`)] });
const begun = () => new Play<GeneratorContext>(generator, "artifactgenerator/apps/split");
const settled = () => begun().send(object()).answer(made(1, "shop", "web"));
const status = (play: Play<GeneratorContext>) => generatorStatus(play.state, play.context);
const conditions = (play: Play<GeneratorContext>) => status(play)?.conditions?.map(({ type, status: is, reason }) => `${type}=${is} ${reason}`);

test("[AG1] [AG30] from an object to artifacts that are offered, and what the status says of them", () => {
  const play = begun().send(object({ finalizer: false }));
  assert.equal(play.running, "adopt");
  assert.equal(play.answer().running, "generate");
  assert.deepEqual(conditions(play), ["Ready=Unknown Progressing", "Reconciling=True Progressing"]);
  play.answer(made(1, "shop", "web"));
  assert.deepEqual([play.state, conditions(play), play.said], ["settled", ["Ready=True Succeeded"], ["Ready"]]);
  assert.deepEqual(status(play)?.observed, {
    observedSourcesDigest: "sha256:s1",
    inventory: ["shop", "web"].map((name) => ({ name, namespace: "apps", digest: "sha256:1", filename: `${name}-1.tar.gz` })),
  });
  assert.equal(status(play)?.conditions?.[0]?.message, "reconciliation succeeded, generated 2 artifact(s)");
});

test("[AG2] a source's news are looked at, and those of what it has made itself are not; an artifact that is another is told", () => {
  const play = settled();
  const news = (revision: string, digest: string) => ({ type: "artifact", revision, digest });
  assert.equal(play.send(news("main@sha1:1", "sha256:a1")).running, "");
  assert.equal(play.send(news("latest@sha256:1", "sha256:1")).running, "");
  assert.equal(play.send(news("main@sha1:2", "sha256:a2")).running, "generate");
  play.answer({ ...made(2, "shop"), artifacts: [artifact("shop", 2), artifact("web", 1)] });
  const [, told] = play.emits.filter(({ type }) => type === "notice");
  assert.equal(told?.["message"], "external artifacts reconciled: apps/shop (sha256:2)");
  assert.equal(play.wait().running, "generate", "an hour later");
  play.answer({ ...made(2, "shop"), artifacts: [artifact("shop", 2), artifact("web", 1)] });
  assert.equal(play.said.length, 2, "nothing is another");
});

test("[AG3] it waits for any change of what it offers, and looks when there is one", () => {
  const play = settled();
  assert.deepEqual(play.context.awaits, [{ id: "externalartifact/apps/shop", any: true }, { id: "externalartifact/apps/web", any: true }]);
  assert.equal(play.send({ type: "dependency" }).running, "generate");
  assert.equal(play.send({ type: "dependency" }).answer(made(1, "shop", "web")).running, "generate", "once more for what came meanwhile");
});

test("[AG30] what fails says Flux's reasons, keeps what was made before, and is tried again; what is wrong with the object stalls", () => {
  for (const [code, reason] of [["SourceMissing", "SourceFetchFailed"], ["ArtifactMissing", "SourceFetchFailed"], ["GenerateFailed", "BuildFailed"], ["ArtifactTaken", "ReconciliationFailed"]] as const) {
    const play = settled().send({ type: "look" }).fail(code);
    assert.deepEqual(conditions(play), [`Ready=False ${reason}`, "Reconciling=True ProgressingWithRetry"]);
    assert.ok(status(play)?.observed?.["inventory"]);
    assert.equal(play.wait().running, "generate");
  }
  for (const [code, reason] of [["GeneratorInvalid", "ValidationFailed"], ["AccessDenied", "AccessDenied"], ["PathPatternInvalid", "BuildFailed"]] as const)
    assert.deepEqual(conditions(settled().send({ type: "look" }).fail(code)), [`Ready=False ${reason}`, `Stalled=True ${reason}`]);
});

test("[AG4] the annotation that disables it lets everything rest as it is", () => {
  const play = settled().send(object({ suspended: true }));
  assert.deepEqual([play.state, play.running, play.waits, status(play)], ["suspended", "", [], { handledAt: "" }]);
  assert.equal(play.send({ type: "dependency" }).running, "");
  assert.equal(play.send(object()).running, "generate");
});

test("[AG5] a deleted one takes along what it made, and what fails is tried again", () => {
  const play = settled().send(object({ deleting: true, generation: 2 }));
  assert.equal(play.running, "remove");
  assert.equal(play.fail("ClusterUnreachable").wait().running, "remove");
  assert.equal(play.answer().state, "gone");
  assert.equal(settled().send(gone).running, "remove");
});
