import assert from "node:assert/strict";
import test from "node:test";
import { ignoreRules } from "./ignore.ts";

/** `a/b` is a file, `a/b/` a directory. */
const ignores = (rules: string, path: string, files: { directory: string[]; text: string }[] = []) =>
  ignoreRules(files, rules)(path.replace(/\/$/, "").split("/"), path.endsWith("/"));

const byDefault = [
  ".git/ .git/config a/.git/ .gitignore a/.gitmodules .gitattributes",
  "a.jpg a/b.jpeg c.gif d.png e.wmv f.flv g.tar.gz h.zip pictures.png/readme",
  ".github/workflows/a.yaml .circleci/ .travis.yml .gitlab-ci.yml appveyor.yml .drone.yml cloudbuild.yaml",
  "codeship-services.yml codeship-steps.yml a/b/.goreleaser.yml .sops.yaml a/.sops.yaml a/.flux.yaml",
].flatMap((line) => line.split(" "));
for (const path of byDefault) test(`[SR30] ${path} stays out by itself`, () => assert.equal(ignores("", path), true));
for (const path of [
  "a.yaml",
  ".sourceignore",
  ".github",
  "sops.yaml",
  "git/a.yaml",
  "a.tar",
  "a.JPG",
  "goreleaser.yml",
])
  test(`[SR30] ${path} does not`, () => assert.equal(ignores("", path), false));

const own = [
  { rules: "# only words", path: "a.jpg", is: true, why: "a comment is no rule" },
  { rules: "\n   \n", path: "a.jpg", is: true, why: "nor is a blank line" },
  { rules: "docs", path: "a.jpg", is: false, why: "a rule of one's own takes the defaults away" },
  { rules: "docs", path: ".gitignore", is: true, why: "but not Git's own files" },
  { rules: "!.gitignore", path: ".gitignore", is: false, why: "unless it says so" },
];
for (const { rules, path, is, why } of own)
  test(`[SR31] ${JSON.stringify(rules)}, ${path}: ${why}`, () => assert.equal(ignores(rules, path), is));

const below = { directory: ["apps", "shop"], text: "secret.yaml\n/local/*\n" };
const root = { directory: [], text: "*.md\n" };
const placed = [
  { files: [below], path: "apps/shop/secret.yaml", is: true },
  { files: [below], path: "apps/shop/deep/secret.yaml", is: true },
  { files: [below], path: "apps/secret.yaml", is: false, why: "above its directory" },
  { files: [below], path: "apps/shop/local/a", is: true },
  { files: [below], path: "local/a", is: false },
  {
    files: [root, { directory: ["apps"], text: "!*.md" }],
    path: "apps/a.md",
    is: false,
    why: "the nearer file counts more",
  },
  { files: [root, { directory: ["apps"], text: "!*.md" }], path: "a.md", is: true },
  {
    files: [{ directory: ["apps"], text: "!*.md" }],
    rules: "*.md",
    path: "apps/a.md",
    is: true,
    why: "spec.ignore counts most",
  },
  { files: [below], path: "a.jpg", is: false, why: "a rule anywhere takes the defaults away" },
];
for (const { files, rules = "", path, is, why = "" } of placed)
  test(`[SR32] ${files.map(({ directory }) => `${directory.join("/")}/.sourceignore`)}, ${path}: ${is} ${why}`, () =>
    assert.equal(ignores(rules, path, files), is));

