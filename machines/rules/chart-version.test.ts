import assert from "node:assert/strict";
import test from "node:test";
import { trackedVersion } from "./chart-version.ts";

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const rows = [
  { version: "1.2.3", revision: `1.2.3@${digest}`, gives: { version: "1.2.3+0123456789ab", ociDigest: digest } },
  { version: "v1.2.3", revision: `1.2.3@${digest}`, gives: { version: "1.2.3+0123456789ab", ociDigest: digest } },
  { version: "1.2.3-rc.1+build", revision: `1.2.3-rc.1_build@${digest}`, gives: { version: "1.2.3-rc.1+0123456789ab", ociDigest: digest }, why: "a tag writes _ for +" },
  { version: "1.2.3", revision: `latest@${digest}`, gives: { version: "1.2.3+0123456789ab", ociDigest: `latest@${digest}` }, why: "as Flux keeps it" },
  { version: "1.2.3", revision: digest, gives: { version: "1.2.3+0123456789ab", ociDigest: digest } },
  { version: "1.2.3", revision: `1.2.4@${digest}`, gives: { wrong: "artifact revision 1.2.4 does not match chart version 1.2.3" } },
  { version: "1.2.3", revision: "1.2.3", gives: { wrong: "artifact revision 1.2.3 does not match chart version 1.2.3" } },
  { version: "1.2.3", revision: "sha256:abc", gives: { wrong: "invalid artifact revision sha256:abc" } },
  { version: "one", revision: digest, gives: { wrong: "invalid chart version one" } },
];
for (const { version, revision, gives, why = "" } of rows)
  test(`[HR7] ${version} of ${revision.slice(0, 20)}: ${"wrong" in gives ? "refused" : gives.version} ${why}`, () => assert.deepEqual(trackedVersion(version, revision), gives));
