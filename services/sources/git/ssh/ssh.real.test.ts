/** Git over SSH, against git's own upload-pack behind a server that lets in whom it knows. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { startGitServer, type GitServer } from "../../../../deploy/local/git-server.ts";
import { eventually } from "../../../../deploy/local/eventually.ts";
import { startChild, whileAlive } from "../../../../deploy/local/processes.ts";
import { authorizedLine, newKey, startSshServer, type SshServer } from "../../../../deploy/local/ssh-server.ts";
import { tool } from "../../../../deploy/local/tools.ts";
import { scratchFolder } from "../../../../test/kit/cluster.ts";
import { hostCertificate, sshAuthority } from "../../../../test/kit/host-certificate.ts";
import { createGitRepository } from "../git.ts";
import { defaultLimits, type Limits } from "../limits.ts";
import type { GitSpec } from "../reference.ts";
import { gitThreads } from "../git-threads.ts";

const dir = scratchFolder();
const threads = gitThreads(1);
const hostKey = newKey("ed25519");
const identities = {
  ed25519: newKey("ed25519"),
  rsa: newKey("rsa"),
  ecdsa: newKey("ecdsa"),
  locked: newKey("ed25519", { passphrase: "open sesame" }),
};
const stranger = newKey("ed25519");
let repositories: GitServer;
let server: SshServer;
let commit: string;

before(async () => {
  repositories = await startGitServer({ dir });
  await repositories.createRepo("shop");
  await repositories.createRepo("empty");
  commit = await repositories.commit("shop", { files: { a: "1", "it's": "2" }, message: "One" });
  await repositories.git("shop", "tag", "v1.0.0");
  server = await startSshServer({ dir, hostKeys: [hostKey.private], authorized: Object.values(identities).map((key) => key.public) });
});
afterEach(() => {
  server.instead = undefined;
});
after(() => Promise.all([threads.close(), repositories.stop(), server.stop()]));

type Secret = Record<string, string>;
const secretOf = (changes: Secret = {}): Secret => ({ identity: identities.ed25519.private, known_hosts: server.knownHosts, ...changes });
const callOf = (spec: Partial<GitSpec>, secret: Secret | undefined, signal = AbortSignal.timeout(120_000)) => ({
  key: { kind: "gitrepository", namespace: "apps", name: "shop" },
  spec: { url: server.repoUrl("shop"), ref: { branch: "main" }, ...(secret && { secretRef: { name: "git" } }), ...spec },
  secret: async () => Object.fromEntries(Object.entries(secret ?? {}).map(([key, value]) => [key, Buffer.from(value)])),
  signal,
});
const withLimits = (limits: Partial<Limits> = {}) => createGitRepository({ threads, limits: { ...defaultLimits, ...limits } });
const resolve = (spec: Partial<GitSpec> = {}, secret: Secret | undefined = secretOf(), signal?: AbortSignal) =>
  withLimits().resolve(callOf(spec, secret, signal));
const fetch = (spec: Partial<GitSpec>, revision: string, limits?: Partial<Limits>, secret = secretOf(), signal?: AbortSignal) =>
  withLimits(limits).fetch({ ...callOf(spec, secret, signal), revision });

const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  assert.doesNotMatch(JSON.stringify([error, error.message]), /PRIVATE KEY|sesame/);
  return true;
};

for (const [type, key] of Object.entries(identities))
  test(`[SR65] an identity of type ${type} reads branches, tags, ranges and commits`, async () => {
    const secret = secretOf({ identity: key.private, ...(type === "locked" && { password: "open sesame" }) });
    for (const [ref, label] of [[{ branch: "main" }, "main@"], [{ tag: "v1.0.0" }, "v1.0.0@"], [{ semver: "1.x" }, "v1.0.0@"], [{ commit }, ""]] as const) {
      const revision = await resolve({ ref }, secret);
      assert.equal(revision, `${label}sha1:${commit}`);
      const fetched = await fetch({ ref }, revision, {}, secret);
      assert.deepEqual([fetched.revision, fetched.subject, fetched.file], [revision, "One", `${commit}.tar.gz`]);
    }
  });

test("[SR65] the archive is the same as over HTTP", async () => {
  const over = await fetch({}, await resolve());
  const http = await withLimits().fetch({ ...callOf({ url: repositories.repoUrl("shop") }, undefined), revision: `main@sha1:${commit}` });
  assert.deepEqual(over.archive, http.archive);
  assert.equal(over.change.url, `ssh://127.0.0.1:${server.port}/shop.git`);
});

test("[SR65] the user is the URL's, and git where it names none", async () => {
  const url = server.repoUrl("shop").replace("git@", "");
  assert.match(await resolve({ url }), /^main@/);
  await assert.rejects(resolve({ url: url.replace("//", "//somebody@") }), fault("AuthenticationFailed", /does not accept the identity/));
});

test("[SR7] an identity the server does not know, a passphrase that is another, and none", async () => {
  await assert.rejects(resolve({}, secretOf({ identity: stranger.private })), fault("AuthenticationFailed", /does not accept the identity/));
  const locked = { identity: identities.locked.private };
  await assert.rejects(resolve({}, secretOf({ ...locked, password: "x" })), fault("AuthenticationFailed", /its password is another/));
  await assert.rejects(resolve({}, secretOf(locked)), fault("AuthenticationFailed", /encrypted, and the Secret has no password/));
});

test("[SR65] identity and known_hosts are required", async () => {
  await assert.rejects(resolve({}, secretOf({ known_hosts: "" })), fault("AuthenticationFailed", /known_hosts/));
  await assert.rejects(resolve({}, secretOf({ identity: " " })), fault("AuthenticationFailed", /identity/));
  await assert.rejects(withLimits().resolve(callOf({}, undefined)), fault("AuthenticationFailed", /needs a Secret/));
  await assert.rejects(resolve({}, secretOf({ known_hosts: "host" })), fault("AuthenticationFailed", /line 1 of known_hosts/));
});

const hosts: { what: string; known: (line: string) => string; detail: RegExp }[] = [
  { what: "another key", known: (line) => line.replace(/ssh-ed25519 .*/, stranger.public), detail: /shows another key/ },
  { what: "no such host", known: (line) => line.replace("127.0.0.1", "git.example.com"), detail: /has no key of \[127\.0\.0\.1\]/ },
  { what: "a key that is revoked", known: (line) => `${line}@revoked * ${line.replace(/^\S+ /, "")}`, detail: /revoked/ },
  { what: "an authority only, of a host without a certificate", known: (line) => `@cert-authority ${line}`, detail: /nor a certificate/ },
  { what: "a key of another kind", known: (line) => line.replace(/ssh-ed25519 .*/, newKey("rsa").public), detail: /no key of the kinds/ },
];
for (const { what, known, detail } of hosts)
  test(`[SR63] known_hosts with ${what}: nobody is told who we are`, async () => {
    const before = server.sessions;
    await assert.rejects(resolve({}, secretOf({ known_hosts: known(server.knownHosts) })), fault("HostKeyRejected", detail));
    assert.equal(server.sessions, before);
  });

