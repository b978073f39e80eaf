import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { parseAddress } from "./address.ts";
import { formatRevision, parseRevision, readReference } from "./reference.ts";

const sha = "0123456789abcdef0123456789abcdef01234567";
const url = "https://git.example.com/team/shop";
const code = (expected: string) => (error: unknown) => error instanceof Fault && error.code === expected;

const references = [
  { ref: undefined, is: { branch: "master" } },
  { ref: {}, is: { branch: "master" } },
  { ref: { branch: "" }, is: { branch: "master" } },
  { ref: { branch: "release/1.x" }, is: { branch: "release/1.x" } },
  { ref: { commit: sha }, is: { branch: undefined, commit: sha } },
  { ref: { commit: sha.toUpperCase(), branch: "main" }, is: { branch: "main", commit: sha } },
  { ref: { commit: sha, name: "refs/pull/1/head", tag: "v1", semver: "*" }, is: { branch: undefined, commit: sha } },
];
for (const { ref, is } of references)
  test(`[SR1] ${JSON.stringify(ref)} is ${JSON.stringify(is)}`, () =>
    assert.deepEqual(readReference({ url, ref }, url), is));

for (const ref of [{ tag: "v1" }, { semver: ">=1" }, { name: "refs/heads/main" }, { branch: "main", tag: "v1" }])
  test(`[SR4] ${JSON.stringify(ref)} is not followed yet`, () =>
    assert.throws(() => readReference({ url, ref }, url), code("UnsupportedReference")));

for (const address of [
  "ssh://git@example.com/shop",
  "git@example.com:shop",
  "file:///srv/shop",
  "git://example.com/shop",
])
  test(`[SR4] ${address} is not followed yet`, () =>
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
  ].map((branch) => ({ branch })),
  ...["HEAD", sha.slice(1), `${sha}0`, "g".repeat(40)].map((commit) => ({ commit })),
];
for (const ref of impossible)
  test(`[SR6] ${JSON.stringify(ref)} cannot be in any repository`, () =>
    assert.throws(() => readReference({ url, ref }, url), code("ReferenceMissing")));

const revisions = [
  { text: `main@sha1:${sha}`, is: { branch: "main", commit: sha } },
  { text: `sha1:${sha}`, is: { commit: sha } },
  { text: `a@sha1:b@sha1:${sha}`, is: { branch: "a@sha1:b", commit: sha }, why: "a branch may be called so" },
];
for (const { text, is, why = "" } of revisions)
  test(`[SR2] ${text} there and back ${why}`, () => {
    assert.deepEqual(parseRevision(text), is);
    assert.equal(formatRevision(is.commit, is.branch), text);
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
