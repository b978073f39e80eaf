import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { formatRevision, highestTag, parseRevision, readAddress, readReference } from "./reference.ts";

const url = "oci://registry.example.com/team/shop";
const digest = `sha256:${"a".repeat(64)}`;
const shown = url;
const code = (wanted: string, detail = /./) => (error: unknown) => error instanceof Fault && error.code === wanted && detail.test(error.detail ?? "-");

const addresses: { url: string; is?: string; refused?: RegExp }[] = [
  { url, is: "registry.example.com/team/shop" },
  { url: "oci://localhost:5000/shop", is: "localhost:5000/shop" },
  { url: "oci://[::1]:5000/a/b", is: "[::1]:5000/a/b" },
  { url: "oci://docker.io/org/shop", is: "index.docker.io/org/shop" },
  { url: "oci://docker.io/nginx", is: "index.docker.io/library/nginx" },
  { url: "oci://org/shop", is: "index.docker.io/org/shop" },
  { url: "oci://shop", is: "index.docker.io/library/shop" },
  { url: `${url}:v1`, refused: /spec\.ref\.tag: remove ":v1"/ },
  { url: `${url}@${digest}`, refused: /spec\.ref\.digest/ },
  { url: "oci://", refused: /path/ },
  { url: "oci://registry.example.com/", refused: /path/ },
  { url: "oci://registry.example.com/Team", refused: /lower-case/ },
  { url: "oci://registry.example.com/a/../b", refused: /lower-case/ },
  { url: "oci://user:pass@registry.example.com/a", refused: /host/ },
  { url: "https://registry.example.com/a", refused: /oci:\/\// },
];
for (const { url, is, refused } of addresses)
  test(`[OC5] ${url} ${is ? `is ${is}` : "stalls"}`, () => {
    if (refused) return assert.throws(() => readAddress({ url }), code("AddressInvalid", refused));
    const { host, path, shown } = readAddress({ url });
    assert.deepEqual([`${host}/${path}`, shown], [is, `oci://${is}`]);
  });

test("[OC1] the first of digest, semver and tag counts; latest without any", () => {
  const all = { digest, semver: "1.x", tag: "v1" };
  const kinds = [all, { ...all, digest: "" }, { tag: "v1" }, {}, undefined].map((ref) => readReference({ url, ref }, shown));
  assert.deepEqual(kinds.map(({ kind }) => kind), ["digest", "semver", "tag", "tag", "tag"]);
  assert.deepEqual(kinds[3], { kind: "tag", tag: "latest" });
});

const refused: { ref: object; fault: string }[] = [
  { ref: { digest: "sha256:abc" }, fault: "ReferenceMissing" },
  { ref: { digest: `md5:${"a".repeat(32)}` }, fault: "ReferenceMissing" },
  { ref: { tag: "a/b" }, fault: "ReferenceMissing" },
  { ref: { tag: "-a" }, fault: "ReferenceMissing" },
  { ref: { semver: "newest" }, fault: "SemverInvalid" },
  { ref: { semver: "1.x", semverFilter: "(" }, fault: "SemverInvalid" },
  { ref: { semver: "1.x", semverFilter: "a".repeat(1_001) }, fault: "SemverInvalid" },
];
for (const { ref, fault } of refused)
  test(`[OC1] [OC3] ${JSON.stringify(ref).slice(0, 60)} gives ${fault}`, () => assert.throws(() => readReference({ url, ref }, shown), code(fault, /./)));

const highest: { tags: string[]; semver: string; filter?: string; layer?: string; is: string | undefined; why?: string }[] = [
  { tags: ["1.0.0", "1.10.0", "1.9.0", "latest", "2.0.0"], semver: "1.x", is: "1.10.0" },
  { tags: ["v1.0.0", "1.0"], semver: ">=1.0.0", is: "v1.0.0", why: "a version has three numbers" },
  { tags: ["1.0.0-rc.1"], semver: "1.x", is: undefined },
  { tags: ["1.0.0-rc.1", "1.0.0-rc.2", "1.0.0-alpha.9"], semver: ">=1.0.0-0", filter: ".*-rc.*", is: "1.0.0-rc.2" },
  { tags: ["1.0.0", "1.1.0"], semver: "3.x", is: undefined },
  { tags: ["1.0.0", "1.1.0_build", "1.0.5"], semver: "1.x", is: "1.0.5", why: "an underscore is in no version" },
  { tags: ["1.0.0", "1.1.0_a", "1.1.0_b"], semver: "1.x", layer: "application/vnd.cncf.helm.chart.content.v1.tar+gzip", is: "1.1.0_b", why: "but for charts it stands for a plus" },
];
for (const { tags, semver, filter, layer, is, why = "" } of highest)
  test(`[OC3] of ${tags.join(" ")}, ${semver} means ${is} ${why}`, () => {
    const reference = readReference({ url, ref: { semver, ...(filter && { semverFilter: filter }) } }, shown);
    assert.ok(reference.kind === "semver");
    assert.equal(highestTag(tags, reference, layer), is);
  });

test("[OC3] a filter that would take a backtracking reader ages is read in linear time", () => {
  const reference = readReference({ url, ref: { semver: "1.x", semverFilter: "^(a+)+$|^1" } }, shown);
  assert.ok(reference.kind === "semver");
  assert.equal(highestTag([`${"a".repeat(100)}.0.0`, "1.0.0"], reference), "1.0.0");
});

test("[OC2] revisions are written and read back", () => {
  assert.equal(formatRevision(digest, "latest"), `latest@${digest}`);
  assert.deepEqual(parseRevision(`latest@${digest}`), { tag: "latest", digest });
  assert.deepEqual(parseRevision(formatRevision(digest)), { digest });
  for (const odd of ["latest", "", `latest@${digest.slice(1)}`]) assert.throws(() => parseRevision(odd), RangeError);
});