test("[SR63] of a server with several keys the one that is known is asked for", async () => {
  const second = await startSshServer({ dir, hostKeys: [newKey("ed25519").private, newKey("rsa").private], authorized: [identities.rsa.public] });
  try {
    const lines = second.knownHosts.split("\n");
    for (const known_hosts of lines.filter((line) => line !== "")) {
      const secret = secretOf({ identity: identities.rsa.private, known_hosts });
      assert.match(await resolve({ url: second.repoUrl("shop") }, secret), /^main@/);
    }
  } finally {
    await second.stop();
  }
});

/** A server that shows nothing but a certificate. */
async function certifiedServer(certificate: string, key: string, authorized: string) {
  const folder = scratchFolder();
  const files = { key, certificate, authorized };
  for (const [name, contents] of Object.entries(files)) await writeFile(join(folder, name), `${contents}\n`, { mode: 0o600 });
  const logFile = join(folder, "log");
  const child = startChild({ name: "certified-ssh", command: await tool("certified-ssh"), args: ["-dir", dir, ...Object.keys(files).flatMap((name) => [`-${name}`, join(folder, name)])], logFile });
  const port = await whileAlive([child], (signal) =>
    eventually("the server's port", async () => Number(/serving on port (\d+)/.exec(await readFile(logFile, "utf8"))?.[1]) || undefined, { signal }),
  );
  return { port, url: `ssh://git@127.0.0.1:${port}/shop.git`, [Symbol.asyncDispose]: () => child.stop() };
}