const rows = [
  // names, anywhere
  { rules: "docs", path: "docs", is: true },
  { rules: "docs", path: "a/docs/b", is: true },
  { rules: "docs/", path: "docs", is: false, why: "a file is no directory" },
  { rules: "docs/", path: "docs/", is: true },
  { rules: "docs/", path: "docs/a", is: true, why: "what is in a directory goes with it" },
  { rules: "*", path: "a/b", is: true },
  { rules: "*.md", path: "a/README.md", is: true },
  { rules: "docs   ", path: "docs", is: true, why: "spaces at the end are dropped" },
  { rules: "docs\\ ", path: "docs ", is: true, why: "unless they are escaped" },
  { rules: "docs\r", path: "docs", is: true, why: "a line may end as on Windows" },
  { rules: "\\#docs", path: "#docs", is: true },
  { rules: "\\!docs", path: "!docs", is: true },
  // from the top
  { rules: "/docs", path: "docs", is: true },
  { rules: "/docs", path: "a/docs", is: false },
  { rules: "a/docs", path: "b/a/docs", is: false, why: "a slash within ties it to the top" },
  { rules: "a/docs", path: "a/docs/b", is: true },
  { rules: "a/*", path: "a/b/c", is: true, why: "a/b is met, and c is in it" },
  { rules: "a/*/c", path: "a/b/d/c", is: false, why: "a star does not cross a slash" },
  { rules: "a//b", path: "a/b", is: true },
  // at any depth
  { rules: "**/docs", path: "docs", is: true },
  { rules: "**/docs", path: "a/b/docs", is: true },
  { rules: "a/**", path: "a/b/c", is: true },
  { rules: "a/**", path: "a", is: true, why: "unlike in Git" },
  { rules: "a/**/c", path: "a/c", is: true },
  { rules: "a/**/c", path: "a/b/b/c", is: true },
  { rules: "**/a/c", path: "a/b/a/c", is: false, why: "the first a is taken; Git would go on looking" },
  { rules: "a**/c", path: "ab/c", is: false, why: "two stars within a name match nothing" },
  { rules: "a**", path: "ab", is: true, why: "but without a slash they are one" },
  // taken back
  { rules: "docs\n!docs/keep", path: "docs/keep", is: false, why: "Git would not look into docs" },
  { rules: "docs\n!docs/keep", path: "docs/drop", is: true },
  { rules: "/*\n!/apps", path: "apps/a", is: false },
  { rules: "/*\n!/apps", path: "other/a", is: true },
  { rules: "!a\na", path: "a", is: true, why: "the last rule counts" },
  // wildcards
  { rules: "a?c", path: "abc", is: true },
  { rules: "a?c", path: "ac", is: false },
  { rules: "a?c", path: "aéc", is: true, why: "a character, not a byte" },
  { rules: "a[bc]d", path: "acd", is: true },
  { rules: "a[^bc]d", path: "acd", is: false },
  { rules: "a[!b]d", path: "a!d", is: true, why: "unlike in Git it is a character like any other" },
  { rules: "a[!b]d", path: "acd", is: false },
  { rules: "a[b-d]e", path: "ace", is: true },
  { rules: "a[d-b]e", path: "ace", is: false },
  { rules: "a[\\]]b", path: "a]b", is: true },
  { rules: "a\\*b", path: "a*b", is: true },
  { rules: "a\\*b", path: "axb", is: false },
  { rules: "*a*b*", path: "xaxxbx", is: true },
  { rules: "*a*b", path: "xaxbxa", is: false },
  // malformed
  { rules: "a[", path: "a[", is: false },
  { rules: "a[]b", path: "a]b", is: false },
  { rules: "a[b-]c", path: "abc", is: false },
  { rules: "a\\", path: "a\\", is: false },
  { rules: "/", path: "a", is: false },
  { rules: "!", path: "a", is: false },
];
for (const { rules, path, is, why = "" } of rows)
  test(`[SR33] ${JSON.stringify(rules)}, ${path}: ${is} ${why}`, () => assert.equal(ignores(rules, path), is));

test("[SR33] a pattern of many stars takes no longer than its length times the name's", () => {
  const name = "a".repeat(250);
  assert.equal(ignores(`${"*a".repeat(120)}b`, Array.from({ length: 100 }, () => name).join("/")), false);
});

test("[SR34] a line beyond 64 KiB and a rule too many are refused", () => {
  assert.throws(() => ignoreRules([], `a\n${"x".repeat(65_537)}`), RangeError);
  assert.throws(() => ignoreRules([{ directory: ["a"], text: "a\nb" }], "c", 2), RangeError);
  assert.doesNotThrow(() => ignoreRules([{ directory: ["a"], text: "a\n#b" }], "c", 2));
});
