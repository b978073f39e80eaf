/** Against OpenSSH's own server, where there is one: what a library understands of the protocol is not the last word. */
import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "../../../../deploy/local/eventually.ts";
import { freePorts } from "../../../../deploy/local/free-ports.ts";
import { startGitServer, type GitServer } from "../../../../deploy/local/git-server.ts";
import { authorizedLine, newKey } from "../../../../deploy/local/ssh-server.ts";
import { scratchFolder } from "../../../../test/kit/cluster.ts";
import { createGitRepository } from "../git.ts";
import { gitThreads } from "../git-threads.ts";
import { openSocket } from "#services/clients/http/proxy.ts";

const program = ["/usr/sbin/sshd", "/usr/bin/sshd"].find(existsSync);
const dir = scratchFolder();
const threads = gitThreads(1);
const hostKeys = [newKey("ed25519"), newKey("ecdsa"), newKey("rsa")];
const identities = { ed25519: newKey("ed25519"), ecdsa: newKey("ecdsa"), rsa: newKey("rsa") };
const authority = newKey("ed25519");
const user = userInfo().username;
let repositories: GitServer;
let sshd: ChildProcess;
let port: number;
let commit: string;

describe("OpenSSH", { skip: program === undefined && "there is no sshd here" }, () => {
  before(async () => {
    repositories = await startGitServer({ dir });
    await repositories.createRepo("shop");
    commit = await repositories.commit("shop", { files: { a: "1" }, message: "One" });
    await repositories.git("shop", "config", "safe.directory", "*");
    for (const [i, key] of hostKeys.entries()) await writeFile(join(dir, `host${i}`), key.private, { mode: 0o600 });
    await writeFile(join(dir, "authorized"), Object.values(identities).map((key) => `${key.public}\n`).join(""), { mode: 0o600 });
    await writeFile(join(dir, "authority"), authority.private, { mode: 0o600 });
    for (const [i, key] of hostKeys.entries()) {
      await writeFile(join(dir, `host${i}.pub`), `${authorizedLine(key.private)}\n`);
      execFileSync("ssh-keygen", ["-q", "-s", join(dir, "authority"), "-I", "host", "-h", "-n", "127.0.0.1", "-V", "-1h:+1h", join(dir, `host${i}.pub`)]);
    }
    port = (await freePorts("sshd")).sshd;
    const lines = [
      `Port ${port}`, "ListenAddress 127.0.0.1", "PidFile none", "UsePAM no", "StrictModes no", "PermitRootLogin prohibit-password",
      `AuthorizedKeysFile ${join(dir, "authorized")}`, ...hostKeys.flatMap((_, i) => [`HostKey ${join(dir, `host${i}`)}`, `HostCertificate ${join(dir, `host${i}-cert.pub`)}`]),
    ];
    await writeFile(join(dir, "config"), `${lines.join("\n")}\n`);
    if (userInfo().uid === 0) await mkdir("/run/sshd", { recursive: true });
    sshd = spawn(program ?? "", ["-D", "-e", "-f", join(dir, "config")], { stdio: "ignore" });
    await eventually("sshd listens", async () => {
      const socket = await openSocket({ host: "127.0.0.1", port }, undefined, AbortSignal.timeout(1_000), 1_000).catch(() => undefined);
      socket?.destroy();
      return socket !== undefined;
    });
  });
  after(async () => {
    sshd?.kill();
    await Promise.all([threads.close(), repositories?.stop()]);
  });

  for (const [type, identity] of Object.entries(identities))
    for (const hostKey of hostKeys) {
      const line = authorizedLine(hostKey.private);
      test(`[SR65] identity ${type}, host key ${line.split(" ")[0]}`, async () => {
        await isFollowed(identity.private, `[127.0.0.1]:${port} ${line}\n`);
      });
    }

  test("[SR86] its certificates, made by ssh-keygen", async () => {
    const own = `[127.0.0.1]:${port} ${authority.public}\n`;
    await isFollowed(identities.ed25519.private, `@cert-authority ${own}`);
    await assert.rejects(isFollowed(identities.ed25519.private, `@cert-authority ${own}@revoked * ${authority.public}\n`), /revoked/);
    await assert.rejects(isFollowed(identities.ed25519.private, own), /another key/);
  });

  async function isFollowed(identity: string, known_hosts: string): Promise<void> {
    const url = `ssh://${user}@127.0.0.1:${port}${repositories.path("shop")}`;
    const secret = { identity, known_hosts };
    const call = {
      key: { kind: "gitrepository", namespace: "apps", name: "shop" },
      spec: { url, ref: { branch: "main" }, secretRef: { name: "git" } },
      secret: async () => Object.fromEntries(Object.entries(secret).map(([key, value]) => [key, Buffer.from(value)])),
      signal: AbortSignal.timeout(30_000),
    };
    const gitRepository = createGitRepository({ threads });
    const revision = await gitRepository.resolve(call);
    assert.equal(revision, `main@sha1:${commit}`);
    assert.equal((await gitRepository.fetch({ ...call, revision })).revision, revision);
  }
});
