/** A release whose values are files of sources: what wakes it, and which change its runs are for. */
import assert from "node:assert/strict";
import test from "node:test";
import { assert as always, array, nat, property, tuple } from "fast-check";
import type { Offered } from "#protocol/messages/release.ts";
import { Bed, facts } from "./bed.ts";

const fleet = "gitrepository/apps/fleet";
const defaults = "gitrepository/apps/defaults";

/** What a source holds as of a commit. Two sources of one repository hold the same revisions and digests, at paths of their own. */
const offer = (source: string, n: number, minute = n): Offered => ({
  artifact: { revision: `main@sha1:${n}`, digest: `sha256:${n}`, sizeBytes: 1, path: `${source}/${n}.tar.gz`, storedAt: `2026-01-01T00:${String(minute).padStart(2, "0")}:00Z` },
  traceparent: `trace of ${source} ${n}`,
});
const newsOf = ({ artifact: { revision, digest, path } }: Offered) => ({ type: "artifact", revision, digest, path });

function begun(values: Record<string, Offered>, configDigest?: Bed["configDigest"]): Bed {
  const bed = new Bed();
  bed.values = values;
  if (configDigest) bed.configDigest = configDigest;
  bed.now = { ...facts, madeFrom: [fleet, defaults] };
  bed.send({ type: "object", facts: bed.now });
  return bed.run();
}

/** The source has another artifact, with these values in it. */
function push(bed: Bed, source: string, n: number, configDigest = bed.composed.configDigest, minute = n): Bed {
  const offered = offer(source, n, minute);
  bed.values = { ...bed.values, [source]: offered };
  bed.composed = { ...bed.composed, configDigest };
  bed.send(newsOf(offered));
  return bed.run();
}

const looks = (bed: Bed) => bed.performed.filter((each) => each === "compose").length;

test("[HR18] a commit that changes a values file upgrades the release at once; one that changes another file is looked at and left", () => {
  const bed = begun({ [fleet]: offer(fleet, 1) });
  push(bed, fleet, 2, "sha256:v2");
  assert.equal(bed.revisions, "v1 superseded, v2 deployed");
  push(bed, fleet, 3);
  assert.equal(bed.revisions, "v1 superseded, v2 deployed");
  assert.deepEqual([looks(bed), bed.state], [3, "settled"]);
});

test("[HR18] what a release is made of already is no news", () => {
  const bed = begun({ [fleet]: offer(fleet, 1) });
  bed.send(newsOf(offer(fleet, 1)));
  bed.run();
  assert.equal(looks(bed), 1);
});

test("[HR18] two sources of one repository: each one's news count, though the other has the same revision", () => {
  const bed = begun({ [fleet]: offer(fleet, 1), [defaults]: offer(defaults, 1) });
  push(bed, fleet, 2, "sha256:v2");
  push(bed, defaults, 2, "sha256:v3");
  assert.equal(bed.revisions, "v1 superseded, v2 superseded, v3 deployed");
});

test("[HR19] a run is for the change that is new, and goes on with its trace; of several for the latest; without any for the one before", () => {
  const bed = begun({ [fleet]: offer(fleet, 1, 10), [defaults]: offer(defaults, 1, 20) });
  const cause = () => [bed.context.attempted, bed.context.traceparent, bed.context.applied];
  const of = (source: string, n: number) => [`main@sha1:${n}`, `trace of ${source} ${n}`, `main@sha1:${n}`];
  assert.deepEqual(cause(), of(defaults, 1));
  push(bed, fleet, 2, "sha256:v2", 30);
  assert.deepEqual(cause(), of(fleet, 2));
  bed.tick();
  assert.deepEqual(cause(), of(fleet, 2));
  bed.stored = { storedAt: "2026-01-01T00:40:00Z", traceparent: "trace of the chart" };
  bed.composed = { ...bed.composed, chartVersion: "2.0.0" };
  bed.send({ type: "artifact", revision: "2.0.0@sha256:1", digest: "2.0.0", path: "p" });
  bed.run();
  assert.deepEqual(cause(), ["2.0.0@sha256:1", "trace of the chart", "2.0.0@sha256:1"]);
});

test("[HR19] what a run is for counts as released when it comes to rest, so that all of the run is in its trace", () => {
  const bed = begun({ [fleet]: offer(fleet, 1) });
  bed.values = { [fleet]: offer(fleet, 2) };
  bed.composed = { ...bed.composed, configDigest: "sha256:v2" };
  bed.send(newsOf(offer(fleet, 2)));
  while (bed.state !== "settled") {
    assert.deepEqual([bed.state, bed.context.applied], [bed.state, "main@sha1:1"]);
    bed.step();
  }
  assert.equal(bed.context.applied, "main@sha1:2");
});

