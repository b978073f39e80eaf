import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { eventually } from "./eventually.ts";
import { withLock } from "./tools/cache.ts";
import { catalogue, parseVersion, type ToolName, type Version } from "./tools/catalogue.ts";
import { checksumFor, download } from "./tools/download.ts";

// All that is awaited stands before the first test: the runner takes a pause for the end, and calls the after hooks.
const folder = await mkdtemp(join(tmpdir(), "flotilla-tools-"));
after(() => rm(folder, { recursive: true }));

const program = Buffer.from("#!/bin/sh\n");
const archive = pack();
archive.entry({ name: "tool-v1/README" }, "read me");
archive.entry({ name: "tool-v1/tool" }, program);
archive.finalize();
const tarball = gzipSync(await buffer(archive));
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const published: Record<string, string | Buffer> = {
  "/tool": program,
  "/tool.sha256": sha256(program),
  "/tool.tar.gz": tarball,
  "/SUMS": `${sha256(tarball)}  tool.tar.gz\n`,
  "/wrong.sha256": sha256(tarball),
};
const server = createServer((request, response) => {
  const body = published[request.url ?? ""];
  response.writeHead(body === undefined ? 404 : 200).end(body);
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
after(() => server.close().closeAllConnections());
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const answers: { text: string; version: Version | undefined }[] = [
  { text: "Kubernetes v1.37.2\n", version: { major: 1, minor: 37, patch: 2 } },
  { text: "etcd Version: 3.7.3\nGit SHA: none\nGo Version: go1.26.8\n", version: { major: 3, minor: 7, patch: 3 } },
  { text: "Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0\n", version: { major: 1, minor: 32, patch: 4 } },
  { text: "nats-server: v2.15.2", version: { major: 2, minor: 15, patch: 2 } },
  { text: "command not found", version: undefined },
];
for (const { text, version } of answers)
  test(`version in ${JSON.stringify(text)}`, () => assert.deepEqual(parseVersion(text), version));

const found: { name: ToolName; version: string; accepted: boolean }[] = [
  { name: "kube-apiserver", version: "1.37.9", accepted: true },
  { name: "kube-apiserver", version: "1.36.2", accepted: false },
  { name: "kubectl", version: "1.36.0", accepted: true },
  { name: "kubectl", version: "1.32.4", accepted: false },
  { name: "etcd", version: "3.5.20", accepted: false },
  { name: "nats-server", version: "2.14.6", accepted: false },
  { name: "nats-server", version: "2.16.0", accepted: true },
  { name: "kwok", version: "1.0.0", accepted: false },
];
for (const { name, version, accepted } of found)
  test(`an installed ${name} ${version} is ${accepted ? "used" : "passed over"}`, () => {
    const parsed = parseVersion(version);
    assert.ok(parsed);
    assert.equal(catalogue[name].accepts(parsed), accepted);
  });

for (const name of Object.keys(catalogue) as ToolName[])
  test(`our own version of ${name} is one we accept`, () => {
    const version = parseVersion(catalogue[name].version);
    assert.ok(version && catalogue[name].accepts(version));
  });

const checksums = [
  { text: "ABC\n", digest: "abc", why: "a bare digest, as the Kubernetes project publishes it" },
  { text: "111  other.tar.gz\nabc  file.tar.gz\n", digest: "abc", why: "a line for each file" },
  { text: "abc *file.tar.gz\n", digest: "abc", why: "binary mode of sha256sum" },
  { text: "111  other.tar.gz\n", digest: undefined, why: "another file's digest proves nothing" },
  { text: "", digest: undefined, why: "an empty answer" },
];
for (const { text, digest, why } of checksums)
  test(`checksum: ${why}`, () => assert.equal(checksumFor("file.tar.gz", text) || undefined, digest));

const downloads = [
  { title: "a program", release: { url: `${base}/tool`, checksumsUrl: `${base}/tool.sha256` }, done: true },
  { title: "a member of an archive", release: { url: `${base}/tool.tar.gz`, checksumsUrl: `${base}/SUMS`, member: "tool-v1/tool" }, done: true },
  { title: "a wrong checksum", release: { url: `${base}/tool`, checksumsUrl: `${base}/wrong.sha256` }, done: false },
  { title: "no such release", release: { url: `${base}/gone`, checksumsUrl: `${base}/tool.sha256` }, done: false },
  { title: "no such member", release: { url: `${base}/tool.tar.gz`, checksumsUrl: `${base}/SUMS`, member: "tool" }, done: false },
  { title: "no answer", release: { url: "http://127.0.0.1:9/tool", checksumsUrl: "http://127.0.0.1:9/tool.sha256" }, done: false },
];
for (const [index, { title, release, done }] of downloads.entries())
  test(`download: ${title} -> ${done ? "in place" : "nothing in place"}`, async () => {
    const file = join(folder, `download-${index}`);
    assert.equal(await download(release, file), done);
    const content = await readFile(file).catch(() => undefined);
    assert.deepEqual(content, done ? program : undefined);
  });

test("two set-ups at once: the second waits until the first is done", async () => {
  const file = join(folder, "shared");
  const events: string[] = [];
  const { promise: secondWaits, resolve } = Promise.withResolvers<void>();
  const first = withLock(file, () => assert.fail("nobody else is there"), async () => {
    events.push("first starts");
    await secondWaits;
    events.push("first ends");
  });
  await eventually("the lock of the first", () => events.length === 1);
  const second = withLock(file, () => resolve(), async () => events.push("second starts"));
  await Promise.all([first, second]);
  assert.deepEqual(events, ["first starts", "first ends", "second starts"]);
});

test("the lock of a process that is gone is taken over", async () => {
  const file = join(folder, "abandoned");
  await writeFile(`${file}.lock`, "4194305"); // above every process id Linux gives out
  assert.equal(await withLock(file, () => assert.fail("waited for the dead"), async () => "done"), "done");
});
