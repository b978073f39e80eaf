import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { createExternalArtifact } from "./external.ts";

let base: string;
let requests = 0;
const server = createServer((request, response) => {
  requests++;
  if (request.url === "/a.tar.gz") response.end("archive");
  else if (request.url === "/elsewhere") response.writeHead(302, { location: "/a.tar.gz" }).end();
  else if (request.url === "/endless") {
    const more = () => { while (!response.destroyed && response.write("x".repeat(65_536))); };
    response.on("drain", more);
    more();
  } else response.writeHead(404).end();
});
before(async () => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  await closeConnections();
  server.close().closeAllConnections();
});

const source = createExternalArtifact({ maxBytes: 1_000 });
const digestOf = (algorithm: string) => `${algorithm}:${createHash(algorithm).update("archive").digest("hex")}`;
const offer = (more: object = {}) => ({ url: `${base}/a.tar.gz`, path: "third/party/a.tar.gz", revision: "v1@sha256:1", digest: digestOf("sha256"), lastUpdateTime: "2026-01-01T00:00:00Z", ...more });
const call = (offered: unknown, isStored = async () => false) => ({ key: { kind: "externalartifact", namespace: "apps", name: "shop" }, spec: {}, signal: AbortSignal.timeout(10_000), revision: "", offered, isStored, secret: () => Promise.reject(new Error("none")) });
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => error instanceof Fault && error.code === code && detail.test(error.detail ?? "");

test("[EX1] what is offered is fetched, and compared with its digest: sha256, sha384, sha512", async () => {
  assert.equal(await source.resolve(call(offer())), "v1@sha256:1");
  for (const algorithm of ["sha256", "sha384", "sha512"]) {
    const found = await source.fetch(call(offer({ digest: digestOf(algorithm), metadata: { "org.opencontainers.image.source": "https://git.example.com/shop.git", "org.opencontainers.image.revision": `main@sha1:${"c".repeat(40)}` } })));
    assert.deepEqual([Buffer.from(found.archive).toString(), found.revision, found.file, found.change.commit], ["archive", "v1@sha256:1", `${digestOf(algorithm).split(":")[1]}.tar.gz`, "c".repeat(40)]);
    assert.equal(found.metadata?.["org.opencontainers.image.source"], "https://git.example.com/shop.git");
  }
});

const rows: [string, () => object, FaultCode, RegExp][] = [
  ["another content", () => ({ digest: `sha256:${"0".repeat(64)}` }), "DigestMismatch", /is not sha256:0/],
  ["a digest of another kind", () => ({ digest: "blake3:abc" }), "DigestMismatch", /none of sha256/],
  ["a digest that is too short", () => ({ digest: "sha256:00" }), "DigestMismatch", /is not sha256:00/],
  ["nothing there", () => ({ url: `${base}/gone` }), "ReferenceMissing", /404/],
  ["a redirect", () => ({ url: `${base}/elsewhere` }), "UpstreamUnreachable", /HTTP 302/],
  ["an answer without end", () => ({ url: `${base}/endless` }), "SourceTooLarge", /longer than 1000 bytes/],
  ["a file", () => ({ url: "file:///etc/passwd" }), "UpstreamUnreachable", /neither http/],
  ["no URL", () => ({ url: "shop" }), "UpstreamUnreachable", /neither http/],
  ["metadata without end", () => ({ metadata: { a: "x".repeat(200_000) } }), "SourceTooLarge", /metadata/],
];
for (const [what, more, code, detail] of rows) test(`[EX4] ${what} -> ${code}`, () => assert.rejects(source.fetch(call(offer(more()))), fault(code, detail)));

test("[EX4] no offer, or one that cannot be read", async () => {
  for (const offered of [undefined, null, {}, { ...offer(), digest: 7 }]) await assert.rejects(source.resolve(call(offered)), fault("ArtifactMissing", /^$/));
});

test("[EX5] what lies in our own store, of the same namespace, is used where it lies; by its path alone it is not", async () => {
  const path = "artifactgenerator/apps/shop/a.tar.gz";
  requests = 0;
  const found = await source.fetch(call(offer({ path, size: 7 }), async () => true));
  assert.deepEqual([found.lies, requests], [{ path, digest: digestOf("sha256"), sizeBytes: 7 }, 0]);
  for (const [other, stored] of [["artifactgenerator/other/shop/a.tar.gz", true], ["gitrepository/apps/shop/a.tar.gz", true], [path, false]] as const)
    assert.equal((await source.fetch(call(offer({ path: other }), async () => stored))).lies, undefined);
  assert.equal(requests, 3);
});