for (const kind of ["ed25519", "ecdsa", "rsa"] as const)
  test(`[SR63] [SR86] a host that shows a certificate (${kind}) is known by its authority`, async () => {
    const [authority, key] = [sshAuthority(), newKey(kind)];
    const certificate = hostCertificate(authorizedLine(key.private), authority);
    await using certified = await certifiedServer(certificate, key.private, identities.ed25519.public);
    const known = (line: string) => secretOf({ known_hosts: line.replace("HOST", `[127.0.0.1]:${certified.port}`) });
    const spec = { url: certified.url };
    const trusting = known(`@cert-authority HOST ${authority.line}\n`);
    const revision = await resolve(spec, trusting);
    assert.equal(revision, `main@sha1:${commit}`);
    assert.equal((await fetch(spec, revision, {}, trusting)).revision, revision);
    await assert.rejects(resolve(spec, known(`@cert-authority HOST ${sshAuthority().line}\n`)), fault("HostKeyRejected", /certificate .* no authority/));
    await assert.rejects(resolve(spec, known(`@cert-authority HOST ${authority.line}\n@revoked * ${authorizedLine(key.private)}\n`)), fault("HostKeyRejected", /revoked/));
    await assert.rejects(resolve(spec, known(`HOST ${authorizedLine(key.private)}\n`)), fault("HostKeyRejected", /no key of the kinds/));
  });

for (const kind of ["ed25519", "rsa"] as const)
  test(`[SR86] whoever shows a certificate (${kind}) without having its key is not taken for the host`, async () => {
    const [authority, key, thief] = [sshAuthority(), newKey(kind), newKey(kind)];
    await using thieving = await certifiedServer(hostCertificate(authorizedLine(key.private), authority), thief.private, identities.ed25519.public);
    await assert.rejects(resolve({ url: thieving.url }, secretOf({ known_hosts: `@cert-authority [127.0.0.1]:${thieving.port} ${authority.line}\n` })), fault("UpstreamUnreachable", /./));
  });

test("[SR5] [SR6] an empty repository, a branch and a commit that are not there", async () => {
  await assert.rejects(resolve({ url: server.repoUrl("empty") }), fault("RepositoryEmpty", /^$/));
  await assert.rejects(resolve({ ref: { branch: "none" } }), fault("ReferenceMissing", /none/));
  const none = "1".repeat(40);
  await assert.rejects(fetch({ ref: { commit: none } }, `sha1:${none}`), fault("ReferenceMissing", /./));
});

test("[SR8] no such repository, no git, nobody there: in the server's words", async () => {
  await assert.rejects(resolve({ url: server.repoUrl("none") }), fault("UpstreamUnreachable", /says: .*none\.git/));
  server.instead = (channel) => {
    channel.stderr.write("ERROR: Repository not found.\r\nsecond line\n");
    channel.exit(1);
    channel.end();
  };
  await assert.rejects(resolve(), fault("UpstreamUnreachable", /says: ERROR: Repository not found\.$/));
  server.instead = (channel) => channel.end("hello, this is no git\n");
  await assert.rejects(resolve(), fault("UpstreamUnreachable", /breaks off, or is not Git's/));
  const known_hosts = server.knownHosts.replace(/:\d+/, ":1");
  await assert.rejects(resolve({ url: "ssh://git@127.0.0.1:1/shop.git" }, secretOf({ known_hosts })), fault("UpstreamUnreachable", /refused/));
});

test("[SR13] silence ends with the call", async () => {
  server.instead = () => undefined;
  await assert.rejects(resolve({}, undefined, AbortSignal.timeout(300)), fault("TimedOut", /longer/));
  const gone = new Error("another owner");
  const leave = new AbortController();
  server.instead = () => leave.abort(gone);
  await assert.rejects(resolve({}, undefined, leave.signal), gone);
});

test("[SR14] a list without end, and a pack that is too large", async () => {
  server.instead = (channel) => {
    const line = `0043${"1".repeat(40)} refs/heads/aaaaaaaaaa\n`.repeat(10_000);
    let left = 150; // 100 MB: endless enough, and it does end
    channel.on("error", () => undefined);
    const more = () => {
      if (left-- > 0) channel.write(line, () => setImmediate(more));
    };
    more();
  };
  await assert.rejects(resolve(), fault("SourceTooLarge", /longer than \d+ bytes/));
  server.instead = undefined;
  await assert.rejects(fetch({}, `main@sha1:${commit}`, { packBytes: 200 }), fault("SourceTooLarge", /longer than 200 bytes/));
});
