import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as fc from "fast-check";
import { compareVersions, isWithin, parseRange, parseVersion } from "./semver.ts";

/**
 * What Masterminds/semver 3.5.0 says (`NewConstraint`, fluxcd/pkg version.ParseVersion, `Check`): by range a letter for each
 * version, `1` within, `0` not, `V` no version; an empty string is no range.
 */
const { versions, ranges } = JSON.parse(readFileSync(new URL("semver.cases.json", import.meta.url), "utf8")) as {
  versions: string[]; ranges: Record<string, string>;
};

for (const [text, letters] of Object.entries(ranges))
  test(`[SR60] ${JSON.stringify(text)} admits what it does in Go`, () => {
    const range = parseRange(text);
    const said = range && versions.map((each) => {
      const version = each.split(".").length < 3 ? undefined : parseVersion(each);
      return version ? Number(isWithin(version, range)) : "V";
    }).join("");
    assert.equal(said ?? "", letters, versions.map((each, i) => `${each}:${letters[i]}`).join(" "));
  });

test("[SR60] versions are ordered as in the specification, and what follows a + does not count", () => {
  const ascending = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.1.0", "2.0.0"];
  const parsed = ascending.map((text) => parseVersion(text)!);
  assert.deepEqual(parsed.toReversed().sort(compareVersions).map(({ text }) => text), ascending);
  assert.equal(compareVersions(parseVersion("v1.0.0+a")!, parseVersion("1.0.0+b")!), 0);
});

test("[SR60] any text is answered quickly: it is a range, or it is none", () => {
  const letters = fc.stringMatching(/^[0-9xX*|<>=~^!, .v+-]{0,60}$/);
  fc.assert(fc.property(fc.oneof(letters, fc.string()), (text) => void parseRange(text)), { numRuns: 2_000 });
  for (const text of [`${" ".repeat(900)}1`, "1 ".repeat(499) + "!", "1 - ".repeat(249), "1.".repeat(499), ">".repeat(1_000)]) parseRange(text);
  assert.equal(parseRange(" ".repeat(1e6)), undefined);
});