test("[HR18] a stalled release is tried again with other values; a suspended one is left", () => {
  const bed = new Bed();
  bed.values = { [fleet]: offer(fleet, 1) };
  bed.broken = () => true;
  bed.now = { ...facts, madeFrom: [fleet] };
  bed.send({ type: "object", facts: bed.now });
  bed.run();
  assert.equal(bed.state, "stalled");
  bed.broken = () => false;
  push(bed, fleet, 2, "sha256:v2");
  assert.deepEqual([bed.state, bed.condition("Ready")?.status], ["settled", "True"]);
  bed.change({ suspended: true });
  push(bed.run(), fleet, 3, "sha256:v3");
  assert.equal(bed.revisions, "v1 superseded, v2 deployed");
  bed.change({ suspended: false });
  assert.equal(bed.run().revisions, "v1 superseded, v2 superseded, v3 deployed");
});

test("[HR18] whatever comes in which order, the release ends with the values there are, and one revision for each that it made", () => {
  always(
    property(array(tuple(nat(1), nat(4), nat(3)), { maxLength: 12 }), (pushes) => {
      const digestOf = (digests: { digest: string }[]) => digests.map(({ digest }) => digest).join();
      const bed = begun({ [fleet]: offer(fleet, 0), [defaults]: offer(defaults, 0) }, (held) => digestOf(Object.values(held)));
      for (const [at, n, steps] of pushes) {
        const source = at === 0 ? fleet : defaults;
        bed.values = { ...bed.values, [source]: offer(source, n) };
        bed.send(newsOf(offer(source, n)));
        for (let i = 0; i < steps; i++) bed.step();
      }
      bed.run();
      const digests = bed.storage.toSorted((a, b) => a.version - b.version).map(({ configDigest }) => configDigest);
      assert.equal(bed.state, "settled");
      assert.equal(digests.at(-1), digestOf(Object.values(bed.values ?? {}).map(({ artifact }) => artifact)));
      assert.ok(digests.every((digest, i) => digest !== digests[i - 1]), digests.join(" "));
    }),
    { numRuns: 300 },
  );
});

test("[HR20] values wait for the chart that is made from their source, and both are one revision", () => {
  const bed = begun({ [fleet]: offer(fleet, 1) });
  bed.behind = () => true;
  push(bed, fleet, 2, "sha256:v2");
  assert.deepEqual([bed.state, bed.revisions, bed.status], ["pairing", "v1 deployed", undefined]);
  bed.tick();
  assert.equal(bed.state, "pairing");
  bed.behind = () => false;
  bed.composed = { ...bed.composed, chartVersion: "2.0.0" };
  bed.send({ type: "artifact", revision: "2.0.0@sha256:1", digest: "2.0.0", path: "p" });
  assert.deepEqual([bed.run().state, bed.revisions], ["settled", "v1 superseded, v2 deployed"]);
});

test("[HR20] a chart that stays as it was is looked at again; one that cannot be made keeps values waiting for some seconds", () => {
  const bed = begun({ [fleet]: offer(fleet, 1) });
  bed.behind = () => true;
  push(bed, fleet, 2, "sha256:v2");
  const sinceMs = bed.nowMs;
  while (bed.state === "pairing") bed.tick();
  assert.deepEqual([bed.state, bed.revisions], ["settled", "v1 superseded, v2 deployed"]);
  assert.ok(bed.nowMs - sinceMs >= 7_750 && bed.nowMs - sinceMs < 8_000, `${bed.nowMs - sinceMs} ms`);
  push(bed, fleet, 3, "sha256:v3");
  assert.equal(bed.state, "pairing", "each run has its own patience");
  bed.behind = () => false;
  assert.equal(bed.tick().revisions, "v1 superseded, v2 superseded, v3 deployed");
});

test("[HR20] while it waits it is suspended and deleted as ever", () => {
  const bed = begun({ [fleet]: offer(fleet, 1) });
  bed.behind = () => true;
  push(bed, fleet, 2, "sha256:v2");
  bed.change({ suspended: true });
  assert.equal(bed.run().state, "suspended");
  bed.change({ suspended: false });
  assert.equal(bed.run().state, "pairing");
  bed.change({ deleting: true });
  assert.equal(bed.run().state, "gone");
});
