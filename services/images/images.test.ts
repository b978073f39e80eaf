import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { electTag, type ElectionSpec } from "./policy.ts";
import { keptTags, summaryOf } from "./tags.ts";

const shown = "ImagePolicy/apps/web";
const asc = { order: "asc" };
const fails = (code: FaultCode, words: RegExp) => (error: unknown) => error instanceof Fault && error.code === code && words.test(error.message);

test("[IM6] what a pattern of the exclusion list matches anywhere is left out, and so is what is no tag", () => {
  const tags = ["v1", "sha256-ab.sig", "dev-1", "v2", "v2", "a/b", "", "-x", "x".repeat(129)];
  assert.deepEqual(keptTags(tags, ["^.*\\.sig$", "dev"], shown), ["v2", "v1"]);
  assert.deepEqual(keptTags(tags, [], shown), ["v2", "v1", "sha256-ab.sig", "dev-1"]);
});

for (const pattern of ["(", "a(?=b)", "(?<!x)", "a{1001}", "(x?){0,1000}[yz]$", "x".repeat(1_001)])
  test(`[IM6] ${pattern.slice(0, 10)} is no regular expression that is taken`, () => {
    assert.throws(() => keptTags(["v1"], ["ok", pattern], shown), fails("ImageTagsUnread", /spec\.exclusionList\[1\]/));
    assert.throws(() => electTag(["v1"], { policy: { alphabetical: asc }, filterTags: { pattern } }, shown), fails("ImagePolicyInvalid", /spec\.filterTags\.pattern/));
  });

// Printed by Go's encoding/json and hash/adler32.
for (const [tags, revision] of [[[], "18153657"], [["a"], "68682078"], [["v1.0.0", "v0.9.0"], "729809979"]] as const)
  test(`[IM7] the checksum of ${JSON.stringify(tags)}`, () => assert.equal(summaryOf(tags).revision, revision));

test("[IM7] ten thousand tags: the number of all, and the ten last as text", () => {
  const tags = Array.from({ length: 10_000 }, (_, i) => `v${i}`);
  const { tagCount, latestTags } = summaryOf(keptTags(tags, ["^.*\\.sig$"], shown));
  assert.equal(tagCount, 10_000);
  assert.deepEqual(latestTags, ["v9999", "v9998", "v9997", "v9996", "v9995", "v9994", "v9993", "v9992", "v9991", "v9990"]);
});

const tagText = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,6}$/);
test("[IM7] a registry that lists the same tags in another order has the same revision, another set another one", () =>
  fc.assert(fc.property(fc.uniqueArray(tagText, { maxLength: 20 }), tagText, (tags, more) => {
    const revision = (list: string[]) => summaryOf(keptTags(list, [], shown)).revision;
    assert.equal(revision([...tags].reverse()), revision(tags));
    if (!tags.includes(more)) assert.notEqual(summaryOf(keptTags([...tags, more], [], shown)).tagCount, summaryOf(keptTags(tags, [], shown)).tagCount);
  })));

const builds = ["main-ab12-1700", "main-cd34-1800", "main-ef56-900", "dev-9-9999", "latest"];
const elections: { tags?: string[]; spec: ElectionSpec; tag: string; why?: string }[] = [
  { spec: { policy: { alphabetical: asc } }, tag: "main-ef56-900" },
  { spec: { policy: { alphabetical: asc }, filterTags: { pattern: "^main" } }, tag: "main-ef56-900" },
  { spec: { policy: { numerical: asc }, filterTags: { pattern: "^main-[a-f0-9]+-(?P<ts>\\d+)$", extract: "$ts" } }, tag: "main-cd34-1800" },
  { spec: { policy: { numerical: { order: "desc" } }, filterTags: { pattern: "^main-[a-f0-9]+-(\\d+)$", extract: "${1}" } }, tag: "main-ef56-900" },
  { tags: ["v1.2-rc3", "v1.3-rc1"], spec: { policy: { semver: { range: "1.x" } }, filterTags: { pattern: "^v(.*)-rc(\\d+)", extract: "${1}.$2" } }, tag: "v1.3-rc1" },
  { tags: ["a-1", "b-1"], spec: { policy: { numerical: asc }, filterTags: { pattern: "(\\d)", extract: "$1" } }, tag: "a-1", why: "of two with one key the lowest" },
  { tags: ["v1", "v2"], spec: { policy: { alphabetical: asc }, filterTags: {} }, tag: "v2", why: "the empty pattern matches all" },
];
for (const { tags = builds, spec, tag, why = "" } of elections)
  test(`[IM8] ${JSON.stringify(spec.filterTags ?? {})} elects ${tag} ${why}`, () => assert.equal(electTag(tags, spec, shown), tag));

// What Go's Regexp.ExpandString makes of it.
const templates: [pattern: string, extract: string, tag: string, key: string][] = [
  ["^v(.*)$", "${1}x", "v1", "1x"], ["^v(.*)$", "$1x", "v1", ""], ["^v(.*)$", "$$1", "v1", "$1"], ["^v(.*)$", "$", "v1", "$"],
  ["^v(.*)$", "${1", "v1", "${1"], ["^v(.*)$", "$9", "v1", ""], ["^v(.*)$", "\\1 $0", "v1", "\\1 v1"], ["^v(?P<a>x)?(.*)$", "[$a]", "v1", "[]"],
  ["^v(.*)$", "${}", "v1", "${}"], ["^v(.*)$", "$-", "v1", "$-"], ["^v(.*)$", "${01}|$01", "v1", "|"], ["(?P<a>.)(?P<b>.)", "$b$a", "v1", "1v"],
  ["^v(.*)$", "lit", "v1", "lit"], ["(?P<a>v)?(.*)", "${a_b}${a}", "v1", "v"],
];
for (const [pattern, extract, tag, key] of templates)
  test(`[IM8] ${extract} of ${pattern} is ${JSON.stringify(key)}`, () =>
    // An order that reads no such key names it.
    assert.throws(() => electTag([tag], { policy: { numerical: asc }, filterTags: { pattern, extract: `${extract}#` } }, shown), (error: unknown) =>
      error instanceof Fault && error.message.includes(`failed to parse invalid numeric value '${key}#'`)));

for (const { tags, spec, code, words } of [
  { tags: ["v1"], spec: { policy: {} }, code: "ImagePolicyInvalid", words: /names no order/ },
  { tags: ["v1"], spec: { policy: { semver: { range: "new" } } }, code: "ImagePolicyInvalid", words: /no range/ },
  { tags: ["v1"], spec: { policy: { semver: { range: "*" } } }, code: "ImageTagsUnfit", words: /unable to determine latest version/ },
  { tags: ["v1"], spec: { policy: { alphabetical: asc }, filterTags: { pattern: "^x" } }, code: "ImageTagsUnfit", words: /version list argument cannot be empty/ },
  { tags: ["x".repeat(128)], spec: { policy: { alphabetical: asc }, filterTags: { pattern: ".*", extract: "$0,".repeat(300) } }, code: "ImagePolicyInvalid", words: /more than 1000 characters/ },
  { tags: ["v1"], spec: { policy: { alphabetical: asc }, filterTags: { pattern: ".*", extract: "$0".repeat(501) } }, code: "ImagePolicyInvalid", words: /longer than 1000 characters/ },
] satisfies { tags: string[]; spec: ElectionSpec; code: FaultCode; words: RegExp }[])
  test(`[IM9] ${JSON.stringify(spec).slice(0, 80)} of ${tags[0]?.slice(0, 5)}: ${code}`, () => assert.throws(() => electTag(tags, spec, shown), fails(code, words)));
