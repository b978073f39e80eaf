import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { parseAddress } from "./address.ts";
import { formatRevision, parseRevision, readReference } from "./reference.ts";

const sha = "0123456789abcdef0123456789abcdef01234567";
const url = "https://git.example.com/team/shop";
const code = (expected: string) => (error: unknown) => error instanceof Fault && error.code === expected;

const branch = (label: string) => ({ kind: "ref", ref: `refs/heads/${label}`, label });
const references = [
  { ref: undefined, is: branch("master") },
  { ref: {}, is: branch("master") },
  { ref: { branch: "" }, is: branch("master") },
  { ref: { branch: "release/1.x" }, is: branch("release/1.x") },
  { ref: { tag: "v1", branch: "main" }, is: { kind: "ref", ref: "refs/tags/v1", label: "v1" } },
  { ref: { semver: "*", tag: "v1" }, is: { kind: "semver", text: "*" } },
  { ref: { name: "refs/pull/1/head", tag: "v1", semver: "*" }, is: { kind: "ref", ref: "refs/pull/1/head", label: "refs/pull/1/head" } },
  { ref: { name: "refs/tags/v1^{}" }, is: { kind: "ref", ref: "refs/tags/v1", label: "refs/tags/v1^{}", peels: true } },
  { ref: { commit: sha }, is: { kind: "commit", branch: undefined, commit: sha } },
  { ref: { commit: sha.toUpperCase(), branch: "main" }, is: { kind: "commit", branch: "main", commit: sha } },
  { ref: { commit: sha, name: "refs/pull/1/head", tag: "v1", semver: "*" }, is: { kind: "commit", branch: undefined, commit: sha } },
];
for (const { ref, is } of references)
  test(`[SR1] ${JSON.stringify(ref)} is ${JSON.stringify(is)}`, () => {
    const { range: _, ...read } = readReference({ url, ref }, url) as { range?: unknown };
    assert.deepEqual(read, is);
  });

for (const semver of ["latest", ">=1.0.0 &&", "1.2.3.4"])
  test(`[SR60] ${JSON.stringify(semver)} is no range`, () =>
    assert.throws(() => readReference({ url, ref: { semver } }, url), code("SemverInvalid")));

for (const address of [
  "git@example.com:shop",
  "ssh:///shop",
  "ssh://git@exa%20mple.com/shop",
  "file:///srv/shop",
  "git://example.com/shop",
])
  test(`[SR4] ${address} is not followed`, () =>
    assert.throws(() => parseAddress(address), code("UnsupportedReference")));

const impossible = [
  ...[
    "a b",
    "a..b",
    "/a",
    "a/",
    "a//b",
    "a.",
    ".a",
    "a/.b",
    "a.lock",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "a[",
    "a\\b",
    "@",
    "a@{1}",
    "a\nb",
    "a\x7fb",
  ].flatMap((name) => [{ branch: name }, { tag: name }, { name }]),
  ...["refs/heads/main^{}", "^{}", "refs/tags/v1^{commit}"].map((name) => ({ name })),
  ...["HEAD", sha.slice(1), `${sha}0`, "g".repeat(40)].map((commit) => ({ commit })),
];
for (const ref of impossible)
  test(`[SR6] ${JSON.stringify(ref)} cannot be in any repository`, () =>
    assert.throws(() => readReference({ url, ref }, url), code("ReferenceMissing")));

const revisions = [
  { text: `main@sha1:${sha}`, is: { label: "main", commit: sha } },
  { text: `sha1:${sha}`, is: { commit: sha } },
  { text: `a@sha1:b@sha1:${sha}`, is: { label: "a@sha1:b", commit: sha }, why: "a branch may be called so" },
  { text: `refs/tags/v1^{}@sha1:${sha}`, is: { label: "refs/tags/v1^{}", commit: sha } },
];
for (const { text, is, why = "" } of revisions)
  test(`[SR2] ${text} there and back ${why}`, () => {
    assert.deepEqual(parseRevision(text), is);
    assert.equal(formatRevision(is.commit, is.label), text);
  });
for (const text of [
  "",
  sha,
  `main@${sha}`,
  `@sha1:${sha}`,
  `main@sha1:${sha}0`,
  `main@sha1:${sha} `,
  `mainsha1:${sha}`,
  `main/${sha}`,
])
  test(`[SR2] ${JSON.stringify(text)} is no revision`, () => assert.throws(() => parseRevision(text), RangeError));
