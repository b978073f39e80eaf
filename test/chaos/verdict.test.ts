/** The judge is judged: it says nothing of what is as it should be, and notices each thing that is not. */
import assert from "node:assert/strict";
import test from "node:test";
import { configMap } from "../system/objects.ts";
import { violations } from "./verdict.ts";
import type { Written } from "./writes.ts";

type Case = {
  why: string;
  /** Of the object `a`, in the server's order unless it answered with another place: `<ms> <worker> <verb> <version>[@<order>] [manager]` */
  writes: string[];
  /** The version that is there at the end; 3 unless told. */
  now?: string;
  /** `<ms> <worker>` */
  owners?: string[];
  says?: RegExp;
};

const calm = ["1000 w1 patch 2", "2000 w1 patch 3"];
const moved = ["0 w1", "1500 w2"];
const cases: Case[] = [
  { why: "all as it should be", writes: calm },
  { why: "nothing was written, and nothing changed", writes: [], now: "1" },
  { why: "a version left out", writes: ["2000 w1 patch 3"] },
  { why: "handed over between two versions", writes: ["1000 w1 patch 2", "2000 w2 patch 3"], owners: moved },
  { why: "on its way when the partition moved", writes: ["1000 w1 patch 2", "1580 w1 patch 3"], owners: moved },
  { why: "stored in another order than they came", writes: ["2010 w1 patch 2", "2000 w1 patch 3"] },
  { why: "a touch against late requests raises nothing", writes: ["1000 w1 patch 2", "1800 w1 patch 2 flotilla-fence", "2000 w1 patch 3"] },
  { why: "made sure of, and nothing to change", writes: ["1000 w1 patch 2", "1700 w2 patch 2@1", "2000 w2 patch 3"], owners: moved },
  { why: "made sure of what was there at the beginning", writes: ["900 w1 patch 1@0", ...calm] },
  { why: "a version written twice", writes: [...calm, "2100 w1 patch 3"], says: /^a: written again or backwards, from version 1: .*version 3 as 2; .*version 3 as 3/ },
  { why: "a version written twice, the second time by another worker", writes: ["1000 w1 patch 2", "1600 w2 patch 2", "2000 w2 patch 3"], owners: moved, says: /^a: written again/ },
  { why: "the version of the beginning written again", writes: ["900 w1 patch 1", ...calm], says: /^a: written again/ },
  { why: "an old version came back", writes: [...calm, "2100 w1 patch 2", "2200 w1 patch 3"], says: /^a: written again or backwards/ },
  { why: "a version nobody wrote", writes: ["1000 w1 patch 2"], says: /^a: is at version 3, which nobody wrote/ },
  { why: "somebody else wrote a version again", writes: [...calm, "2500 kwok patch 3"], says: /^a: written again/ },
  { why: "made anew", writes: ["1000 w1 patch 2", "2000 w1 create 3"], says: /^made anew/ },
  { why: "deleted", writes: ["1000 w1 delete", ...calm], says: /^deleted though wanted/ },
  { why: "written by who owned it no longer", writes: calm, owners: moved, says: /^written by w1 while w2 owned u/ },
  { why: "written by who did not own it yet", writes: ["1000 w2 patch 2", "2000 w2 patch 3"], owners: moved, says: /^written by w2 while w1 owned u/ },
  { why: "on its way, but after the new owner's own write", writes: ["1510 w2 patch 2", "1540 w1 patch 3"], owners: moved, says: /^written by w1 while w2 owned u/ },
];
for (const { why, writes, now = "3", owners = ["0 w1"], says } of cases)
  test(`verdict: ${why}`, () => {
    const reigns = owners.map((line) => line.split(" ")).map(([ms, worker = ""]) => ({ atMs: Number(ms), worker }));
    const found = violations({
      apps: {
        namespace: "n", units: [{ name: "u", key: { kind: "kustomization", namespace: "n", name: "u" }, objects: ["a"], repository: 0 }],
        maps: { get: () => configMap("a", { version: now }) },
      },
      owners: { ofActor: (_key, atMs = Infinity) => reigns.findLast((reign) => reign.atMs <= atMs)?.worker },
      writes: writes.map(written).sort((a, b) => a.atMs - b.atMs),
      since: { version: 1, order: 0 },
      workerOf: (user) => (user.startsWith("w") ? user : undefined),
    });
    assert.deepEqual(found.length, says ? 1 : 0, found.join("\n"));
    if (says) assert.match(found[0] ?? "", says);
  });

function written(line: string, i: number): Written {
  const [ms, user = "", verb = "", sent, manager = ""] = line.split(" ");
  const [version, order = i + 1] = sent?.split("@").map(Number) ?? [];
  const stored = version === undefined ? {} : { stored: { order, version } };
  return { atMs: Number(ms), user, verb, manager, resource: "configmaps", subresource: "", namespace: "n", name: "a", ...stored };
}
