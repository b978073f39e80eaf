import assert from "node:assert/strict";
import test from "node:test";
import type { ImageReference } from "#protocol/messages/image.ts";
import { digestOf, electedMessage, foundMessage } from "./image-scan.ts";

test("[IM13] what a scan has found", () => assert.equal(foundMessage({ tagCount: 2, revision: "729809979" }), "successful scan: found 2 tags with checksum 729809979"));

const [v1, v2] = [{ name: "ghcr.io/team/shop", tag: "v1" }, { name: "ghcr.io/team/shop", tag: "v2" }];
const messages: [latest: ImageReference, previous: ImageReference | undefined, message: string][] = [
  [v2, undefined, "Latest image tag for ghcr.io/team/shop resolved to v2"],
  [v2, v2, "Latest image tag for ghcr.io/team/shop resolved to v2"],
  [v2, { ...v2, digest: "" }, "Latest image tag for ghcr.io/team/shop resolved to v2"],
  [v2, v1, "Latest image tag for ghcr.io/team/shop resolved to v2 (previously ghcr.io/team/shop:v1)"],
  [{ ...v2, digest: "sha256:b" }, { ...v2, digest: "sha256:a" }, "Latest image tag for ghcr.io/team/shop resolved to v2 with digest sha256:b (previously ghcr.io/team/shop:v2@sha256:a)"],
];
for (const [latest, previous, message] of messages) test(`[IM13] ${message}`, () => assert.equal(electedMessage(latest, previous), message));

const held = { ...v1, digest: "sha256:a" };
for (const { policy, image, before, result } of [
  { policy: "Never", image: v1, before: held, result: {} },
  { policy: "IfNotPresent", image: v1, before: undefined, result: "ask" },
  { policy: "IfNotPresent", image: v1, before: v1, result: "ask" },
  { policy: "IfNotPresent", image: v1, before: held, result: { digest: "sha256:a" } },
  { policy: "IfNotPresent", image: v2, before: held, result: "ask" },
  { policy: "IfNotPresent", image: { ...v1, name: "ghcr.io/team/other" }, before: held, result: "ask" },
  { policy: "Always", image: v1, before: held, result: "ask" },
] as const)
  test(`[IM14] ${policy}: ${image.name}:${image.tag} after ${before ? `${before.tag}${"digest" in before ? " with a digest" : ""}` : "nothing"} -> ${JSON.stringify(result)}`, () => assert.deepEqual(digestOf(policy, image, before), result));
